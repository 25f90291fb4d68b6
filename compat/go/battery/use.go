package battery

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"felice/compat/check"
)

// create makes topics and waits until the broker serves all their partitions. Kafka answers CreateTopics a little before that,
// and an idempotent producer whose first batch then fails while its second is taken never gets its first in.
func create(client Client, topics ...NewTopic) {
	admin := client.Admin()
	defer admin.Close()
	for _, topic := range topics {
		if topic.Replicas == 0 {
			topic.Replicas = 1
		}
		check.Must(admin.Create(topic, false), "creating %s", topic.Name)
		for index := range topic.Partitions {
			end(client, Partition{topic.Name, index})
		}
	}
}

// end is the end offset of a partition. Kafka serves a partition a little after it answered CreateTopics, and after a crash.
func end(client Client, partition Partition) int64 {
	deadline := time.Now().Add(10 * time.Second)
	for {
		offset, failure := client.Offset(partition, At(Latest))
		if failure == nil {
			return offset
		}
		check.Require(check.OnKafka() && time.Now().Before(deadline), "the end of %v: %v", partition, failure)
		time.Sleep(20 * time.Millisecond)
	}
}

// sendAll sends records in their order and returns them as they were stored.
func sendAll(client Client, sending Sending, records []Record) []Record {
	stored := make([]Record, len(records))
	failed := make(chan error, 1)
	var done atomic.Int64
	producer := client.Producer(sending)
	for n, record := range records {
		producer.Send(record, func(acknowledged Record, failure error) {
			if failure != nil {
				select {
				case failed <- fmt.Errorf("message %d: %w", n, failure):
				default:
				}
			}
			stored[n] = acknowledged
			done.Add(1)
		})
	}
	producer.Close()
	select {
	case failure := <-failed:
		check.Must(failure, "sending")
	default:
	}
	check.Require(int(done.Load()) == len(records), "only %d of %d sendings came to an end", done.Load(), len(records))
	return stored
}

// consume hands over each record of a topic, from the beginning to `wanted` records, or with -1 to the end offsets of now. A
// gap in a partition's offsets is an error.
func consume(client Client, topic string, partitions int32, wanted int64, reading Reading, each func(Record)) {
	from := map[Partition]Place{}
	ends := int64(0)
	for index := range partitions {
		partition := Partition{topic, index}
		from[partition] = At(Earliest)
		if wanted < 0 {
			ends += end(client, partition)
		}
	}
	if wanted < 0 {
		wanted = ends
	}
	consumer := client.Consumer(from, reading)
	defer consumer.Close()
	following := make([]int64, partitions)
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	for seen := int64(0); seen < wanted; {
		records := consumer.Poll(ctx)
		check.Require(len(records) > 0, "%s: only %d of %d messages came", topic, seen, wanted)
		for _, record := range records {
			next := &following[record.Partition.Index]
			check.Require(record.Offset == *next, "%v: offset %d instead of %d", record.Partition, record.Offset, *next)
			*next++
			seen++
			each(record)
		}
	}
}

// all is everything that is in a topic of one partition.
func all(client Client, topic string) []Record {
	var records []Record
	consume(client, topic, 1, -1, Reading{}, func(record Record) { records = append(records, record) })
	return records
}

// take is the next `count` records.
func take(consumer Consumer, count int) []Record {
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	var records []Record
	for len(records) < count {
		more := consumer.Poll(ctx)
		check.Require(len(more) > 0, "only %d of %d messages came", len(records), count)
		records = append(records, more...)
	}
	return records[:count]
}

// quiet checks that nothing comes for longer than a long poll takes.
func quiet(consumer Consumer, what string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*LongPoll)
	defer cancel()
	records := consumer.Poll(ctx)
	check.Require(len(records) == 0, "%s, but %d messages came", what, len(records))
}

func offsets(records []Record) []int64 {
	var found []int64
	for _, record := range records {
		found = append(found, record.Offset)
	}
	return found
}
