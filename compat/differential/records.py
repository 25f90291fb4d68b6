"""Makes record batches, good ones and bad ones, and reads those of an answer."""

import gzip
import struct
import zlib
from collections import namedtuple
from functools import cache

HEAD = struct.Struct(">qiibI")
BODY = struct.Struct(">hiqqqhii")
SIZE = HEAD.size + BODY.size
TIME = 1_767_225_600_000  # 2026-01-01: the create time of every record here, unless a case is about time

def _byte_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_BYTE = _byte_table()
_SHORT = 512  # bytes that are not worth folding


def crc32c(data):
    """Python does 13 MB/s byte by byte. A checksum is linear, so a long input is folded first: its upper half, moved by half the
    length, is added to its lower half, for all words at once with bytes.translate. That does ten times as much."""
    size = len(data)
    if size <= _SHORT:
        return _remainder(0xFFFFFFFF, data) ^ 0xFFFFFFFF
    level = (size - 1).bit_length()
    length = 1 << level
    # Zeroes before the first byte change nothing, once the register's first content is in the data.
    first = bytes(each ^ 0xFF for each in data[:4])
    padded = b"".join((bytes(length - size), first, memoryview(data)[4:]))
    planes = [padded[n::4] for n in range(4)]
    while length > _SHORT:
        level -= 1
        length >>= 1
        half = length // 4
        upper = [plane[:half] for plane in planes]
        moved = _moves(level)
        for out in range(4):
            total = int.from_bytes(planes[out][half:], "little")
            for into in range(4):
                total ^= int.from_bytes(upper[into].translate(moved[into][out]), "little")
            planes[out] = total.to_bytes(half, "little")
    folded = bytearray(length)
    for n in range(4):
        folded[n::4] = planes[n]
    return _remainder(0, folded) ^ 0xFFFFFFFF


def _remainder(crc, data):
    table = _BYTE
    for each in data:
        crc = table[(crc ^ each) & 0xFF] ^ crc >> 8
    return crc


@cache
def _moves(level):
    """For each byte of a register, and each byte of what it is 2**level zeroes later, a table of what the one adds to the other."""
    later = _later(level)
    return [[bytes(each >> 8 * out & 0xFF for each in later[into]) for out in range(4)] for into in range(4)]


@cache
def _later(level):
    """For each byte of a register, a table of what it adds to the register 2**level zeroes later."""
    if level == 0:
        return [[_remainder(n << 8 * byte, b"\0") for n in range(256)] for byte in range(4)]
    half = _later(level - 1)

    def move(crc):
        return half[0][crc & 0xFF] ^ half[1][crc >> 8 & 0xFF] ^ half[2][crc >> 16 & 0xFF] ^ half[3][crc >> 24]

    return [[move(each) for each in table] for table in half]


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


Header = namedtuple(
    "Header",
    "base_offset length leader_epoch magic crc attributes last_offset_delta base_timestamp max_timestamp producer_id producer_epoch"
    " base_sequence count",
)
# One record as a consumer has it. Keys, values and headers' values are None where they are null.
Record = namedtuple("Record", "offset timestamp key value headers")

LOG_APPEND_TIME, CONTROL = 8, 32


def split(raw):
    """The whole batches of an answer, each as (header, bytes). What is cut at the end is left out."""
    at = 0
    while at + SIZE <= len(raw):
        head = HEAD.unpack_from(raw, at)
        end = at + 12 + head[1]
        if end > len(raw):
            return
        yield Header(*head, *BODY.unpack_from(raw, at + HEAD.size)), raw[at:end]
        at = end


def is_sound(header, raw):
    return header.magic == 2 and header.crc == crc32c(memoryview(raw)[HEAD.size :])


def opened(header, raw):
    """The records of a batch."""
    codec = header.attributes & 7
    data = DECOMPRESS[codec](raw[SIZE:]) if codec else raw
    at = 0 if codec else SIZE
    for _ in range(header.count):
        length, at = _varint(data, at)
        end = at + length
        time_delta, at = _varint(data, at + 1)
        offset_delta, at = _varint(data, at)
        key, at = _blob(data, at)
        value, at = _blob(data, at)
        count, at = _varint(data, at)
        headers = []
        for _ in range(count):
            name, at = _blob(data, at)
            each, at = _blob(data, at)
            headers.append((name.decode(), each))
        if at != end:
            raise ValueError(f"a record of {length} bytes ends {end - at} bytes off")
        timestamp = header.max_timestamp if header.attributes & LOG_APPEND_TIME else header.base_timestamp + time_delta
        yield Record(header.base_offset + offset_delta, timestamp, key, value, tuple(headers))
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes after the last record")


# By codec; those of the standard library. A suite that has more adds them.
DECOMPRESS = {1: gzip.decompress}


def _varint(data, at):
    byte = data[at]
    at += 1
    number = byte & 0x7F
    shift = 7
    while byte > 0x7F:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return number >> 1 ^ -(number & 1), at


def _blob(data, at):
    size, at = _varint(data, at)
    if size < 0:
        return None, at
    return data[at : at + size], at + size
