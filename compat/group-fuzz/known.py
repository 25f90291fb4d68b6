"""The differences from Kafka that are meant, or that chance makes: each with its reason, and as narrow as it goes."""

from collections.abc import Callable
from dataclasses import dataclass

UNANSWERED = "no answer"
UNKNOWN_SERVER_ERROR, INCONSISTENT_GROUP_PROTOCOL, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, GROUP_ID_NOT_FOUND = -1, 23, 25, 27, 69
MEMBER_ID_REQUIRED, GROUP_MAX_SIZE_REACHED = 79, 81


@dataclass(frozen=True, eq=False)
class Known:
    reason: str
    api: str = ""
    covers: Callable = None  # takes the world, the step, and both answers
    ends_round: bool = False  # where the two groups are not the same any more


def has(answer, **fields):
    return isinstance(answer, dict) and all(answer.get(name, "") == value for name, value in fields.items())


def but_for(answer, *names):
    return {name: value for name, value in answer.items() if name not in names}


def left_waiting(world, step, tested, kafka):
    return kafka == UNANSWERED and (has(tested, ErrorCode=UNKNOWN_MEMBER_ID) or has(tested, ErrorCode=REBALANCE_IN_PROGRESS))


def another_leader(world, step, tested, kafka):
    if not (has(tested, ErrorCode=0) and has(kafka, ErrorCode=0)) or tested["Leader"] == kafka["Leader"]:
        return False
    last = world.leaders.get(step.slot[0])
    is_new = last not in (tested["Leader"], kafka["Leader"])
    return is_new and but_for(tested, "Leader", "Members") == but_for(kafka, "Leader", "Members")


def thrown_out_with_partitions(world, step, tested, kafka):
    says_what_it_has = any(getattr(each["Metadata"], "owned", ()) for each in step.fields["Protocols"][:1])
    return says_what_it_has and has(tested, ErrorCode=UNKNOWN_MEMBER_ID) and has(kafka, ErrorCode=0, Leader="")


def generation_before(world, step, tested, kafka):
    both = has(tested, ErrorCode=0) and has(kafka, ErrorCode=0, Leader="") and "GroupInstanceId" in step.fields
    return both and tested["GenerationId"] > kafka["GenerationId"] and but_for(tested, "GenerationId") == but_for(kafka, "GenerationId")


def told_that_it_leads(world, step, tested, kafka):
    names = "Leader", "SkipAssignment", "Members"
    both = has(tested, ErrorCode=0, SkipAssignment=True) and has(kafka, ErrorCode=0, Leader="") and "GroupInstanceId" in step.fields
    return both and tested["Leader"] == tested["MemberId"] and but_for(tested, *names) == but_for(kafka, *names)


def converted_with_old_subscription(world, step, tested, kafka):
    are_sound = has(tested, ErrorCode=0) and has(kafka, ErrorCode=0) and step.fields["MemberEpoch"] == 0
    return world.was_classic and are_sound and tested["MemberEpoch"] == kafka["MemberEpoch"] + 1


def begun_anew(world, step, tested, kafka):
    if step.slot[0] not in world.refused:
        return False
    if has(kafka, ErrorCode=GROUP_ID_NOT_FOUND):
        return has(tested, ErrorCode=UNKNOWN_MEMBER_ID)
    are_sound = has(tested, ErrorCode=0) and has(kafka, ErrorCode=0) and step.fields["MemberEpoch"] == 0
    return are_sound and kafka["MemberEpoch"] <= 2 < tested["MemberEpoch"]


def not_described(world, step, tested, kafka):
    forgotten = [world.group(number) for number in world.refused]
    pairs = list(zip(*(sorted(answer["Groups"], key=lambda each: each["GroupId"]) for answer in (tested, kafka))))
    return all(mine == its or has(mine, GroupState="Empty") and has(its, ErrorCode=GROUP_ID_NOT_FOUND) and its["GroupId"] in forgotten for mine, its in pairs)


def forgotten_before_deleted(world, step, tested, kafka):
    forgotten = [world.group(number) for number in world.refused]
    pairs = list(zip(*(sorted(answer["Results"], key=lambda each: each["GroupId"]) for answer in (tested, kafka))))
    return all(mine == its or has(mine, ErrorCode=0) and has(its, ErrorCode=GROUP_ID_NOT_FOUND, GroupId=mine["GroupId"]) and mine["GroupId"] in forgotten for mine, its in pairs)


def not_written_yet(world, step, tested, kafka):
    pairs = list(zip(*(sorted(answer["Groups"], key=lambda each: each["GroupId"]) for answer in (tested, kafka))))
    is_new = world.last_codes.get("JoinGroup") == MEMBER_ID_REQUIRED
    return is_new and all(mine == its or has(mine, GroupState="Empty", Members=[]) and has(its, GroupState="Dead") for mine, its in pairs)


def not_converted(world, step, tested, kafka):
    return world.was_classic and step.fields["MemberEpoch"] == 0 and tested["ErrorCode"] in (0, GROUP_ID_NOT_FOUND) and has(kafka, ErrorCode=UNKNOWN_SERVER_ERROR)


def told_of_no_rebalance(world, step, tested, kafka):
    return tested == UNANSWERED and has(kafka, ErrorCode=REBALANCE_IN_PROGRESS) and world.last_codes.get("ConsumerGroupHeartbeat") == GROUP_ID_NOT_FOUND


def joined_without_the_last(world, step, tested, kafka):
    return has(tested, ErrorCode=0) and kafka == UNANSWERED and world.last_codes.get("JoinGroup") == GROUP_MAX_SIZE_REACHED


def was_made_of_offsets(world, group):
    """Whether a group of Kafka's may be left of offsets that were deleted."""
    return any(step.api == "OffsetDelete" for step in world.steps) and not world.has_offsets(group)


def gone_from_list(world, step, tested, kafka):
    gone = [each for each in kafka["Groups"] if each not in tested["Groups"]]
    are_left = all(each["ProtocolType"] == "" and was_made_of_offsets(world, each["GroupId"]) for each in gone)
    return are_left and but_for(tested, "Groups") == but_for(kafka, "Groups") and len(tested["Groups"]) + len(gone) == len(kafka["Groups"])


def gone_from_description(world, step, tested, kafka):
    pairs = list(zip(*(sorted(answer["Groups"], key=lambda each: each["GroupId"]) for answer in (tested, kafka))))
    return all(
        mine == its or mine["GroupState"] == "Dead" and has(its, ErrorCode=0, GroupState="Empty", ProtocolType="") and was_made_of_offsets(world, its["GroupId"])
        for mine, its in pairs
    )


def gone_before_deleted(world, step, tested, kafka):
    pairs = list(zip(*(sorted(answer["Results"], key=lambda each: each["GroupId"]) for answer in (tested, kafka))))
    return all(mine == its or has(mine, ErrorCode=GROUP_ID_NOT_FOUND) and has(its, ErrorCode=0) and was_made_of_offsets(world, its["GroupId"]) for mine, its in pairs)


def gone_before_its_offsets(world, step, tested, kafka):
    return has(tested, ErrorCode=GROUP_ID_NOT_FOUND) and has(kafka, ErrorCode=0) and was_made_of_offsets(world, step.fields["GroupId"].on(world, 1))


def gone_before_joined(world, step, tested, kafka):
    is_unsound = not step.fields["ProtocolType"] or not step.fields["Protocols"]
    are_codes = has(tested, ErrorCode=UNKNOWN_MEMBER_ID) and has(kafka, ErrorCode=INCONSISTENT_GROUP_PROTOCOL)
    return is_unsound and are_codes and was_made_of_offsets(world, step.fields["GroupId"].on(world, 1))


MADE_OF_OFFSETS = (
    "A group that is made of offsets only goes with the last of them; Kafka shows it as empty until it looks for expired ones, or restarts."
)
LEFT_WAITING = "Who leaves, or is replaced, while it waits for others is told so at once; Kafka forgets that it waits and lets it time out."
FORGOTTEN = "An empty consumer group stays as it is where a member of the classic protocol is refused; Kafka has forgotten it by then."
NO_REBALANCE = "Where a classic group cannot become a consumer group, nothing happens; Kafka has told those who wait to join again by then."
ORDER = Known("An id that a consumer group makes is random, and who is given what goes by the order of ids.", ends_round=True)
OF_UNANSWERED = (left_waiting, told_of_no_rebalance, joined_without_the_last)

KNOWN = [
    Known(LEFT_WAITING, "JoinGroup", left_waiting),
    Known(LEFT_WAITING, "SyncGroup", left_waiting),
    Known(
        "Where the leader has gone, Kafka has the member lead that comes first by the hash of its id, which is random.",
        "JoinGroup",
        another_leader,
        ends_round=True,
    ),
    Known(
        "Who is no member of a consumer group and says that it has partitions was thrown out: it has to let go of them first. Kafka takes it in.",
        "JoinGroup",
        thrown_out_with_partitions,
        ends_round=True,
    ),
    Known(
        "A static member that comes to the classic protocol with another subscription is told its group's generation; Kafka tells it an older one.",
        "JoinGroup",
        generation_before,
        ends_round=True,
    ),
    Known(
        "The static member by which a group comes back to the classic protocol is told that it leads, to look for new topics; Kafka tells nobody.",
        "JoinGroup",
        told_that_it_leads,
    ),
    Known(FORGOTTEN, "ConsumerGroupHeartbeat", begun_anew, ends_round=True),
    Known(FORGOTTEN, "ConsumerGroupDescribe", not_described, ends_round=True),
    Known(FORGOTTEN, "DeleteGroups", forgotten_before_deleted, ends_round=True),
    Known(
        "A group that somebody is invited to is described at once; Kafka answers its invitation before the group is written.",
        "DescribeGroups",
        not_written_yet,
    ),
    Known(
        "A classic group that becomes a consumer group rebalances; Kafka's does not where who joins brings no new subscription.",
        "ConsumerGroupHeartbeat",
        converted_with_old_subscription,
        ends_round=True,
    ),
    Known(
        "Kafka fails with UNKNOWN_SERVER_ERROR on making a consumer group of some classic groups that are about to rebalance.",
        "ConsumerGroupHeartbeat",
        not_converted,
        ends_round=True,
    ),
    Known(
        "Where the last one that a rebalance waits for is refused, because the group is too large, the others have all joined; Kafka waits on.",
        "JoinGroup",
        joined_without_the_last,
        ends_round=True,
    ),
    Known(NO_REBALANCE, "JoinGroup", told_of_no_rebalance, ends_round=True),
    Known(NO_REBALANCE, "SyncGroup", told_of_no_rebalance, ends_round=True),
    Known(MADE_OF_OFFSETS, "ListGroups", gone_from_list),
    Known(MADE_OF_OFFSETS, "DescribeGroups", gone_from_description),
    Known(MADE_OF_OFFSETS, "DeleteGroups", gone_before_deleted),
    Known(MADE_OF_OFFSETS, "OffsetDelete", gone_before_its_offsets),
    Known(MADE_OF_OFFSETS, "JoinGroup", gone_before_joined),
]


def known(world, step, tested, kafka):
    are_answers = isinstance(tested, dict) and isinstance(kafka, dict)
    fitting = (each for each in KNOWN if each.api == step.api and (are_answers or each.covers in OF_UNANSWERED))
    return next((each for each in fitting if each.covers(world, step, tested, kafka)), None)
