package battery

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"felice/compat/broker"
	"felice/compat/check"
)

// interrupted restarts the broker cleanly, and later kills it, while an idempotent producer, a plain one and a consumer are at
// work. The producers have acks=all and are told nothing: they retry.
func interrupted(b *broker.Broker, client Client) {
	count := 60_000 * check.Scale()
	create(client, NewTopic{Name: "once", Partitions: partitions}, NewTopic{Name: "plain", Partitions: 1})
	all := int16(-1)
	once := newSender(client, Sending{Idempotent: true, Acks: &all, Linger: 2 * time.Millisecond}, "once", partitions, count)
	plain := newSender(client, Sending{Acks: &all, Linger: 2 * time.Millisecond}, "plain", 1, count)

	var readOn [][]int
	senders := map[*sender]<-chan any{plain: check.Background(plain.run)}
	idempotent := !lacks(client, "idempotence")
	var reader <-chan any
	if idempotent {
		reader = check.Background(func() { readOn = numbers(client, "once", partitions, int64(count)) })
		senders[once] = check.Background(once.run)
	}
	for stage, interrupt := range []func(){b.Stop, b.Kill} {
		for sender := range senders {
			select {
			case <-sender.reached[stage]:
			case <-time.After(check.Limit):
				check.Require(false, "%s: too few acknowledgements (%d, stage %d)", sender.topic, len(sender.acknowledged), stage)
			}
		}
		interrupt()
		b.Restart()
	}
	for sender, ended := range senders {
		check.Wait(ended, "the producer for "+sender.topic)
	}
	if idempotent {
		check.Same("the idempotent producer's failures over a restart and a kill -9", nil, once.failures)
		check.Wait(reader, "the consumer")
		stored := numbers(client, "once", partitions, -1)
		compare("after a restart and a kill -9", stored, count)
		compare("a consumer that read on through both", readOn, count)
	}
	kept := map[int]bool{}
	for _, number := range numbers(client, "plain", 1, -1)[0] {
		kept[number] = true
	}
	lost := slices.DeleteFunc(slices.Clone(plain.acknowledged), func(number int) bool { return kept[number] })
	check.Same("acknowledged to the producer without idempotence, and lost", 0, len(lost))
	check.Same("acknowledged to it", count, len(plain.acknowledged))
}

// sender sends numbers. Some of them wait until enough is acknowledged, and the interruptions wait for the same, so that these
// come in between whatever the machine's speed.
type sender struct {
	client     Client
	sending    Sending
	topic      string
	partitions int
	count      int
	// A stage is reached when that many are acknowledged.
	reached [2]chan struct{}

	lock         sync.Mutex
	acknowledged []int
	failures     []string
}

func newSender(client Client, sending Sending, topic string, partitions, count int) *sender {
	reached := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	return &sender{client: client, sending: sending, topic: topic, partitions: partitions, count: count, reached: reached}
}

func (s *sender) run() {
	producer := s.client.Producer(s.sending)
	for n := range s.count {
		switch n {
		case s.count / 3:
			<-s.reached[0]
		case s.count * 2 / 3:
			<-s.reached[1]
		}
		partition := Partition{s.topic, int32(n % s.partitions)}
		producer.Send(Record{Partition: partition, Value: strconv.AppendInt(nil, int64(n), 10)}, func(_ Record, failure error) { s.done(n, failure) })
	}
	producer.Close()
}

func (s *sender) done(number int, failure error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if failure != nil {
		s.failures = append(s.failures, fmt.Sprintf("%d: %v", number, failure))
		return
	}
	s.acknowledged = append(s.acknowledged, number)
	switch len(s.acknowledged) {
	case s.count / 6:
		close(s.reached[0])
	case s.count / 2:
		close(s.reached[1])
	}
}

func numbers(client Client, topic string, partitions int32, wanted int64) [][]int {
	found := make([][]int, partitions)
	consume(client, topic, partitions, wanted, Reading{}, func(record Record) {
		number, failure := strconv.Atoi(string(record.Value))
		check.Must(failure, "a number")
		found[record.Partition.Index] = append(found[record.Partition.Index], number)
	})
	return found
}

func compare(what string, found [][]int, count int) {
	for partition, numbers := range found {
		check.Require(len(numbers) == count/len(found), "%s: partition %d has %d messages instead of %d", what, partition, len(numbers), count/len(found))
		for at, number := range numbers {
			check.Require(number == at*len(found)+partition, "%s: partition %d offset %d has %d", what, partition, at, number)
		}
	}
	check.Pass("%s: all %d are there, in order, once", what, count)
}
