package main

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"felice/compat/battery"
	"felice/compat/broker"
	"felice/compat/check"
	"felice/compat/wiretap"
)

// resets begins beyond the end, where the broker answers OFFSET_OUT_OF_RANGE.
func resets(client franz) {
	in := map[string]map[int32]kgo.Offset{"read": {0: kgo.NewOffset().At(1_000_000)}}
	for name, each := range map[string]struct {
		reset    kgo.Offset
		expected int64
	}{"earliest": {kgo.NewOffset().AtStart(), 0}, "an offset": {kgo.NewOffset().At(7), 7}} {
		reader := client.client(kgo.ConsumePartitions(in), kgo.ConsumeResetOffset(each.reset))
		check.Same("out of range, reset to "+name, each.expected, first(reader).Offset)
		reader.Close()
	}
	reader := client.client(kgo.ConsumePartitions(in), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	failures := reader.PollFetches(ctx).Errors()
	reader.Close()
	check.Require(len(failures) == 1, "out of range, without a reset: %v", failures)
	check.Same("out of range, without a reset", battery.OffsetOutOfRange, client.Code(failures[0].Err))
}

func first(reader *kgo.Client) *kgo.Record {
	ctx, cancel := context.WithTimeout(context.Background(), check.Limit)
	defer cancel()
	fetches := reader.PollFetches(ctx)
	check.Must(fetches.Err(), "reading")
	return fetches.Records()[0]
}

// sessions speaks fetch sessions by hand: what a session knows is not asked for again, and what is new is told.
func sessions(client franz) {
	c := client.client()
	defer c.Close()
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("read")}}
	described, failure := metadata.RequestWith(context.Background(), c)
	check.Must(failure, "metadata")
	id := described.Topics[0].TopicID

	fetch := func(session, epoch int32, partitions ...int32) *kmsg.FetchResponse {
		request := kmsg.NewPtrFetchRequest()
		request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 100, 1, 1<<20
		request.SessionID, request.SessionEpoch = session, epoch
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = "read", id
		for _, index := range partitions {
			partition := kmsg.NewFetchRequestTopicPartition()
			partition.Partition, partition.PartitionMaxBytes, partition.CurrentLeaderEpoch = index, 1<<20, -1
			partition.FetchOffset, _ = client.Offset(battery.Partition{Topic: "read", Index: index}, battery.At(battery.Latest))
			topic.Partitions = append(topic.Partitions, partition)
		}
		if len(partitions) > 0 {
			request.Topics = append(request.Topics, topic)
		}
		answer, failure := c.Broker(int(described.Brokers[0].NodeID)).Request(context.Background(), request)
		check.Must(failure, "Fetch")
		return answer.(*kmsg.FetchResponse)
	}
	open := fetch(0, 0, 0, 1, 2)
	check.Same("a session is opened", int16(0), open.ErrorCode)
	check.Require(open.SessionID != 0, "a session without an id")
	check.Same("with all of its partitions", 3, len(open.Topics[0].Partitions))
	check.Same("nothing is new", 0, len(fetch(open.SessionID, 1).Topics))

	producer := client.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	check.Must(producer.ProduceSync(context.Background(), &kgo.Record{Topic: "read", Partition: 1, Value: []byte("new")}).FirstErr(), "sending")
	news := fetch(open.SessionID, 2)
	check.Same("only what is new is told", []int32{1}, told(news))
	check.Same("an epoch that was skipped", battery.InvalidFetchSessionEpoch, fetch(open.SessionID, 9).ErrorCode)
	check.Same("an unknown session", battery.FetchSessionIDNotFound, fetch(open.SessionID^1, 1).ErrorCode)
	check.Same("a session is closed", int16(0), fetch(open.SessionID, -1).ErrorCode)
	check.Same("and is gone", battery.FetchSessionIDNotFound, fetch(open.SessionID, 3).ErrorCode)

	for name, options := range map[string][]kgo.Opt{"with sessions": nil, "without": {kgo.DisableFetchSessions()}} {
		reader := client.client(append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"read": {2: kgo.NewOffset().At(5)}}))...)
		check.Same("a consumer "+name, int64(5), first(reader).Offset)
		reader.Close()
	}
}

func told(answer *kmsg.FetchResponse) (partitions []int32) {
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			partitions = append(partitions, partition.Partition)
		}
	}
	return partitions
}

// everyVersion tours with the requests of each release of Kafka at most.
func everyVersion(b *broker.Broker) {
	helper := franz{address: b.Address}
	for _, pin := range []struct {
		name     string
		versions *kversion.Versions
	}{
		{"0.11", kversion.V0_11_0()}, {"1.0", kversion.V1_0_0()}, {"1.1", kversion.V1_1_0()}, {"2.0", kversion.V2_0_0()}, {"2.1", kversion.V2_1_0()},
		{"2.2", kversion.V2_2_0()}, {"2.3", kversion.V2_3_0()}, {"2.4", kversion.V2_4_0()}, {"2.5", kversion.V2_5_0()}, {"2.6", kversion.V2_6_0()},
		{"2.7", kversion.V2_7_0()}, {"2.8", kversion.V2_8_0()}, {"3.0", kversion.V3_0_0()}, {"3.1", kversion.V3_1_0()}, {"3.3", kversion.V3_3_0()},
		{"3.5", kversion.V3_5_0()}, {"3.6", kversion.V3_6_0()}, {"3.7", kversion.V3_7_0()}, {"3.9", kversion.V3_9_0()}, {"4.0", kversion.V4_0_0()},
		{"4.1", kversion.V4_1_0()}, {"4.3", kversion.V4_3_0()}, {"newest", kversion.Stable()},
	} {
		tap := wiretap.New()
		options := []kgo.Opt{kgo.MaxVersions(pin.versions), kgo.Dialer(tap.DialContext)}
		battery.Tour(b, helper, battery.Pinned{
			Client: franz{address: b.Address, options: options},
			Name:   pin.name,
			Tap:    tap,
			Codecs: battery.Codecs,
			// The library says so where the release's highest version is below the broker's lowest; it has no error to compare with.
			Unable: func(failure error) bool {
				return strings.Contains(failure.Error(), "broker is too old") || strings.Contains(failure.Error(), "request key is unknown")
			},
		})
	}
}
