"""The parts of scripts/bench that are about groups: how long a rebalance takes, what commits cost, what members and offsets take, how
soon a start knows them all, and what thousands of rebalances cost those who produce and fetch meanwhile."""

import json
import shutil
import struct
import subprocess
import threading
import time

import meter
from brokers import ROOT, Felice, LoadFailed, create_topic, load
from wire import Connection, Reader, string, varlen

MEMBERS, PARTITIONS = 10, 900
HEARTBEAT_MS, SESSION_MS = 1000, 6000
# The same for both; at their defaults the heartbeats of the consumer protocol are five seconds apart, and little else is seen.
TIMES = {
    "group.initial.rebalance.delay.ms": 0,
    "group.consumer.min.heartbeat.interval.ms": HEARTBEAT_MS,
    "group.consumer.heartbeat.interval.ms": HEARTBEAT_MS,
    "group.consumer.min.session.timeout.ms": SESSION_MS,
    "group.consumer.session.timeout.ms": SESSION_MS,
}
GIVE_UP_S = 120
CONNECTIONS, WINDOW = 4, 32
COMMITTED_PARTITIONS = 10
MANY_GROUPS = 10_000
STORM_GROUPS = 1_000


class Member:
    """One consumer: a process of compat/groups, whose lines say what it owns."""

    def __init__(self, broker, group, protocol, assignor, changed):
        words = {
            "address": f"127.0.0.1:{broker.port}",
            "group": group,
            "topics": "shared",
            "protocol": protocol,
            "assignor": assignor,
            "session_ms": SESSION_MS,
            "heartbeat_ms": HEARTBEAT_MS,
            "commit_ms": 60_000,
        }
        command = [ROOT / "compat/groups/member", "librdkafka", *(f"{name}={value}" for name, value in words.items())]
        self.owned, self._changed = set(), changed
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            partitions = {tuple(each) for each in said.get("partitions", ())}
            with self._changed:
                if said["event"] == "assigned":
                    self.owned |= partitions
                elif said["event"] in ("revoked", "lost"):
                    self.owned -= partitions
                self._changed.notify_all()

    def kill(self):
        self.process.kill()
        self.process.wait()


def until_stable(broker, members, changed):
    """Waits until every partition has one owner, in even shares; returns how long that took."""
    began = time.monotonic()

    def stable():
        shares = [len(member.owned) for member in members]
        return sum(shares) == PARTITIONS == len(set().union(*(m.owned for m in members))) and max(shares) - min(shares) <= 1

    with changed:
        if not changed.wait_for(stable, GIVE_UP_S):
            raise LoadFailed(f"{broker.name}: the group is not stable after {GIVE_UP_S} s: {[len(m.owned) for m in members]}")
    return time.monotonic() - began


def rebalance(bench):
    section = f"{MEMBERS} members (librdkafka), {PARTITIONS} partitions, heartbeats every {HEARTBEAT_MS / 1000:g} s: until every partition is owned in even shares"
    for number in range(bench.args.rounds):
        for kind in bench.brokers_only:
            bench.progress(f"rebalance, round {number + 1} of {bench.args.rounds}: {kind.name}")
            folder = bench.folder / kind.name / f"rebalance-{number}"
            with kind(folder, settings=TIMES) as broker:
                load(broker, "create", "shared", partitions=PARTITIONS)
                for protocol, assignor, name in (("classic", "cooperative-sticky", "cooperative"), ("consumer", "uniform", "consumer protocol")):
                    changed = threading.Condition()
                    members = []

                    def join(count):
                        members.extend(Member(broker, f"g-{protocol}", protocol, assignor, changed) for _ in range(count))

                    try:
                        join(MEMBERS)
                        until_stable(broker, members, changed)
                        cpu = meter.cpu_s(broker.pid)
                        join(1)
                        bench.add(section, f"{name}: one member more", "s", 2, kind.name, until_stable(broker, members, changed))
                        bench.add(section, f"{name}: broker's CPU of that", "ms", 1, kind.name, (meter.cpu_s(broker.pid) - cpu) * 1000)
                        killed = members.pop()
                        killed.kill()
                        bench.add(section, f"{name}: one killed (session timeout {SESSION_MS / 1000:g} s)", "s", 2, kind.name, until_stable(broker, members, changed))
                    finally:
                        for member in members:
                            member.kill()
            shutil.rmtree(folder)


# -- commits, as frames --


def frame(key, version, body):
    data = struct.pack(">hhi", key, version, 1) + string("bench") + body
    return struct.pack(">i", len(data)) + data


def commit_frame(group, topic, partitions, offset):
    """OffsetCommit v7 of someone who is no member."""
    commits = b"".join(struct.pack(">iqi", index, offset, -1) + string("") for index in range(partitions))
    head = string(group) + struct.pack(">i", -1) + string("") + struct.pack(">h", -1)
    return frame(8, 7, head + struct.pack(">i", 1) + string(topic) + struct.pack(">i", partitions) + commits)


def commit_errors(answer):
    reader = Reader(answer[8:])
    reader.take("i")
    topics = reader.array(lambda: (reader.string(), reader.array(lambda: (reader.take("i"), reader.take("h")))))
    return [error for _, partitions in topics for _, error in partitions]


def send_commits(port, frames, count):
    """Sends each of `frames` in turn, `count` in all, with WINDOW on their way, and checks every answer."""
    with Connection(port) as connection:

        def ask(data, answers, size):
            connection.socket.sendall(data)
            return connection._receive(answers * size)

        connection.socket.sendall(frames[0])
        head = connection._receive(4)
        good = head + connection._receive(struct.unpack(">i", head)[0])
        if any(commit_errors(good)):
            raise LoadFailed(f"commits are refused: {commit_errors(good)}")
        windows = [b"".join(frames[at : at + WINDOW]) for at in range(0, len(frames), WINDOW)] if len(frames) > 1 else [frames[0] * WINDOW]
        sizes = [min(WINDOW, len(frames) - at) for at in range(0, len(frames), WINDOW)] if len(frames) > 1 else [WINDOW]
        sent = at = 0
        while sent < count:
            answers = ask(windows[at], sizes[at], len(good))
            if answers != good * sizes[at]:
                raise LoadFailed("a commit was refused")
            sent += sizes[at]
            at = (at + 1) % len(windows)
        return sent


def in_parallel(work):
    """Calls each function in a thread of its own; returns what they return."""
    results, failed = [], []

    def run(each):
        try:
            results.append(each())
        except Exception as error:  # shown by whoever waits
            failed.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return results


def find(port, groups):
    """FindCoordinator v1, until each group has one that is loaded: an OffsetFetch v5 of all its offsets says so."""
    with Connection(port) as connection:
        deadline = time.monotonic() + GIVE_UP_S
        for group in groups:
            while True:
                reader = connection.ask(10, 1, string(group) + b"\0")
                reader.take("i")
                error = reader.take("h")
                if error == 0:
                    reader = connection.ask(9, 5, string(group) + struct.pack(">i", -1))
                    reader.take("i")
                    topics = reader.array(lambda: (reader.string(), len(reader.array(lambda: (reader.take("iqi"), reader.at, skip_offset(reader))))))
                    error = reader.take("h")
                    if error == 0:
                        break
                if error not in (14, 15, 16):
                    raise LoadFailed(f"{group}: error {error}")
                if time.monotonic() > deadline:
                    raise LoadFailed(f"{group}: no coordinator")
                time.sleep(0.002)
            yield topics


def skip_offset(reader):
    # `take` gives only the first of several, and has passed over all.
    reader.string()
    reader.take("h")


def commit_turn(bench, broker, turn):
    section = f"Offset commits of {COMMITTED_PARTITIONS} partitions each, {CONNECTIONS} connections, {WINDOW} on their way in each, on tmpfs"
    topic = f"committed-{turn}"
    load(broker, "create", topic, partitions=COMMITTED_PARTITIONS)
    for groups, count in ((1, 10_000), (200, 10_000)):
        names = [f"{turn}-{groups}-{number}" for number in range(groups)]
        list(find(broker.port, names))
        frames = [commit_frame(name, topic, COMMITTED_PARTITIONS, 5) for name in names]
        share = max(1, len(frames) // CONNECTIONS)
        shares = [frames[at : at + share] for at in range(0, len(frames), share)] if len(frames) > 1 else [frames] * CONNECTIONS
        clock = meter.Meter(broker.pid)
        sent = sum(in_parallel([lambda own=own: send_commits(broker.port, own, count // CONNECTIONS) for own in shares]))
        reading = clock.stop()
        name = f"{groups} group{'s' if groups > 1 else ''}"
        bench.add(section, f"{name}: rate", "1,000/s", 1, broker.name, sent / reading.wall_s / 1000)
        bench.add(section, f"{name}: CPU of a commit", "us", 1, broker.name, reading.broker_cpu_s * 1e6 / sent)


def commits(bench):
    bench.take_turns("commits", lambda broker, turn: commit_turn(bench, broker, turn), bench.tmpfs)


# -- members and offsets by the thousand --


def compact(data):
    return varlen(len(data) + 1) + data


def join_consumer_frame(group, topic):
    """ConsumerGroupHeartbeat v0 of a member that joins."""
    body = compact(group.encode()) + compact(b"") + struct.pack(">i", 0) + b"\0\0" + struct.pack(">i", 300_000)
    body += varlen(2) + compact(topic.encode()) + b"\0" + varlen(1) + b"\0"
    data = struct.pack(">hhi", 68, 0, 1) + string("bench") + b"\0" + body
    return struct.pack(">i", len(data)) + data


def many(bench):
    section = f"{MANY_GROUPS:,} groups with {COMMITTED_PARTITIONS} offsets each"
    groups = [f"group-{number:05}" for number in range(MANY_GROUPS)]
    for kind in bench.brokers_only:
        bench.progress(f"many groups: {kind.name}")
        folder = bench.folder / kind.name / "many"
        with kind(folder, settings=TIMES) as broker:
            load(broker, "create", "committed", partitions=COMMITTED_PARTITIONS)
            load(broker, "create", "shared", partitions=100)
            list(find(broker.port, groups[:500]))
            empty, _ = meter.memory_mb(broker.pid)
            frames = [commit_frame(group, "committed", COMMITTED_PARTITIONS, 5) for group in groups]
            send_commits(broker.port, frames, len(frames))
            full, _ = meter.memory_mb(broker.pid)
            if kind is Felice:
                bench.add(section, "resident memory of an offset", "B", 0, kind.name, (full - empty) * meter.MB / MANY_GROUPS / COMMITTED_PARTITIONS)
                joined = 0
                with Connection(broker.port) as connection:
                    for number in range(100):
                        for _ in range(100):
                            connection.socket.sendall(join_consumer_frame(f"members-{number}", "shared"))
                            answer = connection._receive(struct.unpack(">i", connection._receive(4))[0])
                            # correlation id, tags, throttle time, error
                            if struct.unpack_from(">h", answer, 9)[0] != 0:
                                raise LoadFailed(f"a member was refused: {answer!r}")
                            joined += 1
                more, _ = meter.memory_mb(broker.pid)
                bench.add(section, "resident memory of a member (100 groups of 100, consumer protocol)", "B", 0, kind.name, (more - full) * meter.MB / joined)
            broker.kill()
        for name in ("after SIGKILL", "after a clean stop"):
            began = time.monotonic()
            broker = kind(folder, settings={**TIMES, **({} if kind is Felice else {"broker.session.timeout.ms": 9000})})
            try:
                found = sum(partitions for topics in find(broker.port, groups) for _, partitions in topics)
                took = time.monotonic() - began
                if found != MANY_GROUPS * COMMITTED_PARTITIONS:
                    raise LoadFailed(f"{kind.name}: {found} offsets are left")
                bench.add(section, f"start {name}: to the first acknowledged message", "ms", 0, kind.name, broker.first_ack_s * 1000)
                bench.add(section, f"start {name}: until each group's offsets were fetched, one by one", "ms", 0, kind.name, took * 1000)
            finally:
                broker.stop()
        shutil.rmtree(folder)


# -- others meanwhile --


def join_frame(group, member):
    """JoinGroup v3."""
    body = string(group) + struct.pack(">ii", 30_000, 1_000) + string(member) + string("consumer")
    return frame(11, 3, body + struct.pack(">i", 1) + string("range") + struct.pack(">i", 4) + b"meta")


def sync_frame(group, generation, member):
    """SyncGroup v2 of a leader that keeps everything."""
    body = string(group) + struct.pack(">i", generation) + string(member)
    return frame(14, 2, body + struct.pack(">i", 1) + string(member) + struct.pack(">i", 4) + b"mine")


class Storm(threading.Thread):
    """Groups of one member that join again and again: each time a rebalance, and a record when it is through."""

    def __init__(self, port, groups):
        super().__init__(daemon=True)
        self.port, self.groups, self.ended, self.rebalances, self.failed = port, groups, threading.Event(), 0, None

    def run(self):
        try:
            members = dict.fromkeys(self.groups, "")
            with Connection(self.port) as connection:
                while not self.ended.is_set():
                    for group in self.groups:
                        connection.socket.sendall(join_frame(group, members[group]))
                        reader = Reader(connection._receive(struct.unpack(">i", connection._receive(4))[0])[4:])
                        reader.take("i")
                        error, generation = reader.take("h"), reader.take("i")
                        reader.string(), reader.string()
                        members[group] = reader.string()
                        if error:
                            raise LoadFailed(f"join: error {error}")
                        connection.socket.sendall(sync_frame(group, generation, members[group]))
                        reader = Reader(connection._receive(struct.unpack(">i", connection._receive(4))[0])[4:])
                        reader.take("i")
                        if error := reader.take("h"):
                            raise LoadFailed(f"sync: error {error}")
                        self.rebalances += 1
                        # So many a second with all threads together, on either broker.
                        time.sleep(0.004)
                        if self.ended.is_set():
                            break
        except Exception as error:  # shown by whoever ends it
            self.failed = error

    def end(self):
        self.ended.set()
        self.join()
        if self.failed:
            raise self.failed


def storm(bench):
    section = f"p99 at 2,000 messages/s of 1 KiB, quiet and while {STORM_GROUPS:,} groups rebalance in turn, on the disk"
    for number in range(bench.args.rounds):
        for kind in bench.brokers_only:
            bench.progress(f"storm, round {number + 1} of {bench.args.rounds}: {kind.name}")
            folder = bench.folder / kind.name / f"storm-{number}"
            with kind(folder, settings=TIMES) as broker:
                paced(bench, section, "quiet", broker, None)
                paced(bench, section, "storm", broker, broker)
                # The same groups on another broker: what it costs that somebody else uses the machine.
                with kind(folder.with_name(f"storm-{number}-elsewhere"), settings=TIMES) as other:
                    paced(bench, section, "storm elsewhere", broker, other)
                shutil.rmtree(other.folder)
            shutil.rmtree(folder)


def paced(bench, section, name, broker, stormed):
    groups = [f"storm-{number}" for number in range(STORM_GROUPS)]
    storms = []
    if stormed:
        list(find(stormed.port, groups[:200]))
        storms = [Storm(stormed.port, groups[at::2]) for at in range(2)]
    for each in storms:
        each.start()
    topic = f"paced-{name.replace(' ', '-')}"
    create_topic(broker, topic)
    load = {"size": 1024, "rate": 2000, "seconds": bench.args.latency_s, "skip": 1, "consume": 1}
    told, reading = bench.measured(broker, name, "paced", topic, **load)
    for each in storms:
        each.end()
    bench.add(section, f"{name}: acknowledgements", "ms", 2, broker.name, told["ack_ms"]["p99"])
    bench.add(section, f"{name}: end to end", "ms", 2, broker.name, told["end_to_end_ms"]["p99"])
    if storms:
        rate = sum(each.rebalances for each in storms) / reading.wall_s
        bench.add(section, f"{name}: rebalances", "/s", 0, broker.name, rate)


PARTS = {"rebalance": rebalance, "commits": commits, "many-groups": many, "storm": storm}
