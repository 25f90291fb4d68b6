"""kill -9 and then a clean restart of the broker while an idempotent producer, a plain one and a consumer are at work. The
producers have acks=all and are told nothing of it: they retry."""

import os
import threading

from clients import LIMIT_S, Message, create, follow, read
from harness.checks import passed, require, same

COUNT = 12_000 * int(os.environ.get("COMPAT_SCALE", "1"))
PARTITIONS = 4


def restarts(client, broker):
    create(client, {"once": (PARTITIONS, {}), "plain": (PARTITIONS, {})})
    expected = [list(range(n, COUNT, PARTITIONS)) for n in range(PARTITIONS)]
    once, plain = Sender(client, "once", idempotent=True), Sender(client, "plain", idempotent=False)
    reader = client.reader()
    reader.assign({("once", n): 0 for n in range(PARTITIONS)})
    read_on = Background(lambda: follow(reader, "once", PARTITIONS, COUNT))
    senders = (once, plain)
    for each in (*senders, read_on):
        each.start()

    for stage, stop in enumerate((broker.kill, broker.stop)):
        for sender in senders:
            require("too few acknowledgements", sender.under_way[stage].wait(LIMIT_S))
        stop()
        broker.start()
    for each in (*senders, read_on):
        each.join(LIMIT_S)
        require(f"{each.name} does not end", not each.is_alive())
        if each.failure:
            raise each.failure
    reader.close()

    same("the idempotent producer's failures", [], once.failures()[:3])
    same("all are there, in order, once", expected, numbers(read(client, "once", PARTITIONS)))
    same("a consumer that read on has all, in order, once", expected, numbers(read_on.result))
    stored = {int(record.value) for record in read(client, "plain", PARTITIONS)}
    same("acknowledged to the producer without idempotence, and lost", set(), plain.acknowledged() - stored)
    same("acknowledged to it", COUNT, len(plain.acknowledged()))
    passed(f"{COUNT} messages of each producer outlived a kill -9 and a clean restart")


class Background(threading.Thread):
    def __init__(self, work, name="reader"):
        super().__init__(daemon=True, name=name)
        self._work = work
        self.result = self.failure = None

    def run(self):
        try:
            self.result = self._work()
        except BaseException as failure:
            self.failure = failure


class Sender(Background):
    """Sends COUNT numbers. A third of them each waits until half of the third before is acknowledged, which is what the
    stops of the broker wait for as well: so they come in between whatever the machine's speed."""

    def __init__(self, client, topic, **settings):
        self.under_way = [threading.Event(), threading.Event()]
        self._seen = 0
        hold = {COUNT // 3: self.under_way[0], COUNT * 2 // 3: self.under_way[1]}
        messages = (Message(topic, n % PARTITIONS, b"%d" % n) for n in range(COUNT))
        work = lambda: client.sent(messages, hold=hold, seen=self._acknowledged, acks="all", linger_ms=2, **settings)
        super().__init__(work, f"sender to {topic}")

    def _acknowledged(self, _):
        self._seen += 1
        if self._seen >= COUNT // 6:
            self.under_way[0].set()
        if self._seen >= COUNT // 2:
            self.under_way[1].set()

    def failures(self):
        return [repr(each) for each in self.result if isinstance(each, BaseException)]

    def acknowledged(self):
        return {n for n, each in enumerate(self.result) if not isinstance(each, BaseException)}


def numbers(records):
    found = [[] for _ in range(PARTITIONS)]
    for record in records:
        found[record.partition].append(int(record.value))
    return found
