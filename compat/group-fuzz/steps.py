"""What members and others ask at random. Each function makes one step for a slot from what the world knows of it; mostly what a sound
client would ask, and now and then what it would not."""

from said import Assignment, Epoch, Group, Member, Owned, Step, Subscription, Topic

TOPICS = {"group-fuzz-a": 1, "group-fuzz-b": 2, "group-fuzz-c": 3, "group-fuzz-d": 6}
PARTITIONS = [(topic, partition) for topic, count in TOPICS.items() for partition in range(count)]
LONG_MS = 60_000  # longer than a round: no session ends
INSTANCES = [None, None, None, "i1", "i2", "i3"]
UNSOUND_SUBSCRIPTIONS = [b"", b"\0", b"\0\1"]


class Random:
    """The chances of a round, and who is to act by them."""

    def __init__(self, rng, world, kind):
        self.rng, self.world, self.kind = rng, world, kind
        self.joins = 0

    def step(self):
        """The next step, of a slot that does not wait, mostly."""
        rng = self.rng
        self.group = rng.randrange(2) if rng.random() < 0.5 else 0
        mine = [slot for slot in self.world.slots if slot[0] == self.group]
        self.slot = rng.choice(mine)
        free = [slot for slot in mine if not self.world.slots[slot].is_waiting]
        if self.world.slots[self.slot].is_waiting and free and rng.random() < 0.85:
            self.slot = rng.choice(free)
        self.known = self.world.slots[self.slot]
        steps = KINDS[self.kind]
        return rng.choices(list(steps), list(steps.values()))[0](self)

    def is_one_in(self, count):
        return self.rng.random() * count < 1

    def fellow(self):
        return self.group, self.rng.randrange(5)

    def topics(self, *counts):
        return tuple(sorted(self.rng.sample(list(TOPICS), self.rng.choice(counts))))

    def member(self):
        """The slot's own id, mostly."""
        other = [Member(self.fellow()), Member(self.fellow()), "", "nobody", Member((1, self.fellow()[1]))]
        return self.rng.choice(other) if self.is_one_in(8) else Member(self.slot)

    def generation(self):
        other = [Epoch(self.slot, -1), Epoch(self.slot, 1), -1, 0, 2147483647, -2147483648]
        return self.rng.choice(other) if self.is_one_in(10) else Epoch(self.slot)

    def instance(self, first_version, version):
        """The field of a static member, in versions that have it."""
        if version < first_version or self.known.instance is None and not self.is_one_in(20):
            return {}
        return {"GroupInstanceId": self.rng.choice([*INSTANCES, ""]) if self.is_one_in(10) else self.known.instance}

    def asks(self, api, version, fields, is_about_slot=True):
        client_id = f"c{self.slot[1]}"
        if api == "JoinGroup":
            self.joins += 1
            client_id = f"{self.rng.choice('abcdef')}{self.joins}"
        return Step(api, version, fields, client_id, self.slot if is_about_slot else None)


# The classic protocol.


def offered(by):
    """What a member can be asked to do: the protocol type and its protocols."""
    rng = by.rng
    if by.is_one_in(8):
        return "connect", (("compatible", b"x"),)
    topics = ("nowhere",) if by.is_one_in(20) else by.topics(0, 1, 1, 2, 3)
    owned = tuple((topic, n) for topic, n in PARTITIONS if topic in topics and rng.random() < 0.5) if by.is_one_in(3) else ()
    metadata = Subscription(rng.randrange(4), topics, owned, rng.choice((-1, 0, 1, 2, 3)), rng.choice((None, "r1")))
    if by.is_one_in(30):
        metadata = rng.choice(UNSOUND_SUBSCRIPTIONS)
    names = rng.sample(["range", "roundrobin", "sticky"], rng.choice((1, 2, 2, 3)))
    if "range" not in names and not by.is_one_in(3):
        names.append("range")
    return "consumer", tuple((name, metadata) for name in names)


def join(by):
    rng, version = by.rng, by.rng.choice((0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 9, 9, 9))
    if by.known.offered is None or by.is_one_in(5):
        by.known.offered = offered(by)
    kind, protocols = by.known.offered
    if by.is_one_in(50):
        kind = rng.choice(("", "connect", "consumer"))
    if by.is_one_in(50):
        protocols = rng.choice(((), (("", b""),), (("nope", b""),)))
    fields = {
        "GroupId": Group(by.group),
        "SessionTimeoutMs": rng.choice((5999, 1800000, 1800001, 0, -1)) if by.is_one_in(7) else LONG_MS,
        "RebalanceTimeoutMs": rng.choice((2147483647, 1800000)) if by.is_one_in(11) else LONG_MS,
        "MemberId": "" if by.is_one_in(5) else by.member(),
        "ProtocolType": kind,
        "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in protocols],
    }
    instance = by.known.instance or (rng.choice(INSTANCES) if by.is_one_in(2) else None)
    if by.is_one_in(20):
        instance = rng.choice([*INSTANCES, ""])
    if by.kind == "mixed" and fields["MemberId"] == "" and not by.is_one_in(6):
        version, instance = max(4, version), None  # an id of a consumer group, which is left alone where its place in the order is by chance
    if version >= 5 and instance is not None:
        fields["GroupInstanceId"] = instance
    if version >= 8:
        fields["Reason"] = rng.choice((None, "", "why", "x" * 300))
    return by.asks("JoinGroup", version, fields)


def sync(by):
    rng, version = by.rng, by.rng.choice((0, 1, 2, 3, 4, 5, 5, 5))
    given = {n: [] for n in range(5)}
    for partition in PARTITIONS:
        if not by.is_one_in(5):
            given[rng.randrange(5)].append(partition)
    told = rng.randrange(4)
    assignments = [{"MemberId": Member((by.group, n)), "Assignment": Assignment(told, tuple(each))} for n, each in given.items()]
    if by.is_one_in(9):
        nobody = {"MemberId": "nobody", "Assignment": b"zz"}
        assignments = rng.choice(([], assignments[:2], assignments + assignments[:1], [*assignments, nobody]))
    fields = {"GroupId": Group(by.group), "GenerationId": by.generation(), "MemberId": by.member(), "Assignments": assignments}
    fields.update(by.instance(3, version))
    if version >= 5:
        kind, name = by.known.chosen
        fields["ProtocolType"] = rng.choice((None, "", "connect")) if by.is_one_in(20) else kind or "consumer"
        fields["ProtocolName"] = rng.choice((None, "", "sticky")) if by.is_one_in(20) else name or "range"
    return by.asks("SyncGroup", version, fields)


def heartbeat(by):
    version = by.rng.randrange(5)
    fields = {"GroupId": Group(by.group), "GenerationId": by.generation(), "MemberId": by.member()}
    return by.asks("Heartbeat", version, fields | by.instance(3, version), False)


def leave(by):
    rng, version = by.rng, by.rng.randrange(6)
    if version < 3:
        return by.asks("LeaveGroup", version, {"GroupId": Group(by.group), "MemberId": by.member()}, False)
    members = []
    for n in range(rng.choice((1, 1, 1, 2, 3, 0))):
        instance = by.known.instance if n == 0 and not by.is_one_in(5) else rng.choice([*INSTANCES, ""])
        member = {"MemberId": "" if by.is_one_in(5) else by.member() if n == 0 else Member(by.fellow()), "GroupInstanceId": instance}
        members.append(member | ({"Reason": rng.choice((None, "", "bye"))} if version >= 5 else {}))
    if members and by.is_one_in(10):
        members.append(members[0])
    return by.asks("LeaveGroup", version, {"GroupId": Group(by.group), "Members": members}, False)


# The consumer protocol.


def consumer_heartbeat(by):
    rng, version = by.rng, by.rng.choice((0, 1, 1, 1))
    is_member = by.known.protocol == "consumer" and by.known.epoch > 0
    fields = {"GroupId": Group(by.group), "MemberId": Member(by.slot), "MemberEpoch": Epoch(by.slot)}
    if not is_member or by.is_one_in(8):
        fields["MemberEpoch"] = 0
    elif by.is_one_in(7):
        fields["MemberEpoch"] = rng.choice((-1, -1, -2, Epoch(by.slot, 1), Epoch(by.slot, -1)))
    begins = fields["MemberEpoch"] == 0
    if begins or by.is_one_in(5):
        # A pattern's topics are found at a time of each broker's own: compat/differential has those. Who begins wants something: for
        # one that does not, Kafka keeps taking all members to want the same as one of them, and may give nobody anything.
        wanted = by.topics(1, 2, 2, 3, 3) if begins else by.topics(0, 1, 2, 2, 3, 3)
        fields |= {"SubscribedTopicNames": list(wanted), "RebalanceTimeoutMs": LONG_MS}
        fields |= {"ServerAssignor": "range"} | ({"RackId": rng.choice(("r1", "r2"))} if by.is_one_in(10) else {})
    instance = by.known.instance
    if begins:
        fields["TopicPartitions"] = []
        instance = instance or (rng.choice(INSTANCES) if by.is_one_in(2) else None)
    # Who is a member and comes back with another instance id confuses Kafka: the one that it had is never free again, and it is given
    # nothing until the group rebalances. No client does this.
    is_settled = begins and by.slot in by.world.ids[0]
    if is_settled:
        instance = by.known.instance
    elif by.is_one_in(25):
        instance = rng.choice([*INSTANCES, ""])
    if instance is not None:
        fields["InstanceId"] = instance
    if fields["MemberEpoch"] == Epoch(by.slot) and by.known.owned is not None and not by.is_one_in(4):
        fields["TopicPartitions"] = Owned(by.slot)
        if by.is_one_in(20):
            fields["TopicPartitions"] = [{"TopicId": Topic("group-fuzz-d"), "Partitions": rng.choice(([0], [99], [-1], [0, 0]))}]
    if by.is_one_in(50):
        fields |= rng.choice(UNSOUND_HEARTBEATS)
    return by.asks("ConsumerGroupHeartbeat", version, fields)


UNSOUND_HEARTBEATS = [
    {"ServerAssignor": "nope"},
    {"ServerAssignor": ""},
    {"RebalanceTimeoutMs": 0},
    {"RebalanceTimeoutMs": -1},
    {"RackId": ""},
    {"MemberEpoch": -3},
    {"TopicPartitions": None},
    {"SubscribedTopicNames": None},
]


# Offsets.


def commit(by):
    rng, version = by.rng, by.rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 10))
    epoch = Epoch(by.slot)
    if by.is_one_in(6):
        epoch = rng.choice((Epoch(by.slot, -1), Epoch(by.slot, 1), -1, -1, -1, 0))
    topics = []
    for topic in rng.sample(list(TOPICS), rng.choice((1, 1, 2))):
        partitions = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            offset, metadata = rng.choice((0, 1, 5, 77, -1, -9, 1 << 62)), rng.choice((None, "", "m", "ä" * 100))
            partition = {"PartitionIndex": rng.choice((0, 0, 0, 1, 2, 5, 6, -1)), "CommittedOffset": offset, "CommittedMetadata": metadata}
            partitions.append(partition | ({"CommittedLeaderEpoch": rng.choice((-1, 0, 3, -5))} if version >= 6 else {}))
        topics.append({"Partitions": partitions, **({"TopicId": Topic(topic)} if version >= 10 else {"Name": topic})})
    member = by.member() if epoch != -1 or by.is_one_in(3) else ""
    fields = {"GroupId": Group(by.group), "GenerationIdOrMemberEpoch": epoch, "MemberId": member, "Topics": topics}
    if version <= 4:
        fields["RetentionTimeMs"] = rng.choice((-1, -1, 100_000_000, 86_400_000))
    return by.asks("OffsetCommit", version, fields | by.instance(7, version), False)


def fetch(by):
    rng, version = by.rng, by.rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10))

    def topics():
        if version >= 2 and rng.random() < 0.4:
            return None
        partitions = [rng.choice(([0], [0, 1, 2], [0, 0], [9], [-1], [])) for _ in range(2)]
        chosen = zip(rng.sample(list(TOPICS), 2), partitions)
        return [{"PartitionIndexes": each, **({"TopicId": Topic(topic)} if version >= 10 else {"Name": topic})} for topic, each in chosen]

    stable = {"RequireStable": rng.random() < 0.3} if version >= 7 else {}
    if version < 8:
        return by.asks("OffsetFetch", version, {"GroupId": Group(by.group), "Topics": topics(), **stable}, False)
    groups = []
    for group in rng.choice(([Group(by.group)], [Group(by.group)], [Group(0), Group(1)], [Group(by.group), "nogroup", Group(by.group)], [""])):
        asked = {"GroupId": group, "Topics": topics()}
        if version >= 9 and rng.random() < 0.5:
            member, epoch = by.member(), Epoch(by.slot)
            if by.is_one_in(5):
                epoch = rng.choice((-1, 0, Epoch(by.slot, -1), Epoch(by.slot, 1)))
            asked |= {"MemberId": member, "MemberEpoch": -1 if member == "" else epoch}
        groups.append(asked)
    return by.asks("OffsetFetch", version, {"Groups": groups, **stable}, False)


# What admin clients ask.


def groups(by):
    return by.rng.choice(([Group(by.group)], [Group(0), Group(1)]))


def describe(by):
    return by.asks("DescribeGroups", by.rng.randrange(7), {"Groups": groups(by)}, False)


def describe_consumer(by):
    return by.asks("ConsumerGroupDescribe", by.rng.randrange(2), {"GroupIds": groups(by)}, False)


def list_groups(by):
    rng, version, fields = by.rng, by.rng.randrange(6), {}
    states = ["Stable", "empty", "Assigning", "Reconciling", "CompletingRebalance", "PreparingRebalance", "Dead", ""]
    if version >= 4 and by.is_one_in(2):
        fields["StatesFilter"] = rng.sample(states, 2)
    if version >= 5 and by.is_one_in(2):
        fields["TypesFilter"] = [rng.choice(("classic", "consumer", "share", "streams", "bogus", "Consumer"))]
    return by.asks("ListGroups", version, fields, False)


def delete_offsets(by):
    rng = by.rng
    chosen = rng.sample([*TOPICS, "nowhere"], rng.choice((1, 2)))
    topics = [{"Name": topic, "Partitions": [{"PartitionIndex": rng.choice((0, 1, 2, 7))} for _ in range(2)]} for topic in chosen]
    return by.asks("OffsetDelete", 0, {"GroupId": Group(by.group), "Topics": topics}, False)


def delete_groups(by):
    asked = by.rng.choice(([Group(by.group)], [Group(0), Group(1)], [Group(by.group), Group(by.group)]))
    return by.asks("DeleteGroups", by.rng.randrange(3), {"GroupsNames": asked}, False)


# How often each is asked.
KINDS = {
    "classic": {join: 30, sync: 25, heartbeat: 12, leave: 5, commit: 8, fetch: 4, describe: 5, list_groups: 3, delete_offsets: 1, delete_groups: 1},
    "consumer": {consumer_heartbeat: 60, commit: 8, fetch: 6, describe_consumer: 6, describe: 2, list_groups: 3, delete_offsets: 2, delete_groups: 2,
                 heartbeat: 1, leave: 1, join: 1},
    "mixed": {consumer_heartbeat: 30, join: 22, sync: 18, heartbeat: 9, leave: 3, commit: 7, fetch: 4, describe_consumer: 4, describe: 3,
              list_groups: 3, delete_offsets: 1, delete_groups: 1},
}

# What both hold, looked at when a round ends, and after a kill.
EVERYTHING = [
    Step("DescribeGroups", 6, {"Groups": [Group(0), Group(1)]}),
    Step("ConsumerGroupDescribe", 1, {"GroupIds": [Group(0), Group(1)]}),
    Step("OffsetFetch", 9, {"Groups": [{"GroupId": Group(n), "Topics": None} for n in range(2)]}),
    Step("ListGroups", 5, {}),
]
