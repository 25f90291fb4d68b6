"""A look at what the group has committed, all the time: OffsetFetch version 5 by hand, since librdkafka's admin client, of
which a broker that is killed meanwhile asks too much, ends the process (`rd_kafka_enq_once_del_source_return`)."""

import socket
import struct
import threading

from harness.checks import require
from history import now

LOOK_S = 0.25
OFFSET_FETCH, VERSION = 9, 5


class Look:
    def __init__(self, port, group, history):
        self._port, self._group, self._history = port, group, history
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.is_set():
            try:
                with self._connection() as peer:
                    while not self._ended.wait(LOOK_S):
                        asked = now()
                        code, offsets = self._ask(peer)
                        if code == 0:  # else the broker loads the group
                            self._history.observe(asked, offsets)
            except (OSError, struct.error):
                self._ended.wait(LOOK_S)  # the broker is down

    def committed(self):
        """{partition: offset} of what has any."""
        with self._connection() as peer:
            code, offsets = self._ask(peer)
        require(f"OffsetFetch is answered with error {code}", code == 0)
        return offsets

    def _connection(self):
        return socket.create_connection(("127.0.0.1", self._port), timeout=10)

    def _ask(self, peer):
        name = self._group.encode()
        all_topics = -1
        body = struct.pack(">hhih", OFFSET_FETCH, VERSION, 1, -1) + struct.pack(">h", len(name)) + name + struct.pack(">i", all_topics)
        peer.sendall(struct.pack(">i", len(body)) + body)
        with peer.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            return decoded(answer.read(size))


def decoded(answer):
    """The error code of the group, and {partition: offset}; a partition that has an error of its own is left out."""
    at = 8  # correlation id, throttle time

    def take(form):
        nonlocal at
        values = struct.unpack_from(f">{form}", answer, at)
        at += struct.calcsize(f">{form}")
        return values

    def text():
        nonlocal at
        (length,) = take("h")
        at += max(length, 0)
        return answer[at - max(length, 0) : at].decode()

    offsets = {}
    for _ in range(take("i")[0]):
        topic = text()
        for _ in range(take("i")[0]):
            number, offset, _ = take("iqi")
            text()  # metadata
            if take("h")[0] == 0 and offset >= 0:
                offsets[topic, number] = offset
    return take("h")[0], offsets
