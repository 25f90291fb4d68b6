"""Workers of Kafka Connect, which form a group whose protocol is not a consumer's: two of them share a connector's tasks, one
is killed, and so is the broker. The connector is java/Letters.java; what it writes has no gap."""

import json
import signal
import subprocess
import time
import urllib.request

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from flow import LIMIT_S
from group import HEARTBEAT_MS, HERE, SESSION_MS, SETTINGS, create
from harness.broker import Broker, free_port
from harness.checks import Wrong, passed, require, same

TASKS = 4
FURTHER = 50


class Worker:
    def __init__(self, folder, address, name):
        self.port = free_port()
        settings = {
            "bootstrap.servers": address,
            "group.id": "workers",
            "listeners": f"http://127.0.0.1:{self.port}",
            "rest.advertised.host.name": "127.0.0.1",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.flush.interval.ms": 500,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "scheduled.rebalance.max.delay.ms": 0,
            "plugin.discovery": "service_load",
            "offset.storage.partitions": 2,
            "status.storage.partitions": 1,
            "reconnect.backoff.max.ms": 200,
        }
        for store in ["config", "offset", "status"]:
            settings |= {f"{store}.storage.topic": f"workers-{store}", f"{store}.storage.replication.factor": 1}
        file = folder / f"{name}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._log = open(folder / f"{name}.log", "w+")
        self._process = subprocess.Popen([HERE / "member", "connect", file], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def ask(self, path, body=None):
        """The answer, or None where there is none yet: a worker answers many requests only once its group has settled."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            require(f"a worker of Connect has ended: {self.printed()}", self._process.poll() is None)
            return None

    def printed(self):
        self._log.seek(0)
        return self._log.read()[-3000:]

    def end(self, how=signal.SIGKILL):
        self._process.send_signal(how)
        self._process.wait(LIMIT_S)


def share_tasks(folder, show, seed):
    broker = Broker(folder / "broker", settings=SETTINGS)
    workers = []
    try:
        with broker:
            create(broker, {"letters": TASKS})
            for name in ["one", "two"]:
                workers.append(Worker(folder, broker.address, name))
            life(broker, *workers)
    except Exception:
        for worker in workers:
            print(worker.printed(), flush=True)
        print(f"the broker printed:\n{broker.log_tail()}", flush=True)
        raise
    finally:
        for worker in workers:
            worker.end()


def life(broker, one, two):
    connector = {"name": "letters", "config": {"connector.class": "Letters", "tasks.max": TASKS}}
    until("a connector is taken", lambda: one.ask("/connectors", connector))
    homes = until("all tasks run, on both workers", lambda: spread(one, 2))
    passed(f"connect: {TASKS} tasks run on 2 workers: {homes}")
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 2})
    described = admin.describe_consumer_groups(["workers"])["workers"].exception(LIMIT_S)
    same("connect: its group is not of consumers", "GroupId workers is not a consumer group (connect).", described and described.args[0].str())
    reader = Reader(broker.address)
    reader.all_go_on("2 workers write")
    two.end()
    until("all tasks run on the worker that is left", lambda: spread(one, 1))
    reader.all_go_on("1 worker was killed, and the other writes")
    broker.kill()
    broker.start()
    reader.all_go_on("the broker was killed and is back, and the worker writes")
    one.end(signal.SIGTERM)
    reader.check()


def spread(worker, workers):
    """{task: worker}, if all run, on so many of them."""
    status = worker.ask("/connectors/letters/status")
    homes = {task["id"]: task["worker_id"] for task in status["tasks"] if task["state"] == "RUNNING"} if status else {}
    return homes if len(homes) == TASKS and len(set(homes.values())) == workers else None


class Reader:
    def __init__(self, address):
        self._client = Consumer({"bootstrap.servers": address, "group.id": "none", "auto.offset.reset": "earliest", "log_level": 2})
        self._client.assign([TopicPartition("letters", number, 0) for number in range(TASKS)])
        self._numbers = {number: [] for number in range(TASKS)}

    def all_go_on(self, what):
        wanted = {number: max(read, default=0) + FURTHER for number, read in self._numbers.items()}

        def read():
            for message in self._client.consume(1000, timeout=0.2):
                if message.error() is None:
                    self._numbers[message.partition()].append(int(message.value()))
            return all(max(self._numbers[number], default=0) >= end for number, end in wanted.items())

        until(f"{what}: each task has written {FURTHER} more", read)
        passed(f"connect: {what}, each task {FURTHER} more")

    def check(self):
        gaps = {number: sorted(set(range(max(read))) - set(read))[:5] for number, read in self._numbers.items()}
        same("connect: what the tasks wrote has no gap", {number: [] for number in gaps}, gaps)


def until(what, ask):
    deadline = time.monotonic() + LIMIT_S
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise Wrong(f"not within {LIMIT_S} s: {what}")
        time.sleep(0.1)  # Connect offers no event to wait for
    return answer
