"""Kafka's own command line tools, the same words to the broker and to a real Kafka: what they print has to be equal, but for
names that a broker makes up. Groups of both protocols have members meanwhile, and offsets that were committed without any."""

import contextlib
import re
import subprocess

from confluent_kafka import Producer
from flow import LIMIT_S
from group import COMMIT_MS, HEARTBEAT_MS, HERE, SESSION_MS, SETTINGS, Member, create
from harness.broker import Broker
from harness.checks import Wrong, passed, require
from history import History

GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
ALL_GROUPS = "org.apache.kafka.tools.GroupsCommand"
CONSUME = "org.apache.kafka.tools.consumer.ConsoleConsumer"
# The messages are of these hours of the first of January 2026, UTC: what is reset by time is known beforehand.
START_MS, HOUR_MS = 1_767_225_600_000, 3_600_000
PER_PARTITION = 10
# Names that brokers and clients make up, ports, and times.
MADE_UP = [
    (re.compile(r"\b(?:[\w.#-]+-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "MEMBER"),
    (re.compile(r"(?<=\s)[\w/+-]{22}(?= +/127)"), "MEMBER"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\[[^\]]*\] (?=WARN|ERROR)|^\d\d:\d\d:\d\d\.\d+ ", re.M), ""),
    (re.compile(r" +"), " "),
]


class Tools:
    """One JVM, for every tool and every broker."""

    def __init__(self):
        self._process = subprocess.Popen([HERE / "member", "Tools"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, broker, tool, *words):
        command = "\t".join([tool, "--bootstrap-server", broker.address, *words])
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.read(int(self._process.stdout.readline())).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()


class Side:
    """A broker with its groups: "classic" and "consumer" have two members each, all others none."""

    def __init__(self, folder, kind, tools):
        self.broker = Broker(folder / kind / "broker", kind, settings=[*SETTINGS, "offsets.topic.num.partitions=1"])
        self._folder = folder / kind
        self._tools = tools
        self._history = History()
        self._members = []

    def start(self):
        self.broker.start()
        create(self.broker, {"letters": 3, "cards": 1}, **{"retention.ms": "-1"})  # the messages are old
        producer = Producer({"bootstrap.servers": self.broker.address, "log_level": 2})
        for at, (topic, number) in enumerate([("letters", 0), ("letters", 1), ("letters", 2), ("cards", 0)]):
            for n in range(PER_PARTITION):
                producer.produce(topic, str(100 * at + n), partition=number, timestamp=START_MS + n * HOUR_MS)
        require("all is sent", producer.flush(LIMIT_S) == 0)

    def join(self, name, group, protocol, assignor):
        options = {"address": self.broker.address, "group": group, "topics": "letters", "protocol": protocol, "assignor": assignor}
        times = {"session_ms": SESSION_MS, "heartbeat_ms": HEARTBEAT_MS, "commit_ms": COMMIT_MS}
        self._members.append(Member(f"{group} {name}", "librdkafka", {**options, **times}, self._folder, self._history))

    def settle(self):
        """Until all members own what they read, and have committed all of it."""

        def done():
            last = {}
            for event in self._history.events:
                if event.what == "committed":
                    last |= {(event.member.split()[0], number): offset for _, number, offset in event.data["offsets"]}
            owning = all(self._history.owned[member.name] for member in self._members)
            return owning and len(last) == 6 and set(last.values()) == {PER_PARTITION}

        self._history.wait("both groups have committed all", LIMIT_S, done)

    def run(self, tool, *words):
        return self._tools.run(self.broker, tool, *words)

    def end(self):
        for member in self._members:
            member.end()
        self.broker.kill()


def steps(folder):
    """(tool, its words), in their order."""
    readers = ["--group", "readers"]
    reset = [*readers, "--reset-offsets"]
    letters = ["--topic", "letters"]
    plan = folder / "plan.csv"
    yield CONSUME, "--topic", "letters", *readers, "--from-beginning", "--max-messages", "30", "--timeout-ms", "20000"
    yield CONSUME, "--topic", "cards", *readers, "--from-beginning", "--max-messages", "4", "--timeout-ms", "20000", "--command-property", "max.poll.records=4"
    for chosen in [[], ["--state"], ["--state", "Stable"], ["--state", "Empty,Stable"], ["--state", "nonsense"], ["--type"], ["--type", "classic"], ["--type", "consumer"], ["--type", "consumer", "--state", "Stable"]]:
        yield GROUPS, "--list", *chosen
    for chosen in [[], ["--consumer"], ["--group-type", "classic"], ["--protocol", "consumer"], ["--share"]]:
        yield ALL_GROUPS, "--list", *chosen
    for group in ["readers", "classic", "consumer", "nobody"]:
        for chosen in [[], ["--offsets", "--verbose"], ["--members"], ["--members", "--verbose"], ["--state"], ["--state", "--verbose"]]:
            yield GROUPS, "--describe", "--group", group, *chosen
    yield GROUPS, "--describe", "--all-groups", "--state"
    yield GROUPS, "--describe", "--all-groups"
    # Where a group has members, nothing may be reset, deleted or taken from it.
    for group in ["classic", "consumer"]:
        yield GROUPS, "--group", group, "--reset-offsets", "--to-earliest", *letters, "--execute"
        yield GROUPS, "--group", group, "--delete-offsets", *letters
        yield GROUPS, "--group", group, "--delete"
    for how in [
        ["--to-earliest"],
        ["--to-latest"],
        ["--to-current"],
        ["--to-offset", "4"],
        ["--to-offset", "400"],
        ["--shift-by", "-3"],
        ["--shift-by", "3"],
        ["--shift-by", "-300"],
        ["--to-datetime", "2026-01-01T04:30:00.000"],
        ["--to-datetime", "2027-01-01T00:00:00.000"],
        ["--by-duration", "PT0S"],
        ["--by-duration", "P3650D"],
    ]:
        yield GROUPS, *reset, *letters, *how, "--dry-run"
        yield GROUPS, *reset, "--topic", "letters:1,2", *how, "--execute"
        yield GROUPS, "--describe", *readers
    yield GROUPS, *reset, "--all-topics", "--to-offset", "6", "--execute"
    yield GROUPS, "--describe", *readers
    yield GROUPS, *reset, "--all-topics", "--to-current", "--export", "--dry-run"
    plan.write_text('"letters",0,1\n"letters",1,2\n"cards",0,3\n')
    yield GROUPS, *reset, "--from-file", str(plan), "--dry-run"
    yield GROUPS, *reset, "--from-file", str(plan), "--execute"
    yield GROUPS, "--describe", *readers
    plan.with_suffix(".all").write_text('"readers","letters",2,7\n"simple","cards",0,5\n')
    yield GROUPS, *readers, "--group", "simple", "--reset-offsets", "--from-file", str(plan.with_suffix(".all")), "--execute"
    yield GROUPS, "--group", "simple", "--reset-offsets", *letters, "--to-offset", "3", "--execute"
    yield GROUPS, "--all-groups", "--reset-offsets", "--topic", "cards", "--to-earliest", "--dry-run"
    yield GROUPS, "--group", "simple", "--reset-offsets", "--topic", "missing", "--to-earliest", "--execute"
    yield GROUPS, "--list", "--state", "--type"
    yield GROUPS, "--describe", "--group", "simple"
    yield GROUPS, *readers, "--delete-offsets", "--topic", "letters:0"
    yield GROUPS, *readers, "--delete-offsets", "--topic", "cards", *letters
    yield GROUPS, *readers, "--delete-offsets", "--topic", "missing"
    yield GROUPS, "--group", "nobody", "--delete-offsets", *letters
    yield GROUPS, "--describe", *readers
    # A group goes on from where it was reset to.
    yield GROUPS, *reset, "--topic", "cards", "--to-offset", "8", "--execute"
    yield CONSUME, "--topic", "cards", *readers, "--max-messages", "2", "--timeout-ms", "20000"
    yield GROUPS, *readers, "--group", "simple", "--group", "nobody", "--delete"
    yield GROUPS, "--describe", *readers
    yield GROUPS, "--list"


def same_as_kafka(broker_kind, folder):
    """Runs all on both sides."""
    with Tools() as tools, contextlib.ExitStack() as ending:
        sides = [Side(folder, "kafka" if broker_kind == "kafka" else "felice", tools), Side(folder / "oracle", "kafka", tools)]
        for side in sides:
            ending.callback(side.end)
            side.start()
        for name in ["a", "b"]:  # one after the other, for the sake of epochs
            for side in sides:
                side.join(name, "classic", "classic", "range")
                side.join(name, "consumer", "consumer", "uniform")
            for side in sides:
                side.settle()
        different, count = [], 0
        for tool, *words in steps(folder):
            asked = [side.run(tool, *words) for side in sides]
            ours, theirs = (plain(text) for text in asked)
            count += 1
            if ours != theirs:
                different.append(f"{tool.rpartition('.')[2]} {' '.join(words)}\n--- the broker\n{asked[0]}--- Kafka\n{asked[1]}")
        if different:
            raise Wrong(f"{len(different)} of {count} tools' runs differ:\n" + "\n".join(different))
        passed(f"tools: {count} runs of Kafka's own print the same as with Kafka")


def plain(printed):
    """Rows in order, with what has to differ replaced."""
    for pattern, name in MADE_UP:
        printed = pattern.sub(name, printed)
    return sorted(line.strip() for line in printed.splitlines() if line.strip())
