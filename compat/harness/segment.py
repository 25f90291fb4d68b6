"""Reads batch headers straight from a broker's segment files: what was stored, whatever a client believes it sent."""

import struct
from collections import namedtuple
from pathlib import Path

HEADER = struct.Struct(">qiibIhiqqqhii")
CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

Batch = namedtuple(
    "Batch",
    "base_offset length leader_epoch magic crc attributes last_offset_delta base_timestamp max_timestamp "
    "producer_id producer_epoch base_sequence count",
)


def codec(batch):
    return CODECS.get(batch.attributes & 7, f"unknown codec {batch.attributes & 7}")


def batches(data, topic, partition):
    """The batches of a partition in the order of its segments. A torn tail, and the zeroes of a preallocated one, end it."""
    for segment in sorted(Path(data, f"{topic}-{partition}").glob("*.log")):
        with open(segment, "rb") as file:
            while True:
                at = file.tell()
                header = file.read(HEADER.size)
                if len(header) < HEADER.size:
                    break
                batch = Batch._make(HEADER.unpack(header))
                if batch.length < HEADER.size - 12:
                    break
                if batch.magic != 2:
                    raise ValueError(f"{segment}: a batch of magic {batch.magic} at byte {at}")
                yield batch
                file.seek(at + 12 + batch.length)


def codecs(data, topic, partition="*"):
    """The names of all codecs that the stored batches of a topic, or of one of its partitions, carry."""
    found = set()
    for folder in Path(data).glob(f"{topic}-{partition}"):
        name, _, number = folder.name.rpartition("-")
        if name == topic and number.isdigit():
            found.update(codec(batch) for batch in batches(data, topic, number))
    return sorted(found)
