// One member of a group over franz-go.
package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"felice/compat/member"
)

// Where the broker assigns, franz-go asks for "uniform" if its own balancer is the sticky one.
var balancers = map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
	"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(), "uniform": kgo.StickyBalancer()}

// What was processed and not yet committed; callbacks come from another goroutine than records.
var (
	guard     sync.Mutex
	processed = map[member.Partition]int64{}
)

func main() {
	ctx := member.Start()
	client, failure := kgo.NewClient(options()...)
	if failure != nil {
		member.Fail(failure)
	}
	due := time.Now()
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := client.PollFetches(wait)
		cancel()
		guard.Lock()
		var records []member.Record
		fetches.EachRecord(func(record *kgo.Record) {
			partition := member.Partition{Topic: record.Topic, Number: record.Partition}
			records = append(records, member.Record{Partition: partition, Offset: record.Offset, Value: string(record.Value)})
			processed[partition] = record.Offset + 1
		})
		member.Processed(records)
		guard.Unlock()
		if !member.CommitsPaused() && time.Now().After(due) {
			commit(client, every())
			due = time.Now().Add(member.Milliseconds("commit_ms"))
		}
		client.AllowRebalance()
	}
	commit(client, every())
	client.CloseAllowingRebalance()
	member.Closed()
}

func options() []kgo.Opt {
	options := []kgo.Opt{
		kgo.SeedBrokers(member.Option("address")),
		kgo.ConsumerGroup(member.Option("group")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.MetadataMinAge(time.Second),
		kgo.MetadataMaxAge(time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			member.Assigned(listed(partitions))
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			if names := listed(partitions); len(names) > 0 {
				commit(client, of(names))
				forget(names)
				member.Revoked(names)
			}
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			names := listed(partitions)
			forget(names)
			member.Lost(names)
		}),
	}
	if pattern := member.Option("pattern"); pattern != "" {
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(pattern))
	} else {
		options = append(options, kgo.ConsumeTopics(strings.Split(member.Option("topics"), ",")...))
	}
	if instance := member.Option("instance"); instance != "" {
		options = append(options, kgo.InstanceID(instance))
	}
	if member.Option("protocol") == "consumer" {
		return append(options, kgo.ServerSideBalancer(), kgo.Balancers(balancers[member.Option("assignor")]))
	}
	return append(options, kgo.Balancers(balancers[member.Option("assignor")]), kgo.SessionTimeout(member.Milliseconds("session_ms")),
		kgo.HeartbeatInterval(member.Milliseconds("heartbeat_ms")))
}

func listed(partitions map[string][]int32) []member.Partition {
	names := []member.Partition{}
	for topic, numbers := range partitions {
		for _, number := range numbers {
			names = append(names, member.Partition{Topic: topic, Number: number})
		}
	}
	return names
}

func every() map[member.Partition]int64 {
	guard.Lock()
	defer guard.Unlock()
	found := map[member.Partition]int64{}
	for name, offset := range processed {
		found[name] = offset
	}
	return found
}

func of(names []member.Partition) map[member.Partition]int64 {
	guard.Lock()
	defer guard.Unlock()
	found := map[member.Partition]int64{}
	for _, name := range names {
		if offset, known := processed[name]; known && !member.CommitsPaused() {
			found[name] = offset
		}
	}
	return found
}

func forget(names []member.Partition) {
	guard.Lock()
	defer guard.Unlock()
	for _, name := range names {
		delete(processed, name)
	}
}

func commit(client *kgo.Client, offsets map[member.Partition]int64) {
	if len(offsets) == 0 {
		return
	}
	asked := map[string]map[int32]kgo.EpochOffset{}
	for name, offset := range offsets {
		if asked[name.Topic] == nil {
			asked[name.Topic] = map[int32]kgo.EpochOffset{}
		}
		asked[name.Topic][name.Number] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var refused error
	client.CommitOffsetsSync(context.Background(), asked, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, failure error) {
		refused = failure
		if failure == nil {
			for _, topic := range answer.Topics {
				for _, partition := range topic.Partitions {
					if partition.ErrorCode != 0 {
						refused = kerr.ErrorForCode(partition.ErrorCode)
					}
				}
			}
		}
	})
	if refused != nil {
		member.Refused(refused)
		return
	}
	member.Committed(offsets)
	guard.Lock()
	defer guard.Unlock()
	for name, offset := range offsets {
		if processed[name] == offset {
			delete(processed, name)
		}
	}
}
