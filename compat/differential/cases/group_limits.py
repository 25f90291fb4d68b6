"""Members of classic groups at the limits: of what fits, and of their time. Times that are waited for are at least a second away
from those that are not to be over."""

import time

from .groups import alone, describe, joining, leaving, syncing
from .mark import case

LARGE = 2 << 20
# A subscription to nothing, and more. (What is none at all may hang a group of Kafka's.)
MUCH = bytes(LARGE)
LONG = "x" * 40_000
# The shortest that a broker takes.
SHORT_S = 6


@case
def classic_too_large(peer):
    """What does not fit the group's record: an assignment, what a member says, and what a static member says that is back."""
    peer.coordinate()
    group = peer.topic("assignment")
    member, generation = alone(peer, "small", group)
    again = peer.ask("joins again", "JoinGroup", 9, joining(group, member))
    peer.ask("assigns too much", "SyncGroup", 5, syncing(group, again["GenerationId"], member, [(member, b"x" * LARGE)]))
    beat = {"GroupId": group, "GenerationId": again["GenerationId"], "MemberId": member}
    peer.ask("beats after it", "Heartbeat", 4, beat)
    describe(peer, "after it", group)
    again = peer.ask("joins after it", "JoinGroup", 9, joining(group, member))
    peer.ask("assigns little", "SyncGroup", 5, syncing(group, again["GenerationId"], member, [(member, b"x")]))
    describe(peer, "at the end", group)

    group = peer.topic("metadata")
    member, generation = alone(peer, "metadata", group, protocols=(("range", MUCH),))
    peer.ask("metadata: beats", "Heartbeat", 4, {"GroupId": group, "GenerationId": generation, "MemberId": member})
    peer.ask("metadata: leaves", "LeaveGroup", 5, leaving(group, member))
    describe(peer, "metadata: left", group)

    group = peer.topic("static")
    member, generation = alone(peer, "static", group, instance="i")
    peer.ask("static: is back with much", "JoinGroup", 9, joining(group, instance="i", protocols=(("range", MUCH),)))
    beat = {"GroupId": group, "GenerationId": generation, "MemberId": member, "GroupInstanceId": "i"}
    peer.ask("static: the old one beats", "Heartbeat", 4, beat)
    peer.ask("static: the old one syncs", "SyncGroup", 5, syncing(group, generation, member, GroupInstanceId="i"))


@case
def classic_too_long(peer):
    """Names that are longer than any record can have."""
    peer.coordinate()
    peer.ask("an instance id", "JoinGroup", 9, joining(peer.topic("g1"), instance=LONG))
    peer.ask("an instance id that is too long with its end", "JoinGroup", 9, joining(peer.topic("g2"), instance="x" * 32_740))
    peer.ask("a member id", "JoinGroup", 9, joining(peer.topic("g3"), member=LONG))
    group = peer.topic("pending")
    given = peer.ask("a member id is given", "JoinGroup", 9, joining(group))
    peer.ask("and used as a static one", "JoinGroup", 9, joining(group, given["MemberId"], instance="i"))
    describe(peer, "pending", group)


@case
def classic_times(peer):
    """Sessions and rebalances that are over."""
    peer.coordinate()
    short = {"SessionTimeoutMs": SHORT_S * 1000, "RebalanceTimeoutMs": SHORT_S * 1000}
    silent, pending, unsynced = peer.topic("silent"), peer.topic("pending"), peer.topic("unsynced")
    member, generation = alone(peer, "silent", silent, **short)
    given = peer.ask("pending: is given an id", "JoinGroup", 9, joining(pending, **short))
    joined = peer.ask("unsynced: is given an id", "JoinGroup", 9, joining(unsynced))
    patient = {"SessionTimeoutMs": 60_000, "RebalanceTimeoutMs": SHORT_S * 1000}
    joined = peer.ask("unsynced: joins", "JoinGroup", 9, joining(unsynced, joined["MemberId"], **patient))
    time.sleep(SHORT_S - 2)
    beat = lambda group, member, generation: {"GroupId": group, "GenerationId": generation, "MemberId": member}
    peer.ask("silent: beats in time", "Heartbeat", 4, beat(silent, member, generation))
    peer.ask("unsynced: beats in time", "Heartbeat", 4, beat(unsynced, joined["MemberId"], joined["GenerationId"]))
    describe(peer, "in time", silent, pending, unsynced)
    time.sleep(4)
    peer.ask("pending: joins too late", "JoinGroup", 9, joining(pending, given["MemberId"], **short))
    peer.ask("unsynced: beats too late", "Heartbeat", 4, beat(unsynced, joined["MemberId"], joined["GenerationId"]))
    peer.ask("silent: a beat counts", "Heartbeat", 4, beat(silent, member, generation))
    describe(peer, "later", silent, pending, unsynced)
    time.sleep(SHORT_S + 2)
    peer.ask("silent: beats too late", "Heartbeat", 4, beat(silent, member, generation))
    describe(peer, "at the end", silent, pending, unsynced)
