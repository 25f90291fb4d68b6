package battery

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"felice/compat/check"
)

// consuming starts at every place, pauses, and fetches in small and in large portions.
func consuming(client Client) {
	create(client, NewTopic{Name: "read", Partitions: 3})
	var records []Record
	for n := range 300 {
		records = append(records, Record{Partition: Partition{"read", int32(n % 3)}, Value: label(n)})
	}
	sendAll(client, Sending{}, records)
	places(client)
	if !lacks(client, "pausing") {
		pausing(client)
	}
	portions(client)
	tail(client)
}

func places(client Client) {
	first := Partition{"read", 0}
	for _, each := range []struct {
		name     string
		place    Place
		expected int64
	}{{"earliest", At(Earliest), 0}, {"offset 42", At(42), 42}, {"the last offset", At(99), 99}} {
		consumer := client.Consumer(map[Partition]Place{first: each.place}, Reading{})
		check.Same("a consumer from "+each.name, each.expected, take(consumer, 1)[0].Offset)
		consumer.Close()
	}
	consumer := consumerAtEnd(client, first)
	consumer.Close()
	check.Pass("a consumer from latest has only what is sent then")
	next := end(client, first)
	consumer = client.Consumer(map[Partition]Place{first: At(next)}, Reading{})
	defer consumer.Close()
	quiet(consumer, "a consumer from the end offset has nothing to read")
	sendAll(client, Sending{}, []Record{{Partition: first, Value: []byte("next")}})
	check.Same("a consumer from the end offset has what is sent then", next, take(consumer, 1)[0].Offset)
	check.Same("the end offset", next+1, offset(client, first, At(Latest)))
	check.Same("the earliest offset", 0, offset(client, first, At(Earliest)))
}

func offset(client Client, partition Partition, place Place) int64 {
	found, failure := client.Offset(partition, place)
	check.Must(failure, "an offset of %v", partition)
	return found
}

// consumerAtEnd waits for what will be sent to these partitions from now on. When a consumer has found the ends is not to be
// seen from outside: it is given messages until it hands one out.
func consumerAtEnd(client Client, partitions ...Partition) Consumer {
	from, ends := map[Partition]Place{}, map[Partition]int64{}
	for _, partition := range partitions {
		from[partition], ends[partition] = At(Latest), end(client, partition)
	}
	consumer := client.Consumer(from, Reading{})
	last := map[Partition]int64{} // that the consumer handed out
	read := func(ctx context.Context) {
		for _, record := range consumer.Poll(ctx) {
			check.Require(record.Offset >= ends[record.Partition], "a consumer at the end has offset %d of %v", record.Offset, record.Partition)
			last[record.Partition] = record.Offset
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	sent := map[Partition]int64{}
	for len(last) < len(partitions) {
		check.Must(ctx.Err(), "consuming from the end of %v", partitions)
		for _, partition := range partitions {
			if _, ready := last[partition]; !ready {
				sent[partition] = sendAll(client, Sending{}, []Record{{Partition: partition, Value: []byte("is somebody there?")}})[0].Offset
			}
		}
		soon, cancel := context.WithTimeout(ctx, LongPoll)
		read(soon)
		cancel()
	}
	for !maps.Equal(sent, last) {
		check.Must(ctx.Err(), "consuming from the end of %v", partitions)
		read(ctx)
	}
	return consumer
}

// pausing stops one of three partitions while the others go on.
func pausing(client Client) {
	var partitions []Partition
	for index := range int32(3) {
		partitions = append(partitions, Partition{"read", index})
	}
	paused := partitions[1]
	consumer := consumerAtEnd(client, partitions...)
	defer consumer.Close()
	following := end(client, paused)
	consumer.Pause(paused)
	quiet(consumer, "nothing was sent") // else a long poll that began before may answer with the paused partition
	var records []Record
	for n := range 30 {
		records = append(records, Record{Partition: Partition{"read", int32(n % 3)}, Value: label(n)})
	}
	sendAll(client, Sending{}, records)
	for _, record := range take(consumer, 20) {
		check.Require(record.Partition != paused, "a paused partition was read")
	}
	quiet(consumer, "the rest is in a paused partition")
	consumer.Resume(paused)
	resumed := take(consumer, 10)
	check.Require(!slices.ContainsFunc(resumed, func(record Record) bool { return record.Partition != paused }), "too much was read")
	check.Same("resumed, where it was paused", following, resumed[0].Offset)
}

// portions reads batches that are larger than what the consumer asks for at once: Kafka hands out whole batches, one at least.
func portions(client Client) {
	create(client, NewTopic{Name: "portions", Partitions: 2})
	for n := range 30 {
		sendAll(client, Sending{Codec: "none"}, []Record{{Partition: Partition{"portions", int32(n % 2)}, Value: bytes.Repeat([]byte{byte(n)}, 50_000)}})
	}
	for _, reading := range []Reading{{}, {MaxPartitionBytes: 1000}, {MaxBytes: 1000, MaxPartitionBytes: 1000}, {MaxPartitionBytes: 120_000}} {
		consume(client, "portions", 2, 30, reading, func(record Record) {
			n := byte(record.Offset)*2 + byte(record.Partition.Index)
			check.Require(bytes.Equal(record.Value, bytes.Repeat([]byte{n}, 50_000)), "message %d differs", n)
		})
		check.Pass("batches of 50 KB, fetched with at most %d bytes and %d a partition (0: the library's own limit)", reading.MaxBytes, reading.MaxPartitionBytes)
	}
}

// tail measures how long a message takes from its sending to a consumer that waits for it in a long poll.
func tail(client Client) {
	const count = 100
	partition := Partition{"read", 2}
	consumer := consumerAtEnd(client, partition)
	defer consumer.Close()
	producer := client.Producer(Sending{})
	defer producer.Close()
	var took []time.Duration
	for n := range count {
		started := time.Now()
		producer.Send(Record{Partition: partition, Value: label(n)}, func(Record, error) {})
		ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
		records := consumer.Poll(ctx)
		cancel()
		check.Require(len(records) == 1 && bytes.Equal(records[0].Value, label(n)), "message %d came as %v", n, records)
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	median, last := took[count/2], took[count-1]
	check.Require(median < 100*time.Millisecond, "a message reaches a waiting consumer after %v (half of them)", median)
	check.Pass("a message reaches a consumer in a long poll at once")
	fmt.Printf("  sent and read: %v (half of them), %v (all)\n", median.Round(10*time.Microsecond), last.Round(10*time.Microsecond))
}
