package battery

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"felice/compat/broker"
	"felice/compat/check"
)

const (
	perCodec   = 5000
	many       = 200_000
	partitions = 10
)

// Codecs are the codecs that Kafka knows.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// everyCodec sends 5,000 messages from nothing to 900 KB with each codec, compares what comes back with what was sent, and
// reads from the segment files which codec they were stored with.
func everyCodec(b *broker.Broker, client Client) {
	const spread = 3
	for _, codec := range Codecs {
		topic := "codec-" + codec
		create(client, NewTopic{Name: topic, Partitions: spread})
		records := make([]Record, perCodec)
		for n := range records {
			records[n] = Record{Partition: Partition{topic, int32(n % spread)}, Key: label(n), Value: letter(n)}
		}
		stored := sendAll(client, Sending{Codec: codec, Linger: 20 * time.Millisecond}, records)
		for n, record := range stored {
			check.Require(record.Offset == int64(n/spread), "%s: message %d was acknowledged at offset %d", codec, n, record.Offset)
		}
		count := 0
		consume(client, topic, spread, perCodec, Reading{}, func(record Record) {
			n := int(record.Offset)*spread + int(record.Partition.Index)
			check.Require(bytes.Equal(record.Key, label(n)), "%s: the key of message %d differs", codec, n)
			check.Require(bytes.Equal(record.Value, letter(n)), "%s: message %d differs", codec, n)
			count++
		})
		check.Same(fmt.Sprintf("%s: %d came back as they were, in order; the codec of the stored batches", codec, count),
			[]string{codec}, b.Codecs(topic))
	}
}

// shapes sends what is null, empty, large or unusual.
func shapes(client Client) {
	create(client, NewTopic{Name: "shapes", Partitions: 1})
	large := make([]byte, 900_000)
	rand.New(rand.NewSource(1)).Read(large)
	in := Partition{"shapes", 0}
	sent := []Record{
		{Partition: in, Key: []byte("k"), Value: []byte("v")},
		{Partition: in, Key: nil, Value: []byte("no key")},
		{Partition: in, Key: []byte("no value"), Value: nil},
		{Partition: in, Key: nil, Value: nil},
		{Partition: in, Key: []byte{}, Value: []byte{}},
		{Partition: in, Key: []byte("large"), Value: large},
		{Partition: in, Key: []byte("headers"), Value: []byte("v"), Headers: []Header{
			{"first", []byte("1")}, {"empty", []byte{}}, {"null", nil}, {"first", []byte("2")}, {"", []byte("no name")},
			{"größe 大きさ 🐘", large[:10_000]},
		}},
	}
	sendAll(client, Sending{}, sent)
	alike := alike
	if lacks(client, "null apart from empty") {
		alike = bytes.Equal
	}
	back := all(client, "shapes")
	check.Require(len(back) == len(sent), "%d shapes came back", len(back))
	for n := range sent {
		check.Require(alike(sent[n].Key, back[n].Key), "key %d: %v became %v", n, sent[n].Key, back[n].Key)
		check.Require(alike(sent[n].Value, back[n].Value), "value %d: %.20v became %.20v", n, sent[n].Value, back[n].Value)
		check.Require(len(sent[n].Headers) == len(back[n].Headers), "%d headers became %d", len(sent[n].Headers), len(back[n].Headers))
		for at, header := range sent[n].Headers {
			got := back[n].Headers[at]
			check.Require(got.Name == header.Name, "header %d: name %s became %s", at, header.Name, got.Name)
			check.Require(alike(header.Value, got.Value), "header %s: %.20v became %.20v", header.Name, header.Value, got.Value)
		}
	}
	check.Pass("null and empty keys, values and headers, a header twice, unicode and 900 KB come back as they were")
}

// alike tells null from empty.
func alike(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func timestamps(b *broker.Broker, client Client) {
	create(client, NewTopic{Name: "created", Partitions: 1},
		NewTopic{Name: "appended", Partitions: 1, Settings: map[string]string{"message.timestamp.type": "LogAppendTime"}})
	base := time.Now().UnixMilli() - 3_600_000
	times := []int64{100, 300, 200, 400, 400, 350}
	before := time.Now().UnixMilli()
	for _, topic := range []string{"created", "appended"} {
		var records []Record
		for _, each := range times {
			records = append(records, Record{Partition: Partition{topic, 0}, Value: []byte("v"), Timestamp: base + each})
		}
		// Held back until the producer is closed, so that they share a batch.
		sendAll(client, Sending{Linger: 500 * time.Millisecond}, records)
	}
	after := time.Now().UnixMilli()

	check.Same("the messages share a batch", 1, len(b.Batches("created", 0)))
	var created []int64
	for _, record := range all(client, "created") {
		created = append(created, record.Timestamp-base)
	}
	check.Same("create times", times, created)
	if !lacks(client, "append times") {
		stamped := all(client, "appended")
		for _, record := range stamped {
			check.Require(record.Timestamp == stamped[0].Timestamp, "append times differ within a batch")
			check.Require(before <= record.Timestamp && record.Timestamp <= after, "append time %d is not the broker's", record.Timestamp)
		}
		check.Pass("append times are the broker's, one for the batch")
	}

	partition := Partition{"created", 0}
	for _, pair := range [][2]int64{{0, 0}, {100, 0}, {101, 1}, {250, 1}, {300, 1}, {301, 3}, {400, 3}, {401, -1}} {
		offset, failure := client.Offset(partition, Time(base+pair[0]))
		check.Must(failure, "the offset at %d ms", pair[0])
		check.Same(fmt.Sprintf("the first offset at or after %d ms within the batch", pair[0]), pair[1], offset)
	}
	consumer := client.Consumer(map[Partition]Place{partition: At(3)}, Reading{})
	check.Same("a consumer begins in the middle of a batch", []int64{3, 4, 5}, offsets(take(consumer, 3)))
	consumer.Close()
	consumer = client.Consumer(map[Partition]Place{partition: Time(base + 250)}, Reading{})
	check.Same("a consumer begins at a time", []int64{1, 2, 3, 4, 5}, offsets(take(consumer, 5)))
	consumer.Close()
}

func everyAcks(client Client) {
	for name, acks := range map[string]int16{"0": 0, "1": 1, "all": -1} {
		topic := "acks-" + name
		create(client, NewTopic{Name: topic, Partitions: 1})
		records := make([]Record, 1000)
		for n := range records {
			records[n] = Record{Partition: Partition{topic, 0}, Value: label(n)}
		}
		sendAll(client, Sending{Acks: &acks}, records)
		count := 0
		consume(client, topic, 1, int64(len(records)), Reading{}, func(record Record) {
			check.Require(bytes.Equal(record.Value, label(count)), "acks=%s: message %d differs", name, count)
			count++
		})
		check.Pass("acks=%s: %d messages", name, count)
	}
}

// tooLarge finds the limit to the byte: a batch of one record with neither key nor headers has 72 bytes around its value.
func tooLarge(client Client) {
	const limit, around = 100_000, 72
	create(client, NewTopic{Name: "small", Partitions: 1, Settings: map[string]string{"max.message.bytes": fmt.Sprint(limit)}})
	send := func(size int) (code int16) {
		producer := client.Producer(Sending{Codec: "none", Unlimited: true})
		producer.Send(Record{Partition: Partition{"small", 0}, Value: make([]byte, size)}, func(_ Record, failure error) {
			if failure != nil {
				code = client.Code(failure)
			}
		})
		producer.Close()
		return code
	}
	check.Same("a batch of exactly max.message.bytes", 0, send(limit-around))
	check.Same("one byte more", MessageTooLarge, send(limit-around+1))
	check.Same("only the first is there", 1, len(all(client, "small")))
}

// ownPartitioner lets the library choose: a key stays in its partition, all partitions are used, and a message is where its
// acknowledgement says.
func ownPartitioner(client Client) {
	create(client, NewTopic{Name: "spread", Partitions: partitions})
	records := make([]Record, 2000)
	for n := range records {
		records[n] = Record{Partition: Partition{Topic: "spread"}, Key: label(n % 100), Value: label(n)}
	}
	stored := sendAll(client, Sending{Partitioner: true}, records)
	of := map[string]int32{}
	used := map[int32]bool{}
	expected := map[Partition][]Record{}
	for _, record := range stored {
		first, known := of[string(record.Key)]
		check.Require(!known || first == record.Partition.Index, "key %s is in partitions %d and %d", record.Key, first, record.Partition.Index)
		of[string(record.Key)] = record.Partition.Index
		used[record.Partition.Index] = true
		expected[record.Partition] = append(expected[record.Partition], record)
	}
	check.Same("the partitioner's partitions", partitions, len(used))
	consume(client, "spread", partitions, int64(len(records)), Reading{}, func(record Record) {
		sent := expected[record.Partition]
		check.Require(record.Offset < int64(len(sent)) && bytes.Equal(record.Value, sent[record.Offset].Value), "%v is not what was sent there", record)
	})
	check.Pass("messages are where their acknowledgements said")
}

// madeAgain deletes a topic and makes it again under a living producer.
func madeAgain(client Client) {
	admin := client.Admin()
	defer admin.Close()
	producer := client.Producer(Sending{Idempotent: true})
	defer producer.Close()
	for generation := range 3 {
		create(client, NewTopic{Name: "again", Partitions: 1})
		value := func(n int) []byte { return fmt.Appendf(nil, "%d %d", generation, n) }
		const count = 200
		outcomes := make(chan error, count)
		for n := range count {
			producer.Send(Record{Partition: Partition{"again", 0}, Value: value(n)}, func(_ Record, failure error) { outcomes <- failure })
		}
		for range count {
			check.Must(<-outcomes, "sending to generation %d of a topic", generation)
		}
		stored := all(client, "again")
		check.Require(len(stored) == count, "generation %d has %d messages", generation, len(stored))
		for n, record := range stored {
			check.Require(bytes.Equal(record.Value, value(n)), "generation %d has <%s> at offset %d", generation, record.Value, n)
		}
		check.Must(admin.Delete("again"), "deleting generation %d", generation)
		check.Settled(fmt.Sprintf("generation %d of a topic had its own messages; it is deleted", generation), false, func() bool {
			topics, failure := admin.Topics()
			check.Must(failure, "the list of topics")
			_, there := topics["again"]
			return there
		})
		if forgetful, is := producer.(interface{ Forget(topic string) }); is {
			forgetful.Forget("again")
		}
	}
}

// manyMessages sends 200,000 with lz4 and compares hashes over each partition.
func manyMessages(client Client, sending Sending) {
	count := many * check.Scale()
	create(client, NewTopic{Name: "many", Partitions: partitions})
	sent, received := hashes(), hashes()
	producer := client.Producer(sending)
	failures := make(chan string, 1)
	for n := range count {
		value := line(n)
		sent[n%partitions].Write(value)
		producer.Send(Record{Partition: Partition{"many", int32(n % partitions)}, Value: value}, func(record Record, failure error) {
			if failure != nil || record.Offset != int64(n/partitions) {
				select {
				case failures <- fmt.Sprintf("message %d at offset %d: %v", n, record.Offset, failure):
				default:
				}
			}
		})
	}
	producer.Close()
	select {
	case failure := <-failures:
		check.Require(false, "%s", failure)
	default:
	}
	consume(client, "many", partitions, int64(count), Reading{}, func(record Record) { received[record.Partition.Index].Write(record.Value) })
	var expected, actual []string
	for n := range partitions {
		expected = append(expected, fmt.Sprintf("%.4x", sent[n].Sum(nil)))
		actual = append(actual, fmt.Sprintf("%.4x", received[n].Sum(nil)))
	}
	check.Same(fmt.Sprintf("%d messages; the hashes of the partitions", count), expected, actual)
}

func hashes() (all []interface {
	Write([]byte) (int, error)
	Sum([]byte) []byte
}) {
	for range partitions {
		all = append(all, sha256.New())
	}
	return all
}

// label shrinks when compressed even where it is all that is in a batch: a library sends what does not as it was.
func label(n int) []byte {
	return fmt.Appendf(nil, "%d: an Felice %s", n, strings.Repeat("an Felice ", 10))
}

// letter is empty, short, or 900 KB long.
func letter(n int) []byte {
	switch {
	case n%500 == 7:
		return []byte{}
	case n%2000 == 1234:
		return bytes.Repeat(line(n), 900_000/len(line(n)))
	default:
		return bytes.Repeat(line(n), n%20)
	}
}

func line(n int) []byte {
	return fmt.Appendf(nil, "Liebste Felice, dies ist Brief Nummer %d, und es folgen noch viele. ", n)
}
