"""Kills a broker again and again while producers and a consumer are at work, then reads everything and compares."""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "compat"), str(ROOT / "compat/differential")]

import reading  # noqa: E402
from connection import Connection  # noqa: E402
from harness.broker import Broker, BrokerFailed  # noqa: E402
from letters import POOL_SIZE  # noqa: E402

MB = 1_000_000
PARTITIONS = 4
ONCE, PLAIN = "once", "plain"
SETTINGS = ["auto.create.topics.enable=false", f"log.segment.bytes={4 << 20}"]
# What a broker's log says each time that it begins to serve.
SERVES = {"felice": "clients are told", "kafka": "Kafka Server started"}
FLUSH = "log.flush.interval.messages=1"
START_LIMIT_S = 120
END_LIMIT_S = 180
# How each client's producer is run; what follows are the arguments that producer.py tells.
CLIENTS = {
    "own": [sys.executable, HERE / "producer.py"],
    "librdkafka": [ROOT / "compat/librdkafka/run", "endless.py"],
    "java": [ROOT / "compat/java/run", "java", "Endless"],
}
MODES = {"own": ["idempotent"] * 3 + ["all", "leader"], "librdkafka": ["idempotent", "idempotent", "all"], "java": ["idempotent", "idempotent", "all"]}


def main():
    chosen = arguments()
    top = Path(chosen.data_dir)
    if any((top / name).exists() for name in ("meta.properties", ".lock")):
        sys.exit(f"scripts/soak: {top} holds a broker's data; name another folder, such as {top}/soak")
    is_new = not top.exists()
    top.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kill9-", dir=top)).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    course = Course(folder, chosen)
    try:
        good = course.run()
    except (KeyboardInterrupt, SystemExit):
        print(f"\nstopped before its end; what there is stays in {folder}")
        raise SystemExit(130) from None
    finally:
        course.end_all()
    if good and not chosen.keep:
        shutil.rmtree(top if is_new else folder)
    else:
        print(f"\nThe broker's data, its log and what was acknowledged are in {folder}")
    sys.exit(0 if good else 1)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak kill9", description=__doc__)
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="where to work: a fresh folder is made in it, and removed if all is well")
    parser.add_argument("--minutes", type=float, default=5, metavar="N")
    parser.add_argument("--flush", action="store_true", help=f"with {FLUSH}: an acknowledgement waits for the disk")
    parser.add_argument("--clients", default="own", metavar="LIST", help=f"whose producers, of {','.join(CLIENTS)} (own)")
    parser.add_argument("--rate", type=float, default=4, metavar="MB", help="what all producers together send a second (4)")
    parser.add_argument("--every", type=float, default=None, metavar="S", help="how long the broker serves at most until it is killed (0.8; 2 for others' clients)")
    parser.add_argument(
        "--inject", action="append", default=[], metavar="SPEC",
        help="have system calls fail, as `strace -e inject=SPEC` does: fdatasync:error=EIO:when=50+100; may be repeated",
    )  # fmt: skip
    parser.add_argument("--broker", choices=["felice", "kafka"], default="felice")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="of the kills' times")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    chosen = parser.parse_args()
    chosen.clients = chosen.clients.split(",")
    if unknown := set(chosen.clients) - set(CLIENTS):
        parser.error(f"no client {', '.join(unknown)}; there are: {', '.join(CLIENTS)}")
    if chosen.every is None:
        chosen.every = 0.8 if chosen.clients == ["own"] else 2
    if min(chosen.minutes, chosen.rate, chosen.every) <= 0:
        parser.error("--minutes, --rate and --every are above 0")
    if chosen.inject and not shutil.which("strace"):
        parser.error("--inject needs strace (Debian: apt-get install strace)")
    chosen.seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    return chosen


@dataclass
class Producer:
    """One process that sends, and what it said of it."""

    number: int
    client: str
    mode: str
    process: subprocess.Popen
    said: object
    rest: str = ""
    messages: int = 0
    bytes: int = 0
    again: int = 0
    refused: list = field(default_factory=list)

    @property
    def topic(self):
        return ONCE if self.mode == "idempotent" else PLAIN


class Traced(Broker):
    """A broker that is run by way of `prefix`: strace, which makes system calls fail."""

    prefix = ()

    @contextmanager
    def left_alone(self):
        prefix, self.prefix = self.prefix, ()
        yield
        self.prefix = prefix

    def _command(self):
        return [*self.prefix, *super()._command()]


class Course:
    """The run: a broker that is killed, processes that produce and consume meanwhile, and the judgement."""

    def __init__(self, folder, chosen):
        self.folder, self.chosen = folder, chosen
        self.random = random.Random(chosen.seed)
        self.broker = Traced(folder / "broker", kind=chosen.broker, settings=[*SETTINGS, *([FLUSH] if chosen.flush else [])])
        self.producers, self.consumer = [], None
        self.acknowledged = defaultdict(list)  # (topic, partition) -> (offset, producer, first number, count)
        self.recoveries, self.kills, self.launches = [], 0, 0
        self.early = 0  # kills before it served
        self.ended = 0  # how often it ended by itself, which it may where system calls fail
        self.wrong = []

    def run(self):
        chosen = self.chosen
        print(f"{self.broker.kind} on {self.folder}, {plural(chosen.minutes, 'minute')}, seed {chosen.seed}")
        promised = "and on the disk (fdatasync)" if chosen.flush else "in the kernel's page cache, as by default"
        print(f"acknowledged means: {promised}\n")
        self._start()
        self._under_way()
        self._kill_until(time.monotonic() + 60 * chosen.minutes)
        if chosen.inject:
            self.broker.kill()
            self.broker.prefix = ()
        if not self._serve():
            return self._tell(reading.Verdict(), 0)
        print("\nletting the producers finish ...", flush=True)
        seen = self._finish()
        self._read_log()
        print("reading everything back ...", flush=True)
        began = time.monotonic()
        verdict = self._judge(seen)
        took_s = time.monotonic() - began
        if not self.wrong:
            self._attempt(self.broker.stop)
        return self._tell(verdict, took_s)

    def _start(self):
        self.broker.start()
        connection = Connection(self.broker.port)
        topics = [{"Name": name, "NumPartitions": PARTITIONS, "ReplicationFactor": 1} for name in (ONCE, PLAIN)]
        answer = connection.ask("CreateTopics", 5, {"Topics": topics, "timeoutMs": 30000})
        connection.close()
        if any(topic["ErrorCode"] for topic in answer["Topics"]):
            raise SystemExit(f"scripts/soak: cannot create topics: {answer}")
        self.pool = self.folder / "pool"
        self.pool.write_bytes(self.random.randbytes(POOL_SIZE))
        (self.folder / "acknowledged").mkdir()
        each = [(client, mode) for client in self.chosen.clients for mode in MODES[client]]
        rate = int(self.chosen.rate * MB / len(each))
        for number, (client, mode) in enumerate(each):
            said = self.folder / "acknowledged" / f"{number}-{client}-{mode}"
            said.touch()
            words = [self.broker.port, ONCE if mode == "idempotent" else PLAIN, PARTITIONS, number, mode, self.pool, said, rate]
            process = spawn([*CLIENTS[client], *words], self.folder / f"{said.name}.log")
            self.producers.append(Producer(number, client, mode, process, open(said)))
        words = [self.broker.port, *(f"{topic}:{PARTITIONS}" for topic in (ONCE, PLAIN))]
        self.consumer = spawn([sys.executable, HERE / "consumer.py", *words], self.folder / "consumer.log", stdout=subprocess.PIPE)

    def _kill_until(self, end):
        """One kill in four comes while the broker starts, which is when it recovers; at most two of them in a row, so that the
        producers get on."""
        told = time.monotonic()
        row = 0
        while time.monotonic() < end and not self.wrong:
            self._burst()
            self._kill()
            if row < 2 and self.recoveries and self.random.random() < 0.25:
                row += 1
                self._launch()
                self._pause(self.random.uniform(0, sorted(self.recoveries)[len(self.recoveries) // 2]))
            else:
                row = 0
                if not self._serve():
                    return
                self._pause(self.random.uniform(self.chosen.every / 8, self.chosen.every))
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                self._progress(end)

    def _under_way(self):
        """Waits until every producer has something acknowledged: a Java machine takes its time to start."""
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end and not all(producer.messages or producer.process.poll() is not None for producer in self.producers):
            self._pause(0.05)
        if self.chosen.inject:
            self.broker.prefix = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf"]
            self.broker.prefix += ["-e", "trace=" + ",".join(spec.partition(":")[0] for spec in self.chosen.inject)]
            self.broker.prefix += [word for spec in self.chosen.inject for word in ("-e", f"inject={spec}")]

    def _burst(self):
        """Has the producers send what they can, rate or not, so that the kill finds them at work."""
        for producer in self.producers:
            if producer.process.poll() is None:
                producer.process.stdin.write(b"!")
                producer.process.stdin.flush()
        self._pause(self.random.expovariate(1 / self.random.choice((0.003, 0.02, 0.08))))

    def _kill(self):
        if self.broker.exit_code() is not None and self.chosen.inject:
            self.ended += 1
        elif self.broker.exit_code() is not None:
            self.wrong.append(f"the broker ended by itself\n{self.broker.log_tail()}")
            return
        else:
            self.kills += 1
        self.broker.kill()

    def _serve(self):
        """Starts the broker, unless it runs, and waits until it serves; returns whether it does."""
        began = time.monotonic()
        try:
            if self.broker.pid is None:
                self._launch()
            self.broker.await_serving(START_LIMIT_S)
        except BrokerFailed as failure:
            if self.broker.prefix:
                self.ended += 1
                self.launches -= 1
                with self.broker.left_alone():
                    return self._serve()
            self.wrong.append(f"the broker does not start: {failure}")
            return False
        self.recoveries.append(time.monotonic() - began)
        return True

    def _launch(self):
        self.broker.launch()
        self.launches += 1

    def _pause(self, seconds):
        end = time.monotonic() + seconds
        self._listen()
        time.sleep(max(0, end - time.monotonic()))

    def _listen(self):
        """Reads what the producers said since the last time."""
        for producer in self.producers:
            *lines, producer.rest = (producer.rest + producer.said.read()).split("\n")
            for line in lines:
                if line.startswith("again"):
                    producer.again += int(line.split()[1])
                elif line.startswith("refused"):
                    producer.refused.append(line)
                else:
                    partition, first, count, offset, size = map(int, line.split())
                    self.acknowledged[producer.topic, partition].append((offset, producer.number, first, count))
                    producer.messages += count
                    producer.bytes += size

    def _progress(self, end):
        print(
            f"  {clock(max(0, end - time.monotonic()))} to go   kill -9 {self.kills:5,}   acknowledged {sum(p.messages for p in self.producers):11,}"
            f"  {sum(p.bytes for p in self.producers) / MB:7,.0f} MB   slowest recovery {max(self.recoveries, default=0):.2f} s",
            flush=True,
        )

    def _finish(self):
        """Lets all end; returns what the consumer saw of each partition."""
        for producer in self.producers:
            producer.process.stdin.close()
        end = time.monotonic() + END_LIMIT_S
        for producer in self.producers:
            self._ended(f"producer {producer.number}, {producer.client}, {producer.mode}", producer.process, end)
        self._listen()
        for producer in self.producers:
            self.wrong += [f"producer {producer.number}, {producer.client}, {producer.mode}: {text}" for text in producer.refused]
            if not producer.messages:
                self.wrong.append(f"producer {producer.number}, {producer.client}, {producer.mode}, got nothing acknowledged")
        self.consumer.stdin.close()
        self._ended("the consumer", self.consumer, time.monotonic() + END_LIMIT_S)
        told = self.consumer.stdout.read()
        seen = json.loads(told) if told.strip() else []
        self.wrong += [f"the consumer: {fault}" for each in seen for fault in each["faults"]]
        return {(each["topic"], each["partition"]): each for each in seen}

    def _ended(self, name, process, end):
        try:
            code = process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.wrong.append(f"{name} is not done after {END_LIMIT_S} s")
            return
        if code:
            self.wrong.append(f"{name} ended with {code}; its last words are in {self.folder}")

    def _read_log(self):
        log = (self.broker.folder / "log").read_text(errors="replace")
        self.wrong += [line for line in log.splitlines() if "panicked" in line][:5]
        self.early = self.launches + 1 - log.count(SERVES[self.broker.kind])

    def _judge(self, seen):
        whole, nothing = reading.Verdict(), {"next": 0, "digest": ""}
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            asked = [
                pool.submit(reading.judge, self.broker.port, topic, partition, self.pool, self.acknowledged[topic, partition],
                            topic == ONCE, seen.get((topic, partition), nothing))
                for topic in (ONCE, PLAIN) for partition in range(PARTITIONS)
            ]  # fmt: skip
            for each in asked:
                try:
                    whole += each.result()
                except Exception as failure:
                    self.wrong.append(f"cannot read everything back: {type(failure).__name__}: {failure}")
        return whole

    def _attempt(self, action):
        try:
            action()
        except BrokerFailed as failure:
            self.wrong.append(str(failure))

    def _tell(self, verdict, took_s):
        messages, size = sum(p.messages for p in self.producers), sum(p.bytes for p in self.producers) / MB
        again = sum(p.again for p in self.producers)
        once = sum(p.mode == "idempotent" for p in self.producers)
        names = ", ".join(dict.fromkeys("this script's own client" if p.client == "own" else p.client for p in self.producers))
        mistimed = f"{self.early:,} of them before the broker served"
        kcat = "" if not shutil.which("kcat") else ", and differently by kcat" if verdict.kcat_differs else ", and the same by kcat"
        if self.chosen.inject:
            print(f"\n  with {' and '.join(self.chosen.inject)}; the broker ended by itself {plural(self.ended, 'time')}")
        rows = [
            ("kill -9", f"{self.kills:,}", mistimed),
            ("slowest recovery", f"{max(self.recoveries, default=0):.2f} s", f"half of them within {median(self.recoveries):.2f} s, from the start of the process to its first answer"),
            ("acknowledged", f"{messages:,}", f"messages, {size:,.0f} MB, by {plural(once, 'idempotent producer')} and {plural(len(self.producers) - once, 'plain one')} ({names})"),
            *([("sent again", f"{again:,}", "batches that a crash had left without an answer")] if "own" in self.chosen.clients else []),
            ("lost", f"{verdict.lost:,}", ""),
            ("twice", f"{verdict.twice:,}", f"of the idempotent producers; the plain ones repeated {verdict.again:,}, as they may"),
            ("out of order", f"{verdict.disordered:,}", ""),
            ("changed", f"{verdict.changed:,}", f"all {verdict.stored:,} were read back in {took_s:.0f} s, every byte compared{kcat}"),
        ]
        print()
        for name, figure, words in rows:
            print(f"  {name:17} {figure:>12}  {words}".rstrip())
        for fault in verdict.faults + self.wrong:
            print(f"\nWRONG: {fault}")
        good = verdict.is_good and not self.wrong and messages > 0
        if good:
            print("\n" + ("Nothing that was acknowledged is missing." if self.kills else "The broker was never killed."))
            print("A killed process loses its memory, and not the kernel's: this shows nothing about a power loss"
                  + (", against which the flush\nbefore each acknowledgement stands; no script can cut the power." if self.chosen.flush
                     else ".\n--flush waits for the disk before each acknowledgement, as one would against that."))  # fmt: skip
        return good

    def end_all(self):
        for process in [*(p.process for p in self.producers), self.consumer]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.broker.kill()


def spawn(words, log, stdout=None):
    with open(log, "ab") as file:
        return subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=stdout or file, stderr=file)


def clock(seconds):
    return f"{int(seconds) // 60:3}:{int(seconds) % 60:02}"


def plural(count, thing):
    return f"{count:g} {thing}{'' if count == 1 else 's'}"


def median(values):
    return sorted(values)[len(values) // 2] if values else 0


if __name__ == "__main__":
    main()
