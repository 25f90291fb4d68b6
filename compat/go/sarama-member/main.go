// One member of a group over sarama, which does not tell whether a commit was acknowledged: so it never says `committed`.
package main

import (
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"felice/compat/member"
)

func main() {
	ctx := member.Start()
	strategies := map[string]sarama.BalanceStrategy{"range": sarama.NewBalanceStrategyRange(), "roundrobin": sarama.NewBalanceStrategyRoundRobin(),
		"sticky": sarama.NewBalanceStrategySticky()}
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[member.Option("assignor")]}
	config.Consumer.Group.Session.Timeout = member.Milliseconds("session_ms")
	config.Consumer.Group.Heartbeat.Interval = member.Milliseconds("heartbeat_ms")
	config.Consumer.Group.InstanceId = member.Option("instance")
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Retry.Backoff = 100 * time.Millisecond
	config.Metadata.Retry.Backoff, config.Metadata.Retry.Max = 100*time.Millisecond, 200
	config.Metadata.RefreshFrequency = time.Second
	group, failure := sarama.NewConsumerGroup([]string{member.Option("address")}, member.Option("group"), config)
	if failure != nil {
		member.Fail(failure)
	}
	go func() {
		for failure := range group.Errors() {
			member.Refused(failure)
		}
	}()
	for ctx.Err() == nil {
		if failure := group.Consume(ctx, strings.Split(member.Option("topics"), ","), &handler{}); failure != nil {
			member.Refused(failure)
			time.Sleep(100 * time.Millisecond) // Consume returns at once while no broker is there
		}
	}
	if failure := group.Close(); failure != nil {
		member.Fail(failure)
	}
	member.Closed()
}

// handler is of one session: one generation, as this member sees it.
type handler struct {
	owned []member.Partition
	guard sync.Mutex
	last  time.Time
}

func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	for topic, numbers := range session.Claims() {
		for _, number := range numbers {
			h.owned = append(h.owned, member.Partition{Topic: topic, Number: number})
		}
	}
	member.Assigned(h.owned)
	return nil
}

func (h *handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			partition := member.Partition{Topic: message.Topic, Number: message.Partition}
			member.Processed([]member.Record{{Partition: partition, Offset: message.Offset, Value: string(message.Value)}})
			session.MarkMessage(message, "")
			h.commit(session, member.Milliseconds("commit_ms"))
		}
	}
}

func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	h.commit(session, 0)
	member.Revoked(h.owned)
	return nil
}

func (h *handler) commit(session sarama.ConsumerGroupSession, every time.Duration) {
	h.guard.Lock()
	defer h.guard.Unlock()
	if !member.CommitsPaused() && time.Since(h.last) >= every {
		session.Commit()
		h.last = time.Now()
	}
}
