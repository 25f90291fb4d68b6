"""Produce: what is taken, what is refused, and an idempotent producer's rights."""

import time
import uuid

import records
import wire
from peer import produce
from records import TIME, batch

from .mark import case

UNKNOWN_ID = uuid.UUID(int=0xFE11CE)
INVALID_RECORD = 87
DAY = 86_400_000
NOW = int(time.time() * 1000)


def stored(peer, label, topic, offset=0):
    """Writes down what a consumer is given."""
    partition = {"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
    fields = {"MaxWaitMs": 0, "MinBytes": 0, "Topics": [{"Topic": topic, "Partitions": [partition]}]}
    peer.ask(label, "Fetch", 12, fields)


@case
def produce_good(peer):
    for version in wire.versions("Produce"):
        name = peer.create(f"t{version}")

        def ask(label, data, acks=-1):
            peer.ask(label, "Produce", version, produce(name, data, acks=acks, topic_id=peer.id(name)))

        ask("one", batch())
        ask("three", batch([b"a", b"", None], keys=[None, b"", b"k"]))
        ask("gzip", batch([b"a" * 1000, b"b"], attributes=1))
        ask("a base offset of 77", batch(base_offset=77))
        ask("a leader epoch of 9", batch(leader_epoch=9))
        ask("acks=1", batch(), acks=1)
        # No answer comes to the first: the second shows that it was done.
        peer.send("Produce", version, produce(name, batch(), acks=0, topic_id=peer.id(name)))
        ask("after acks=0", batch())
        stored(peer, f"stored by v{version}", name)


def bad_batches():
    """Labels and batches that are refused, or taken although they look odd."""
    yield "a wrong checksum", batch(crc=1)
    yield "magic 0", records.message_set(0)
    yield "magic 1", records.message_set(1)
    yield "magic 3", batch(magic=3)
    yield "magic -1", batch(magic=-1)
    yield "no bytes", b""
    yield "a cut batch", batch()[:-1]
    yield "a cut header", batch()[:30]
    yield "bytes after the batch", batch() + b"xyz"
    yield "a length too small", batch(length=10)
    yield "a length of 0", batch(length=0)
    yield "a negative length", batch(length=-1)
    yield "a length too large", batch(length=100_000)
    yield "two batches", batch() + batch()
    yield "no records", batch([], last_delta=0, count=0)
    yield "no records and an offset delta of -1", batch([], last_delta=-1, count=0)
    yield "a count too large", batch([b"a", b"b"], count=3)
    yield "a count too small", batch([b"a", b"b"], count=1)
    yield "a negative count", batch(count=-1)
    yield "a last offset delta too large", batch([b"a", b"b"], last_delta=5)
    yield "a last offset delta too small", batch([b"a", b"b"], last_delta=0)
    yield "a negative last offset delta", batch(last_delta=-1)
    yield "deltas that skip", batch([b"a", b"b"], payload=records.record(0, b"a") + records.record(2, b"b"))
    yield "deltas in the wrong order", batch([b"a", b"b"], payload=records.record(1, b"a") + records.record(0, b"b"))
    yield "bytes after the records", batch(payload=records.record(0, b"v") + b"xyz")
    yield "a record cut short", batch(payload=records.record(0, b"v" * 50)[:-10])
    yield "a record that claims too much", batch(payload=records.varint(1000) + b"\0\0\0")
    yield "a record of a negative length", batch(payload=records.varint(-5) + b"\0\0\0")
    yield "a value longer than its record", batch(payload=records.varint(7) + b"\0\0\0" + records.varint(-1) + records.varint(90) + b"v\0")
    yield "a negative number of headers", batch(payload=records.varint(6) + b"\0\0\0" + records.varint(-1) + records.varint(-1) + records.varint(-1))
    yield "a header without a name", batch(payload=records.varint(8) + b"\0\0\0" + records.varint(-1) + records.varint(-1) + records.varint(1) + records.varint(-1) + records.varint(-1))
    yield "an unknown codec", batch(attributes=5)
    yield "a codec of 7", batch(attributes=7)
    yield "gzip that is none", batch(attributes=1, payload=b"not a frame at all")
    yield "lz4 that is none", batch(attributes=3, payload=b"not a frame at all")
    yield "zstd that is none", batch(attributes=4, payload=b"not a frame at all")
    yield "lz4 of linked blocks", batch(attributes=3, payload=bytes.fromhex("04224d184040c0") + b"\1\0\0\x80v\0\0\0\0")
    yield "a control batch", batch(attributes=0x20, producer=(1, 0, 0))
    yield "transactional without a producer", batch(attributes=0x10)
    yield "append time, from a client", batch(attributes=0x08)
    yield "an unused attribute", batch(attributes=0x80)
    yield "a producer without a sequence", batch(producer=(5, 0, -1))
    yield "a negative epoch", batch(producer=(5, -1, 0))
    yield "a sequence without a producer", batch(producer=(-1, -1, 0))
    yield "a wrong max timestamp", batch(max_time=TIME + 7)
    yield "no timestamp", batch(base_time=-1, times=[-1])
    yield "a negative timestamp", batch(base_time=-5000, times=[-5000])


@case
def produce_bad_batches(peer):
    # Each has a topic of its own, so that the offsets of what is taken do not tell of what came before.
    for n, (label, data) in enumerate(bad_batches()):
        name = peer.create(f"t{n}")
        peer.ask(label, "Produce", 9, produce(name, data))
        stored(peer, f"{label}: stored", name)
    # Kafka 4.3.1 never answers this.
    name = peer.create("null")
    answered = lambda: peer.call("Produce", 9, produce(name, None))["Responses"][0]["PartitionResponses"][0]["ErrorCode"]
    peer.better_than_kafka("null", INVALID_RECORD, answered)
    # zstd is for version 7 and later; gzip's bytes do not matter where the codec is refused.
    name = peer.create("zstd")
    for version in (3, 6):
        peer.ask("zstd before its time", "Produce", version, produce(name, batch(attributes=4, payload=b"\x28\xb5\x2f\xfd")))


@case
def produce_where(peer):
    name, other = peer.create("t"), peer.create("o")
    for version in wire.versions("Produce"):
        peer.ask("unknown topic", "Produce", version, produce("nowhere", batch(), topic_id=UNKNOWN_ID))
        peer.ask("bad name", "Produce", version, produce("a/b", batch(), topic_id=wire.ZERO_ID))
        for partition in (1, -1, 99):
            peer.ask(f"partition {partition}", "Produce", version, produce(name, batch(), partition, topic_id=peer.id(name)))
        for acks in (2, -2, 100):
            peer.ask(f"acks={acks}", "Produce", version, produce(name, batch(), acks=acks, topic_id=peer.id(name)))
        peer.ask("no topics", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": []})

        def data(topic, *each):
            return {"Name": topic, "TopicId": peer.id(topic), "PartitionData": [{"Index": n, "Records": b} for n, b in each]}

        peer.ask("two topics, one bad", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": [data(name, (0, batch())), data(other, (0, batch(crc=1)))]})
        peer.ask("good and missing partition", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": [data(name, (0, batch()), (5, batch()))]})
        twice = peer.create(f"twice{version}")
        peer.ask("one partition twice", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": [data(twice, (0, batch()), (0, batch([b"x", b"y"])))]})
        twice = peer.create(f"two-entries{version}")
        peer.ask("one topic twice", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": [data(twice, (0, batch())), data(twice, (0, batch()))]})
    peer.ask("a transactional id nobody began", "Produce", 9, {**produce(name, batch()), "TransactionalId": "nobody"})
    # An error that cannot be answered closes the connection.
    peer.send("Produce", 9, produce("nowhere", batch(), acks=0))
    peer.ask("after acks=0 to an unknown topic", "Produce", 9, produce(name, batch()))
    peer.hang_up()
    peer.send("Produce", 9, produce(name, batch(crc=1), acks=0))
    peer.ask("after acks=0 with a wrong checksum", "Produce", 9, produce(name, batch()))


@case
def produce_with_more_in_sync_than_there_are(peer):
    name = peer.create("t", min_insync_replicas=2)
    for acks in (-1, 1):
        peer.ask(f"acks={acks}", "Produce", 9, produce(name, batch(), acks=acks))


@case
def produce_limits(peer):
    name = peer.create("small", max_message_bytes=1000)
    for size in (500, 932 - 69 + 61, 930, 935, 2000):
        peer.ask(f"{size} bytes where 1000 are allowed", "Produce", 9, produce(name, batch([b"v" * size])))
    exact = 1000 - len(batch([b"v" * 900])) + 900
    for more in (0, 1):
        peer.ask(f"{more} bytes over the limit", "Produce", 9, produce(name, batch([b"v" * (exact + more)])))
    peer.ask("compressed below the limit", "Produce", 9, produce(name, batch([b"v" * 5000], attributes=1)))

    name = peer.create("default")
    peer.ask("1 MiB and its overhead", "Produce", 9, produce(name, batch([b"v" * (1 << 20)])))

    name = peer.create("timely", message_timestamp_before_max_ms=DAY, message_timestamp_after_max_ms=DAY)
    for label, at in {"two days ago": NOW - 2 * DAY, "in two days": NOW + 2 * DAY, "no time": -1, "an hour ago": NOW - 3_600_000}.items():
        peer.ask(label, "Produce", 9, produce(name, batch(base_time=at)))
    peer.ask("one of three too old", "Produce", 9, produce(name, batch([b"a", b"b", b"c"], base_time=NOW, times=[NOW, NOW - 2 * DAY, NOW])))
    peer.ask("the far future, by default", "Produce", 9, produce(peer.create("t2"), batch(base_time=NOW + 2 * DAY)))

    name = peer.create("appended", message_timestamp_type="LogAppendTime")
    for version in (3, 9):
        peer.ask("append time", "Produce", version, produce(name, batch([b"a", b"b"])))
    peer.ask("append time, far off", "Produce", 9, produce(name, batch(base_time=NOW - 99 * DAY)))
    stored(peer, "stored with append time", name)

    name = peer.create("recompressed", compression_type="uncompressed")
    peer.ask("gzip where none is asked for", "Produce", 9, produce(name, batch([b"a" * 100, b"b"], attributes=1)))
    stored(peer, "stored uncompressed", name)


@case
def produce_compacted(peer):
    name = peer.topic("compacted")
    topic = {"Name": name, "NumPartitions": 1, "ReplicationFactor": 1, "Configs": [{"Name": "cleanup.policy", "Value": "compact"}]}
    if peer.ask("a compacted topic", "CreateTopics", 4, {"Topics": [topic]})["Topics"][0]["ErrorCode"]:
        return
    peer.served(name, 1)
    peer.ask("no key where keys are needed", "Produce", 9, produce(name, batch()))
    peer.ask("the second has no key", "Produce", 9, produce(name, batch([b"a", b"b", b"c"], keys=[b"k", None, b"l"])))
    peer.ask("no key, compressed", "Produce", 9, produce(name, batch([b"a", b"b"], keys=[b"k", None], attributes=1)))
    peer.ask("keys", "Produce", 9, produce(name, batch([b"a", None], keys=[b"k", b"l"])))


@case
def produce_idempotent(peer):
    producer = peer.call("InitProducerId", 5, {"TransactionalId": None, "TransactionTimeoutMs": 60000})["ProducerId"]
    name = peer.create("t")

    def ask(label, sequence, epoch=0, count=1, identity=producer, topic=name):
        values = [b"%d" % n for n in range(count)]
        peer.ask(label, "Produce", 9, produce(topic, batch(values, producer=(identity, epoch, sequence))))

    ask("first", 0)
    ask("second, of three", 1, count=3)
    ask("third", 4)
    ask("the third again", 4)
    ask("the second again", 1, count=3)
    ask("the first again", 0)
    ask("the second again, but longer", 1, count=4)
    ask("the second again, but shorter", 1, count=2)
    ask("a gap", 9)
    ask("on after the gap", 5)
    for n in range(6, 10):
        ask(f"on with {n}", n)
    ask("the fifth last again", 5)
    ask("the sixth last again", 4)
    ask("long ago", 0)
    ask("a new epoch, not from 0", 3, epoch=1)
    ask("a new epoch", 0, epoch=1)
    ask("the old epoch", 10, epoch=0)
    ask("on in the new epoch", 1, epoch=1)
    ask("skipping an epoch", 0, epoch=7)
    ask("a lower epoch", 2, epoch=3)

    ask("an unknown producer from the middle", 55, identity=producer + 900)
    ask("and on", 56, identity=producer + 900)
    ask("and a gap", 58, identity=producer + 900)
    stored(peer, "stored", name)

    wrapped = peer.create("wrapped")
    last = 2_147_483_647
    ask("close to the last sequence", last - 1, topic=wrapped)
    ask("over the last sequence", last, count=3, topic=wrapped)
    ask("on after it", 2, topic=wrapped)
    ask("that again", 2, topic=wrapped)
    ask("over the last sequence again", last, count=3, topic=wrapped)
    stored(peer, "stored over the last sequence", wrapped)

    mixed = peer.create("mixed")
    ask("from a producer", 0, topic=mixed)
    peer.ask("from nobody", "Produce", 9, produce(mixed, batch()))
    ask("from the producer again", 1, topic=mixed)
    ask("its first again", 0, topic=mixed)
    peer.ask("a wrong checksum", "Produce", 9, produce(mixed, batch(crc=1, producer=(producer, 0, 2))))
    ask("on after a wrong checksum", 2, topic=mixed)
