"""Reads a partition from its beginning to its end, and judges: against what was acknowledged, against what each producer sent,
and against what a consumer saw on the way."""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field

import records
from letters import Letters, sender
from connection import Connection

MIB = 1 << 20
SHOWN = 5


@dataclass
class Verdict:
    """What was found in a partition. Counts are of messages."""

    stored: int = 0
    lost: int = 0  # acknowledged, and not there
    twice: int = 0  # of an idempotent producer
    again: int = 0  # of one that is not, whose repetitions are stored, as in Kafka
    disordered: int = 0  # not in the order of sending, or not at the offset that was acknowledged
    changed: int = 0  # not what was sent
    kcat_differs: bool = False
    faults: list = field(default_factory=list)

    def __iadd__(self, other):
        for name in ("stored", "lost", "twice", "again", "disordered", "changed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kcat_differs = self.kcat_differs or other.kcat_differs
        self.faults += other.faults
        return self

    @property
    def is_good(self):
        return not (self.lost or self.twice or self.disordered or self.changed or self.kcat_differs or self.faults)

    def fault(self, text):
        if len(self.faults) < SHOWN:
            self.faults.append(text)


class Lane:
    """The messages of one producer in one partition. Invariant: seen were all numbers below `next` but for `missing`."""

    def __init__(self):
        self.next, self.missing = 0, set()

    def take(self, number):
        """Returns "next", "early" where earlier ones are still missing, or "again"."""
        if number == self.next:
            self.next += 1
            return "next"
        if number > self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
            return "early"
        if number in self.missing:
            self.missing.remove(number)
            return "early"
        return "again"

    def lacks(self, first, count):
        """How many of these were never seen."""
        return max(0, first + count - max(first, self.next)) + sum(first <= number < first + count for number in self.missing)


def judge(port, topic, partition, pool, acknowledged, is_idempotent, seen):
    """`acknowledged` holds (offset or -1, producer, first number, count) of each batch; `seen` what the consumer saw."""
    verdict, letters, lanes = Verdict(), Letters(pool), {}
    due = Due(sorted(batch for batch in acknowledged if batch[0] >= 0))
    digest, by_kcat = hashlib.sha256(), hashlib.sha256()
    name, following = f"{topic}-{partition}", 0
    for header, raw in read(port, topic, partition):
        if following == seen["next"] and digest.hexdigest() != seen["digest"]:
            verdict.fault(f"{name}: not what a consumer read before, somewhere below offset {following}")
        if header.base_offset != following:
            verdict.fault(f"{name}: offset {header.base_offset} follows on {following - 1}")
        if not records.is_sound(header, raw):
            verdict.changed += header.count
            verdict.fault(f"{name}: the batch at offset {header.base_offset} has a wrong checksum")
            break
        digest.update(raw)
        for record in records.opened(header, raw):
            verdict.stored += 1
            by_kcat.update(b"%d %d %b\n" % (record.offset, len(record.value), record.value))
            who = sender(record.value)
            if who is None or who[1] != partition or record.value != letters.value(*who):
                verdict.changed += 1
                verdict.fault(f"{name}: offset {record.offset} is not what was sent: {record.value[:40]!r}")
                continue
            producer, _, number = who
            come = lanes.setdefault(producer, Lane()).take(number)
            if come == "early":
                verdict.disordered += 1
                verdict.fault(f"{name}: offset {record.offset}: message {number} of producer {producer} before or after its time")
            elif come == "again":
                if is_idempotent:
                    verdict.twice += 1
                    verdict.fault(f"{name}: offset {record.offset}: message {number} of producer {producer} again")
                else:
                    verdict.again += 1
            told = due.at(record.offset)
            if told is not None and told != (producer, number):
                verdict.disordered += 1
                verdict.fault(f"{name}: offset {record.offset} was acknowledged for {told}, and has {(producer, number)}")
        following = header.base_offset + header.last_offset_delta + 1
    if following < seen["next"]:
        verdict.fault(f"{name}: ends at {following}, a consumer had read to {seen['next']}")
    elif following == seen["next"] and digest.hexdigest() != seen["digest"]:
        verdict.fault(f"{name}: not what a consumer read before")
    for _, producer, first, count in acknowledged:
        lacking = lanes.get(producer, Lane()).lacks(first, count)
        verdict.lost += lacking
        if lacking:
            verdict.fault(f"{name}: {lacking} of the {count} messages from {first} on of producer {producer} were acknowledged and are lost")
    if shutil.which("kcat"):
        verdict.kcat_differs = kcat(port, topic, partition) != by_kcat.hexdigest()
    return verdict


class Due:
    """What was acknowledged for each offset, asked for in the order of offsets."""

    def __init__(self, batches):
        self._batches, self._at = batches, 0

    def at(self, offset):
        while self._at < len(self._batches) and sum(self._batches[self._at][::3]) <= offset:
            self._at += 1
        if self._at == len(self._batches):
            return None
        base, producer, first, _ = self._batches[self._at]
        return (producer, first + offset - base) if base <= offset else None


def read(port, topic, partition):
    """All batches of a partition."""
    connection, offset = Connection(port), 0
    while True:
        asked = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 4 * MIB}
        answer = connection.ask(
            "Fetch", 12, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 4 * MIB, "Topics": [{"Topic": topic, "Partitions": [asked]}]}
        )
        told = answer["Responses"][0]["Partitions"][0]
        if told["ErrorCode"]:
            raise RuntimeError(f"{topic}-{partition}: error code {told['ErrorCode']} at offset {offset}")
        start = offset
        for header, raw in records.split(told["Records"] or b""):
            yield header, raw
            offset = header.base_offset + header.last_offset_delta + 1
        if offset == start:
            if offset < told["HighWatermark"]:
                raise RuntimeError(f"{topic}-{partition}: nothing at offset {offset}, below the high watermark {told['HighWatermark']}")
            connection.close()
            return


def kcat(port, topic, partition):
    """The SHA-256 of what kcat, on librdkafka, reads of it, with every checksum checked."""
    command = ["kcat", "-b", f"127.0.0.1:{port}", "-C", "-e", "-q", "-t", topic, "-p", str(partition), "-o", "beginning"]
    digest = hashlib.sha256()
    with subprocess.Popen([*command, "-X", "check.crcs=true", "-f", "%o %S %s\n"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as reading:
        while part := reading.stdout.read(MIB):
            digest.update(part)
    return digest.hexdigest() if reading.returncode == 0 else f"kcat ended with {reading.returncode}"
