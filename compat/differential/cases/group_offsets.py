"""Committed offsets, and groups as operators see them, where no member is needed."""

import uuid

import wire

from .mark import case, dropped

STRANGE_ID = uuid.UUID(int=77)


def committing(group, *topics, **more):
    return {"GroupId": group, "Topics": list(topics), **more}


def topic(name, *partitions, **more):
    return {"Name": name, "Partitions": [{"PartitionIndex": n, "CommittedOffset": 10 + n, "CommittedMetadata": "m", **more} for n in partitions]}


def fetch(peer, label, group, version, names, partitions=(0, 1), **more):
    """OffsetFetch in whichever form the version has."""
    if version < 8:
        asked = None if names is None else [{"Name": name, "PartitionIndexes": list(partitions)} for name in names]
        return peer.ask(label, "OffsetFetch", version, {"GroupId": group, "Topics": asked} | more)
    if version < 10:
        asked = None if names is None else [{"Name": name, "PartitionIndexes": list(partitions)} for name in names]
    else:
        asked = None if names is None else [{"TopicId": peer.id(name), "PartitionIndexes": list(partitions)} for name in names]
    return peer.ask(label, "OffsetFetch", version, {"Groups": [{"GroupId": group, "Topics": asked}]} | more)


def commits_and_fetches(peer, commit_versions, fetch_versions):
    peer.coordinate()
    name, other = peer.create("t", 2), peer.create("u", 1)
    for version in commit_versions:
        group = peer.topic(f"g{version}")

        def ask(label, *topics, group=group, **more):
            peer.ask(f"commit: {label}", "OffsetCommit", version, committing(group, *topics, **more))

        def of(which, *partitions, **more):
            given = topic(which, *partitions, **more)
            return given if version < 10 else {"TopicId": peer.id(which), "Partitions": given["Partitions"]}

        ask("good", of(name, 0, 1))
        ask("another", of(other, 0))
        ask("an unknown partition", of(name, 0, 2, -1))
        ask("an unknown topic", topic("nowhere", 0) if version < 10 else {"TopicId": STRANGE_ID, "Partitions": topic("", 0)["Partitions"]})
        ask("no topic", topic("", 0) if version < 10 else {"Partitions": topic("", 0)["Partitions"]})
        ask("good and bad", of(other, 0, 5), of(name, 7, 0))
        ask("one partition twice", of(name, 0, 0))
        ask("no topics")
        ask("no partitions", of(name))
        ask("no metadata", of(name, 0, CommittedMetadata=None))
        ask("long metadata", of(name, 1, CommittedMetadata="x" * 4096))
        ask("too long metadata", of(name, 0, CommittedMetadata="x" * 4097), of(other, 0))
        ask("too long only by its bytes", of(name, 0, CommittedMetadata="ä" * 4096))
        ask("a negative offset", of(name, 0, CommittedOffset=-5))
        ask("the largest offset", of(name, 1, CommittedOffset=(1 << 63) - 1))
        if version >= 6:
            ask("a leader epoch", of(name, 0, CommittedLeaderEpoch=7))
        if version >= 1:
            ask("a generation", of(name, 0), GenerationIdOrMemberEpoch=0)
            ask("a generation and a member", of(name, 0), GenerationIdOrMemberEpoch=3, MemberId="m")
            ask("a member", of(name, 0), MemberId="m")
            ask("a generation of a group that is not there", of(name, 0), group=peer.topic("none"), GenerationIdOrMemberEpoch=0, MemberId="m")
            ask("a generation below -1", of(name, 0), GenerationIdOrMemberEpoch=-9)
        if version >= 7:
            ask("an instance", of(name, 0), GroupInstanceId="i")
        ask("no group", of(name, 0), group="")
        ask("a strange group", of(name, 0), group="/ \n\u00e4\U0001f600")
    for version in fetch_versions:
        group = peer.topic(f"g{commit_versions[-1]}")
        fetch(peer, "some", group, version, [name, other])
        fetch(peer, "none", group, version, [])
        fetch(peer, "a group that is not there", peer.topic("none"), version, [name])
        fetch(peer, "an unknown partition", group, version, [name], partitions=(9, -1, 0))
        fetch(peer, "one partition twice", group, version, [name], partitions=(0, 0))
        fetch(peer, "no partitions", group, version, [name], partitions=())
        fetch(peer, "no group", "", version, [name])
        if version < 10:
            fetch(peer, "an unknown topic", group, version, ["nowhere", name])
        if version >= 2:
            fetch(peer, "all", group, version, None)
            fetch(peer, "all of none", peer.topic("none"), version, None)
        if version >= 7:
            fetch(peer, "stable ones", group, version, [name], RequireStable=True)
            fetch(peer, "all stable ones", group, version, None, RequireStable=True)
        if version >= 8:
            peer.ask("no groups", "OffsetFetch", version, {"Groups": []})
            peer.ask("three groups", "OffsetFetch", version, {"Groups": [
                {"GroupId": group, "Topics": None}, {"GroupId": peer.topic("none"), "Topics": None}, {"GroupId": group, "Topics": []}]})
        if version >= 9:
            for label, who in {"a member": ("m", 1), "an epoch": (None, 1), "a member without an epoch": ("m", -1)}.items():
                peer.ask(label, "OffsetFetch", version, {"Groups": [{"GroupId": group, "MemberId": who[0], "MemberEpoch": who[1], "Topics": None}]})
        if version >= 10:
            peer.ask("unknown ids", "OffsetFetch", version, {"Groups": [{"GroupId": group, "Topics": [
                {"TopicId": STRANGE_ID, "PartitionIndexes": [0]}, {"TopicId": peer.id(name), "PartitionIndexes": [0]}, {"PartitionIndexes": [0]}]}]})


@case
def offset_commit_and_fetch(peer):
    commits_and_fetches(peer, wire.versions("OffsetCommit"), wire.versions("OffsetFetch"))


@dropped
def offset_commit_and_fetch_old(peer):
    commits_and_fetches(peer, wire.dropped("OffsetCommit"), wire.dropped("OffsetFetch"))


@case
def offset_delete(peer):
    peer.coordinate()
    name, group = peer.create("t", 3), peer.topic("g")
    peer.call("OffsetCommit", 8, committing(group, topic(name, 0, 1, 2)))

    def ask(label, *topics, group=group):
        asked = [{"Name": name, "Partitions": [{"PartitionIndex": n} for n in partitions]} for name, partitions in topics]
        peer.ask(label, "OffsetDelete", 0, {"GroupId": group, "Topics": asked})

    ask("an unknown partition", (name, [7]))
    ask("an unknown topic", ("nowhere", [0]))
    ask("a group that is not there", (name, [0]), group=peer.topic("none"))
    ask("no group", (name, [0]), group="")
    ask("an unknown topic of a group that is not there", ("nowhere", [0]), group=peer.topic("none"))
    ask("nothing")
    ask("no partitions", (name, []), ("nowhere", []))
    ask("good and bad", (name, [7, 0]), ("nowhere", [1]))
    ask("again", (name, [0]))
    fetch(peer, "what is left", group, 9, None)
    ask("the rest", (name, [1, 2]))
    fetch(peer, "nothing is left", group, 9, None)
    peer.ask("the group after it", "DescribeGroups", 6, {"Groups": [group]})


@case
def groups_without_members(peer):
    """ListGroups, DescribeGroups, DeleteGroups and ConsumerGroupDescribe of what commits have made."""
    peer.coordinate()
    name = peer.create("t")
    for version in range(0, 3):
        groups = [peer.topic(f"{n}-{version}") for n in range(3)]
        for group in groups:
            peer.call("OffsetCommit", 8, committing(group, topic(name, 0)))
        for describing in wire.versions("DescribeGroups"):
            for operations in (False, True) if describing >= 3 else (False,):
                more = {"IncludeAuthorizedOperations": operations} if describing >= 3 else {}
                peer.ask(f"described {version} {operations}", "DescribeGroups", describing, {"Groups": [groups[0], peer.topic("none"), ""]} | more)
        peer.ask(f"described twice {version}", "DescribeGroups", 6, {"Groups": [groups[0], groups[0]]})
        peer.ask(f"of none {version}", "DescribeGroups", 6, {"Groups": []})
        peer.ask("delete", "DeleteGroups", version, {"GroupsNames": [groups[0], peer.topic("none"), groups[0], ""]})
        peer.ask("delete again", "DeleteGroups", version, {"GroupsNames": [groups[0]]})
        peer.ask("delete none", "DeleteGroups", version, {"GroupsNames": []})
        peer.ask(f"described after {version}", "DescribeGroups", 6, {"Groups": groups})
        fetch(peer, f"fetched after {version}", groups[0], 9, None)
    for version in (0, 1):
        for operations in (False, True):
            peer.ask(f"as consumer groups {operations}", "ConsumerGroupDescribe", version, {
                "GroupIds": [peer.topic("1-0"), peer.topic("none"), ""], "IncludeAuthorizedOperations": operations})


@case
def groups_listed(peer):
    peer.coordinate()
    name, group = peer.create("t"), peer.topic("g")
    peer.call("OffsetCommit", 8, committing(group, topic(name, 0)))

    def ask(label, version, **filters):
        answer = peer.call("ListGroups", version, filters)
        answer["Groups"] = [each for each in answer["Groups"] if each["GroupId"].startswith(peer.case)]
        peer.note(f"{label} v{version}", answer)

    for version in wire.versions("ListGroups"):
        ask("all", version)
        if version >= 4:
            for states in (["Empty"], ["empty"], [" EMPTY "], ["Stable"], ["Nonsense"], ["Stable", "Empty"], [""]):
                ask(f"in states {states}", version, StatesFilter=states)
        if version >= 5:
            for types in (["classic"], ["Classic"], [" classic"], ["consumer"], ["nonsense"], ["consumer", "classic"], [""]):
                ask(f"of types {types}", version, TypesFilter=types)
            ask("of both", version, StatesFilter=["empty"], TypesFilter=["classic"])


@case
def coordinators(peer):
    peer.coordinate()
    for version in wire.versions("FindCoordinator"):
        peer.ask("a group", "FindCoordinator", version, {"Key": "g", "KeyType": 0, "CoordinatorKeys": ["g"]})
        peer.ask("no group", "FindCoordinator", version, {"Key": "", "KeyType": 0, "CoordinatorKeys": [""]})
        if version >= 4:
            peer.ask("several", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": ["a", "b", "a", ""]})
            peer.ask("none", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": []})
