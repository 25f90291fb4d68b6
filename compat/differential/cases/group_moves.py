"""Consumer groups with several members, members of both protocols in one group, and what no client would send.

Which partitions a member is given is the assignor's choice; how many is compared, and when."""

import struct

from .groups import SESSION_MS, alone, assignment, describe, joining, leaving, subscription, syncing
from .mark import case


def counts(answer):
    """The answer with how many partitions there are in place of which."""
    if isinstance(answer, list):
        return [counts(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    return {key: len(value) if key == "Partitions" else counts(value) for key, value in answer.items()}


def assigned(answer):
    """What a heartbeat's answer gives, in the form in which the next one tells it."""
    given = answer["Assignment"]["TopicPartitions"] if answer["Assignment"] else []
    return [{"TopicId": each["TopicId"], "Partitions": each["Partitions"]} for each in given]


def beats(peer, label, fields, version=1):
    """A heartbeat of the consumer protocol, written down by its counts."""
    answer = peer.call("ConsumerGroupHeartbeat", version, fields)
    peer.note(label, counts(answer))
    return answer


def described(peer, label, group):
    peer.note(f"{label}: describe", counts(peer.call("ConsumerGroupDescribe", 1, {"GroupIds": [group]})))


def first(group, member, *names, **more):
    return {"GroupId": group, "MemberId": member, "MemberEpoch": 0, "RebalanceTimeoutMs": SESSION_MS,
            "SubscribedTopicNames": list(names), "TopicPartitions": [], **more}


def beat(group, answer, owned=None, **more):
    fields = {"GroupId": group, "MemberId": answer["MemberId"], "MemberEpoch": answer["MemberEpoch"], **more}
    return fields if owned is None else fields | {"TopicPartitions": owned}


def committing(peer, label, group, member, epoch, name, partition):
    peer.ask(label, "OffsetCommit", 9, {"GroupId": group, "GenerationIdOrMemberEpoch": epoch, "MemberId": member, "Topics": [
        {"Name": name, "Partitions": [{"PartitionIndex": partition, "CommittedOffset": 1}]}]})


@case
def consumers_of_two(peer):
    """A second member joins: the first gives up half, and only then the second has it."""
    peer.coordinate()
    name, group = peer.create_for_groups("t", 4), peer.topic("g")
    for assignor in ("uniform", "range"):
        group = peer.topic(assignor)
        one = beats(peer, f"{assignor}: one joins", first(group, "one", name, ServerAssignor=assignor))
        everything = assigned(one)
        beats(peer, f"{assignor}: one has all", beat(group, one, everything))
        two = beats(peer, f"{assignor}: two joins", first(group, "two", name, ServerAssignor=assignor))
        described(peer, f"{assignor}: two waits", group)
        beats(peer, f"{assignor}: two asks again", beat(group, two, []))
        less = beats(peer, f"{assignor}: one is told", beat(group, one))
        kept = assigned(less)
        beats(peer, f"{assignor}: one says nothing yet", beat(group, one))
        gone = [n for n in range(4) if n not in kept[0]["Partitions"]]
        described(peer, f"{assignor}: one gives up", group)
        done = beats(peer, f"{assignor}: one has given up", beat(group, one, kept))
        committing(peer, f"{assignor}: one commits what it kept", group, "one", one["MemberEpoch"], name, kept[0]["Partitions"][0])
        committing(peer, f"{assignor}: one commits what it gave up", group, "one", one["MemberEpoch"], name, gone[0])
        committing(peer, f"{assignor}: one commits with its epoch", group, "one", done["MemberEpoch"], name, gone[0])
        now = beats(peer, f"{assignor}: two is given the rest", beat(group, two))
        beats(peer, f"{assignor}: two has it", beat(group, now, assigned(now)))
        committing(peer, f"{assignor}: two commits", group, "two", now["MemberEpoch"], name, gone[0])
        described(peer, f"{assignor}: both have half", group)
        beats(peer, f"{assignor}: two wants another topic", beat(group, now, SubscribedTopicNames=["another"]))
        beats(peer, f"{assignor}: one is told of it", beat(group, done))
        described(peer, f"{assignor}: two wants another topic", group)
        beats(peer, f"{assignor}: two leaves", beat(group, now) | {"MemberEpoch": -1})
        described(peer, f"{assignor}: one is left", group)
        beats(peer, f"{assignor}: one again", beat(group, done))
        described(peer, f"{assignor}: one has all again", group)
        beats(peer, f"{assignor}: a lost answer is asked for again", beat(group, done))


@case
def consumers_static(peer):
    """A member with an instance id leaves for a while and comes back under another member id."""
    peer.coordinate()
    name, group = peer.create_for_groups("t", 3), peer.topic("g")
    one = beats(peer, "joins", first(group, "one", name, InstanceId="i"))
    beats(peer, "has all", beat(group, one, assigned(one)))
    for label, fields in {
        "another takes its place": first(group, "two", name, InstanceId="i"),
        "another name with its id": beat(group, one, InstanceId="j"),
        "no name with its id": beat(group, one),
        "leaves for another": beat(group, one, InstanceId="j") | {"MemberEpoch": -2},
        "another leaves for it": {"GroupId": group, "MemberId": "two", "InstanceId": "i", "MemberEpoch": -2},
    }.items():
        beats(peer, label, fields)
    beats(peer, "leaves for now", beat(group, one, InstanceId="i") | {"MemberEpoch": -2})
    described(peer, "while it is away", group)
    beats(peer, "beats while it is away", beat(group, one, InstanceId="i"))
    two = beats(peer, "comes back", first(group, "two", name, InstanceId="i"))
    described(peer, "it is back", group)
    beats(peer, "the old one beats", beat(group, one, InstanceId="i"))
    beats(peer, "the new one has all", beat(group, two, assigned(two), InstanceId="i"))
    beats(peer, "leaves for good", beat(group, two, InstanceId="i") | {"MemberEpoch": -1})
    described(peer, "it is gone", group)


@case
def from_classic_to_consumer_and_back(peer):
    """A consumer joins a classic group, which is a consumer group from then on; when it leaves the group is classic again."""
    peer.coordinate()
    name, group = peer.create_for_groups("t", 4), peer.topic("g")
    says = (("range", subscription(name)),)
    alone(peer, "unreadable", peer.topic("unreadable"), protocols=says)
    beats(peer, "a consumer joins what cannot be read", first(peer.topic("unreadable"), "new", name))
    member, generation = alone(peer, "classic", group, protocols=says, given=assignment(name, 0, 1, 2, 3))
    new = beats(peer, "a consumer joins", first(group, "new", name))
    described(peer, "mixed", group)
    describe(peer, "mixed, as a classic one", group)
    old = {"GroupId": group, "GenerationId": generation, "MemberId": member}
    peer.ask("the classic one is told", "Heartbeat", 4, old)
    committing(peer, "the classic one commits", group, member, generation, name, 0)
    peer.ask("it syncs as it was", "SyncGroup", 5, syncing(group, generation, member))
    joined = peer.ask("it joins again", "JoinGroup", 9, joining(group, member, protocols=says))
    synced = peer.call("SyncGroup", 5, syncing(group, joined["GenerationId"], member))
    peer.note("it syncs", {**synced, "Assignment": len(synced["Assignment"])})
    peer.ask("it beats", "Heartbeat", 4, old | {"GenerationId": joined["GenerationId"]})
    described(peer, "both", group)
    again = beats(peer, "the consumer beats", beat(group, new))
    committing(peer, "the classic one commits again", group, member, joined["GenerationId"], name, 0)
    committing(peer, "with the next generation", group, member, joined["GenerationId"] + 1, name, 0)
    peer.ask("the classic one fetches", "OffsetFetch", 9, {"Groups": [{"GroupId": group, "MemberId": member, "MemberEpoch": 77, "Topics": None}]})
    beats(peer, "the consumer leaves", beat(group, again) | {"MemberEpoch": -1})
    described(peer, "after it", group)
    peer.ask("the classic one is told again", "Heartbeat", 4, old | {"GenerationId": joined["GenerationId"]})
    peer.ask("listed", "DescribeGroups", 6, {"Groups": [group]}, record=False)
    back = peer.ask("it joins the classic group", "JoinGroup", 9, joining(group, member, protocols=says))
    peer.ask("it syncs there", "SyncGroup", 5, syncing(group, back["GenerationId"], member, [(member, assignment(name, 0, 1, 2, 3))]))
    describe(peer, "classic again", group)
    peer.ask("it leaves", "LeaveGroup", 5, leaving(group, member))
    empty = beats(peer, "a consumer joins the empty group", first(group, "new", name))
    described(peer, "a consumer group again", group)
    beats(peer, "and leaves", beat(group, empty) | {"MemberEpoch": -1})
    alone(peer, "a classic one joins the empty group", group, protocols=says)
    describe(peer, "at the end", group)


@case
def groups_bad_input(peer):
    """What is too much, and what is odd."""
    peer.coordinate()
    name = peer.create_for_groups("t")

    def tell(size):
        """The codes of a life with so much metadata: join, sync, and a heartbeat after it."""
        group, says = peer.topic(f"large-{size}"), (("range", struct.pack(">hii", 0, 0, size) + b"x" * size),)
        joined = peer.call("JoinGroup", 3, joining(group, protocols=says, version=3))
        member, generation = joined["MemberId"], joined["GenerationId"]
        synced = peer.call("SyncGroup", 3, syncing(group, generation, member, [(member, b"mine")], version=3))
        beaten = peer.call("Heartbeat", 4, {"GroupId": group, "GenerationId": generation, "MemberId": member})
        return [joined["ErrorCode"], synced["ErrorCode"], beaten["ErrorCode"]]

    for size in (600_000, 1_200_000, 10_000_000):
        peer.note(f"{size} bytes of metadata", tell(size))
    # Where they are no subscription, and long enough to seem one, Kafka leaves the member without an answer.
    for label, says in {"nonsense": b"x" * 1000, "torn": struct.pack(">hi", 0, 5) + b"\0\1t"}.items():
        fields = joining(peer.topic(label), protocols=(("range", says),), version=3)
        peer.better_than_kafka(f"a subscription that is {label}", 0, lambda: peer.call("JoinGroup", 3, fields)["ErrorCode"])
    many = [{"PartitionIndex": 0, "CommittedOffset": n, "CommittedMetadata": "x" * 4000} for n in range(300)]
    answer = peer.call("OffsetCommit", 8, {"GroupId": peer.topic("much"), "Topics": [{"Name": name, "Partitions": many}]})
    peer.note("a large commit", sorted({each["ErrorCode"] for each in answer["Topics"][0]["Partitions"]}))
    peer.ask("nothing of it", "OffsetFetch", 8, {"Groups": [{"GroupId": peer.topic("much"), "Topics": None}]})
    for label, group in {"long": "x" * 30_000, "blank": " ", "dots": "..", "slashes": "a/b", "zero": "a\0b"}.items():
        peer.note(f"group {label}", peer.call("JoinGroup", 3, joining(group, version=3))["ErrorCode"])
        peer.note(f"group {label}: beat", peer.call("ConsumerGroupHeartbeat", 1, first(group + "c", "m", name))["ErrorCode"])
    for label, member in {"long": "x" * 30_000, "odd": "\n", "zero": "\0"}.items():
        group = peer.topic(f"member-{label}")
        peer.note(f"member {label}", peer.call("ConsumerGroupHeartbeat", 1, first(group, member, name))["ErrorCode"])
    owned = [{"TopicId": peer.id(name), "Partitions": [0, 7, -1, 2_147_483_647]}]
    group = peer.topic("owned")
    one = beats(peer, "joins", first(group, "one", name))
    beats(peer, "has what there is not", beat(group, one, owned))
    described(peer, "has what there is not", group)
    for label, regex in {"nested": "(a*)*b", "repeated": "((a{100}){100}){100}", "back": r"(a)\1", "ahead": "(?=a)", "long": "a" * 20_000,
                         "unicode": r"\p{Greek}+", "open": "[a", "star": "*"}.items():
        fields = first(peer.topic(f"regex-{label}"), "m", SubscribedTopicRegex=regex) | {"SubscribedTopicNames": None}
        peer.note(f"regex {label}", peer.call("ConsumerGroupHeartbeat", 1, fields)["ErrorCode"])
    for assignor in ("", "Range", "unknown"):
        fields = first(peer.topic(f"assignor-{assignor}"), "m", name, ServerAssignor=assignor)
        peer.note(f"assignor {assignor!r}", peer.call("ConsumerGroupHeartbeat", 1, fields)["ErrorCode"])
    for protocols in ((("", b""),), tuple((f"p{n}", b"") for n in range(2000))):
        group = peer.topic(f"protocols-{len(protocols)}")
        peer.note(f"{len(protocols)} protocols", peer.call("JoinGroup", 3, joining(group, protocols=protocols, version=3))["ErrorCode"])
    group = peer.topic("assignments")
    joined = peer.call("JoinGroup", 3, joining(group, version=3))
    stray = [("nobody", b"x"), (joined["MemberId"], b"a"), (joined["MemberId"], b"b"), ("", b"y")]
    peer.ask("assignments of others", "SyncGroup", 3, syncing(group, joined["GenerationId"], joined["MemberId"], stray, version=3))
    describe(peer, "assignments of others", group)
