package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"felice/compat/battery"
	"felice/compat/check"
)

// franz makes the battery's clients of franz-go, each with these options and its own.
type franz struct {
	address string
	options []kgo.Opt
}

func (f franz) client(options ...kgo.Opt) *kgo.Client {
	quick := kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond })
	all := append([]kgo.Opt{kgo.SeedBrokers(f.address), quick}, f.options...)
	client, failure := kgo.NewClient(append(all, options...)...)
	check.Must(failure, "a client of franz-go")
	return client
}

func (f franz) Code(failure error) int16 {
	var kafka *kerr.Error
	if errors.As(failure, &kafka) {
		return kafka.Code
	}
	return -1
}

func (f franz) Producer(sending battery.Sending) battery.Producer {
	options := []kgo.Opt{kgo.ProducerLinger(sending.Linger)}
	if !sending.Partitioner {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if sending.Codec != "" {
		codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
			"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
		options = append(options, kgo.ProducerBatchCompression(codecs[sending.Codec]))
	}
	if sending.Acks != nil {
		options = append(options, kgo.RequiredAcks(map[int16]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}[*sending.Acks]))
	}
	if !sending.Idempotent && sending.Acks != nil {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if sending.Unlimited {
		options = append(options, kgo.ProducerBatchMaxBytes(10<<20))
	}
	return producer{f.client(options...)}
}

type producer struct{ client *kgo.Client }

func (p producer) Send(record battery.Record, done func(battery.Record, error)) {
	sent := kgo.Record{Topic: record.Partition.Topic, Partition: record.Partition.Index, Key: record.Key, Value: record.Value}
	for _, header := range record.Headers {
		sent.Headers = append(sent.Headers, kgo.RecordHeader{Key: header.Name, Value: header.Value})
	}
	if record.Timestamp != 0 {
		sent.Timestamp = time.UnixMilli(record.Timestamp)
	}
	p.client.Produce(context.Background(), &sent, func(stored *kgo.Record, failure error) { done(common(stored), failure) })
}

func (p producer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	check.Must(p.client.Flush(ctx), "flushing")
	p.client.Close()
}

// Forget is what franz-go wants before it sends to a topic that was deleted and made again: else it fails whatever is sent to
// it, since that was perhaps meant for the other.
func (p producer) Forget(topic string) { p.client.PurgeTopicsFromProducing(topic) }

func common(record *kgo.Record) battery.Record {
	partition := battery.Partition{Topic: record.Topic, Index: record.Partition}
	found := battery.Record{Partition: partition, Key: record.Key, Value: record.Value, Offset: record.Offset, Timestamp: record.Timestamp.UnixMilli()}
	for _, header := range record.Headers {
		found.Headers = append(found.Headers, battery.Header{Name: header.Key, Value: header.Value})
	}
	return found
}

func (f franz) Consumer(from map[battery.Partition]battery.Place, reading battery.Reading) battery.Consumer {
	partitions := map[string]map[int32]kgo.Offset{}
	for partition, place := range from {
		if partitions[partition.Topic] == nil {
			partitions[partition.Topic] = map[int32]kgo.Offset{}
		}
		partitions[partition.Topic][partition.Index] = placed(place)
	}
	options := []kgo.Opt{kgo.ConsumePartitions(partitions), kgo.ConsumeResetOffset(kgo.NoResetOffset())}
	options = append(options, kgo.FetchMaxWait(battery.LongPoll))
	if reading.MaxBytes != 0 {
		options = append(options, kgo.FetchMaxBytes(reading.MaxBytes))
	}
	if reading.MaxPartitionBytes != 0 {
		options = append(options, kgo.FetchMaxPartitionBytes(reading.MaxPartitionBytes))
	}
	return consumer{f.client(options...)}
}

func placed(place battery.Place) kgo.Offset {
	switch {
	case place.AtTime != nil:
		return kgo.NewOffset().AfterMilli(*place.AtTime)
	case place.Offset == battery.Latest:
		return kgo.NewOffset().AtEnd()
	case place.Offset == battery.Earliest:
		return kgo.NewOffset().AtStart()
	default:
		return kgo.NewOffset().At(place.Offset)
	}
}

type consumer struct{ client *kgo.Client }

func (c consumer) Poll(ctx context.Context) (records []battery.Record) {
	for len(records) == 0 && ctx.Err() == nil {
		fetches := c.client.PollFetches(ctx)
		fetches.EachError(func(topic string, partition int32, failure error) {
			check.Require(errors.Is(failure, context.DeadlineExceeded), "reading %s-%d: %v", topic, partition, failure)
		})
		fetches.EachRecord(func(record *kgo.Record) { records = append(records, common(record)) })
	}
	return records
}

func (c consumer) Pause(partition battery.Partition) {
	c.client.PauseFetchPartitions(map[string][]int32{partition.Topic: {partition.Index}})
}

func (c consumer) Resume(partition battery.Partition) {
	c.client.ResumeFetchPartitions(map[string][]int32{partition.Topic: {partition.Index}})
}

func (c consumer) Close() { c.client.Close() }

func (f franz) Offset(partition battery.Partition, place battery.Place) (int64, error) {
	client := kadm.NewClient(f.client())
	defer client.Close()
	list := client.ListEndOffsets
	if place.AtTime != nil {
		list = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return client.ListOffsetsAfterMilli(ctx, *place.AtTime, topics...)
		}
	} else if place.Offset == battery.Earliest {
		list = client.ListStartOffsets
	}
	listed, failure := list(context.Background(), partition.Topic)
	if failure != nil {
		return 0, failure
	}
	offset, known := listed.Lookup(partition.Topic, partition.Index)
	if !known {
		return 0, fmt.Errorf("%v is not in the answer: %w", partition, kerr.UnknownTopicOrPartition)
	}
	// Where a partition has nothing after a time, kadm puts its end offset, without a timestamp.
	if place.AtTime != nil && offset.Timestamp == -1 {
		return -1, offset.Err
	}
	return offset.Offset, offset.Err
}

func (f franz) Admin() battery.Admin { return admin{f, kadm.NewClient(f.client())} }

type admin struct {
	franz  franz
	client *kadm.Client
}

func (a admin) Close() { a.client.Close() }

func (a admin) Create(topic battery.NewTopic, validateOnly bool) error {
	create := a.client.CreateTopics
	if validateOnly {
		create = a.client.ValidateCreateTopics
	}
	settings := map[string]*string{}
	for name, value := range topic.Settings {
		settings[name] = &value
	}
	answers, failure := create(context.Background(), topic.Partitions, topic.Replicas, settings, topic.Name)
	if failure != nil {
		return failure
	}
	return explained(answers[topic.Name].Err, answers[topic.Name].ErrMessage)
}

func (a admin) Delete(topic string) error {
	answers, failure := a.client.DeleteTopics(context.Background(), topic)
	if failure != nil {
		return failure
	}
	return explained(answers[topic].Err, answers[topic].ErrMessage)
}

func (a admin) Grow(topic string, partitions int32, validateOnly bool) error {
	update := a.client.UpdatePartitions
	if validateOnly {
		update = a.client.ValidateUpdatePartitions
	}
	answers, failure := update(context.Background(), int(partitions), topic)
	if failure != nil {
		return failure
	}
	return explained(answers[topic].Err, answers[topic].ErrMessage)
}

// Topics asks with a new client: one that lives remembers for a while what it was told.
func (a admin) Topics() (map[string]int, error) {
	client := kadm.NewClient(a.franz.client())
	defer client.Close()
	topics, failure := client.ListTopics(context.Background())
	found := map[string]int{}
	for name, topic := range topics {
		found[name] = len(topic.Partitions)
	}
	return found, failure
}

func (a admin) Settings(topic string) (map[string]battery.Setting, error) {
	described, failure := a.client.DescribeTopicConfigs(context.Background(), topic)
	if failure != nil {
		return nil, failure
	}
	resource, failure := described.On(topic, nil)
	if failure != nil {
		return nil, failure
	}
	settings := map[string]battery.Setting{}
	for _, config := range resource.Configs {
		settings[config.Key] = battery.Setting{Value: config.MaybeValue(), OfTopic: config.Source.String() == "DYNAMIC_TOPIC_CONFIG"}
	}
	return settings, resource.Err
}

func (a admin) Alter(topic string, change battery.Change, validateOnly bool) error {
	alter := a.client.AlterTopicConfigs
	if validateOnly {
		alter = a.client.ValidateAlterTopicConfigs
	}
	operations := map[string]kadm.IncrementalOp{"set": kadm.SetConfig, "delete": kadm.DeleteConfig, "append": kadm.AppendConfig, "subtract": kadm.SubtractConfig}
	answers, failure := alter(context.Background(), []kadm.AlterConfig{{Op: operations[change.Operation], Name: change.Name, Value: &change.Value}}, topic)
	if failure != nil {
		return failure
	}
	answer, failure := answers.On(topic, nil)
	if failure != nil {
		return failure
	}
	return explained(answer.Err, answer.ErrMessage)
}

func (a admin) Cluster() (battery.Cluster, error) {
	metadata, failure := a.client.BrokerMetadata(context.Background())
	cluster := battery.Cluster{Controller: metadata.Controller, Brokers: map[int32]string{}}
	for _, each := range metadata.Brokers {
		cluster.Brokers[each.NodeID] = fmt.Sprintf("%s:%d", each.Host, each.Port)
	}
	return cluster, failure
}

func explained(failure error, message string) error {
	if failure == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", failure, message)
}
