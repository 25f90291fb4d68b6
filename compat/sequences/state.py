"""What a partition holds, as consumers see it, in a form that two brokers can be compared by."""

import records

MIB = 1 << 20
OFFSET_OUT_OF_RANGE = 1
DELETE_HORIZON = 64  # the base timestamp is when the tombstones of this batch may go (KIP-534)
EARLIEST, LATEST = -2, -1


class Unreadable(Exception):
    pass


def list_offsets(peer, topic, asked):
    """The answers for (partition, timestamp) pairs, as (error code, timestamp, offset)."""
    out = []
    for partition, timestamp in asked:
        fields = {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": partition, "Timestamp": timestamp}]}]}
        told = peer.call("ListOffsets", 7, fields)["Topics"][0]["Partitions"][0]
        out.append((told["ErrorCode"], told["Timestamp"], told["Offset"]))
    return out


def fetch(peer, topic, partition, offset, max_bytes=4 * MIB):
    asked = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": max_bytes}
    fields = {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": max_bytes, "Topics": [{"Topic": topic, "Partitions": [asked]}]}
    return peer.call("Fetch", 12, fields)["Responses"][0]["Partitions"][0]


def read(peer, topic, partition):
    """All batches from the log start on, as (header, records). A log start that moves on meanwhile has it begin again."""
    for _ in range(20):
        if (read := attempt(peer, topic, partition)) is not None:
            return read
    raise Unreadable(f"{topic}-{partition}: offset out of range at the log start, again and again")


def attempt(peer, topic, partition):
    code, _, offset = list_offsets(peer, topic, [(partition, EARLIEST)])[0]
    if code:
        raise Unreadable(f"{topic}-{partition}: ListOffsets is answered with error code {code}")
    out = []
    while True:
        told = fetch(peer, topic, partition, offset)
        if told["ErrorCode"] == OFFSET_OUT_OF_RANGE:
            return None
        if told["ErrorCode"]:
            raise Unreadable(f"{topic}-{partition}: error code {told['ErrorCode']} at offset {offset}")
        start = offset
        for header, raw in records.split(told["Records"] or b""):
            if not records.is_sound(header, raw):
                raise Unreadable(f"{topic}-{partition}: the batch at offset {header.base_offset} has a wrong checksum")
            if header.base_offset + header.last_offset_delta < offset:
                raise Unreadable(f"{topic}-{partition}: a batch that ends before offset {offset}, which was asked for")
            out.append((header, list(records.opened(header, raw))))
            offset = header.base_offset + header.last_offset_delta + 1
        if offset == start:
            if offset < told["HighWatermark"]:
                raise Unreadable(f"{topic}-{partition}: nothing at offset {offset}, below the high watermark {told['HighWatermark']}")
            return out


def state(peer, topic, partition, started_ms):
    """Everything that both brokers have to agree on: the log's bounds, each batch, each record. Times that the broker
    gave are told as such, producer ids by the order of their appearance."""
    (_, _, start), (_, _, end) = list_offsets(peer, topic, [(partition, EARLIEST), (partition, LATEST)])
    batches = read(peer, topic, partition)
    return {
        "log start": start,
        "log end": end,
        "batches": {header.base_offset: batch(peer, header, started_ms) for header, _ in batches},
        "records": {r.offset: record(header, r, started_ms) for header, opened in batches for r in opened if r.offset >= start},
    }


def batch(peer, header, started_ms):
    appended = header.attributes & records.LOG_APPEND_TIME
    return {
        "attributes": f"{header.attributes:#x}",
        "last offset delta": header.last_offset_delta,
        "count": header.count,
        "base timestamp": "when its tombstones go" if header.attributes & DELETE_HORIZON else header.base_timestamp,
        "max timestamp": "its arrival" if appended and header.max_timestamp >= started_ms else header.max_timestamp,
        "producer": peer.plain(header.producer_id, "ProducerId"),
        "producer epoch": header.producer_epoch,
        "base sequence": header.base_sequence,
    }


def record(header, each, started_ms):
    arrived = header.attributes & records.LOG_APPEND_TIME and each.timestamp >= started_ms
    return ("its arrival" if arrived else each.timestamp, each.key, each.value, each.headers)
