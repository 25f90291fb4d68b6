"""Members of groups: classic ones and consumers, step by step. Every timeout is too long to fire, and with
group.initial.rebalance.delay.ms=0 a generation begins when everyone who is known has joined."""

import struct
import threading

import wire
from peer import Peer

from .mark import case

SESSION_MS = 30_000
LAST = {"JoinGroup": 9, "SyncGroup": 5, "Heartbeat": 4, "LeaveGroup": 5, "DescribeGroups": 6, "ListGroups": 5, "OffsetCommit": 9}


def subscription(*topics):
    """What a consumer says in JoinGroup, version 0: topics and no user data."""
    names = b"".join(wire.string(name) for name in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def joining(group, member="", instance=None, protocols=(("range", b"meta"),), kind="consumer", version=9, **more):
    fields = {"GroupId": group, "SessionTimeoutMs": SESSION_MS, "RebalanceTimeoutMs": SESSION_MS, "MemberId": member,
              "ProtocolType": kind, "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in protocols], **more}
    return fields | ({"GroupInstanceId": instance} if instance else {})


def syncing(group, generation, member, assignments=(), version=5, kind="consumer", protocol="range", **more):
    fields = {"GroupId": group, "GenerationId": generation, "MemberId": member,
              "Assignments": [{"MemberId": name, "Assignment": raw} for name, raw in assignments], **more}
    return fields | ({"ProtocolType": kind, "ProtocolName": protocol} if version >= 5 else {})


def leaving(group, member, version=5, instance=None):
    if version < 3:
        return {"GroupId": group, "MemberId": member}
    return {"GroupId": group, "Members": [{"MemberId": member, "GroupInstanceId": instance}]}


def assignment(topic, *partitions):
    """What a consumer is told by SyncGroup, version 0: partitions of one topic and no user data."""
    given = struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return struct.pack(">hi", 0, 1) + wire.string(topic) + given + struct.pack(">i", -1)


def alone(peer, label, group, version=9, sync_version=5, given=b"mine", **more):
    """A group of one member that is stable: its member id and generation."""
    answer = peer.ask(f"{label}: join", "JoinGroup", version, joining(group, version=version, **more))
    if answer["ErrorCode"] == 79:  # MEMBER_ID_REQUIRED
        answer = peer.ask(f"{label}: join again", "JoinGroup", version, joining(group, answer["MemberId"], version=version, **more))
    member, generation = answer["MemberId"], answer["GenerationId"]
    kind = more.get("kind", "consumer")
    protocol = more.get("protocols", (("range", b""),))[0][0]
    peer.ask(f"{label}: sync", "SyncGroup", sync_version,
             syncing(group, generation, member, [(member, given)], sync_version, kind, protocol))
    return member, generation


def describe(peer, label, *groups):
    peer.ask(f"{label}: describe", "DescribeGroups", 6, {"Groups": list(groups), "IncludeAuthorizedOperations": True})


@case
def classic_lives(peer):
    """Each version of JoinGroup with one of each other API: a life from the first join to the last leave."""
    peer.coordinate()
    for version in wire.versions("JoinGroup"):
        group = peer.topic(f"g{version}")
        other = {api: min(version, last) for api, last in LAST.items()}
        member, generation = alone(peer, f"v{version}", group, version, other["SyncGroup"])
        beat = {"GroupId": group, "GenerationId": generation, "MemberId": member}
        peer.ask(f"v{version}: beat", "Heartbeat", other["Heartbeat"], beat)
        peer.ask(f"v{version}: beat of a generation ago", "Heartbeat", other["Heartbeat"], beat | {"GenerationId": generation - 1})
        peer.ask(f"v{version}: beat of the next generation", "Heartbeat", other["Heartbeat"], beat | {"GenerationId": generation + 1})
        peer.ask(f"v{version}: beat of nobody", "Heartbeat", other["Heartbeat"], beat | {"MemberId": "nobody"})
        describe(peer, f"v{version}", group)
        peer.ask(f"v{version}: sync again", "SyncGroup", other["SyncGroup"],
                 syncing(group, generation, member, version=other["SyncGroup"]))
        peer.ask(f"v{version}: rejoin", "JoinGroup", version, joining(group, member, version=version))
        describe(peer, f"v{version} while completing", group)
        peer.ask(f"v{version}: commit while completing", "OffsetCommit", 8, {
            "GroupId": group, "GenerationIdOrMemberEpoch": generation + 1, "MemberId": member, "Topics": [
                {"Name": peer.made("lives"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]})
        peer.ask(f"v{version}: beat while completing", "Heartbeat", other["Heartbeat"], beat | {"GenerationId": generation + 1})
        peer.ask(f"v{version}: delete", "DeleteGroups", 2, {"GroupsNames": [group]})
        peer.ask(f"v{version}: leave", "LeaveGroup", other["LeaveGroup"], leaving(group, member, other["LeaveGroup"]))
        peer.ask(f"v{version}: leave again", "LeaveGroup", other["LeaveGroup"], leaving(group, member, other["LeaveGroup"]))
        describe(peer, f"v{version} at the end", group)
        peer.ask(f"v{version}: delete at the end", "DeleteGroups", 2, {"GroupsNames": [group]})
        describe(peer, f"v{version} after it", group)


@case
def classic_refused(peer):
    """What members are refused, on a group that is not there, empty, and stable."""
    peer.coordinate()
    stable = peer.topic("stable")
    member, generation = alone(peer, "stable", stable)
    empty = peer.topic("empty")
    left, _ = alone(peer, "empty", empty)
    peer.call("LeaveGroup", 5, leaving(empty, left))
    for which, group in (("none", peer.topic("none")), ("no id", ""), ("empty", empty), ("stable", stable)):
        for version in (0, 3, 4, 9):
            ask = lambda label, **more: peer.ask(f"{which}: {label}", "JoinGroup", version, joining(group, version=version, **more))
            ask("an id never given", member="never-given")
            ask("a session too short", SessionTimeoutMs=5_999)
            ask("a session too long", SessionTimeoutMs=1_800_001)
            ask("a negative session", SessionTimeoutMs=-1)
            if version > 4:
                ask("a static id with a member id never given", member="never-given", instance="i")
            if which == "stable":
                ask("another protocol type", kind="connect")
                ask("another protocol", protocols=(("other", b""),))
                ask("no protocol", protocols=())
                ask("no protocol type", kind="")
            elif version < 4:
                continue
            else:
                ask("no protocol", protocols=())
                ask("no protocol type", kind="")
        for version in (0, 4, 5):
            ask = lambda label, *given, **more: peer.ask(f"{which}: {label}", "SyncGroup", version, syncing(group, *given, version=version, **more))
            ask("sync of nobody", generation, "nobody")
            ask("sync without a member", generation, "")
            if version == 5:
                ask("sync of another protocol", generation, member, protocol="other")
                ask("sync of another type", generation, member, kind="connect")
                ask("sync of no protocol", generation, member, protocol=None)
                ask("sync of no type", generation, member, kind=None)
            ask("sync of another generation", generation + 7, member)
        for version in (0, 4):
            for label, given in {"nobody": {"MemberId": "nobody"}, "no member": {"MemberId": ""}, "a negative generation": {"GenerationId": -1}}.items():
                peer.ask(f"{which}: beat of {label}", "Heartbeat", version, {"GroupId": group, "GenerationId": generation, "MemberId": member} | given)
        for version in (0, 2, 3, 5):
            peer.ask(f"{which}: leave of nobody", "LeaveGroup", version, leaving(group, "nobody", version))
            peer.ask(f"{which}: leave without a member", "LeaveGroup", version, leaving(group, "", version))
            if version >= 3:
                peer.ask(f"{which}: leave of an unknown static", "LeaveGroup", version, leaving(group, "", version, "i"))
                peer.ask(f"{which}: leave of several", "LeaveGroup", version, {"GroupId": group, "Members": [
                    {"MemberId": "a", "GroupInstanceId": None}, {"MemberId": "b", "GroupInstanceId": "i"}]})
                peer.ask(f"{which}: leave of none", "LeaveGroup", version, {"GroupId": group, "Members": []})
        describe(peer, which, group)


@case
def classic_of_two(peer):
    """A second member joins: the first is told to, and with both there the leader assigns."""
    peer.coordinate()
    for version in (3, 5, 9):
        group = peer.topic(f"g{version}")
        first, generation = alone(peer, f"v{version} first", group, version, protocols=(("range", b"1"), ("sticky", b"1s")))
        second_peer = peer.another()
        fields = joining(group, protocols=(("sticky", b"2s"), ("other", b"2o")), version=version)
        answer = second_peer.call("JoinGroup", version, fields) if version >= 4 else None
        if answer is not None:
            peer.note(f"v{version}: the second has to take an id", answer)
            fields["MemberId"] = answer["MemberId"]
        second = peer.meanwhile(lambda: second_peer.call("JoinGroup", version, fields))
        peer.until(lambda: peer.call("Heartbeat", 4, {"GroupId": group, "GenerationId": generation, "MemberId": first})["ErrorCode"] == 27)
        describe(peer, f"v{version} preparing", group)
        peer.ask(f"v{version}: commit while preparing", "OffsetCommit", 8, {
            "GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": first, "Topics": [
                {"Name": peer.made("two"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]})
        peer.ask(f"v{version}: sync while preparing", "SyncGroup", 4, syncing(group, generation, first, version=4))
        joined = peer.ask(f"v{version}: first joins again", "JoinGroup", version,
                          joining(group, first, protocols=(("range", b"1"), ("sticky", b"1s")), version=version))
        other = second()
        peer.note(f"v{version}: the second has joined", other)
        next_generation = joined["GenerationId"]
        waiting = peer.meanwhile(lambda: second_peer.call("SyncGroup", 4, syncing(group, next_generation, other["MemberId"], version=4)))
        peer.ask(f"v{version}: a beat in between", "Heartbeat", 4, {"GroupId": group, "GenerationId": next_generation, "MemberId": first})
        peer.ask(f"v{version}: the leader syncs", "SyncGroup", 4, syncing(
            group, next_generation, first, [(first, b"one"), (other["MemberId"], b"two")], version=4))
        peer.note(f"v{version}: the second syncs", waiting())
        describe(peer, f"v{version} stable", group)
        # A follower that says the same again is told the generation; one that says something else begins another.
        peer.note(f"v{version}: the follower rejoins", second_peer.call("JoinGroup", version, fields | {"MemberId": other["MemberId"]}))
        peer.ask(f"v{version}: the follower leaves", "LeaveGroup", 5, leaving(group, other["MemberId"]))
        peer.ask(f"v{version}: the leader is told", "Heartbeat", 4, {"GroupId": group, "GenerationId": next_generation, "MemberId": first})
        peer.ask(f"v{version}: the leader rejoins", "JoinGroup", version,
                 joining(group, first, protocols=(("range", b"1"), ("sticky", b"1s")), version=version))
        peer.ask(f"v{version}: leaves", "LeaveGroup", 5, leaving(group, first))
        describe(peer, f"v{version} empty", group)


@case
def classic_static(peer):
    """A member with an instance id goes away without leaving and comes back with no member id."""
    peer.coordinate()
    for version in (5, 8, 9):
        group = peer.topic(f"g{version}")
        first, generation = alone(peer, f"v{version}", group, version, instance="i", protocols=(("range", b"1"),))
        answer = peer.ask(f"v{version}: comes back", "JoinGroup", version,
                          joining(group, instance="i", protocols=(("range", b"1"),), version=version))
        second, next_generation = answer["MemberId"], answer["GenerationId"]
        if answer["ErrorCode"] == 0 and answer["GenerationId"] > generation:
            peer.ask(f"v{version}: syncs", "SyncGroup", 5, syncing(group, next_generation, second, [(second, b"mine")], GroupInstanceId="i"))
        else:
            peer.ask(f"v{version}: syncs without assignments", "SyncGroup", 5, syncing(group, next_generation, second, GroupInstanceId="i"))
        for label, member, instance in (("the old one", first, "i"), ("the old one without its name", first, None),
                                        ("the new one", second, "i"), ("another name", second, "j")):
            peer.ask(f"v{version}: beat of {label}", "Heartbeat", 4,
                     {"GroupId": group, "GenerationId": next_generation, "MemberId": member, "GroupInstanceId": instance})
            peer.ask(f"v{version}: sync of {label}", "SyncGroup", 5, syncing(group, next_generation, member, GroupInstanceId=instance))
            peer.ask(f"v{version}: commit of {label}", "OffsetCommit", 8, {
                "GroupId": group, "GenerationIdOrMemberEpoch": next_generation, "MemberId": member, "GroupInstanceId": instance,
                "Topics": [{"Name": peer.made("static"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]})
            peer.ask(f"v{version}: join of {label}", "JoinGroup", version, joining(
                group, member, instance, version=version, protocols=(("range", b"1"),)) if member != second else joining(
                group, member, "x", version=version, protocols=(("range", b"1"),)))
        describe(peer, f"v{version}", group)
        peer.ask(f"v{version}: leave of the old one", "LeaveGroup", 5, leaving(group, first, instance="i"))
        peer.ask(f"v{version}: leave by name", "LeaveGroup", 5, leaving(group, "", instance="i"))
        describe(peer, f"v{version} empty", group)


@case
def classic_of_others(peer):
    """Groups of Connect and Schema Registry: a broker does not read what they say."""
    peer.coordinate()
    for kind, protocol in (("connect", "sessioned"), ("sr", "v0")):
        group = peer.topic(kind)
        member, generation = alone(peer, kind, group, kind=kind, protocols=((protocol, b"\xff\x00\x01"),))
        describe(peer, kind, group)
        peer.ask(f"{kind}: commit", "OffsetCommit", 8, {
            "GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member,
            "Topics": [{"Name": peer.made("others"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]})
        peer.ask(f"{kind}: delete an offset", "OffsetDelete", 0, {
            "GroupId": group, "Topics": [{"Name": peer.made("others"), "Partitions": [{"PartitionIndex": 0}]}]})
        peer.ask(f"{kind}: as a consumer group", "ConsumerGroupDescribe", 1, {"GroupIds": [group]})
        peer.ask(f"{kind}: a consumer joins", "ConsumerGroupHeartbeat", 1, {
            "GroupId": group, "MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": SESSION_MS,
            "SubscribedTopicNames": [peer.made("others")], "TopicPartitions": []})


@case
def classic_offsets(peer):
    """Members that are consumers commit and delete offsets."""
    peer.coordinate()
    group, name, other = peer.topic("g"), peer.made("read"), peer.made("unread")
    metadata = subscription(name)
    member, generation = alone(peer, "joins", group, protocols=(("range", metadata),))
    for label, topic in (("read", name), ("unread", other)):
        given = [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 5}]}]
        for version in range(2, 10):
            for who, changed in {
                "the member": {}, "a generation ago": {"GenerationIdOrMemberEpoch": generation - 1},
                "the next generation": {"GenerationIdOrMemberEpoch": generation + 1}, "nobody": {"MemberId": "nobody"},
                "an operator": {"GenerationIdOrMemberEpoch": -1, "MemberId": ""}, "no generation": {"GenerationIdOrMemberEpoch": -1},
                "no member": {"MemberId": ""},
            }.items():
                fields = {"GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member, "Topics": given} | changed
                peer.ask(f"{label}: commit of {who}", "OffsetCommit", version, fields)
            if version >= 7:
                fields = {"GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member, "GroupInstanceId": "i", "Topics": given}
                peer.ask(f"{label}: commit of a name", "OffsetCommit", version, fields)
        peer.ask(f"{label}: delete", "OffsetDelete", 0, {"GroupId": group, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0}]}]})
    peer.ask("fetch", "OffsetFetch", 9, {"Groups": [{"GroupId": group, "Topics": None}]})
    peer.ask("fetch of a member", "OffsetFetch", 9, {"Groups": [{"GroupId": group, "MemberId": "nobody", "MemberEpoch": 99, "Topics": None}]})
    peer.call("LeaveGroup", 5, leaving(group, member))
    peer.ask("delete when empty", "OffsetDelete", 0, {"GroupId": group, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": 0}]}]})


@case
def consumer_lives(peer):
    """One member of the consumer protocol, from its first heartbeat to its last."""
    peer.coordinate()
    name = peer.create_for_groups("t", 3)
    for version in (0, 1):
        group = peer.topic(f"g{version}")
        label = f"v{version}"
        first = {"GroupId": group, "MemberId": "" if version == 0 else "member-1", "MemberEpoch": 0, "RebalanceTimeoutMs": SESSION_MS,
                 "SubscribedTopicNames": [name], "TopicPartitions": []}
        answer = peer.ask(f"{label}: joins", "ConsumerGroupHeartbeat", version, first)
        member, epoch = answer["MemberId"], answer["MemberEpoch"]
        beat = {"GroupId": group, "MemberId": member, "MemberEpoch": epoch}
        describe(peer, f"{label} as a classic group", group)
        peer.ask(f"{label}: describe", "ConsumerGroupDescribe", 1, {"GroupIds": [group], "IncludeAuthorizedOperations": True})
        peer.ask(f"{label}: beats", "ConsumerGroupHeartbeat", version, beat)
        everything = [{"TopicId": peer.id(name), "Partitions": [0, 1, 2]}]
        full = beat | {"RebalanceTimeoutMs": SESSION_MS, "SubscribedTopicNames": [name], "TopicPartitions": everything}
        peer.ask(f"{label}: tells all that it has", "ConsumerGroupHeartbeat", version, full)
        peer.ask(f"{label}: describe again", "ConsumerGroupDescribe", version, {"GroupIds": [group]})
        peer.ask(f"{label}: is listed", "ListGroups", 5, {"StatesFilter": ["stable"], "TypesFilter": ["Consumer"]}, record=False)
        for which, changed in {
            "an epoch ago": {"MemberEpoch": epoch - 1 or 7}, "the next epoch": {"MemberEpoch": epoch + 1},
            "nobody": {"MemberId": "nobody"}, "epoch -3": {"MemberEpoch": -3},
        }.items():
            peer.ask(f"{label}: {which}", "ConsumerGroupHeartbeat", version, beat | changed)
        for version_of_commit in range(2, 11):
            given = {"Name": name} if version_of_commit < 10 else {"TopicId": peer.id(name)}
            topics = [given | {"Partitions": [{"PartitionIndex": 0, "CommittedOffset": 5}]}]
            for who, changed in {"the member": {}, "an epoch ago": {"GenerationIdOrMemberEpoch": epoch - 1},
                                 "the next epoch": {"GenerationIdOrMemberEpoch": epoch + 1}, "nobody": {"MemberId": "nobody"},
                                 "an operator": {"GenerationIdOrMemberEpoch": -1, "MemberId": ""}}.items():
                fields = {"GroupId": group, "GenerationIdOrMemberEpoch": epoch, "MemberId": member, "Topics": topics} | changed
                peer.ask(f"{label}: commit of {who}", "OffsetCommit", version_of_commit, fields)
        for who, asking in {"the member": (member, epoch), "an epoch ago": (member, epoch - 1), "the next epoch": (member, epoch + 1),
                            "nobody": ("nobody", epoch), "an operator": (None, -1), "no member": (None, epoch), "no id": ("", -1)}.items():
            fields = {"GroupId": group, "MemberId": asking[0], "MemberEpoch": asking[1], "Topics": None}
            peer.ask(f"{label}: fetch of {who}", "OffsetFetch", 9, {"Groups": [fields]})
        peer.ask(f"{label}: delete a read offset", "OffsetDelete", 0, {"GroupId": group, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": 0}]}]})
        peer.ask(f"{label}: delete with a member", "DeleteGroups", 2, {"GroupsNames": [group]})
        peer.ask(f"{label}: leaves", "ConsumerGroupHeartbeat", version, beat | {"MemberEpoch": -1})
        peer.ask(f"{label}: leaves again", "ConsumerGroupHeartbeat", version, beat | {"MemberEpoch": -1})
        peer.ask(f"{label}: describe when empty", "ConsumerGroupDescribe", 1, {"GroupIds": [group]})
        peer.ask(f"{label}: delete", "DeleteGroups", 2, {"GroupsNames": [group]})
        peer.ask(f"{label}: describe at the end", "ConsumerGroupDescribe", 1, {"GroupIds": [group]})


@case
def consumer_refused(peer):
    """First heartbeats that are wrong in one way each."""
    peer.coordinate()
    name = peer.create_for_groups("t", 2)
    for version in (0, 1):
        good = {"GroupId": peer.topic(f"g{version}"), "MemberId": "" if version == 0 else "m", "MemberEpoch": 0,
                "RebalanceTimeoutMs": SESSION_MS, "SubscribedTopicNames": [name], "TopicPartitions": []}
        owned = [{"TopicId": peer.id(name), "Partitions": [0]}]
        for label, changed in {
            "no group": {"GroupId": ""}, "no member id": {"MemberId": ""}, "an empty instance id": {"InstanceId": ""}, "an empty rack": {"RackId": ""},
            "no rebalance timeout": {"RebalanceTimeoutMs": -1}, "no topics": {"SubscribedTopicNames": None},
            "no partitions": {"TopicPartitions": None}, "partitions": {"TopicPartitions": owned},
            "an unknown assignor": {"ServerAssignor": "mine"}, "an empty assignor": {"ServerAssignor": ""},
            "epoch -2 without a name": {"MemberEpoch": -2, "MemberId": "m"}, "epoch -1 of nobody": {"MemberEpoch": -1, "MemberId": "m"},
            "epoch -2 of nobody": {"MemberEpoch": -2, "MemberId": "m", "InstanceId": "i"},
            "epoch -5": {"MemberEpoch": -5, "MemberId": "m"}, "epoch 1 of nobody": {"MemberEpoch": 1, "MemberId": "m"},
            "epoch 1 without an id": {"MemberEpoch": 1, "MemberId": ""},
        }.items():
            if version == 0 and label == "no member id":
                continue
            peer.ask(label, "ConsumerGroupHeartbeat", version, good | {"GroupId": peer.topic(f"{label.replace(' ', '-')}{version}")} | changed)
        if version == 1:
            for label, changed in {
                "a regex": {"SubscribedTopicNames": None, "SubscribedTopicRegex": name[:-1] + "."},
                "a regex that is none": {"SubscribedTopicNames": None, "SubscribedTopicRegex": "("},
                "a regex that finds nothing": {"SubscribedTopicNames": None, "SubscribedTopicRegex": "none.*"},
                "an empty regex": {"SubscribedTopicNames": None, "SubscribedTopicRegex": ""},
                "a regex and names": {"SubscribedTopicRegex": "t.*"},
            }.items():
                group = peer.topic(label.replace(" ", "-"))
                peer.ask(label, "ConsumerGroupHeartbeat", version, good | {"GroupId": group} | changed)
                if label == "a regex":  # Kafka resolves it at the side
                    beat = {"GroupId": group, "MemberId": "m", "MemberEpoch": 1}
                    peer.until(lambda: peer.call("ConsumerGroupHeartbeat", 1, beat)["MemberEpoch"] == 2)
                peer.ask(f"{label}: describe", "ConsumerGroupDescribe", 1, {"GroupIds": [group]})


@case
def groups_of_two_kinds(peer):
    """What each protocol is told of the other's groups."""
    peer.coordinate()
    name = peer.create_for_groups("t", 2)
    consumers = peer.topic("consumers")
    peer.ask("a consumer", "ConsumerGroupHeartbeat", 1, {
        "GroupId": consumers, "MemberId": "m", "MemberEpoch": 0, "RebalanceTimeoutMs": SESSION_MS,
        "SubscribedTopicNames": [name], "TopicPartitions": []})
    for version in (0, 9):
        peer.ask("an unreadable classic member joins", "JoinGroup", version, joining(consumers, protocols=(("range", b"?"),), version=version))
        peer.ask("a member of Connect joins", "JoinGroup", version, joining(consumers, kind="connect", version=version))
        peer.ask("a member never given joins", "JoinGroup", version, joining(consumers, "never", protocols=(("range", subscription(name)),), version=version))
    peer.ask("a beat of nobody", "Heartbeat", 4, {"GroupId": consumers, "GenerationId": 1, "MemberId": "nobody"})
    peer.ask("a classic beat of a consumer", "Heartbeat", 4, {"GroupId": consumers, "GenerationId": 1, "MemberId": "m"})
    peer.ask("a sync of nobody", "SyncGroup", 5, syncing(consumers, 1, "nobody"))
    peer.ask("a sync of a consumer", "SyncGroup", 5, syncing(consumers, 1, "m"))
    peer.ask("leave of nobody", "LeaveGroup", 5, leaving(consumers, "nobody"))
    classic = peer.topic("classic")
    alone(peer, "classic", classic, protocols=(("range", subscription(name)),))
    peer.ask("a beat of nobody in a classic group", "ConsumerGroupHeartbeat", 1, {"GroupId": classic, "MemberId": "m", "MemberEpoch": 3})
    peer.ask("a leave of nobody in a classic group", "ConsumerGroupHeartbeat", 1, {"GroupId": classic, "MemberId": "m", "MemberEpoch": -1})
    peer.ask("describe both", "ConsumerGroupDescribe", 1, {"GroupIds": [classic, consumers, peer.topic("none"), ""]})
    describe(peer, "both", classic, consumers, peer.topic("none"), "")
