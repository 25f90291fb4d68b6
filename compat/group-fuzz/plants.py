"""Mistakes planted in the answers of the broker under test. The comparison has to find each before it is believed."""


def epoch(api, answer):
    """A member of the consumer protocol is told an epoch one too high."""
    if api == "ConsumerGroupHeartbeat" and answer["MemberEpoch"] > 1:
        return {**answer, "MemberEpoch": answer["MemberEpoch"] + 1}
    return answer


def code(api, answer):
    """ILLEGAL_GENERATION for REBALANCE_IN_PROGRESS."""
    return {**answer, "ErrorCode": 22} if api in ("Heartbeat", "SyncGroup") and answer["ErrorCode"] == 27 else answer


def empty_assignment(api, answer):
    """A member is told that it owns nothing."""
    return {**answer, "Assignment": b""} if api == "SyncGroup" else answer


def revoked(api, answer):
    """The last partition of each topic stays with whom it is taken from."""
    if api == "ConsumerGroupHeartbeat" and answer["Assignment"]:
        topics = [{**each, "Partitions": each["Partitions"][:-1]} for each in answer["Assignment"]["TopicPartitions"]]
        return {**answer, "Assignment": {"TopicPartitions": topics}}
    return answer


def offset(api, answer):
    """Committed offsets are one too high."""
    if api != "OffsetFetch":
        return answer

    def off(value):
        if isinstance(value, list):
            return [off(each) for each in value]
        if isinstance(value, dict):
            return {key: each + 1 if key == "CommittedOffset" and each >= 0 else off(each) for key, each in value.items()}
        return value

    return off(answer)


def identity(api, answer):
    """A member that joins again is given another id."""
    if api == "JoinGroup" and answer["ErrorCode"] == 0 and answer["GenerationId"] > 2:
        return {**answer, "MemberId": f"{answer['MemberId'][:-4]}0000"}
    return answer


def gone(api, answer):
    """A group is not listed."""
    return {**answer, "Groups": answer["Groups"][:0]} if api == "ListGroups" else answer


PLANTS = {"epoch": epoch, "code": code, "empty-assignment": empty_assignment, "revoked": revoked, "offset": offset, "identity": identity, "gone": gone}
