"""What a step says by name, because it is another thing on each broker or in each replay: groups, members' ids, epochs, topic ids; and
what members tell each other, readable. A step is made of these and of plain values, so that it can be told, and played again
in a world where some other steps were left out."""

import struct
import uuid
from dataclasses import dataclass

import wire

UNKNOWN_TOPIC = uuid.UUID(int=99)
INT32 = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True)
class Step:
    """One request, or `kill`: both brokers are killed and started again. `slot` is (group, number) of who asks, where the answer
    is about it."""

    api: str
    version: int = 0
    fields: dict = None
    client_id: str = "looks"
    slot: tuple = None

    def __str__(self):
        who = "" if self.slot is None else f" by {name(self.slot)}"
        return self.api if self.fields is None else f"{self.api} v{self.version}{who} {tell(self.fields)}"


@dataclass(frozen=True)
class Group:
    number: int

    def on(self, world, side):
        return world.group(self.number)

    def __repr__(self):
        return f"group {self.number}"


@dataclass(frozen=True)
class Member:
    """The id that a slot has by now; empty where it has none."""

    slot: tuple

    def on(self, world, side):
        return world.ids[side].get(self.slot, "")

    def __repr__(self):
        return f"id of {name(self.slot)}"


@dataclass(frozen=True)
class Epoch:
    """The generation or the epoch that a slot is in, or one beside it."""

    slot: tuple
    off: int = 0

    def on(self, world, side):
        wanted = world.slots[self.slot].epoch + self.off
        return wanted if wanted in INT32 else 0

    def __repr__(self):
        return f"epoch of {name(self.slot)}{self.off or '':{'+' if self.off else ''}}"


@dataclass(frozen=True)
class Owned:
    """The partitions that a slot was told last that it owns."""

    slot: tuple

    def on(self, world, side):
        return [{"TopicId": Topic(topic).on(world, side), "Partitions": partitions} for topic, partitions in world.slots[self.slot].owned or []]

    def __repr__(self):
        return f"what {name(self.slot)} owns"


@dataclass(frozen=True)
class Topic:
    """The id of a topic."""

    name: str

    def on(self, world, side):
        ids = world.sides[side].topic_ids
        return next((topic_id for topic_id, known in ids.items() if known == self.name), UNKNOWN_TOPIC)

    def __repr__(self):
        return f"id of {self.name}"


@dataclass(frozen=True)
class Subscription:
    """What a member of the classic protocol tells its leader (ConsumerProtocolSubscription)."""

    version: int
    topics: tuple
    owned: tuple  # of (topic, partition)
    generation: int
    rack: str

    def on(self, world, side):
        out = struct.pack(">hi", self.version, len(self.topics)) + b"".join(map(wire.string, self.topics)) + NOTHING
        if self.version >= 1:
            out += by_topic(self.owned)
        if self.version >= 2:
            out += struct.pack(">i", self.generation)
        if self.version >= 3:
            out += wire.string(self.rack)
        return out


@dataclass(frozen=True)
class Assignment:
    """What the leader of a classic group gives a member (ConsumerProtocolAssignment)."""

    version: int
    partitions: tuple  # of (topic, partition)

    def on(self, world, side):
        return struct.pack(">h", self.version) + by_topic(self.partitions) + NOTHING


NOTHING = struct.pack(">i", -1)  # no user data


def by_topic(partitions):
    topics = {}
    for topic, partition in partitions:
        topics.setdefault(topic, []).append(partition)
    told = [wire.string(topic) + struct.pack(f">i{len(each)}i", len(each), *each) for topic, each in sorted(topics.items())]
    return struct.pack(">i", len(told)) + b"".join(told)


def assigned(raw):
    """The assignment in these bytes, whose topics a broker may have in any order; or the bytes, where they are something else."""
    try:
        version, count = struct.unpack_from(">hi", raw)
        at, topics = 6, {}
        for _ in range(count):
            size = struct.unpack_from(">h", raw, at)[0]
            topic, at = raw[at + 2 : at + 2 + size].decode(), at + 2 + size
            length = struct.unpack_from(">i", raw, at)[0]
            topics[topic] = sorted(struct.unpack_from(f">{length}i", raw, at + 4))
            at += 4 + 4 * length
        return {"version": version, "topics": topics, "rest": raw[at:].hex()}
    except (struct.error, UnicodeDecodeError):
        return raw.hex()


def on(value, world, side):
    """The value as this side has to hear it."""
    if isinstance(value, dict):
        return {key: on(each, world, side) for key, each in value.items()}
    if isinstance(value, list):
        return [on(each, world, side) for each in value]
    return value.on(world, side) if hasattr(value, "on") else value


def name(slot):
    return "{}.{}".format(*slot)


def tell(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={tell(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(tell, value)) + "]"
    text = repr(value)
    return text if len(text) < 200 else f"{text[:60]}... ({len(text)} characters)"
