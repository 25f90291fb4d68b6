package battery

import (
	"strings"

	"felice/compat/broker"
	"felice/compat/check"
)

// administer goes through topics, partitions, settings and offsets, and every refusal by its code.
func administer(b *broker.Broker, client Client) {
	admin := client.Admin()
	defer admin.Close()
	a := administration{client, admin}
	a.cluster(b)
	a.create()
	a.grow()
	a.settings()
	if !check.OnKafka() {
		a.notSupportedYet()
	}
	a.listOffsets()
	a.delete()
}

type administration struct {
	client Client
	admin  Admin
}

func (a administration) cluster(b *broker.Broker) {
	cluster, failure := a.admin.Cluster()
	check.Must(failure, "the cluster")
	check.Same("one broker, the controller, at its address", map[int32]string{cluster.Controller: b.Address}, cluster.Brokers)
}

func (a administration) create() {
	settings := map[string]string{"segment.ms": "1234567", "cleanup.policy": "delete"}
	check.Must(a.admin.Create(NewTopic{"dry", 3, 1, nil}, true), "validate only")
	check.Same("validate only creates nothing", map[string]int{}, a.topics())
	create(a.client, NewTopic{"ten", 10, 1, nil}, NewTopic{"settings", 1, 1, settings}, NewTopic{"a.b", 1, 1, nil})
	check.Must(a.admin.Create(NewTopic{"defaults", -1, -1, nil}, false), "the broker's defaults")
	a.refused("an existing topic", TopicAlreadyExists, "", a.admin.Create(NewTopic{"ten", 1, 1, nil}, false))
	a.refused("a name with a slash", InvalidTopic, "", a.admin.Create(NewTopic{"a/b", 1, 1, nil}, false))
	a.refused("a name of 250 characters", InvalidTopic, "", a.admin.Create(NewTopic{strings.Repeat("x", 250), 1, 1, nil}, false))
	a.refused("a colliding name", InvalidTopic, "", a.admin.Create(NewTopic{"a_b", 1, 1, nil}, false))
	a.refused("no partitions", InvalidPartitions, "", a.admin.Create(NewTopic{"zero", 0, 1, nil}, false))
	a.refused("100,000 partitions", PolicyViolation, "", a.admin.Create(NewTopic{"huge", 100_000, 1, nil}, false))
	a.refused("three replicas on one broker", InvalidReplicationFactor, "", a.admin.Create(NewTopic{"three", 1, 3, nil}, false))
	a.refused("an unknown setting", InvalidConfig, "no.such", a.admin.Create(NewTopic{"bad", 1, 1, map[string]string{"no.such": "1"}}, false))
	a.refused("a bad value", InvalidConfig, "segment.ms", a.admin.Create(NewTopic{"bad", 1, 1, map[string]string{"segment.ms": "soon"}}, false))
	check.Settled("the topics", map[string]int{"ten": 10, "settings": 1, "a.b": 1, "defaults": 1}, a.topics)
}

func (a administration) grow() {
	check.Must(a.admin.Grow("defaults", 4, true), "validate only")
	check.Same("validate only adds no partition", 1, a.topics()["defaults"])
	check.Must(a.admin.Grow("defaults", 4, false), "four partitions")
	check.Settled("four partitions", 4, func() int { return a.topics()["defaults"] })
	a.refused("fewer partitions", InvalidPartitions, "", a.admin.Grow("defaults", 2, false))
	a.refused("as many partitions", InvalidPartitions, "", a.admin.Grow("defaults", 4, false))
	a.refused("partitions of an unknown topic", UnknownTopicOrPartition, "", a.admin.Grow("nowhere", 2, false))
}

func (a administration) settings() {
	check.Same("a setting of the topic", Setting{"1234567", true}, a.setting("segment.ms"))
	check.Same("a default", Setting{"1048588", false}, a.setting("max.message.bytes"))
	check.Same("cleanup.policy reads exactly", "delete", a.setting("cleanup.policy").Value)
	for _, each := range []struct {
		change   Change
		expected string
	}{
		{Change{"set", "segment.ms", "7654321"}, "7654321"},
		{Change{"append", "cleanup.policy", "delete"}, "delete"},
		{Change{"subtract", "cleanup.policy", "compact"}, "delete"},
		{Change{"delete", "segment.ms", ""}, "604800000"},
		{Change{"set", "max.message.bytes", "2000000"}, "2000000"},
		{Change{"set", "segment.bytes", "1048576"}, "1048576"},
		{Change{"set", "message.timestamp.type", "LogAppendTime"}, "LogAppendTime"},
		{Change{"set", "compression.type", "zstd"}, "zstd"},
		{Change{"set", "min.insync.replicas", "2"}, "2"},
	} {
		check.Must(a.alter(each.change, false), "%v", each.change)
		check.Settled(each.change.Operation+" "+each.change.Name, each.expected, func() string { return a.setting(each.change.Name).Value })
	}
	check.Must(a.alter(Change{"set", "segment.ms", "1"}, true), "validate only")
	check.Same("validate only changes nothing", "604800000", a.setting("segment.ms").Value)
	a.refused("a bad value", InvalidConfig, "segment.ms", a.alter(Change{"set", "segment.ms", "soon"}, false))
	a.refused("an unknown setting", InvalidConfig, "no.such", a.alter(Change{"set", "no.such", "1"}, false))
	a.refused("append to what is no list", InvalidConfig, "segment.ms", a.alter(Change{"append", "segment.ms", "1"}, false))
	_, failure := a.admin.Settings("nowhere")
	a.refused("the settings of an unknown topic", UnknownTopicOrPartition, "", failure)
}

// notSupportedYet is what Felice would not obey, and therefore refuses by name.
func (a administration) notSupportedYet() {
	for name, value := range map[string]string{"preallocate": "true", "remote.storage.enable": "true"} {
		a.refused("creating with "+name, InvalidConfig, name, a.admin.Create(NewTopic{"later", 1, 1, map[string]string{name: value}}, false))
		a.refused("setting "+name, InvalidConfig, name, a.alter(Change{"set", name, value}, false))
	}
}

func (a administration) listOffsets() {
	partition := Partition{"ten", 3}
	sendAll(a.client, Sending{}, []Record{{Partition: partition, Value: []byte("v")}, {Partition: partition, Value: []byte("v")}})
	check.Same("list offsets: latest", 2, offset(a.client, partition, At(Latest)))
	check.Same("list offsets: earliest", 0, offset(a.client, partition, At(Earliest)))
	_, failure := a.client.Offset(Partition{"nowhere", 0}, At(Latest))
	a.refused("offsets of an unknown topic", UnknownTopicOrPartition, "", failure)
}

func (a administration) delete() {
	check.Must(a.admin.Delete("ten"), "deleting a topic")
	check.Settled("a topic is deleted", map[string]int{"settings": 1, "a.b": 1, "defaults": 4}, a.topics)
	a.refused("deleting it again", UnknownTopicOrPartition, "", a.admin.Delete("ten"))
	for topic := range a.topics() {
		check.Must(a.admin.Delete(topic), "deleting %s", topic)
	}
	check.Settled("all topics are deleted", map[string]int{}, a.topics)
}

func (a administration) topics() map[string]int {
	topics, failure := a.admin.Topics()
	check.Must(failure, "the list of topics")
	delete(topics, "__consumer_offsets") // which comes when somebody asks for a coordinator
	return topics
}

func (a administration) setting(name string) Setting {
	settings, failure := a.admin.Settings("settings")
	check.Must(failure, "the settings of a topic")
	setting, known := settings[name]
	check.Require(known, "%s is not described", name)
	return setting
}

func (a administration) alter(change Change, validateOnly bool) error {
	return a.admin.Alter("settings", change, validateOnly)
}

// refused checks that a call failed with this code, and with a message that has `naming` in it.
func (a administration) refused(what string, code int16, naming string, failure error) {
	check.Require(failure != nil, "%s: expected error %d, but it was done", what, code)
	check.Require(a.client.Code(failure) == code, "%s: expected error %d, got %d (%v)", what, code, a.client.Code(failure), failure)
	check.Require(strings.Contains(failure.Error(), naming), "%s: <%v> does not name %s", what, failure, naming)
	check.Pass("refused: %s, with code %d", what, code)
}
