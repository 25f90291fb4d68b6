"""A connection to a broker, over the codec of compat/differential: requests go out without waiting for earlier answers."""

import socket
import struct

import wire

SILENCE_S = 60


class Connection:
    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", buffering=1 << 16)
        self._sent = self._received = 0
        self._waiting = []  # (api, version) of what is not answered

    def send(self, api, version, fields):
        self._sent += 1
        frame = wire.request(api, version, fields, self._sent, client_id="kill9")
        self._waiting.append((api, version))
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self):
        """The answer to the earliest request that has none yet."""
        size = struct.unpack(">i", self._exactly(4))[0]
        api, version = self._waiting.pop(0)
        self._received += 1
        correlation_id, answer = wire.answer(api, version, self._exactly(size))
        if correlation_id != self._received:
            raise wire.Malformed(f"correlation id {correlation_id} instead of {self._received}")
        return answer

    def ask(self, api, version, fields):
        self.send(api, version, fields)
        return self.receive()

    def close(self):
        self._file.close()
        self._socket.close()

    def _exactly(self, count):
        raw = self._file.read(count)
        if len(raw) < count:
            raise ConnectionError("closed by the broker")
        return raw
