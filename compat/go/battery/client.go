// Package battery is what every client library has to show against a broker, written once over what they have in common. A
// library's own folder makes it a Client, and adds the checks of what only it has.
package battery

import (
	"context"
	"slices"
	"time"
)

// Client makes producers, consumers and admin clients of one library, for the broker under test.
type Client interface {
	Producer(Sending) Producer
	// Consumer reads these partitions, each from its place; no group.
	Consumer(from map[Partition]Place, reading Reading) Consumer
	Admin() Admin
	// Offset is ListOffsets: the offset at a place, -1 where there is none.
	Offset(partition Partition, place Place) (int64, error)
	// Code is Kafka's error code in an error of this library, -1 where there is none in it.
	Code(failure error) int16
}

// lacks tells whether a library says that it does not have this: "idempotence", "pausing",
// "null apart from empty", "append times".
func lacks(client Client, what string) bool {
	lacking, is := client.(interface{ Lacks() []string })
	return is && slices.Contains(lacking.Lacks(), what)
}

// Partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

// Place is an offset (>= 0), Earliest or Latest; or the first message at or after a time.
type Place struct {
	Offset int64
	AtTime *int64 // milliseconds since 1970
}

// Special offsets.
const (
	Latest   = -1
	Earliest = -2
)

// At is an offset, Earliest or Latest.
func At(offset int64) Place { return Place{Offset: offset} }

// Time is the first message at or after milliseconds since 1970.
func Time(milliseconds int64) Place { return Place{AtTime: &milliseconds} }

// Record is a message. A nil key or value is null, which differs from empty.
type Record struct {
	Partition  Partition
	Key, Value []byte
	Headers    []Header
	Offset     int64
	// Milliseconds since 1970; sent as "now" where it is 0.
	Timestamp int64
}

// Header of a message.
type Header struct {
	Name  string
	Value []byte
}

// Sending is how a producer sends. The zero value is what a user gets who sets nothing, but for the partitions, which
// records name.
type Sending struct {
	Codec  string // none, gzip, snappy, lz4, zstd; empty is the library's default
	Acks   *int16 // 0, 1, -1
	Linger time.Duration
	// Records say no partition: the library's own partitioner chooses.
	Partitioner bool
	Idempotent  bool
	// A batch of several MB leaves the client, so that the broker has to decide.
	Unlimited bool
}

// Producer sends.
type Producer interface {
	// Send takes a record; `done` is called once, with the record as it was stored or with an error.
	Send(record Record, done func(Record, error))
	// Close sends what is there and returns when all `done` have been called.
	Close()
}

// Reading is how a consumer fetches; the zero value is the library's default.
type Reading struct {
	MaxBytes, MaxPartitionBytes int32
}

// LongPoll is how long a consumer's fetch may wait for messages. The libraries' own are longer, and take their time to close.
const LongPoll = 100 * time.Millisecond

// Consumer reads.
type Consumer interface {
	// Poll returns at least one record, or none when the context ends.
	Poll(ctx context.Context) []Record
	Pause(Partition)
	Resume(Partition)
	Close()
}

// Admin administers. Its errors have Kafka's code in them (Client.Code) and the broker's message.
type Admin interface {
	Create(topic NewTopic, validateOnly bool) error
	Delete(topic string) error
	Grow(topic string, partitions int32, validateOnly bool) error
	// Topics with their numbers of partitions.
	Topics() (map[string]int, error)
	Settings(topic string) (map[string]Setting, error)
	Alter(topic string, change Change, validateOnly bool) error
	Cluster() (Cluster, error)
	Close()
}

// NewTopic is a topic to be made; -1 takes the broker's default.
type NewTopic struct {
	Name       string
	Partitions int32
	Replicas   int16
	Settings   map[string]string
}

// Setting of a topic.
type Setting struct {
	Value string
	// It was set for this topic.
	OfTopic bool
}

// Change of a setting, as IncrementalAlterConfigs says it: set, delete, append, subtract.
type Change struct{ Operation, Name, Value string }

// Cluster as a client sees it.
type Cluster struct {
	Controller int32
	Brokers    map[int32]string // their addresses
}

// Kafka's error codes that are expected somewhere.
const (
	OffsetOutOfRange         = 1
	UnknownTopicOrPartition  = 3
	MessageTooLarge          = 10
	InvalidTopic             = 17
	TopicAlreadyExists       = 36
	InvalidPartitions        = 37
	InvalidReplicationFactor = 38
	InvalidConfig            = 40
	PolicyViolation          = 44
	FetchSessionIDNotFound   = 70
	InvalidFetchSessionEpoch = 71
)
