"""The parts of scripts/bench that are about the log: appends to many partitions, flushes that producers wait for, starts after a
kill and with many partitions, compaction, and what upkeep costs those who produce meanwhile.

Each is a function of the Bench, which keeps the figures. Felice and Kafka take turns; what Kafka has no word for (a disk whose
flushes take long) is measured on Felice alone."""

import os
import re
import shutil
import threading
import time

import meter
from brokers import Felice, LoadFailed, create_topic, load

MB = 1e6
PARTITIONS = (1, 100, 2000)
PRODUCERS = (1, 16, 64)
FLUSHES_MS = (0, 5, 20)
# As often as either can: what is measured is the work, not the wait for it.
EAGER = {
    "log.cleaner.backoff.ms": 100,
    "log.retention.check.interval.ms": 1000,
    "log.segment.delete.delay.ms": 100,
}
MESSAGES_A_KEY = 20
# The bench's other parts give Kafka's controller endless patience; a broker that was killed has to wait for its end.
PATIENCE = {"broker.session.timeout.ms": 9000}
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": str(16 << 20)}
UNCOMPACTED = {"cleanup.policy": "delete", "segment.bytes": str(16 << 20)}


def append_turn(bench, broker, turn):
    """One batch of one message a request: what an append costs, and whether many partitions make it dearer."""
    section = "Appends of 200 B, one a request, on tmpfs"
    for partitions in PARTITIONS:
        topic = f"{turn}-{partitions}"
        load(broker, "create", topic, partitions=partitions)
        name = f"{partitions:,} partition{'s' if partitions > 1 else ''}"
        asked = {"size": 200, "count": 40_000, "single": 1, "clients": 4}
        told, reading = bench.measured(broker, name, "produce", topic, **asked)
        bench.add(section, f"{name}: rate", "1,000/s", 1, broker.name, told["messages"] / told["seconds"] / 1000)
        bench.add(section, f"{name}: CPU", "us", 1, broker.name, reading.broker_cpu_s * 1e6 / told["messages"])
        load(broker, "delete", topic)


def appends(bench):
    bench.take_turns("appends", lambda broker, turn: append_turn(bench, broker, turn), bench.tmpfs)


def flushes_told(broker):
    """How often Felice flushed, and for how many appends, since it began to say so."""
    told = re.findall(r"flushed (\d+) times for (\d+) appends", (broker.folder / "broker.log").read_text(errors="replace"))
    if not told:
        raise RuntimeError("the broker did not tell of its flushes")
    return map(int, told[-1])


def flush(bench):
    """flush.messages=1: every acknowledgement waits for the disk. Throughput stays where requests share flushes."""
    section = "flush.messages=1: messages of 200 B, one a request, acknowledged when they are on the disk"
    for kind in bench.brokers_only:
        for delay_ms in FLUSHES_MS if kind is Felice else (0,):
            disk = f", flushes delayed by {delay_ms} ms" if delay_ms else ""
            for clients in PRODUCERS:
                name = f"{clients} producer{'s' if clients > 1 else ''}{disk}"
                for number in range(bench.args.rounds):
                    bench.progress(f"flush, round {number + 1} of {bench.args.rounds}: {kind.name}, {name}")
                    folder = bench.folder / kind.name / f"flush-{delay_ms}-{clients}-{number}"
                    delay = {"FELICE_FLUSH_DELAY_MS": str(delay_ms)} if delay_ms else {}
                    with kind(folder, environment=delay) as broker:
                        load(broker, "create", "flushed", partitions=1, set={"flush.messages": "1"})
                        # Until the rate has settled, and so that no measurement takes minutes.
                        warm = load(broker, "produce", "flushed", size=200, count=200 * clients, single=1, clients=clients)
                        count = max(1000, int(warm["messages"] / warm["seconds"] * bench.args.seconds))
                        told, _ = bench.measured(broker, name, "produce", "flushed", size=200, count=count, single=1, clients=clients)
                    bench.add(section, f"{name}: rate", "1,000/s", 2, kind.name, told["messages"] / told["seconds"] / 1000)
                    if kind is Felice:
                        flushes, appended = flushes_told(broker)
                        bench.add(section, f"{name}: appends per flush", "", 1, kind.name, appended / max(1, flushes))
                    shutil.rmtree(folder)


def recovery(bench):
    """From a SIGKILL to the first acknowledged message: once nothing but what rolled segments and the kernel's own pace made
    durable, and once after everything was flushed."""
    section = f"Start after SIGKILL, {bench.args.gb:g} GB in 4 partitions, on the disk"
    count = int(bench.args.gb * 1e9 / 1024)
    for kind in bench.brokers_only:
        for name, settings in (("as it comes", {}), ("all flushed", {"flush.messages": "1000"})):
            for number in range(bench.args.rounds):
                bench.progress(f"recovery, round {number + 1} of {bench.args.rounds}: {kind.name}, {name}")
                folder = bench.folder / kind.name / f"recovery-{number}"
                patience = {} if kind is Felice else PATIENCE
                broker = kind(folder, settings=patience)
                load(broker, "create", "killed", partitions=4, set=settings)
                load(broker, "produce", "killed", size=1024, count=count)
                # Kafka notes every minute how far its logs are on the disk.
                time.sleep(61 if settings and kind is not Felice else 2)
                broker.kill()
                with kind(folder, settings=patience) as again:
                    bench.add(section, f"{name}: start", "ms", 0, kind.name, again.first_ack_s * 1000)
                    bench.add(section, f"{name}: CPU of that", "s", 2, kind.name, meter.cpu_s(again.pid))
                    load(again, "consume", "killed", count=count)
                shutil.rmtree(folder)


def folders(bench):
    """A clean start with 10,000 partitions."""
    section = "A clean start with 10,000 partitions"
    topics, each = 100, 100
    for kind in bench.brokers_only:
        bench.progress(f"folders: {kind.name} makes {topics * each:,} partitions")
        folder = bench.folder / kind.name / "folders"
        with kind(folder) as broker:
            empty, _ = meter.memory_mb(broker.pid)
            for topic in range(topics):
                load(broker, "create", f"many-{topic}", partitions=each)
        for number in range(bench.args.rounds):
            bench.progress(f"folders, round {number + 1} of {bench.args.rounds}: {kind.name}")
            with kind(folder) as broker:
                bench.add(section, "start to the first acknowledged message", "ms", 0, kind.name, broker.first_ack_s * 1000)
                resident, _ = meter.memory_mb(broker.pid)
                open_files = len(os.listdir(f"/proc/{broker.pid}/fd"))
                bench.add(section, "resident memory", "MB", 1, kind.name, resident)
                bench.add(section, "of that for each partition", "KiB", 2, kind.name, (resident - empty) * MB / 1024 / topics / each)
                bench.add(section, "open files", "", 0, kind.name, open_files)
        shutil.rmtree(folder)


def settled(broker, topic, patience_s=1.5, give_up_s=300):
    """Waits until a topic's files do not change any more; returns when they last did."""
    known, since = None, time.monotonic()
    deadline = since + give_up_s
    while time.monotonic() - since < patience_s:
        # Files go while they are looked at.
        sizes = {}
        for path in broker.data.glob(f"{topic}-*/*.log*"):
            try:
                sizes[path] = path.stat().st_size
            except FileNotFoundError:
                pass
        if sizes != known:
            known, since = sizes, time.monotonic()
        if time.monotonic() > deadline:
            raise LoadFailed(f"{broker.name}: {topic} does not settle")
        time.sleep(0.05)
    return since


def fill(bench, broker, topic, count):
    load(broker, "create", topic, partitions=1, set=UNCOMPACTED)
    load(broker, "produce", topic, size=1024, count=count, keys=count // MESSAGES_A_KEY)


def compaction(bench):
    """One partition, messages of 1 KiB, twenty with each key, compacted at once."""
    section = f"Compaction of {bench.args.gb:g} GB, messages of 1 KiB, {MESSAGES_A_KEY} with each key, on the disk"
    count = int(bench.args.gb * 1e9 / 1024)
    for number in range(bench.args.rounds):
        for kind in bench.brokers_only:
            bench.progress(f"compaction, round {number + 1} of {bench.args.rounds}: {kind.name}")
            folder = bench.folder / kind.name / f"compaction-{number}"
            with kind(folder, settings=EAGER) as broker:
                fill(bench, broker, "compacted", count)
                settled(broker, "compacted")
                stored = broker.stored_bytes("compacted")
                cpu, began = meter.cpu_s(broker.pid), time.monotonic()
                load(broker, "alter", "compacted", set=COMPACTED)
                settled(broker, "compacted", patience_s=0.1, give_up_s=30)
                ended = settled(broker, "compacted", patience_s=3)
                used = meter.cpu_s(broker.pid) - cpu
                left = broker.stored_bytes("compacted")
                if left > stored * 0.6:
                    raise LoadFailed(f"{kind.name}: {left} of {stored} bytes are left, which is no compaction")
                bench.add(section, "rate", "MB/s", 0, kind.name, stored / MB / (ended - began))
                bench.add(section, "CPU", "CPU s/GB", 2, kind.name, used / (stored / 1e9))
                bench.add(section, "left", "%", 1, kind.name, left / stored * 100)
            shutil.rmtree(folder)


class Recovering(threading.Thread):
    """Another broker of the same kind that is killed and started over and over, on a folder of its own."""

    def __init__(self, kind, folder):
        super().__init__()
        self.kind, self.folder, self.ended = kind, folder, threading.Event()

    def run(self):
        while not self.ended.is_set():
            self.kind(self.folder, settings={} if self.kind is Felice else PATIENCE).kill()


def upkeep(bench):
    """How long a producer waits while the log is looked after, beside another topic that has the work."""
    section = "p99 of acknowledgements at 2,000 messages/s of 1 KiB, on the disk"
    count = int(bench.args.gb * 1e9 / 1024)
    paced = {"size": 1024, "rate": 2000, "seconds": bench.args.latency_s, "skip": 1}

    def p99(broker, name, number):
        topic = f"paced-{number}-{re.sub('[^a-z]', '', name)}"
        create_topic(broker, topic)
        told, _ = bench.measured(broker, name, "paced", topic, **paced)
        bench.add(section, name, "ms", 2, broker.name, told["ack_ms"]["p99"])

    scrub = {"log.scrub.interval.ms": 1000, "log.scrub.io.max.bytes.per.second": 50_000_000}
    for number in range(bench.args.rounds):
        for kind in bench.brokers_only:
            bench.progress(f"upkeep, round {number + 1} of {bench.args.rounds}: {kind.name}")
            folder = bench.folder / kind.name / f"upkeep-{number}"
            with kind(folder, settings=EAGER) as broker:
                fill(bench, broker, "work", count)
                p99(broker, "nothing else", number)
                load(broker, "alter", "work", set=COMPACTED)
                p99(broker, "while another topic is compacted", number)
                settled(broker, "work")
                fill(bench, broker, "old", count)
                load(broker, "alter", "old", set={**UNCOMPACTED, "retention.bytes": str(64 << 20)})
                p99(broker, "while old segments are deleted", number)
            if kind is Felice:
                with kind(folder, settings={**EAGER, **scrub}) as broker:
                    p99(broker, "while the log is scrubbed", number)
            other = kind(folder / "other")
            fill(bench, other, "killed", count // 4)
            other.kill()
            recovering = Recovering(kind, folder / "other")
            with kind(folder, settings=EAGER) as broker:
                recovering.start()
                try:
                    p99(broker, "while another broker recovers", number)
                finally:
                    recovering.ended.set()
                    recovering.join()
            shutil.rmtree(folder)


PARTS = {
    "appends": appends,
    "flush": flush,
    "recovery": recovery,
    "folders": folders,
    "compaction": compaction,
    "upkeep": upkeep,
}
