"""Makes record batches, good ones and bad ones, and reads those of an answer."""

import gzip
import struct
import zlib

HEAD = struct.Struct(">qiibI")
BODY = struct.Struct(">hiqqqhii")
SIZE = HEAD.size + BODY.size
TIME = 1_767_225_600_000  # 2026-01-01: the create time of every record here, unless a case is about time

_TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ (0x82F63B78 if _n & 1 else 0)
    _TABLE.append(_n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def blob(value):
    return varint(-1) if value is None else varint(len(value)) + value


def record(offset_delta, value, key=None, time_delta=0, headers=()):
    body = b"\0" + varint(time_delta) + varint(offset_delta) + blob(key) + blob(value) + varint(len(headers))
    for name, each in headers:
        body += blob(name.encode()) + blob(each)
    return varint(len(body)) + body


def batch(values=(b"v",), *, keys=None, times=None, base_offset=0, magic=2, crc=None, attributes=0, producer=(-1, -1, -1), count=None,
          last_delta=None, max_time=None, payload=None, length=None, leader_epoch=-1, base_time=TIME):
    """A version 2 batch. Every header field can be set to what it should not be; the checksum is right unless given."""
    times = times or [base_time] * len(values)
    if payload is None:
        keys = keys or [None] * len(values)
        payload = b"".join(record(n, v, k, t - base_time) for n, (v, k, t) in enumerate(zip(values, keys, times)))
        if attributes & 7 == 1:
            payload = gzip.compress(payload, mtime=0)
    producer_id, producer_epoch, sequence = producer
    body = BODY.pack(
        attributes,
        len(values) - 1 if last_delta is None else last_delta,
        base_time,
        max(times, default=base_time) if max_time is None else max_time,
        producer_id, producer_epoch, sequence,
        len(values) if count is None else count,
    ) + payload
    crc = crc32c(body) if crc is None else crc
    return HEAD.pack(base_offset, len(body) + 9 if length is None else length, leader_epoch, magic, crc) + body


def message_set(magic, value=b"v"):
    """A message of the old formats, magic 0 or 1."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", TIME) if magic == 1 else b"")
    body += struct.pack(">i", -1) + struct.pack(">i", len(value)) + value
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message


def batches(raw):
    """The batches of an answer, each as a dictionary; a cut one at the end is told by its size."""
    out, at = [], 0
    while at < len(raw):
        if at + SIZE > len(raw):
            out.append({"cut": len(raw) - at})
            break
        base, length, epoch, magic, crc = HEAD.unpack_from(raw, at)
        end = at + 12 + length
        if end > len(raw):
            out.append({"cut": len(raw) - at})
            break
        fields = BODY.unpack_from(raw, at + HEAD.size)
        names = "attributes last_offset_delta base_timestamp max_timestamp producer_id producer_epoch base_sequence count".split()
        out.append({"base_offset": base, "length": length, "leader_epoch": epoch, "magic": magic,
                    "crc is right": crc == crc32c(raw[at + HEAD.size : end]), **dict(zip(names, fields)),
                    "payload": raw[at + SIZE : end].hex()[:200]})
        at = end
    return out
