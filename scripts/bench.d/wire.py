"""Just enough of the Kafka protocol to time a broker's first acknowledgement without a client library's own start-up."""

import socket
import struct
import time


def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(n):
    return varlen((n << 1) ^ (n >> 63))


def varlen(n):
    """Without a sign, as lengths are written."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def batch(value, timestamp_ms):
    """A record batch (v2) of one record with a null key."""
    record = b"\0" + varint(0) + varint(0) + varint(-1) + varint(len(value)) + value + varint(0)
    record = varint(len(record)) + record
    body = struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1) + record
    checked = struct.pack(">ibI", -1, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(checked)) + checked


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0]

    def string(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def array(self, element):
        return [element() for _ in range(max(0, self.take("i")))]


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, key, version, body):
        frame = struct.pack(">hhi", key, version, 1) + string("bench") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        answer = self._receive(struct.unpack(">i", self._receive(4))[0])
        return Reader(answer[4:])

    def _receive(self, length):
        data = bytearray()
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise ConnectionError("the broker closed the connection")
            data += more
        return bytes(data)

    def leader(self, topic):
        """Metadata v4, which creates the topic where it is missing: (error, leader) of partition 0."""
        r = self.ask(3, 4, struct.pack(">i", 1) + string(topic) + b"\1")
        r.take("i")
        r.array(lambda: (r.take("i"), r.string(), r.take("i"), r.string()))
        r.string()
        r.take("i")
        error = r.take("h") if r.take("i") else 3
        r.string()
        r.take("b")
        integers = lambda: r.array(lambda: r.take("i"))
        partitions = r.array(lambda: (r.take("h"), r.take("i"), r.take("i"), integers(), integers()))
        if error or not partitions:
            return error or 3, -1
        return partitions[0][0], partitions[0][2]

    def produce(self, topic, records):
        """Produce v7, acks=all, to partition 0: the error."""
        head = struct.pack(">hhii", -1, -1, 10000, 1) + string(topic) + struct.pack(">ii", 1, 0)
        r = self.ask(0, 7, head + struct.pack(">i", len(records)) + records)
        r.take("i")
        r.string()
        r.take("i")
        r.take("i")
        return r.take("h")


def first_acknowledgement(port, topic, alive, give_up_s=60):
    """Tries until one message of 1 KiB is acknowledged with acks=all, and returns time.monotonic() of that moment.
    `alive` says whether it is worth waiting."""
    records = batch(b"x" * 1024, int(time.time() * 1000))
    deadline = time.monotonic() + give_up_s
    while time.monotonic() < deadline and alive():
        try:
            with Connection(port) as connection:
                while time.monotonic() < deadline:
                    error, leader = connection.leader(topic)
                    if error == 0 and leader >= 0 and connection.produce(topic, records) == 0:
                        return time.monotonic()
                    time.sleep(0.0005)
        except OSError:
            time.sleep(0.0005)
    raise TimeoutError("no message was acknowledged")
