"""`felice topic`, `produce`, `consume` and `group` against a broker, held to what Kafka's own tools say of it.

The broker is the one of BROKER; the command line is FELICE_BIN in any case.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.broker import ROOT, Broker, BrokerFailed
from harness.checks import Wrong, passed, require, same, timed

LIMIT_S = 60
SCALE = int(os.environ.get("COMPAT_SCALE", "1"))
GROUP_TOOL = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


class Shell:
    """Runs felice, and Kafka's tools, against one broker."""

    def __init__(self, address):
        self.address = address

    def start(self, *args, **how):
        environment = {**os.environ, "FELICE_BOOTSTRAP_SERVER": self.address}
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        return subprocess.Popen([os.environ["FELICE_BIN"], *args], env=environment, text=True, **how)

    def run(self, *args, given=None):
        """Exit code, standard output and standard error."""
        child = self.start(*args, **({"stdin": subprocess.PIPE} if given is not None else {}))
        try:
            out, err = child.communicate(given, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            raise Wrong(f"felice {' '.join(args)} is not done after {LIMIT_S} s") from None
        return child.returncode, out, err

    def ok(self, *args, given=None):
        code, out, err = self.run(*args, given=given)
        require(f"felice {' '.join(args)} ended with {code}: {err}", code == 0)
        return out

    def json(self, *args):
        return [json.loads(line) for line in self.ok(*args, "-o", "json").splitlines()]

    def kafka(self, tool, *args, given=None):
        """What a tool of Kafka's prints."""
        command = [ROOT / "scripts/kafka", "tool", tool, "--bootstrap-server", self.address, *args]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT_S)
        require(f"{tool} {' '.join(args)} ended with {done.returncode}: {done.stdout}{done.stderr}", done.returncode == 0)
        return done.stdout


def keys_are_where_kafka_puts_them(shell):
    for topic in ("ours", "theirs"):
        shell.ok("topic", "create", topic, "--partitions", "7")
    lines = "".join(f"key-{n}:value {n}\n" for n in range(200))
    shell.ok("produce", "ours", "-k", ":", "-z", "zstd", given=lines)
    properties = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=:"]
    shell.kafka("org.apache.kafka.tools.ConsoleProducer", "--topic", "theirs", *properties, given=lines)
    placed = {topic: sorted(shell.ok("consume", topic, "-e", "-f", "%p %k:%s\\n").splitlines()) for topic in ("ours", "theirs")}
    same("200 keys are in the partitions where Kafka's producer puts them", placed["theirs"], placed["ours"])
    read = shell.kafka(
        "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "ours", "--from-beginning", "--max-messages", "200",
        "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:",
    )
    same("Kafka's consumer reads what felice produce sent", sorted(lines.splitlines()), sorted(read.splitlines()))


def numbered(first, last):
    return "".join(f"{n}:{n}\n" for n in range(first, last))


def numbers(text):
    return sorted(int(line) for line in text.splitlines())


def share(shell, protocol):
    """Two members, of which one leaves, and a third that comes and goes: all is read once, and no commit goes back."""
    topic, group = f"shared-{protocol}", f"sharers-{protocol}"
    shell.ok("topic", "create", topic, "--partitions", "4")
    args = ["consume", topic, "--group", group, "--group-protocol", protocol, "--from-beginning"]
    outputs = [tempfile.TemporaryFile("w+") for _ in range(3)]
    with outputs[0] as first_out, outputs[1] as second_out, outputs[2] as third_out:
        first = shell.start(*args, stdout=first_out)
        second = shell.start(*args, stdout=second_out)
        await_that(f"{protocol}: two members share four partitions", lambda: assigned(shell, group) == [2, 2])
        shell.ok("produce", topic, "-k", ":", given=numbered(0, 1000))
        await_that(f"{protocol}: both read, and commit all", lambda: lag(shell, group) == 0)
        code, _, err = shell.run("group", "reset-offsets", group, "--all-topics", "--to-earliest", "--execute")
        require(f"a reset of a group in use: {code} {err}", code == 1 and "is in use" in err)
        code, _, err = shell.run("group", "delete", group)
        require(f"deleting a group in use: {code} {err}", code == 1 and "still has members" in err)
        passed(f"{protocol}: a group in use is neither reset nor deleted")
        same(f"{protocol}: a member that is interrupted ends well", 0, ended(first))
        await_that(f"{protocol}: the other has all four", lambda: assigned(shell, group) == [4])
        shell.ok("produce", topic, "-k", ":", given=numbered(1000, 2000))
        await_that(f"{protocol}: and goes on", lambda: lag(shell, group) == 0)
        third = shell.start(*args, stdout=third_out)
        await_that(f"{protocol}: a third takes two of them", lambda: assigned(shell, group) == [2, 2])
        shell.ok("produce", topic, "-k", ":", given=numbered(2000, 3000))
        await_that(f"{protocol}: and reads", lambda: lag(shell, group) == 0)
        same(f"{protocol}: the third ends well", 0, ended(third))
        await_that(f"{protocol}: the other has its partitions back", lambda: assigned(shell, group) == [4])
        same(f"{protocol}: the other ends well", 0, ended(second))
        same(f"{protocol}: what the third committed stays", 0, lag(shell, group))
        texts = []
        for out in (first_out, second_out, third_out):
            out.seek(0)
            texts.append(out.read())
        require(f"one of the members read nothing: {[len(text) for text in texts]}", all(texts))
        same(f"{protocol}: each of 3000 messages was read once", list(range(3000)), numbers("".join(texts)))
    same(f"{protocol}: nobody is left", [], assigned(shell, group))
    require("the offsets that Kafka's tool shows", kafka_offsets(shell, group) == our_offsets(shell, group))
    passed(f"{protocol}: Kafka's tool shows the same offsets and lag")
    return topic, group


def ended(child):
    child.send_signal(signal.SIGINT)
    return child.wait(timeout=LIMIT_S)


def described(shell, group):
    code, out, _ = shell.run("group", "describe", group, "-o", "json")
    return json.loads(out) if code == 0 else {"members": [], "offsets": []}


def assigned(shell, group):
    members = described(shell, group)["members"]
    return sorted(sum(map(len, member["assigned"].values())) for member in members)


def lag(shell, group):
    rows = described(shell, group)["offsets"]
    return sum(row["lag"] for row in rows) if rows and all(row["lag"] is not None for row in rows) else None


def our_offsets(shell, group):
    return {
        (row["topic"], row["partition"]): (row["committed_offset"], row["end_offset"], row["lag"])
        for row in described(shell, group)["offsets"]
    }


def kafka_offsets(shell, group):
    rows = [line.split() for line in shell.kafka(GROUP_TOOL, "--describe", "--group", group).splitlines()]
    rows = [row for row in rows if row[:1] == [group]]
    return {(row[1], int(row[2])): (int(row[3]), int(row[4]), int(row[5])) for row in rows}


def await_that(claim, holds, limit_s=LIMIT_S):
    deadline = time.monotonic() + limit_s
    while not holds():
        require(f"not within {limit_s} s: {claim}", time.monotonic() < deadline)
        time.sleep(0.1)  # a group offers no event to wait for
    passed(claim)


def resets_are_kafkas(shell, topic, group):
    """What both tools would do, for every kind of reset; then ours does it."""
    times = [json.loads(line)["timestamp"] for line in shell.ok("consume", topic, "-e", "-o", "json").splitlines()]
    times.sort()
    middle = times[len(times) // 2]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle / 1000)) + f".{middle % 1000:03}"
    shell.ok("group", "reset-offsets", group, "--topic", topic, "--to-offset", "100", "--execute")
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "offsets.csv"
        exported.write_text(shell.ok("group", "reset-offsets", group, "--topic", topic, "--to-current", "--export"))
        for target in (
            ["--to-earliest"],
            ["--to-latest"],
            ["--to-current"],
            ["--to-offset", "50"],
            ["--to-offset", "1000000"],
            ["--shift-by", "-30"],
            ["--shift-by", "1000000"],
            ["--to-datetime", stamp],
            ["--by-duration", "PT1H"],
            ["--from-file", str(exported)],
        ):
            scope = ["--topic", f"{topic}:0,2"] if target != ["--from-file", str(exported)] else ["--all-topics"]
            rows = shell.json("group", "reset-offsets", group, *scope, *target)
            ours = {(row["topic"], row["partition"]): row["offset"] for row in rows}
            theirs = kafka_reset(shell, group, [*scope, *target])
            require(f"{' '.join(target)}: Kafka's tool {theirs}, ours {ours}", ours == theirs and ours)
            passed(f"reset {target[0]} {'FILE' if len(target[1:]) and target[1] == str(exported) else ' '.join(target[1:])}: as Kafka's tool")
    before = our_offsets(shell, group)
    shell.ok("group", "reset-offsets", group, "--all-topics", "--shift-by", "-30")
    same("a dry run changes nothing", before, our_offsets(shell, group))
    shell.ok("group", "reset-offsets", group, "--all-topics", "--shift-by", "-30", "--execute")
    after = {partition: (offset - 30, end, behind + 30) for partition, (offset, end, behind) in before.items()}
    same("--execute does what it said", after, kafka_offsets(shell, group))
    waiting = [row["behind_ms"] for row in described(shell, group)["offsets"]]
    age = time.time() * 1000 - times[0]
    require(f"the lag in time is {waiting}, the oldest message is {age} ms old", all(0 < lag <= age + 1000 for lag in waiting))
    passed("the lag in time is the age of messages")
    shell.ok("group", "delete", group)
    code, _, err = shell.run("group", "describe", group)
    require(f"a deleted group: {code} {err}", code == 1 and "does not exist" in err)
    passed("a deleted group is gone")


def kafka_reset(shell, group, args):
    printed = shell.kafka(GROUP_TOOL, "--reset-offsets", "--group", group, *args, "--dry-run")
    rows = [line.split() for line in printed.splitlines()]
    return {(row[1], int(row[2])): int(row[3]) for row in rows if len(row) == 4 and row[0] == group}


def the_broker_dies_in_between(shell, broker):
    """A producer and a member of a group stay while their broker is killed and comes back: in order, and once."""
    shell.ok("topic", "create", "crash", "--partitions", "3")
    count = 30_000 * SCALE
    # As long as it is down there is nobody to ask, so both are more patient than that takes.
    patience = ["--timeout", "50"]
    with tempfile.TemporaryFile("w+") as out:
        member = shell.start("consume", "crash", "--group", "survivors", "--from-beginning", "-n", str(count), *patience, stdout=out)
        producer = shell.start("produce", "crash", "-k", ":", *patience, stdin=subprocess.PIPE)

        def feed():
            for first in range(0, count, 500):
                producer.stdin.write(numbered(first, first + 500))
                producer.stdin.flush()
                time.sleep(0.05)
            producer.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        await_that("a member reads", lambda: os.fstat(out.fileno()).st_size > 0)
        broker.kill()
        broker.start()
        feeder.join()
        same("a producer outlives its broker's death", 0, producer.wait(timeout=LIMIT_S))
        stored = shell.ok("consume", "crash", "-e", "-f", "%p %s\\n", *patience)
        last = {}
        for partition, number in (map(int, line.split()) for line in stored.splitlines()):
            require(f"partition {partition}: {number} after {last.get(partition)}", number > last.get(partition, -1))
            last[partition] = number
        same(f"{count} messages are there once, in order", list(range(count)), sorted(int(line.split()[1]) for line in stored.splitlines()))
        try:
            code = member.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            member.kill()
            raise Wrong("the member is not done") from None
        require(f"the member ended with {code}: {member.stderr.read()}", code == 0)
        out.seek(0)
        same("and its member has read each once", list(range(count)), numbers(out.read()))


def main():
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "broker")
        with broker as started:
            shell = Shell(started.address)
            with timed("keys"):
                keys_are_where_kafka_puts_them(shell)
            with timed("the classic protocol"):
                topic, group = share(shell, "classic")
            with timed("resets"):
                resets_are_kafkas(shell, topic, group)
            with timed("the consumer protocol"):
                share(shell, "consumer")
            with timed("kill -9"):
                the_broker_dies_in_between(shell, broker)


try:
    main()
except (Wrong, BrokerFailed) as failure:
    sys.exit(f"  FAIL {failure}")
