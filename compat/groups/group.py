"""A group under test: its members as processes, what is done to them, and the judgement at the end."""

import contextlib
import json
import re
import signal
import subprocess
import threading
from pathlib import Path

import judge
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec
from flow import LIMIT_S, Flow
from harness.checks import Wrong, passed, require, same, settled
from history import History
from look import Look

HERE = Path(__file__).resolve().parent
SESSION_MS = 6000
# Who leaves need not be waited for until its session ends.
LEFT_S = SESSION_MS / 1000 - 1
HEARTBEAT_MS = 500
COMMIT_MS = 200
# What the broker is told, so that sessions of both protocols are as short as Kafka lets those of the classic one be.
SETTINGS = [
    "auto.create.topics.enable=false",
    "group.initial.rebalance.delay.ms=0",
    f"group.min.session.timeout.ms={SESSION_MS}",
    f"group.consumer.min.session.timeout.ms={SESSION_MS}",
    f"group.consumer.session.timeout.ms={SESSION_MS}",
    f"group.consumer.min.heartbeat.interval.ms={HEARTBEAT_MS}",
    f"group.consumer.heartbeat.interval.ms={HEARTBEAT_MS}",
]
# Their clients have no callbacks around what they process.
LOOSE = {"kafkajs"}


class Member:
    """One process, whose lines go to the history."""

    def __init__(self, name, client, options, folder, history):
        self.name, self.client, self.options, self._history = name, client, options, history
        self._errors = open(folder / f"{name}.stderr", "w+")
        words = [f"{key}={value}" for key, value in options.items() if value is not None]
        history.add(name, "joining", client=client)
        self._process = subprocess.Popen(
            [HERE / "member", client, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, bufsize=1
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        last = None
        for line in self._process.stdout:
            said = json.loads(line)
            last = said.pop("event")
            self._history.add(self.name, last, **said)
        if self._process.wait() != -signal.SIGKILL and last not in ("closed", "error"):
            self._history.add(self.name, "vanished", error=f"exit code {self._process.returncode}\n{self.errors()}")

    def errors(self):
        self._errors.seek(0)
        return self._errors.read()[:4000]

    def say(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def close(self):
        """Returns once it has left the group and ended."""
        self.say("close")
        self._history.wait(f"{self.name} has closed", LIMIT_S, lambda: self.name not in self._history.owned)
        self._process.wait(LIMIT_S)

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._reader.join(LIMIT_S)  # what it said before is heard before
        self._history.add(self.name, "killed")

    def stop(self):
        self._process.send_signal(signal.SIGSTOP)
        self._history.add(self.name, "stopped")

    def go_on(self):
        self._history.add(self.name, "continued")
        self._process.send_signal(signal.SIGCONT)

    def end(self):
        """Whatever state it is in; returns what it printed."""
        self._process.kill()
        self._process.wait()
        with self._errors:
            return self.errors()


class Group:
    """`with Group(...) as group:` ends all that it started; what has to hold at the end is judged by `drain`."""

    def __init__(self, title, broker, folder, topics, name, client, protocol="classic", assignor="range", show=False):
        """`topics` is {name: number of partitions}; client, protocol and assignor are those of a member of which nothing else is said."""
        self.title, self.name, self.broker = title, name, broker
        self.history = History(show)
        self.members = {}
        self.topics = {}
        self._folder = Path(folder)
        self._folder.mkdir()
        self.protocol = protocol
        self._usual = {"client": client, "protocol": protocol, "assignor": assignor}
        self._stopped = set()
        self._all = []
        self._create(topics)
        self.flow = Flow(broker.address, self.partitions())
        self._look = Look(broker.port, name, self.history)

    def partitions(self):
        return [(topic, number) for topic, count in self.topics.items() for number in range(count)]

    def _create(self, topics):
        create(self.broker, topics)
        self.topics |= topics

    def grow(self, topics):
        """Creates topics, to which messages flow from now on."""
        self._create(topics)
        self.flow.also((topic, number) for topic, count in topics.items() for number in range(count))

    def also_there(self, topics):
        """Creates topics that the group must not subscribe to."""
        create(self.broker, topics)

    def more_partitions(self, topic, count):
        """Messages flow to the new ones as well."""
        before = self.topics[topic]
        admin = AdminClient({"bootstrap.servers": self.broker.address, "log_level": 2})
        admin.create_partitions([NewPartitions(topic, count)])[topic].result(LIMIT_S)
        served(self.broker, admin, {topic: count})
        self.topics[topic] = count
        self.flow.also((topic, number) for number in range(before, count))

    def join(self, *names, **options):
        """Starts members. `options` are those of members/README.md, and `client`."""
        for name in names:
            chosen = {**self._usual, **options}
            client = chosen.pop("client")
            if not chosen.keys() & {"topics", "pattern", "regex"}:
                chosen["topics"] = ",".join(self.topics)
            times = {"session_ms": SESSION_MS, "heartbeat_ms": HEARTBEAT_MS, "commit_ms": COMMIT_MS}
            whole = {"address": self.broker.address, "group": self.name, **times, **chosen}
            self.members[name] = Member(name, client, whole, self._folder, self.history)
            self._all.append(self.members[name])

    def say(self, command, *names):
        for name in names:
            self.members[name].say(command)

    def close(self, *names):
        for name in names:
            self.members.pop(name).close()

    def kill(self, *names):
        for name in names:
            self.members.pop(name).kill()

    def stop(self, *names):
        for name in names:
            self._stopped.add(name)
            self.members[name].stop()

    def go_on(self, *names):
        for name in names:
            self._stopped.discard(name)
            self.members[name].go_on()

    def settles(self, what, even=True, within_s=LIMIT_S):
        """Waits until each partition is owned by exactly one of the members that live and are not stopped, in fair shares;
        and then, until each of its owners has processed a message that was sent after that."""
        took = self.history.wait(f"{what}: all partitions are owned", within_s, lambda: self._settled(even))
        flowed = self.flows()
        passed(f"{self.title}: {what} ({took:.1f} s, messages after {flowed:.1f} s)")

    def flows(self):
        mark = self.flow.sent + len(self.flow.partitions)

        def read():
            owner = {partition: name for name in self.running() for partition in self.history.owned.get(name, ())}
            latest = self.history.latest
            return all(p in latest and latest[p][1] >= mark and latest[p][0] == owner.get(p) for p in self.partitions())

        return self.history.wait("each partition's owner has processed what was sent since", LIMIT_S, read)

    def running(self):
        return [name for name in self.members if name not in self._stopped]

    def stopped(self):
        return sorted(self._stopped)

    def _settled(self, even):
        shares = [self.history.owned.get(name, set()) for name in self.running()]
        every = [partition for share in shares for partition in share]
        fair = all(shares) and (not even or max(map(len, shares)) - min(map(len, shares)) <= 1)
        return fair and sorted(every) == sorted(self.partitions())

    @contextlib.contextmanager
    def nobody_else_moves(self, what, name):
        """What is done within is seen by this member alone: it ends with what it had, and no other was assigned or revoked anything."""
        before, had = len(self.history.events), set(self.history.owned[name])
        yield
        self.settles(what)
        moved = [f"{event.member} {event.what}" for event in self.history.events[before:] if event.member != name and moves(event)]
        same(f"{self.title}: {what}, and no other member moved", [], moved)
        same(f"{self.title}: {what}, with the partitions that it had", had, self.history.owned[name])

    def may_fail(self, name):
        self.history.expect_error(name)

    def fails(self, name, pattern):
        """Waits until a member that `may_fail` ends by itself with an error."""
        def failed():
            return [event for event in self.history.events if event.member == name and event.what == "error"]

        self.history.wait(f"{name} has failed", LIMIT_S, failed)
        message = failed()[0].data["error"]
        require(f"{name} failed with {message}, which is not {pattern}", re.search(pattern, message))
        self.members.pop(name)

    def is_of_type(self, kind):
        """As an admin client lists it, once the group has settled."""
        admin = AdminClient({"bootstrap.servers": self.broker.address, "log_level": 2})
        listed = admin.list_consumer_groups().result(LIMIT_S).valid
        same(f"{self.title}: the group is of type {kind}", [kind], [each.type.name.lower() for each in listed if each.group_id == self.name])

    def crash_broker(self, even=True):
        """kill -9, and up again: nobody has to notice but by waiting."""
        before = len(self.history.events)
        self.restart_broker(self.broker.kill)
        self.settles("the broker was killed and is back", even)
        anew = {event.member for event in self.history.events[before:] if moves(event)}
        print(f"       {len(anew)} of {len(self.members)} members were assigned anew", flush=True)

    def restart_broker(self, end):
        self.history.add(None, "broker ends")
        end()
        self.broker.start()
        self.history.add(None, "broker back")

    def drain(self):
        """Ends the flow, has everything read and committed, closes all members, and judges."""
        self.go_on(*self.stopped())
        self.flow.end()
        last = {partition: max(sent) for partition, sent in self.flow.acknowledged.items()}
        latest = self.history.latest

        def read():
            return all(latest.get(partition, (None, -1))[1] >= number for partition, number in last.items())

        self.history.wait("all messages are read", LIMIT_S, read)
        self.close(*list(self.members))
        self._look.end()
        loose = {member.name for member in self._all if member.client in LOOSE}
        wrong = judge.verdict(self.history, self.flow.acknowledged, self._ends(), self._look.committed(), loose)
        counted = sum(len(sent) for sent in self.flow.acknowledged.values())
        twice = sum(len(event.data["records"]) for event in self.history.events if event.what == "records") - counted
        if wrong:
            raise Wrong(f"{len(wrong)} things are wrong: " + "; ".join(wrong[:12]))
        refused = sum(event.what == "refused" for event in self.history.events)
        passed(f"{self.title}: {counted} messages, none lost, {twice} read twice, offsets exact ({refused} commits refused)")

    def _ends(self):
        admin = AdminClient({"bootstrap.servers": self.broker.address, "log_level": 2})
        asked = admin.list_offsets({TopicPartition(*partition): OffsetSpec.latest() for partition in self.partitions()})
        return {(each.topic, each.partition): future.result(LIMIT_S).offset for each, future in asked.items()}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for member in self._all:
            errors = member.end()
            if kind is not None and errors:
                print(f"{member.name} ({member.client}) printed: {errors}", flush=True)
        if kind is not None:
            self.flow.abandon()
            self._look.end()
            print(f"the broker printed:\n{self.broker.log_tail()}", flush=True)


def moves(event):
    return event.what in ("assigned", "revoked", "lost") and event.data["partitions"]


def create(broker, topics, **settings):
    """Creates topics and waits until the broker serves all their partitions."""
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
    for future in admin.create_topics([NewTopic(name, count, 1, config=settings) for name, count in topics.items()]).values():
        future.result(LIMIT_S)
    served(broker, admin, topics)


def served(broker, admin, topics):
    ends = {TopicPartition(name, number): OffsetSpec.latest() for name, count in topics.items() for number in range(count)}
    names = ", ".join(topics)

    def failures():
        return [str(f.exception(LIMIT_S)) for f in admin.list_offsets(ends).values() if f.exception(LIMIT_S)]

    settled(f"served: {names}", [], failures, broker.kind)
