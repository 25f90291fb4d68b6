"""Real clients beside hostile peers: an idempotent producer and a consumer (librdkafka) that compares every message as it
comes, and kcat, which reads all of it again at the end. The attacks are those of tests/broker/hostile, large.

Exits with 1 where a message was lost, came twice, out of order or changed, where one was not acknowledged, where the broker died,
panicked, took more memory than allowed or kept descriptors, and where an attack was not answered as it should be."""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "compat"), str(ROOT / "compat/librdkafka")]

from clients import consumer, create, producer  # noqa: E402
from confluent_kafka import OFFSET_BEGINNING, TopicPartition  # noqa: E402
from confluent_kafka.admin import NewTopic  # noqa: E402
from harness.broker import Broker  # noqa: E402

TOPIC, PARTITIONS = "real", 4
MIB = 1 << 20
# Half of what frames may take is for responses.
SETTINGS = [f"queued.max.request.bytes={256 * MIB}"]


def value(partition, number):
    """The message at this offset: its size and content follow from where it is."""
    seed = hashlib.sha256(f"{partition}:{number}".encode()).hexdigest()
    return f"{partition}:{number}:{seed * (int(seed[0], 16) + 1)}".encode()


class Sender(threading.Thread):
    """Sends to all partitions in turn, at an even rate, until told to stop. Invariant: `sent[p]` messages went to partition p."""

    def __init__(self, broker, rate):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.sent = [0] * PARTITIONS
        self.acknowledged, self.misplaced, self.failures, self.slowest_s = 0, 0, [], 0.0
        self._rate = rate
        self._client = producer(broker, enable_idempotence=True, acks="all", linger_ms=5, message_timeout_ms=120_000)

    def run(self):
        started, count = time.monotonic(), 0
        while not self.stop.is_set():
            while count < (time.monotonic() - started) * self._rate:
                partition = count % PARTITIONS
                number = self.sent[partition]
                try:
                    self._client.produce(TOPIC, value(partition, number), partition=partition, on_delivery=self._delivered(number))
                except BufferError:
                    break
                self.sent[partition] += 1
                count += 1
            self._client.poll(0.01)
        if self._client.flush(120):
            self.failures.append("not delivered within two minutes of the end")

    def _delivered(self, number):
        began = time.monotonic()

        def delivered(error, message):
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if error is not None:
                self.failures.append(str(error))
                return
            self.acknowledged += 1
            self.misplaced += message.offset() != number

        return delivered


class Comparer(threading.Thread):
    """Reads from the beginning and compares each message with what must be at its offset."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.next = [0] * PARTITIONS
        self.lost = self.twice = self.changed = 0
        self.errors = []
        self._client = consumer(broker, fetch_wait_max_ms=100)
        self._client.assign([TopicPartition(TOPIC, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])

    def run(self):
        while not self.stop.is_set():
            for message in self._client.consume(1000, timeout=0.1):
                if message.error():
                    if message.error().fatal() or not message.error().retriable():
                        self.errors.append(str(message.error()))
                    continue
                partition, offset = message.partition(), message.offset()
                wanted = self.next[partition]
                if offset < wanted:
                    self.twice += 1
                    continue
                self.lost += offset - wanted
                self.changed += message.value() != value(partition, offset)
                self.next[partition] = offset + 1
        self._client.close()


class Watcher(threading.Thread):
    """Looks at the broker's process once a second."""

    def __init__(self, broker):
        super().__init__(daemon=True)
        self._pid = broker.pid
        self.resident_max = self.descriptors_max = 0
        self.gone = False

    def run(self):
        while not self.gone:
            self.look()
            time.sleep(1)

    def look(self):
        try:
            fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{self._pid}/status").read_text().splitlines() if ":\t" in line)
            resident, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
            descriptors = len(os.listdir(f"/proc/{self._pid}/fd"))
        except (OSError, KeyError):
            self.gone = True
            return 0, 0
        self.resident_max = max(self.resident_max, peak)
        self.descriptors_max = max(self.descriptors_max, descriptors)
        return resident, descriptors


def read_again(broker):
    """All messages by kcat; returns how many are where and what they should be, and how many are not."""
    command = ["kcat", "-b", broker.address, "-C", "-e", "-q", "-t", TOPIC, "-o", "beginning", "-X", "check.crcs=true", "-f", "%p %o %s\n"]
    good, bad, following = 0, 0, [0] * PARTITIONS
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reading:
        for line in reading.stdout:
            partition, offset, message = line.rstrip(b"\n").split(b" ", 2)
            at, number = int(partition), int(offset)
            fine = number == following[at] and message == value(at, number)
            following[at] = number + 1
            good, bad = good + fine, bad + (not fine)
    return good, bad + (reading.returncode != 0)


def attack(broker, seconds, threads, log):
    environment = {
        **os.environ,
        "FELICE_HOSTILE_ADDRESS": broker.address,
        "FELICE_HOSTILE_SECONDS": str(seconds),
        "FELICE_HOSTILE_THREADS": str(threads),
    }
    command = ["cargo", "test", "--locked", "-p", "felice", "--test", "broker", "--", "--ignored", "--exact", "--nocapture", "hostile::soak::soak"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--minutes", type=float, default=5)
    arguments.add_argument("--rate", type=int, default=1000, help="messages a second of the real producer")
    arguments.add_argument("--threads", type=int, default=6, help="attackers")
    arguments.add_argument("--memory", type=int, default=1024, help="MiB that the broker may take")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="felice-hostile-") as folder:
        sys.exit(run(Path(folder), chosen))


def run(folder, chosen):
    broker = Broker(folder / "broker", settings=SETTINGS).start()
    create(broker, [NewTopic(TOPIC, PARTITIONS, 1)])
    watcher, comparer, sender = Watcher(broker), Comparer(broker), Sender(broker, chosen.rate)
    before, descriptors_before = watcher.look()
    for thread in (watcher, comparer, sender):
        thread.start()
    started = time.monotonic()
    attacks_log = folder / "attacks"
    wrong = []
    with open(attacks_log, "wb") as log:
        attacks = attack(broker, int(chosen.minutes * 60), chosen.threads, log)
        overtime = chosen.minutes * 60 + 300
        while attacks.poll() is None:
            time.sleep(10)
            resident, descriptors = watcher.look()
            done = attacks_log.read_text(errors="replace").count("attack: ")
            print(
                f"{time.monotonic() - started:5.0f} s  {done:4d} attacks  sent {sum(sender.sent)}  acknowledged {sender.acknowledged}"
                f"  compared {sum(comparer.next)}  slowest {sender.slowest_s:.2f} s  memory {resident // MIB} MiB (most"
                f" {watcher.resident_max // MIB})  descriptors {descriptors}",
                flush=True,
            )
            if watcher.gone:
                wrong.append("the broker died")
                attacks.kill()
            elif time.monotonic() - started > overtime:
                wrong.append("the attacks do not end")
                attacks.kill()
    told = attacks_log.read_text(errors="replace")
    print(*(line for line in told.splitlines() if line.startswith("attack total:")), sep="\n")
    if attacks.returncode:
        wrong.append("an attack was not answered as it should be:\n" + "\n".join(told.splitlines()[-40:]))

    sender.stop.set()
    sender.join(130)
    deadline = time.monotonic() + 60
    while sum(comparer.next) < sender.acknowledged and time.monotonic() < deadline:
        time.sleep(0.1)
    comparer.stop.set()
    comparer.join(30)
    good, bad = (0, 0) if watcher.gone else read_again(broker)
    deadline = time.monotonic() + 30
    while (state := watcher.look())[1] > descriptors_before + 100 and time.monotonic() < deadline:
        time.sleep(0.5)
    resident, descriptors = state
    log = (broker.folder / "log").read_text(errors="replace")
    if not watcher.gone:
        broker.stop()

    sent = sum(sender.sent)
    lost = comparer.lost + max(0, sender.acknowledged - sum(comparer.next))
    print(
        f"acknowledged {sender.acknowledged} of {sent}, lost {lost}, twice {comparer.twice}, out of order {sender.misplaced},"
        f" changed {comparer.changed}; kcat: {good} good, {bad} bad; slowest acknowledgement {sender.slowest_s:.2f} s"
    )
    print(
        f"memory: {before // MIB} MiB at first, {watcher.resident_max // MIB} at most, {resident // MIB} at the end;"
        f" descriptors: {descriptors_before}, {watcher.descriptors_max}, {descriptors}; {len(log.splitlines())} lines of log"
    )
    for fault, is_there in {
        f"not acknowledged: {sender.failures[:3]}": sender.failures or sender.acknowledged != sent,
        "messages are not what and where they were acknowledged": lost or comparer.twice or comparer.changed or sender.misplaced,
        f"the consumer was told {comparer.errors[:3]}": comparer.errors,
        "kcat reads something else": good != sent or bad,
        "too much memory": watcher.resident_max > chosen.memory * MIB,
        "descriptors are still open": descriptors > descriptors_before + 100,
        "a panic": "panicked" in log,
    }.items():
        if is_there:
            wrong.append(fault)
    for fault in wrong:
        print(f"WRONG: {fault}", file=sys.stderr)
    if wrong:
        print(broker.log_tail(), file=sys.stderr)
    return 1 if wrong else 0


main()
