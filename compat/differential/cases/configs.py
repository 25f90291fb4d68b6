"""DescribeConfigs, AlterConfigs and IncrementalAlterConfigs of topics and of groups, ListConfigResources."""

import wire

from .mark import case

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
INVALID_REQUEST = 42


@case
def describe_configs(peer):
    name = peer.create("t", segment_ms=1234567, compression_type="lz4")
    for version in wire.versions("DescribeConfigs"):

        def ask(label, *resources, **more):
            filled = [{"ResourceType": TOPIC, "ResourceName": name, "ConfigurationKeys": None, **each} for each in resources]
            peer.ask(label, "DescribeConfigs", version, {"Resources": filled, **more})

        ask("all", {})
        ask("all with synonyms", {}, IncludeSynonyms=True)
        ask("chosen", {"ConfigurationKeys": ["segment.ms", "compression.type", "segment.bytes"]})
        ask("chosen and unknown", {"ConfigurationKeys": ["segment.ms", "no.such"]})
        ask("no keys", {"ConfigurationKeys": []})
        ask("unknown topic", {"ResourceName": "nowhere"})
        ask("bad names", {"ResourceName": "a/b"}, {"ResourceName": ""})
        ask("no resources")
        ask("unknown type", {"ResourceType": 99})
        ask("the same twice", {"ConfigurationKeys": ["segment.ms"]}, {"ConfigurationKeys": ["segment.ms"]})
        if version >= 3:
            ask("with documentation", {}, IncludeDocumentation=True)


def alterations(peer, version, api="IncrementalAlterConfigs"):
    """A function that alters a topic of its own, and the names of that topic and of another."""
    name, other = peer.create(f"t{version}"), peer.create(f"o{version}")

    def alter(label, *changes, resource=TOPIC, topic=name, validate=False, more=()):
        kinds = {"ConfigOperation"} if api == "IncrementalAlterConfigs" else set()
        configs = [{"Name": each, **dict.fromkeys(kinds, kind), "Value": value} for kind, each, value in changes]
        resources = [{"ResourceType": resource, "ResourceName": topic, "Configs": configs}, *more]
        answer = peer.ask(label, api, version, {"Resources": resources, "ValidateOnly": validate})
        if answer and any(each["ErrorCode"] == 0 for each in answer["Responses"]) and topic == name:
            settle(label)

    def settle(label):
        """Writes down what the topic's own settings are now: a later change of another topic is awaited first, since
        Kafka's broker hears of changes a little after they are answered, but in their order."""
        marks.append(str(10_000_000 + len(marks)))
        mark = {"ResourceType": TOPIC, "ResourceName": other, "Configs": [{"Name": "segment.ms", "ConfigOperation": SET, "Value": marks[-1]}]}
        peer.call("IncrementalAlterConfigs", 1, {"Resources": [mark]})
        peer.until(lambda: own(other)["segment.ms"] == marks[-1])
        peer.note(f"{label}: settings after it v{version}", own(name))

    def own(topic):
        keys = ["segment.ms", "compression.type", "cleanup.policy", "flush.ms"]
        fields = {"Resources": [{"ResourceType": TOPIC, "ResourceName": topic, "ConfigurationKeys": keys}]}
        configs = peer.call("DescribeConfigs", 4, fields)["Results"][0]["Configs"]
        return {each["Name"]: each["Value"] for each in configs if each["ConfigSource"] == 1}

    marks = []
    return alter, name, other


@case
def incremental_alter_configs(peer):
    for version in wire.versions("IncrementalAlterConfigs"):
        alter, name, other = alterations(peer, version)
        alter("set", (SET, "segment.ms", "5000"))
        alter("set two", (SET, "segment.ms", "6000"), (SET, "compression.type", "lz4"))
        alter("delete", (DELETE, "segment.ms", None))
        alter("delete what is not set", (DELETE, "flush.ms", None))
        alter("delete with a value", (DELETE, "compression.type", "x"))
        alter("append what is there", (APPEND, "cleanup.policy", "delete"))
        alter("append to no list", (APPEND, "segment.ms", "1"))
        alter("subtract from no list", (SUBTRACT, "segment.ms", "1"))
        alter("append a bad one", (APPEND, "cleanup.policy", "shred"))
        alter("the same twice", (SET, "segment.ms", "1"), (SET, "segment.ms", "2"))
        alter("set and delete", (SET, "segment.ms", "1"), (DELETE, "segment.ms", None))
        alter("set to null", (SET, "segment.ms", None))
        alter("append null", (APPEND, "cleanup.policy", None))
        alter("a bad value", (SET, "segment.ms", "soon"))
        alter("good and bad", (SET, "flush.ms", "100000"), (SET, "segment.ms", "soon"))
        alter("an unknown setting", (SET, "no.such", "1"))
        alter("delete an unknown setting", (DELETE, "no.such", None))
        alter("a broker's setting", (SET, "log.segment.ms", "1"))
        alter("an unknown operation", (9, "segment.ms", "1"))
        alter("nothing")
        alter("an empty name", (SET, "", "1"))
        alter("validate only", (SET, "segment.ms", "7000"), validate=True)
        alter("validate a bad one", (SET, "segment.ms", "soon"), validate=True)
        alter("unknown topic", (SET, "segment.ms", "7000"), topic="nowhere")
        alter("bad name", (SET, "segment.ms", "7000"), topic="a/b")
        alter("no name", (SET, "segment.ms", "7000"), topic="")
        alter("unknown type", (SET, "segment.ms", "7000"), resource=99)
        change = {"Name": "segment.ms", "ConfigOperation": SET, "Value": "8000"}
        alter("two topics", (SET, "segment.ms", "8000"), more=[{"ResourceType": TOPIC, "ResourceName": other, "Configs": [change]}])
        alter("one topic twice", (SET, "segment.ms", "9000"), more=[{"ResourceType": TOPIC, "ResourceName": name, "Configs": [change]}])
        alter("one good, one unknown", (SET, "segment.ms", "9500"), more=[{"ResourceType": TOPIC, "ResourceName": "nowhere", "Configs": [change]}])


@case
def alter_configs(peer):
    for version in wire.versions("AlterConfigs"):
        alter, name, other = alterations(peer, version, "AlterConfigs")
        alter("set", (SET, "segment.ms", "5000"))
        alter("another", (SET, "compression.type", "lz4"))
        alter("two", (SET, "segment.ms", "6000"), (SET, "flush.ms", "100000"))
        alter("a bad value", (SET, "segment.ms", "soon"))
        alter("an unknown setting", (SET, "no.such", "1"))
        alter("to null", (SET, "segment.ms", None))
        alter("the same twice", (SET, "segment.ms", "1"), (SET, "segment.ms", "2"))
        alter("validate only", (SET, "segment.ms", "7000"), validate=True)
        alter("validate a bad one", (SET, "segment.ms", "soon"), validate=True)
        alter("unknown topic", (SET, "segment.ms", "7000"), topic="nowhere")
        alter("nothing of an unknown topic", topic="nowhere")
        alter("bad name", (SET, "segment.ms", "7000"), topic="a/b")
        alter("no name", (SET, "segment.ms", "7000"), topic="")
        alter("unknown type", (SET, "segment.ms", "7000"), resource=99)
        change = {"Name": "segment.ms", "Value": "8000"}
        alter("two topics", (SET, "segment.ms", "8000"), more=[{"ResourceType": TOPIC, "ResourceName": other, "Configs": [change]}])
        twice = {"Resources": [{"ResourceType": TOPIC, "ResourceName": name, "Configs": [change]}] * 2, "ValidateOnly": False}
        asked = lambda: [each["ErrorCode"] for each in peer.call("AlterConfigs", version, twice)["Responses"]]
        peer.better_than_kafka(f"one topic twice v{version}", [INVALID_REQUEST] * 2, asked)  # Kafka 4.3.1 never answers this
        alter("nothing")


@case
def incremental_alter_lists(peer):
    for version in wire.versions("IncrementalAlterConfigs"):
        alter, *_ = alterations(peer, version)
        alter("append", (APPEND, "cleanup.policy", "compact"))
        alter("append what is there", (APPEND, "cleanup.policy", "compact"))
        alter("subtract", (SUBTRACT, "cleanup.policy", "delete"))
        alter("subtract what is not there", (SUBTRACT, "cleanup.policy", "delete"))
        alter("subtract the last", (SUBTRACT, "cleanup.policy", "compact"))
        alter("append two", (APPEND, "cleanup.policy", "compact,delete"))
        alter("a least lag of compaction", (SET, "min.compaction.lag.ms", "6"))
        alter("a largest one below it", (SET, "max.compaction.lag.ms", "5"))
        alter("both", (SET, "max.compaction.lag.ms", "5"), (SET, "min.compaction.lag.ms", "4"))
        alter("the least above it", (SET, "min.compaction.lag.ms", "6"), validate=True)


@case
def group_configs(peer):
    """A group need not exist to have settings."""
    session, heartbeat, assignment = (f"consumer.{name}.ms" for name in ("session.timeout", "heartbeat.interval", "assignment.interval"))

    def resource(group, configs):
        return {"ResourceType": GROUP, "ResourceName": group, "Configs": configs}

    def changes(*triples):
        return [{"ConfigOperation": kind, "Name": name, "Value": value} for kind, name, value in triples]

    def own(group):
        fields = {"Resources": [{"ResourceType": GROUP, "ResourceName": group, "ConfigurationKeys": None}]}
        configs = peer.call("DescribeConfigs", 4, fields)["Results"][0]["Configs"]
        return {each["Name"]: each["Value"] for each in configs if each["ConfigSource"] == 8}

    marks = []

    def settled(group):
        """Its own settings, once a later change of another group is seen."""
        marks.append(str(45_000 + len(marks)))
        request = {"Resources": [resource("mark", changes((SET, session, marks[-1])))], "ValidateOnly": False}
        peer.call("IncrementalAlterConfigs", 1, request)
        peer.until(lambda: own("mark").get(session) == marks[-1])
        return own(group)

    for version in wire.versions("IncrementalAlterConfigs"):
        group = f"g{version}"

        def alter(label, *triples, group=group, validate=False):
            request = {"Resources": [resource(group, changes(*triples))], "ValidateOnly": validate}
            peer.ask(f"incremental {label}", "IncrementalAlterConfigs", version, request)
            peer.note(f"incremental {label}: settings after it v{version}", settled(group or "mark2"))

        alter("set", (SET, session, "50000"))
        alter("set with spaces", (SET, heartbeat, " 6000 "))
        alter("set both", (SET, session, "46000"), (SET, heartbeat, "7000"))
        alter("delete", (DELETE, heartbeat, None))
        alter("delete what is not set", (DELETE, assignment, None))
        alter("below the broker's bound", (SET, session, "44999"))
        alter("above the broker's bound", (SET, heartbeat, "15001"))
        alter("an assignment interval", (SET, assignment, "0"))
        alter("one beyond the bound", (SET, assignment, "15001"))
        alter("zero", (SET, session, "0"))
        alter("no number", (SET, session, "long"))
        alter("an unknown setting", (SET, "consumer.nothing", "1"))
        alter("delete an unknown setting", (DELETE, "consumer.nothing", None))
        alter("append", (APPEND, session, "1"))
        alter("null", (SET, session, None))
        alter("the same twice", (SET, session, "50000"), (SET, session, "50001"))
        alter("good and bad", (SET, heartbeat, "8000"), (SET, session, "1"))
        alter("validate only", (SET, heartbeat, "9000"), validate=True)
        alter("no name", (SET, session, "50000"), group="")
    for version in wire.versions("AlterConfigs"):
        group = f"a{version}"

        def replace(label, *pairs, group=group):
            configs = [{"Name": name, "Value": value} for name, value in pairs]
            request = {"Resources": [resource(group, configs)], "ValidateOnly": False}
            peer.ask(f"replace {label}", "AlterConfigs", version, request)
            peer.note(f"replace {label}: settings after it v{version}", settled(group))

        replace("with one", (session, "50000"))
        replace("with another", (heartbeat, "6000"))
        replace("with a bad one", (heartbeat, "1"))
        replace("with nothing")
    for version in wire.versions("DescribeConfigs"):
        named = [{"ResourceType": GROUP, "ResourceName": name, "ConfigurationKeys": None} for name in ("g1", "nobody", "")]
        for label, more in (("plain", {}), ("with synonyms", {"IncludeSynonyms": True})):
            peer.ask(f"describe {label}", "DescribeConfigs", version, {"Resources": named, **more})


@case
def list_config_resources(peer):
    """Topics and brokers always, groups that have settings; what other cases made is left out."""
    topic, group = peer.create("t"), "listed"
    setting = [{"ConfigOperation": SET, "Name": "consumer.session.timeout.ms", "Value": "50000"}]

    def ask(label, version, *types, record=True):
        answer = peer.ask(label, "ListConfigResources", version, {"ResourceTypes": list(types)}, record=False)
        mine = [(each["ResourceType"], each["ResourceName"]) for each in answer["ConfigResources"]]
        mine = sorted(each for each in mine if each in ((TOPIC, topic), (GROUP, group)) or each[0] not in (TOPIC, GROUP))
        found = {"ErrorCode": answer["ErrorCode"], "Listed": [[kind, "the topic" if kind == TOPIC else name] for kind, name in mine]}
        if record:
            peer.note(f"{label} v{version}", found)
        return found["Listed"]

    ask("before", 1)
    change = {"Resources": [{"ResourceType": GROUP, "ResourceName": group, "Configs": setting}], "ValidateOnly": False}
    peer.call("IncrementalAlterConfigs", 1, change)
    peer.until(lambda: ask("settled", 1, GROUP, record=False))
    ask("none named", 0)
    ask("none named", 1)
    for kind in (TOPIC, BROKER, LOGGER, METRICS, GROUP):
        ask(f"type {kind}", 1, kind)
    ask("two", 1, GROUP, TOPIC)
    ask("one twice", 1, BROKER, BROKER)
    for kind in (0, 1, 3, 33, 64, 99, -1, 127):
        ask(f"unknown {kind}", 1, kind)
        ask(f"known and unknown {kind}", 1, BROKER, kind)
    delete = [{"ConfigOperation": DELETE, "Name": "consumer.session.timeout.ms", "Value": None}]
    change = {"Resources": [{"ResourceType": GROUP, "ResourceName": group, "Configs": delete}], "ValidateOnly": False}
    peer.call("IncrementalAlterConfigs", 1, change)
    peer.until(lambda: not ask("gone", 1, GROUP, record=False))
    ask("after", 1, GROUP)
