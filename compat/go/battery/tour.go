package battery

import (
	"bytes"
	"fmt"
	"strings"

	"felice/compat/broker"
	"felice/compat/check"
	"felice/compat/wiretap"
)

// Pinned is a library that sends the requests of one release of Kafka, for a tour.
type Pinned struct {
	Client
	Name string
	// The connections that it makes.
	Tap *wiretap.Tap
	// The codecs that it has in this version.
	Codecs []string
	// Whether the library itself says that this release has no such request, or the broker not this version of it.
	Unable func(error) bool
}

// Tour is a short way through everything. A request in a version that the broker advertises has to be answered, and a step
// whose requests are answered has to do its work. What was asked for in versions that the broker does not have is printed.
func Tour(b *broker.Broker, helper Client, pinned Pinned) {
	advertised, failure := wiretap.Ask(b.Address)
	check.Must(failure, "ApiVersions")
	topic, made := "tour-"+pinned.Name, "made-"+pinned.Name
	create(helper, NewTopic{Name: topic, Partitions: 2})

	admin := func(use func(Admin) error) func() error {
		return func() error {
			admin := pinned.Admin()
			defer admin.Close()
			return use(admin)
		}
	}
	var unable []string
	step := func(name string, work func() error) {
		refused := pinned.Tap.Refusals()
		failure := caught(work)
		if failure == nil {
			return
		}
		if pinned.Unable(failure) {
			unable = append(unable, name)
			return
		}
		check.Require(pinned.Tap.Refusals() > refused, "%s: %s: %v", pinned.Name, name, failure)
	}

	step("create", admin(func(admin Admin) error { return admin.Create(NewTopic{Name: made, Partitions: 1, Replicas: 1}, false) }))
	step("list", admin(func(admin Admin) error {
		topics, failure := admin.Topics()
		if failure == nil && topics[topic] != 2 {
			failure = fmt.Errorf("has %d partitions", topics[topic])
		}
		return failure
	}))
	step("describe", admin(func(admin Admin) error {
		settings, failure := admin.Settings(topic)
		if failure == nil && settings["segment.bytes"].Value != "1073741824" {
			failure = fmt.Errorf("segment.bytes is %v", settings["segment.bytes"])
		}
		return failure
	}))
	step("alter", admin(func(admin Admin) error { return admin.Alter(topic, Change{"set", "segment.ms", "7654321"}, false) }))
	step("add partitions", admin(func(admin Admin) error { return admin.Grow(topic, 3, false) }))
	step("delete", admin(func(admin Admin) error {
		failure := admin.Delete(made)
		if failure != nil && pinned.Code(failure) == UnknownTopicOrPartition {
			return nil // it could not be created
		}
		return failure
	}))

	sent := 0
	send := func(sending Sending) func() error {
		return func() error {
			records := make([]Record, 20)
			for n := range records {
				records[n] = Record{Partition: Partition{topic, 0}, Key: label(n), Value: line(sent + n), Timestamp: 1_700_000_000_000 + int64(sent+n),
					Headers: []Header{{"number", []byte{byte(n)}}}}
			}
			sendAll(pinned, sending, records)
			sent += len(records)
			return nil
		}
	}
	for _, codec := range pinned.Codecs {
		step("produce "+codec, send(Sending{Codec: codec}))
	}
	step("produce idempotently", send(Sending{Idempotent: true}))
	step("consume", func() error {
		consumer := pinned.Consumer(map[Partition]Place{{topic, 0}: At(Earliest)}, Reading{})
		defer consumer.Close()
		for n, record := range take(consumer, sent) {
			check.Require(record.Offset == int64(n) && bytes.Equal(record.Value, line(n)) && len(record.Headers) == 1, "message %d is %v", n, record)
		}
		return nil
	})
	for place, expected := range map[Place]int64{At(Earliest): 0, At(Latest): int64(sent), Time(1_700_000_000_003): 3} {
		step("offsets", func() error {
			found, failure := pinned.Offset(Partition{topic, 0}, place)
			if failure == nil && found != expected {
				failure = fmt.Errorf("offset %d instead of %d", found, expected)
			}
			return failure
		})
	}

	var refused []string
	for _, request := range pinned.Tap.Refused() {
		check.Require(!advertised.Has(request), "%s: %v is advertised, but was answered by closing the connection", pinned.Name, request)
		refused = append(refused, request.String())
	}
	check.Pass("%s: a tour%s%s", pinned.Name, listed("; not advertised, and refused: ", refused), listed("; not in this version: ", unable))
}

func listed(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return what + strings.Join(names, ", ")
}

// caught makes an error of a check that does not hold.
func caught(work func() error) (failure error) {
	defer func() {
		switch wrong := recover().(type) {
		case nil:
		case check.Wrong:
			failure = wrong
		default:
			panic(wrong)
		}
	}()
	return work()
}
