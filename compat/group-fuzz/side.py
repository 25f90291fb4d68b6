"""One broker as the rounds see it: a differential's `Peer` that can leave a request unanswered, as JoinGroup and SyncGroup are while
a group waits for others."""

import socket
import struct

import wire
from peer import Peer


class Side(Peer):
    def __init__(self, broker, mistake=None):
        """`mistake` alters an answer before anybody sees it, as a wrong broker would; it takes the request's API and the answer."""
        super().__init__(broker)
        self.mistake = mistake
        self.idle = []

    def start(self, api, version, fields, client_id):
        """Sends a request on a connection of its own; returns that, which is to be polled."""
        line = self.idle.pop() if self.idle else Line(self.broker.port)
        line.send(api, version, fields, client_id)
        return line

    def done(self, line, answer):
        """Keeps the connection for another request."""
        self.idle.append(line)
        return self.mistake(line.api, answer) if self.mistake else answer

    def hang_up_all(self):
        self.hang_up()
        for line in self.idle:
            line.close()
        self.idle = []


class Line:
    """A connection with one request on its way."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self._correlation = bytearray(), 0

    def fileno(self):
        return self._socket.fileno()

    def send(self, api, version, fields, client_id):
        self._correlation += 1
        self.api, self.version = api, version
        frame = wire.request(api, version, fields, self._correlation, client_id=client_id)
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)

    def poll(self):
        """The answer, a text that says what came instead, or None while there is none yet."""
        try:
            part = self._socket.recv(1 << 20, socket.MSG_DONTWAIT)
            if not part:
                return "closed"
            self._received += part
        except BlockingIOError:
            return None
        except ConnectionError:
            return "closed"
        size = struct.unpack_from(">i", self._received)[0] if len(self._received) >= 4 else None
        if size is None or len(self._received) < 4 + size:
            return None
        raw = bytes(self._received[4 : 4 + size])
        del self._received[: 4 + size]
        try:
            correlation, answer = wire.answer(self.api, self.version, raw)
        except (wire.Malformed, UnicodeDecodeError) as failure:
            return f"malformed: {failure}: {raw.hex()[:200]}"
        return answer if correlation == self._correlation else f"correlation id {correlation} instead of {self._correlation}"

    def close(self):
        self._socket.close()
