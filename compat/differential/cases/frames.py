"""Bytes that no client sends: what is answered, what closes the connection, and whom it harms (nobody)."""

import random
import struct

import peer as peers
import wire
from peer import SILENCE_S, produce
from records import batch

from .mark import case

MEMORY_LIMIT = 8 << 20


def frame(body):
    return struct.pack(">i", len(body)) + body


def hostile():
    """Labels and bytes."""
    dice = random.Random(3)
    metadata = wire.request("Metadata", 12, {"Topics": []}, 1)
    yield "nothing", b""
    yield "random bytes", bytes([0x7F]) + dice.randbytes(2000)
    yield "a TLS hello", bytes.fromhex("16030100c8010000c40303") + dice.randbytes(200)
    yield "an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "a frame of 2 GiB", struct.pack(">i", 0x7FFFFFFF) + b"x" * 100
    yield "a frame of one byte more than allowed", struct.pack(">i", 104857601) + b"x" * 100
    yield "a frame of the largest allowed length that never ends", struct.pack(">i", 104857600) + metadata
    yield "a frame that never ends", struct.pack(">i", 1000) + metadata
    yield "a frame of a negative length", struct.pack(">i", -1)
    yield "a frame of the lowest length", struct.pack(">i", -0x80000000)
    yield "a frame of length 0", struct.pack(">i", 0)
    for size in (1, 2, 4, 7, 8, 9, 10):
        yield f"a header cut to {size} bytes", frame(metadata[:size])
    yield "two bytes of a length", b"\0\0"
    yield "a client id longer than the frame", frame(struct.pack(">hhih", 3, 12, 1, 32000) + b"abc")
    yield "a client id of length -2", frame(struct.pack(">hhih", 3, 12, 1, -2) + b"abc")
    yield "a client id that is not UTF-8", frame(struct.pack(">hhih", 3, 0, 1, 2) + b"\xff\xfe" + struct.pack(">i", 0))
    yield "a null client id", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\0")
    yield "unknown tags in the header", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\1\x63\3abc" + b"\0\0")
    yield "unknown tags in the body", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\1\x63\3abc")
    yield "a tag longer than the frame", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\1\x63\x7fabc")
    yield "the same tag twice", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\2\x63\1a\x63\1b")
    yield "tags that end too early", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\0" + b"\0\7")
    yield "a number that never ends", frame(struct.pack(">hhih", 60, 0, 1, -1) + b"\xff" * 20)
    yield "an array longer than the frame", frame(struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 1_000_000_000))
    yield "an array of length -2", frame(struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", -2))
    yield "a compact array longer than the frame", frame(struct.pack(">hhih", 3, 12, 1, -1) + b"\0" + wire.unsigned(1_000_000_000))
    yield "a string longer than the frame", frame(struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">ih", 1, 30000) + b"abc")
    yield "a null where none is allowed", frame(struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">ih", 1, -1))
    yield "a null array where none is allowed", frame(struct.pack(">hhih", 19, 2, 1, -1) + struct.pack(">iib", -1, 1000, 0))
    yield "a body cut short", frame(metadata[:-2])
    yield "bytes after the body", frame(wire.request("DescribeCluster", 0, {}, 1) + b"more")
    yield "a name that is not UTF-8", frame(struct.pack(">hhih", 3, 4, 1, -1) + struct.pack(">ih", 1, 2) + b"\xff\xfe" + b"\0")
    yield "an answer instead of a request", frame(struct.pack(">i", 1) + b"\0" * 30)
    yield "records longer than the frame", frame(struct.pack(">hhihhhiihii", 0, 3, 1, -1, -1, -1, 1000, 1, 1, 0x61000000 >> 24, 1) + b"\0" * 20)


@case
def hostile_bytes(peer):
    other = peers.Peer(peer.broker)
    other.begin("hostile_bytes")
    topic = other.create("other")
    other.append(topic, batch())
    before = peer.broker.resident_bytes()
    for label, raw in hostile():
        peer.hang_up()
        answer = peer.exchange(raw, SILENCE_S)
        # Correlation ids are ours or garbage; ports and ids are a broker's own: that there is an answer is what counts.
        peer.note(label, "answered" if isinstance(answer, bytes) else answer)
        other.append(topic, batch())
    peer.hang_up()
    other.hang_up()
    if peer.broker.kind == "felice":
        grown = peer.broker.resident_bytes() - before
        if grown > MEMORY_LIMIT:
            raise RuntimeError(f"hostile bytes made resident memory grow by {grown >> 10} KiB")


@case
def cut_requests(peer):
    """Every request that is understood, cut at every byte: the connection is closed, or the cut part was not needed."""
    name = peer.create("t")
    requests = {
        "Metadata": (12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}),
        "Produce": (9, produce(name, batch())),
        "Fetch": (12, {"Topics": [{"Topic": name, "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 100}]}]}),
        "ListOffsets": (6, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]}),
    }
    for api, (version, given) in requests.items():
        whole = wire.request(api, version, given, 1)
        for size in range(9, len(whole), 1 if api != "Produce" else 3):
            peer.hang_up()
            answer = peer.exchange(frame(whole[:size]), 3)
            peer.note(f"{api} cut to {size} of {len(whole)} bytes", "answered" if isinstance(answer, bytes) else answer)


@case
def many_at_once(peer):
    """Requests that are sent before earlier ones are answered are answered in their order."""
    name = peer.create("t", retention_ms=-1)
    peer.hang_up()
    sent = []
    raw = b""
    for n in range(60):
        api, version, given = [
            ("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}),
            ("Produce", 9, produce(name, batch([b"%d" % n]))),
            ("Fetch", 12, {"MaxWaitMs": 20, "MinBytes": 1 << 20, "Topics": [{"Topic": name, "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1}]}]}),
        ][n % 3]
        sent.append((api, version))
        raw += frame(wire.request(api, version, given, 1000 + n))
    answer = peer.exchange(raw)
    for n, (api, version) in enumerate(sent):
        if n:
            answer = peer.exchange(b"")
        peer._correlation = 1000 + n
        peer.note(f"{n} {api}", peer.decoded(api, version, answer) if isinstance(answer, bytes) else answer)
