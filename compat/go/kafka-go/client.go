package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"felice/compat/battery"
	"felice/compat/check"
	"felice/compat/wiretap"
)

// segmentio makes the battery's clients of kafka-go.
type segmentio struct {
	address net.Addr
	tap     *wiretap.Tap
}

// Lacks says what the library does not have.
func (s segmentio) Lacks() []string {
	return []string{"idempotence", "pausing", "null apart from empty", "append times"}
}

func (s segmentio) client() *kafka.Client {
	return &kafka.Client{Addr: s.address, Transport: s.transport(), Timeout: 30 * time.Second}
}

// A new one for each client: it remembers for a while what it was told of the cluster.
func (s segmentio) transport() *kafka.Transport { return &kafka.Transport{Dial: s.tap.DialContext} }

func (s segmentio) Code(failure error) int16 {
	var code kafka.Error
	if errors.As(failure, &code) {
		return int16(code)
	}
	return -1
}

// sending is what a message carries along: its partition, and whom to tell.
type sending struct {
	record battery.Record
	done   func(battery.Record, error)
}

func (s segmentio) Producer(wanted battery.Sending) battery.Producer {
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	writer := &kafka.Writer{
		Addr:            s.address,
		Transport:       s.transport(),
		Async:           true,
		BatchTimeout:    max(wanted.Linger, time.Millisecond),
		BatchSize:       1000,
		Compression:     codecs[wanted.Codec],
		RequiredAcks:    kafka.RequireAll,
		MaxAttempts:     600, // outlives a restart of the broker
		WriteBackoffMin: 20 * time.Millisecond,
		WriteBackoffMax: 100 * time.Millisecond,
		Completion: func(messages []kafka.Message, failure error) {
			for _, message := range messages {
				each := message.WriterData.(sending)
				each.record.Partition.Index, each.record.Offset = int32(message.Partition), message.Offset
				each.done(each.record, failure)
			}
		},
	}
	if wanted.Acks != nil {
		writer.RequiredAcks = kafka.RequiredAcks(*wanted.Acks)
	}
	if wanted.Unlimited {
		writer.BatchBytes = 10 << 20
	}
	if wanted.Partitioner {
		writer.Balancer = &kafka.Murmur2Balancer{}
	} else {
		writer.Balancer = kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return int(message.WriterData.(sending).record.Partition.Index)
		})
	}
	return &producer{writer: writer, room: make(chan struct{}, 10_000)}
}

type producer struct {
	writer *kafka.Writer
	// The library would queue without a bound.
	room    chan struct{}
	pending sync.WaitGroup
}

func (p *producer) Send(record battery.Record, done func(battery.Record, error)) {
	message := kafka.Message{Topic: record.Partition.Topic, Key: record.Key, Value: record.Value}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, kafka.Header{Key: header.Name, Value: header.Value})
	}
	if record.Timestamp != 0 {
		message.Time = time.UnixMilli(record.Timestamp)
	}
	p.room <- struct{}{}
	p.pending.Add(1)
	message.WriterData = sending{record, func(stored battery.Record, failure error) {
		done(stored, failure)
		<-p.room
		p.pending.Done()
	}}
	for {
		// It asks for the topic's partitions, which fails at once while the broker is away.
		failure := p.writer.WriteMessages(context.Background(), message)
		if failure == nil {
			return
		}
		var network net.Error
		if !errors.As(failure, &network) && !errors.Is(failure, kafka.LeaderNotAvailable) && !errors.Is(failure, kafka.UnknownTopicOrPartition) {
			message.WriterData.(sending).done(record, failure)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *producer) Close() {
	p.pending.Wait()
	check.Must(p.writer.Close(), "closing a writer")
}

func (s segmentio) Consumer(from map[battery.Partition]battery.Place, reading battery.Reading) battery.Consumer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{messages: make(chan kafka.Message, 1000), cancel: cancel}
	for partition, place := range from {
		config := kafka.ReaderConfig{
			Brokers:        []string{s.address.String()},
			Dialer:         &kafka.Dialer{DialFunc: s.tap.DialContext, Timeout: 10 * time.Second},
			Topic:          partition.Topic,
			Partition:      int(partition.Index),
			MinBytes:       1,
			MaxBytes:       10 << 20,
			MaxWait:        battery.LongPoll,
			ReadBackoffMin: 10 * time.Millisecond,
			ReadBackoffMax: 100 * time.Millisecond,
		}
		if limit := max(reading.MaxBytes, reading.MaxPartitionBytes); limit != 0 {
			config.MaxBytes = int(limit)
		}
		reader := kafka.NewReader(config)
		if place.AtTime != nil {
			check.Must(reader.SetOffsetAt(ctx, time.UnixMilli(*place.AtTime)), "seeking to a time")
		} else {
			check.Must(reader.SetOffset(place.Offset), "seeking") // Latest and Earliest are the library's numbers
		}
		c.ended.Go(func() {
			defer reader.Close()
			for ctx.Err() == nil {
				message, failure := reader.ReadMessage(ctx)
				if failure != nil {
					continue // a broker that is away, or the end of this consumer
				}
				select {
				case c.messages <- message:
				case <-ctx.Done():
				}
			}
		})
	}
	return c
}

type consumer struct {
	messages chan kafka.Message
	cancel   func()
	ended    sync.WaitGroup
}

func (c *consumer) Poll(ctx context.Context) (records []battery.Record) {
	select {
	case message := <-c.messages:
		records = append(records, common(message))
	case <-ctx.Done():
		return nil
	}
	for len(c.messages) > 0 {
		records = append(records, common(<-c.messages))
	}
	return records
}

func common(message kafka.Message) battery.Record {
	partition := battery.Partition{Topic: message.Topic, Index: int32(message.Partition)}
	record := battery.Record{Partition: partition, Key: message.Key, Value: message.Value, Offset: message.Offset, Timestamp: message.Time.UnixMilli()}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, battery.Header{Name: header.Key, Value: header.Value})
	}
	return record
}

func (c *consumer) Pause(battery.Partition)  { check.Require(false, "kafka-go has no pausing") }
func (c *consumer) Resume(battery.Partition) { check.Require(false, "kafka-go has no pausing") }

func (c *consumer) Close() {
	c.cancel()
	c.ended.Wait()
}

func (s segmentio) Offset(partition battery.Partition, place battery.Place) (int64, error) {
	at := place.Offset // Latest and Earliest are the library's numbers
	if place.AtTime != nil {
		at = *place.AtTime
	}
	wanted := map[string][]kafka.OffsetRequest{partition.Topic: {{Partition: int(partition.Index), Timestamp: at}}}
	answer, failure := s.client().ListOffsets(context.Background(), &kafka.ListOffsetsRequest{Topics: wanted})
	if failure != nil {
		return 0, failure
	}
	check.Require(len(answer.Topics[partition.Topic]) == 1, "offsets of one partition: %v", answer.Topics)
	found := answer.Topics[partition.Topic][0]
	if found.Error != nil {
		return 0, found.Error
	}
	switch {
	case place.AtTime != nil:
		for offset := range found.Offsets {
			return offset, nil
		}
		// It takes the timestamp -1 of "there is none" for that of a question for the end.
		return found.LastOffset, nil
	case place.Offset == battery.Earliest:
		return found.FirstOffset, nil
	default:
		return found.LastOffset, nil
	}
}

func (s segmentio) Admin() battery.Admin { return admin{s} }

type admin struct{ segmentio }

func (a admin) Close() {}

func (a admin) Create(topic battery.NewTopic, validateOnly bool) error {
	config := kafka.TopicConfig{Topic: topic.Name, NumPartitions: int(topic.Partitions), ReplicationFactor: int(topic.Replicas)}
	for name, value := range topic.Settings {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	ctx := context.Background()
	if validateOnly {
		// The library has its answer, and then waits to see the topic until its time is over.
		limited, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	answer, failure := a.client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}, ValidateOnly: validateOnly})
	if failure != nil {
		return failure
	}
	return answer.Errors[topic.Name]
}

func (a admin) Delete(topic string) error {
	answer, failure := a.client().DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if failure != nil {
		return failure
	}
	return answer.Errors[topic]
}

func (a admin) Grow(topic string, partitions int32, validateOnly bool) error {
	wanted := []kafka.TopicPartitionsConfig{{Name: topic, Count: partitions}}
	answer, failure := a.client().CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{Topics: wanted, ValidateOnly: validateOnly})
	if failure != nil {
		return failure
	}
	return answer.Errors[topic]
}

func (a admin) Topics() (map[string]int, error) {
	metadata, failure := a.client().Metadata(context.Background(), &kafka.MetadataRequest{})
	if failure != nil {
		return nil, failure
	}
	topics := map[string]int{}
	for _, topic := range metadata.Topics {
		topics[topic.Name] = len(topic.Partitions)
	}
	return topics, nil
}

func (a admin) Settings(topic string) (map[string]battery.Setting, error) {
	resource := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}
	request := kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{resource}}
	answer, failure := a.client().DescribeConfigs(context.Background(), &request)
	if failure != nil {
		return nil, failure
	}
	const ofTopic = 1
	settings := map[string]battery.Setting{}
	for _, entry := range answer.Resources[0].ConfigEntries {
		settings[entry.ConfigName] = battery.Setting{Value: entry.ConfigValue, OfTopic: entry.ConfigSource == ofTopic}
	}
	return settings, answer.Resources[0].Error
}

func (a admin) Alter(topic string, change battery.Change, validateOnly bool) error {
	operations := map[string]kafka.ConfigOperation{"set": kafka.ConfigOperationSet, "delete": kafka.ConfigOperationDelete,
		"append": kafka.ConfigOperationAppend, "subtract": kafka.ConfigOperationSubtract}
	config := kafka.IncrementalAlterConfigsRequestConfig{Name: change.Name, Value: change.Value, ConfigOperation: operations[change.Operation]}
	resource := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{config}}
	request := kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{resource}, ValidateOnly: validateOnly}
	answer, failure := a.client().IncrementalAlterConfigs(context.Background(), &request)
	if failure != nil {
		return failure
	}
	return answer.Resources[0].Error
}

func (a admin) Cluster() (battery.Cluster, error) {
	metadata, failure := a.client().Metadata(context.Background(), &kafka.MetadataRequest{})
	if failure != nil {
		return battery.Cluster{}, failure
	}
	cluster := battery.Cluster{Controller: int32(metadata.Controller.ID), Brokers: map[int32]string{}}
	for _, each := range metadata.Brokers {
		cluster.Brokers[int32(each.ID)] = fmt.Sprintf("%s:%d", each.Host, each.Port)
	}
	return cluster, nil
}
