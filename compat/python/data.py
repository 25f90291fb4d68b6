"""What is sent comes back: every codec, every shape of message, every timestamp, every acks, and a large number."""

import hashlib
import os
import time

from clients import (
    CREATE_TIME,
    LOG_APPEND_TIME,
    Message,
    acknowledged,
    create,
    read,
)
from harness import segment
from harness.checks import require, same

A_CODEC = 5000
MANY = 200_000
PARTITIONS = 10
LARGE = 900_000
MESSAGE_TOO_LARGE = 10


def every_codec(client, broker):
    partitions = 3
    create(client, {f"codec-{codec}": (partitions, {}) for codec in client.CODECS})
    for codec in client.CODECS:
        topic = f"codec-{codec}"
        sent = [Message(topic, n % partitions, letter(n), b"%d" % n + b", und noch viele" * 10) for n in range(A_CODEC)]
        offsets = [(each.partition, each.offset) for each in acknowledged(client.sent(sent, codec, linger_ms=20))]
        expected = [(n % partitions, n // partitions) for n in range(A_CODEC)]
        same(f"{codec}: {A_CODEC} acknowledged, the offsets of each partition in the order of sending", expected, offsets)
        back = {(record.partition, record.offset): (record.key, digest(record.value)) for record in read(client, topic, partitions)}
        hashes = {at: (message.key, digest(message.value)) for at, message in zip(expected, sent)}
        require(f"{codec}: what came back differs", back == hashes)
        same(f"{codec}: all came back by hash; the codec of the stored batches", [codec], segment.codecs(broker.data, topic))


def letter(n):
    """Of many sizes, five of 900 KB, one in a hundred empty. With its key each shrinks also alone: how many share a batch is
    up to the client, and what does not shrink is sent as it was."""
    if n % 100 == 99:
        return b""
    text = b"Liebste Felice, dies ist Brief Nummer %d, und es folgen noch viele" % n + b", und noch viele" * (10 + n % 100)
    return text * (LARGE // len(text)) if n % 1000 == 500 else text


def digest(value):
    return hashlib.sha256(value).hexdigest()


def shapes(client, broker):
    create(client, {"shapes": (1, {})})
    headers = [("first", b"1"), ("empty", b""), ("null", None if client.NULL_HEADERS else b""), ("first", b"2"), ("größe", os.urandom(10_000)), ("", b"no name")]
    sent = [
        Message("shapes", 0, b"v", b"k"),
        Message("shapes", 0, b"no key"),
        Message("shapes", 0, None, b"no value"),
        Message("shapes", 0, b"", b""),
        Message("shapes", 0, b"v", "Schlüssel \N{OWL}".encode(), headers),
        Message("shapes", 0, os.urandom(LARGE), b"large"),
    ]
    acknowledged(client.sent(sent))
    back = [(record.key, record.value, record.headers) for record in read(client, "shapes", 1)]
    expected = [(message.key, message.value, list(message.headers)) for message in sent]
    same("null and empty keys and values, 900 KB and headers come back as they were", expected, back)


def timestamps(client, broker):
    create(client, {"created": (1, {}), "appended": (1, {"message.timestamp.type": "LogAppendTime"})})
    base = int(time.time() * 1000) - 3_600_000
    times = [base + each for each in (100, 300, 200, 400, 400, 350)]
    before = int(time.time() * 1000)
    created = acknowledged(client.sent([Message("created", 0, b"v", timestamp=each) for each in times], linger_ms=500))
    appended = acknowledged(client.sent([Message("appended", 0, b"v", timestamp=each) for each in times], linger_ms=500))
    after = int(time.time() * 1000)
    same("one batch", 1, len(list(segment.batches(broker.data, "created", 0))))
    same("the acknowledgement has the create time", times[0], created[0].timestamp)  # aiokafka says the first one's to all
    same("create times", [(CREATE_TIME, each) for each in times], stamps(client, "created"))
    stored = stamps(client, "appended")
    same("append times are of their type, and one for the batch", [(LOG_APPEND_TIME, stored[0][1])] * len(times), stored)
    require(f"append time {stored[0][1]} is the broker's", before <= stored[0][1] <= after)
    same("the acknowledgement has it", {stored[0][1]}, {each.timestamp for each in appended})
    for sought, offset in [(0, 0), (100, 0), (101, 1), (250, 1), (300, 1), (301, 3), (400, 3), (401, None)]:
        same(f"first offset at or after {sought} ms within the batch", offset, client.since(("created", 0), base + sought))


def stamps(client, topic):
    return [(record.timestamp_type, record.timestamp) for record in read(client, topic, 1)]


def acks(client, broker):
    create(client, {"acks": (1, {})})
    for number, kind in enumerate((1, "all", 0)):
        results = client.sent([Message("acks", 0, b"%s" % str(kind).encode())], acks=kind)
        if kind != 0:
            same(f"acks={kind}: the offset", number, acknowledged(results)[0].offset)
    same("one each of acks 1, all and 0 is there", [b"1", b"all", b"0"], [record.value for record in read(client, "acks", 1, wanted=3)])


def just_too_large(client, broker):
    """A batch may be as large as max.message.bytes, and not a byte larger."""
    limit, overhead = 100_000, 72  # batch header 61, and a record's 11 around a value of this size
    create(client, {"limited": (1, {"max.message.bytes": str(limit)})})
    acknowledged(client.sent([Message("limited", 0, bytes(limit - overhead))]))
    (refused,) = client.sent([Message("limited", 0, bytes(limit - overhead + 1))])
    same("a batch of max.message.bytes is taken, one byte more", MESSAGE_TOO_LARGE, getattr(refused, "errno", refused))
    same("only the first is there", {("limited", 0): 1}, client.ends([("limited", 0)]))


def many(client, broker):
    create(client, {"many": (PARTITIONS, {})})
    values = [b"Brief %d, und es folgen noch viele, und noch viele" % n for n in range(MANY)]
    messages = (Message("many", n % PARTITIONS, value) for n, value in enumerate(values))
    offsets = [(each.partition, each.offset) for each in acknowledged(client.sent(messages, "lz4", idempotent=True, linger_ms=5))]
    require("acknowledged at other offsets than those of sending", offsets == [(n % PARTITIONS, n // PARTITIONS) for n in range(MANY)])
    received = [hashlib.sha256() for _ in range(PARTITIONS)]
    for record in read(client, "many", PARTITIONS):
        received[record.partition].update(record.value)
    sent = [hashlib.sha256(b"".join(values[n::PARTITIONS])) for n in range(PARTITIONS)]
    same(f"{MANY} messages: hashes of the partitions", [each.hexdigest()[:8] for each in sent], [each.hexdigest()[:8] for each in received])
