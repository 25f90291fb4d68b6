package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"felice/compat/battery"
	"felice/compat/check"
	"felice/compat/wiretap"
)

// saramas makes the battery's clients of sarama, with one Config.Version.
type saramas struct {
	address string
	version sarama.KafkaVersion
	// Does not ask which versions the broker has: all requests are of the versions that Config.Version stands for.
	fixed bool
	tap   *wiretap.Tap
}

func (s saramas) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = s.version
	config.ApiVersionsRequest = !s.fixed
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Producer.Retry.Backoff = 50 * time.Millisecond
	config.Consumer.Retry.Backoff = 50 * time.Millisecond
	config.Consumer.MaxWaitTime = battery.LongPoll
	if s.tap != nil {
		config.Net.Proxy.Enable = true
		config.Net.Proxy.Dialer = s.tap
	}
	return config
}

func (s saramas) Code(failure error) int16 {
	var code sarama.KError
	if errors.As(failure, &code) {
		return int16(code)
	}
	return -1
}

func (s saramas) Producer(sending battery.Sending) battery.Producer {
	config := s.config()
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = sending.Linger
	// Outlives a restart of the broker.
	config.Producer.Retry.Max, config.Metadata.Retry.Max = 600, 600
	if !sending.Partitioner {
		config.Producer.Partitioner = sarama.NewManualPartitioner
	}
	codecs := map[string]sarama.CompressionCodec{"gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4,
		"zstd": sarama.CompressionZSTD}
	config.Producer.Compression = codecs[sending.Codec]
	if sending.Acks != nil {
		config.Producer.RequiredAcks = sarama.RequiredAcks(*sending.Acks)
	}
	if sending.Idempotent {
		config.Producer.Idempotent = true
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Net.MaxOpenRequests = 1
	}
	if sending.Unlimited {
		config.Producer.MaxMessageBytes = 10 << 20
	}
	client, failure := sarama.NewAsyncProducer([]string{s.address}, config)
	check.Must(failure, "a producer of sarama")
	p := &producer{client: client}
	p.ended.Go(func() {
		for message := range client.Successes() {
			message.Metadata.(func(*sarama.ProducerMessage, error))(message, nil)
		}
	})
	p.ended.Go(func() {
		for failure := range client.Errors() {
			failure.Msg.Metadata.(func(*sarama.ProducerMessage, error))(failure.Msg, failure)
		}
	})
	return p
}

type producer struct {
	client         sarama.AsyncProducer
	pending, ended sync.WaitGroup
}

func (p *producer) Send(record battery.Record, done func(battery.Record, error)) {
	message := sarama.ProducerMessage{Topic: record.Partition.Topic, Partition: record.Partition.Index}
	if record.Key != nil {
		message.Key = sarama.ByteEncoder(record.Key)
	}
	if record.Value != nil {
		message.Value = sarama.ByteEncoder(record.Value)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
	}
	if record.Timestamp != 0 {
		message.Timestamp = time.UnixMilli(record.Timestamp)
	}
	message.Metadata = func(stored *sarama.ProducerMessage, failure error) {
		acknowledged := record
		acknowledged.Partition.Index = stored.Partition
		acknowledged.Offset = stored.Offset
		done(acknowledged, failure)
		p.pending.Done()
	}
	p.pending.Add(1)
	p.client.Input() <- &message
}

// Close waits first: a producer that is being closed gives up what it would try again.
func (p *producer) Close() {
	p.pending.Wait()
	p.client.AsyncClose()
	p.ended.Wait()
}

func (s saramas) Consumer(from map[battery.Partition]battery.Place, reading battery.Reading) battery.Consumer {
	config := s.config()
	config.Metadata.Retry.Max = 600
	config.Consumer.Return.Errors = true
	if reading.MaxBytes != 0 {
		config.Consumer.Fetch.MaxBytes = reading.MaxBytes
	}
	if reading.MaxPartitionBytes != 0 {
		config.Consumer.Fetch.Default = reading.MaxPartitionBytes
	}
	client, failure := sarama.NewConsumer([]string{s.address}, config)
	check.Must(failure, "a consumer of sarama")
	c := &consumer{client: client, partitions: map[battery.Partition]sarama.PartitionConsumer{}, messages: make(chan *sarama.ConsumerMessage, 256)}
	for partition, place := range from {
		offset := place.Offset
		if place.AtTime != nil {
			offset, failure = s.Offset(partition, place)
			check.Must(failure, "the offset at a time")
		}
		reader, failure := client.ConsumePartition(partition.Topic, partition.Index, offset)
		check.Must(failure, "consuming %v from %d", partition, offset)
		c.partitions[partition] = reader
		c.ended.Go(func() {
			for message := range reader.Messages() {
				c.messages <- message
			}
		})
		c.ended.Go(func() {
			for range reader.Errors() {
				// A broker that is down; sarama tries again.
			}
		})
	}
	return c
}

type consumer struct {
	client     sarama.Consumer
	partitions map[battery.Partition]sarama.PartitionConsumer
	messages   chan *sarama.ConsumerMessage
	ended      sync.WaitGroup
}

func (c *consumer) Poll(ctx context.Context) (records []battery.Record) {
	select {
	case message := <-c.messages:
		records = append(records, common(message))
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case message := <-c.messages:
			records = append(records, common(message))
		default:
			return records
		}
	}
}

func common(message *sarama.ConsumerMessage) battery.Record {
	partition := battery.Partition{Topic: message.Topic, Index: message.Partition}
	record := battery.Record{Partition: partition, Key: message.Key, Value: message.Value, Offset: message.Offset, Timestamp: message.Timestamp.UnixMilli()}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, battery.Header{Name: string(header.Key), Value: header.Value})
	}
	return record
}

func (c *consumer) Pause(partition battery.Partition)  { c.partitions[partition].Pause() }
func (c *consumer) Resume(partition battery.Partition) { c.partitions[partition].Resume() }

func (c *consumer) Close() {
	for _, reader := range c.partitions {
		reader.AsyncClose()
	}
	ended := make(chan struct{})
	go func() { c.ended.Wait(); close(ended) }()
	for {
		select {
		case <-c.messages: // of no interest any more
		case <-ended:
			check.Must(c.client.Close(), "closing a consumer")
			return
		}
	}
}

func (s saramas) Offset(partition battery.Partition, place battery.Place) (int64, error) {
	client, failure := sarama.NewClient([]string{s.address}, s.config())
	if failure != nil {
		return 0, failure
	}
	defer client.Close()
	time := place.Offset // Latest and Earliest are the protocol's numbers
	if place.AtTime != nil {
		time = *place.AtTime
	}
	return client.GetOffset(partition.Topic, partition.Index, time)
}

func (s saramas) Admin() battery.Admin {
	client, failure := sarama.NewClusterAdmin([]string{s.address}, s.config())
	check.Must(failure, "an admin client of sarama")
	return admin{client}
}

type admin struct{ client sarama.ClusterAdmin }

func (a admin) Close() { a.client.Close() }

func (a admin) Create(topic battery.NewTopic, validateOnly bool) error {
	settings := map[string]*string{}
	for name, value := range topic.Settings {
		settings[name] = &value
	}
	detail := sarama.TopicDetail{NumPartitions: topic.Partitions, ReplicationFactor: topic.Replicas, ConfigEntries: settings}
	return a.client.CreateTopic(topic.Name, &detail, validateOnly)
}

func (a admin) Delete(topic string) error { return a.client.DeleteTopic(topic) }

func (a admin) Grow(topic string, partitions int32, validateOnly bool) error {
	return a.client.CreatePartitions(topic, partitions, nil, validateOnly)
}

func (a admin) Topics() (map[string]int, error) {
	topics, failure := a.client.ListTopics()
	found := map[string]int{}
	for name, topic := range topics {
		found[name] = int(topic.NumPartitions)
	}
	return found, failure
}

func (a admin) Settings(topic string) (map[string]battery.Setting, error) {
	entries, failure := a.client.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	settings := map[string]battery.Setting{}
	for _, entry := range entries {
		// DescribeConfigs 0 knows defaults only.
		ofTopic := entry.Source == sarama.SourceTopic || entry.Source == sarama.SourceUnknown && !entry.Default
		settings[entry.Name] = battery.Setting{Value: entry.Value, OfTopic: ofTopic}
	}
	return settings, failure
}

func (a admin) Alter(topic string, change battery.Change, validateOnly bool) error {
	operations := map[string]sarama.IncrementalAlterConfigsOperation{"set": sarama.IncrementalAlterConfigsOperationSet,
		"delete": sarama.IncrementalAlterConfigsOperationDelete, "append": sarama.IncrementalAlterConfigsOperationAppend,
		"subtract": sarama.IncrementalAlterConfigsOperationSubtract}
	entry := sarama.IncrementalAlterConfigsEntry{Operation: operations[change.Operation], Value: &change.Value}
	return a.client.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{change.Name: entry}, validateOnly)
}

func (a admin) Cluster() (battery.Cluster, error) {
	brokers, controller, failure := a.client.DescribeCluster()
	cluster := battery.Cluster{Controller: controller, Brokers: map[int32]string{}}
	for _, each := range brokers {
		cluster.Brokers[each.ID()] = each.Addr()
	}
	if failure != nil {
		return cluster, fmt.Errorf("describing the cluster: %w", failure)
	}
	return cluster, nil
}
