"""The differences from Kafka that are meant, or that chance makes: each with its reason, and as narrow as it goes."""

from collections.abc import Callable
from dataclasses import dataclass

UNANSWERED = "no answer"
UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS = 25, 27


@dataclass(frozen=True, eq=False)
class Known:
    reason: str
    apis: tuple
    covers: Callable  # of the two answers, and of who led the group last, or None
    ends_round: bool = False  # where the two groups are not the same any more


def left_waiting(tested, kafka, leader):
    return kafka == UNANSWERED and isinstance(tested, dict) and tested["ErrorCode"] in (UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS)


def another_leader(tested, kafka, leader):
    if not all(isinstance(each, dict) and each["ErrorCode"] == 0 for each in (tested, kafka)):
        return False
    is_new = leader is not None and leader not in (tested["Leader"], kafka["Leader"])
    return is_new and tested["Leader"] != kafka["Leader"] and without(tested) == without(kafka)


def without(answer):
    return {key: each for key, each in answer.items() if key not in ("Leader", "Members")}


KNOWN = [
    Known(
        "Who leaves, or is replaced, while it waits for others is told so at once; Kafka forgets that it waits and lets it time out.",
        ("JoinGroup", "SyncGroup"),
        left_waiting,
    ),
    Known(
        "Where the leader has gone, Kafka has the member lead that comes first by the hash of its id, which is random.",
        ("JoinGroup",),
        another_leader,
        ends_round=True,
    ),
]


def known(api, tested, kafka, leader):
    return next((each for each in KNOWN if api in each.apis and each.covers(tested, kafka, leader)), None)
