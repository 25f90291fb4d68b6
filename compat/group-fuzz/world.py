"""The two brokers, asked the same one request after the other; what is known of the members; and the comparison."""

import select
import time
import uuid
from collections import Counter
from dataclasses import dataclass

import known
from differences import differ, short
from known import UNANSWERED
from peer import MADE_ID
from said import assigned, name, on

GROUPS, SLOTS = 2, 5
QUIET_S = 0.05  # after this, what waits is taken to wait for another request
LIMIT_OF_KNOWN_S = 1.5
SHOWN = 6
# UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH, STALE_MEMBER_EPOCH: a member of the consumer protocol begins anew.
THROWN_OUT = (25, 82, 110, 113)


@dataclass
class Slot:
    """One who may be a member, as the real Kafka's last answers have it."""

    epoch: int = -1
    is_waiting: bool = False
    protocol: str = None  # "classic" or "consumer", of its last answer without an error
    instance: str = None
    offered: tuple = None  # protocol type and protocols, as it joins the classic protocol
    chosen: tuple = (None, None)  # protocol type and name of its generation
    owned: list = None


@dataclass
class Asked:
    """A request to both, and what has come back so far."""

    step: object
    lines: list
    answers: list

    def missing(self):
        return sum(each is None for each in self.answers)

    def close(self):
        """Hangs up where no answer has come."""
        for line, answer in zip(self.lines, self.answers):
            if answer is None:
                line.close()


class World:
    """One round. Invariant: until `difference` is set or `is_over`, both sides have answered the same, but for known differences.

    A member's made id is random, and the brokers go by the order of ids. So each JoinGroup comes with a client id of its own, which
    its id begins with in a classic group: the order is the same on both. In a consumer group nothing comes before the random
    part: an id that has another place in the order on each is not used, and where it is a member already, the round is over."""

    def __init__(self, tag, sides, met, limit_s=10):
        self.tag, self.sides, self.met, self.limit_s = tag, sides, met, limit_s
        self.slots = {(g, n): Slot() for g in range(GROUPS) for n in range(SLOTS)}
        self.ids = [{}, {}]  # for each side: slot -> its id
        self._names = [{}, {}]  # for each side: id that it made -> what it is called here
        self._used = [[set(), set()] for _ in range(GROUPS)]  # of each group, for each side: the ids of its members so far
        self._born = Counter()
        self.leaders = {}  # group -> who led it last
        self.may_be_classic = set()
        self.was_classic = False  # whether the group of the last heartbeat of the consumer protocol may have been, before it
        self.refused = set()  # groups that a member of the classic protocol was refused by since their epoch was seen
        self.last_codes = {}  # API -> the error code that it was answered with last
        self._waiting = []
        self.steps, self.told = [], []  # of each step; what was answered and when, as lines
        self.difference, self.is_over = None, False  # (api, text)
        self.kills = 0

    def group(self, number):
        return f"{self.tag}-{number}"

    def close(self):
        for asked in self._waiting:
            asked.close()
        self._waiting = []

    # Asking.

    def play(self, step):
        """Has both do it, and compares what they answer to this and to what has waited."""
        self.steps.append(step)
        self.told.append(f"{len(self.steps):3} {step}")
        if step.api == "kill":
            return self._kill()
        if step.api == "ConsumerGroupHeartbeat":
            for ids in self.ids:  # these choose their ids
                ids.setdefault(step.slot, f"~{self.tag}-{name(step.slot)}")
        lines = []
        for n, side in enumerate(self.sides):
            lines.append(side.start(step.api, step.version, on(step.fields, self, n), step.client_id))
        self._waiting.append(Asked(step, lines, [None, None]))
        if step.slot is not None:
            self.slots[step.slot].is_waiting = True
        self._settle()

    def _settle(self):
        """Returns when both have answered the same requests, and nothing has come for a while; or where one is late."""
        start = quiet = time.monotonic()
        while self._waiting:
            now = time.monotonic()
            uneven = [each for each in self._waiting if each.missing() == 1]
            if not uneven and now > quiet + QUIET_S:
                break
            limit = LIMIT_OF_KNOWN_S if uneven and all(self._known(each) for each in uneven) else self.limit_s
            if uneven and now > start + limit:
                break
            if self._poll():
                quiet = time.monotonic()
            for asked in [each for each in self._waiting if not each.missing()]:
                self._waiting.remove(asked)
                self._compare(asked)
                self._learn(asked)
                if self.difference:
                    return
        for asked in [each for each in self._waiting if each.missing() == 1]:
            self._waiting.remove(asked)
            asked.close()
            self._compare(asked)

    def _poll(self):
        """Takes the answers that are there, and waits a little where there is none; returns whether one came."""
        open_lines = [(line, asked, n) for asked in self._waiting for n, line in enumerate(asked.lines) if asked.answers[n] is None]
        ready = select.select([line for line, _, _ in open_lines], [], [], QUIET_S / 2)[0]
        came = False
        for line, asked, n in open_lines:
            if line in ready and (answer := line.poll()) is not None:
                if isinstance(answer, dict):
                    answer = self.sides[n].done(line, answer)
                asked.answers[n] = answer
                came = True
        return came

    def _kill(self):
        """Both are killed and started again. Who waited is forgotten."""
        self.kills += 1
        self.close()
        for slot in self.slots.values():
            slot.is_waiting = False
        for side in self.sides:
            side.hang_up_all()
            side.broker.kill()
        for side in self.sides:
            side.broker.launch()
        for side in self.sides:
            side.broker.await_serving()
            side.ready()
            side.coordinate()
            side.until(lambda: all(each["ErrorCode"] != 14 for each in self._offsets(side)["Groups"]), 30)  # COORDINATOR_LOAD_IN_PROGRESS

    def _offsets(self, side):
        return side.call("OffsetFetch", 8, {"Groups": [{"GroupId": self.group(n), "Topics": None} for n in range(GROUPS)]})

    # Learning from the answers.

    def _learn(self, asked):
        step, answers = asked.step, asked.answers
        if step.slot is None:
            return
        slot = self.slots[step.slot]
        slot.is_waiting = False
        if not all(isinstance(answer, dict) for answer in answers):
            return
        answer = answers[1]
        if step.api == "JoinGroup" and answer["ErrorCode"] == 0:
            slot.epoch, slot.protocol = answer["GenerationId"], "classic"
            slot.chosen = answer.get("ProtocolType") or "consumer", answer["ProtocolName"]
            slot.instance = step.fields.get("GroupInstanceId")
        elif step.api == "ConsumerGroupHeartbeat" and answer["ErrorCode"] == 0:
            slot.epoch, slot.protocol = answer["MemberEpoch"], "consumer"
            slot.instance = step.fields.get("InstanceId") or slot.instance
            if answer["Assignment"] is not None:
                topics = self.sides[1].topic_ids
                slot.owned = [(topics.get(each["TopicId"], "?"), each["Partitions"]) for each in answer["Assignment"]["TopicPartitions"]]
        elif step.api == "ConsumerGroupHeartbeat" and answer["ErrorCode"] in THROWN_OUT:
            slot.epoch, slot.protocol, slot.owned = 0, None, None

    def _learn_ids(self, step, answers):
        """An id that a broker has made gets a name, which is the same on both."""
        if step.api != "JoinGroup" or not all(isinstance(each, dict) and each["ErrorCode"] in (0, known.MEMBER_ID_REQUIRED) for each in answers):
            return
        if any(each["MemberId"] not in names for each, names in zip(answers, self._names)):
            self._born[step.slot] += 1
        for answer, names in zip(answers, self._names):
            if MADE_ID.search(answer["MemberId"]):
                names.setdefault(answer["MemberId"], f"made id {self._born[step.slot]} of {name(step.slot)}")
        used = [{*ids, answer["MemberId"]} for ids, answer in zip(self._used[step.slot[0]], answers)]
        orders = [[names.get(each, each) for each in sorted(ids)] for ids, names in zip(used, self._names)]
        if orders[0] != orders[1]:
            if all(answer["ErrorCode"] == known.MEMBER_ID_REQUIRED for answer in answers):
                return
            self.is_over = True
            self.met[known.ORDER] += 1
        self._used[step.slot[0]] = used
        for answer, ids in zip(answers, self.ids):
            ids[step.slot] = answer["MemberId"]

    def _learn_kind(self, step, answer):
        """Keeps track of which groups may be classic ones: a group can become one whenever a member goes or is replaced."""
        if step.api == "ConsumerGroupHeartbeat":
            self.was_classic = step.slot[0] in self.may_be_classic
        if isinstance(answer, dict) and "ErrorCode" in answer:
            self.last_codes[step.api] = answer["ErrorCode"]
            if step.api == "JoinGroup" and answer["ErrorCode"] == known.UNKNOWN_MEMBER_ID:
                self.refused.add(step.slot[0])
            elif step.api == "ConsumerGroupHeartbeat" and answer["ErrorCode"] == 0 and answer["MemberEpoch"] > 2:
                self.refused.discard(step.slot[0])
        if step.slot is None or not isinstance(answer, dict) or answer["ErrorCode"]:
            if step.api == "LeaveGroup":
                self.may_be_classic.update(range(GROUPS))
        elif step.api == "JoinGroup" and not answer["Leader"] and step.fields.get("GroupInstanceId") is None:
            self.may_be_classic.discard(step.slot[0])
        elif step.api == "ConsumerGroupHeartbeat" and answer["MemberEpoch"] > 0:
            self.may_be_classic.discard(step.slot[0])
        else:
            self.may_be_classic.add(step.slot[0])

    # Comparing.

    def _compare(self, asked):
        step = asked.step
        answers = [UNANSWERED if each is None else each for each in asked.answers]
        self._learn_ids(step, answers)
        tested, kafka = (self._plain(n, step.api, answer) for n, answer in enumerate(answers))
        self.told.append(f"      {step.api}{'' if step.slot is None else ' by ' + name(step.slot)}: {tested}")
        self._learn_kind(step, kafka)
        if tested != kafka:
            self.told.append(f"      Kafka: {kafka}")
            self._differ(step, tested, kafka)
        elif step.api == "JoinGroup" and isinstance(kafka, dict) and kafka["ErrorCode"] == 0:
            self.leaders[step.slot[0]] = kafka["Leader"]

    def _differ(self, step, tested, kafka):
        meant = known.known(self, step, tested, kafka)
        if meant:
            self.met[meant] += 1
            self.is_over = self.is_over or meant.ends_round
            if step.slot is not None:
                self.slots[step.slot].is_waiting = False
            return
        lines = [f"{path or 'the answer'}\n           {self.sides[0].broker.kind}: {short(mine)}\n           kafka:  {short(its)}" for path, mine, its in differ(tested, kafka)]
        self.difference = step.api, f"{step}:\n         " + "\n         ".join(lines[:SHOWN])
        self.is_over = True

    def _known(self, asked):
        answers = [UNANSWERED if each is None else self._plain(n, asked.step.api, each) for n, each in enumerate(asked.answers)]
        return known.known(self, asked.step, *answers)

    def has_offsets(self, group):
        """Whether Kafka has committed offsets of a group, by its name."""
        told = self.sides[1].call("OffsetFetch", 8, {"Groups": [{"GroupId": group, "Topics": None}]})["Groups"][0]
        return bool(told["Topics"])

    def _plain(self, n, api, answer):
        """The answer with all replaced that has to differ, in an order that does not depend on that."""
        if api == "ListGroups" and isinstance(answer, dict):
            own = [self.group(number) for number in range(GROUPS)]
            answer = {**answer, "Groups": [each for each in answer["Groups"] if each["GroupId"] in own]}
        return self._replaced(n, answer)

    def _replaced(self, n, value, field=""):
        if isinstance(value, dict):
            return {key: self._replaced(n, each, key) for key, each in value.items()}
        if isinstance(value, list):
            return sorted((self._replaced(n, each, field) for each in value), key=repr)
        if isinstance(value, uuid.UUID):
            return self.sides[n].topic_ids.get(value, "an id") if value.int else "no id"
        if isinstance(value, bytes):
            return assigned(value) if field in ("Assignment", "MemberAssignment") else value.hex()
        if field in ("MemberId", "Leader") and value and MADE_ID.search(value):
            return self._names[n].get(value, "a made id")
        if field == "ErrorMessage":
            return value and "a text"
        return value
