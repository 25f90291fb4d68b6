"""Compression as Kafka's clients do it. Codecs go by their number in a batch's attributes."""

import gzip
import struct

import cramjam
import lz4.frame
import records
import zstandard

NAMES = ["none", "gzip", "snappy", "lz4", "zstd"]
# snappy-java's frame: magic, version, oldest version that can read it; then blocks, each with its size before it.
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def compress(codec, data):
    if codec == 1:
        return gzip.compress(data, mtime=0)
    if codec == 2:
        block = bytes(cramjam.snappy.compress_raw(data))
        return XERIAL + struct.pack(">i", len(block)) + block
    if codec == 3:
        return lz4.frame.compress(data, block_linked=False)
    if codec == 4:
        return zstandard.compress(data)
    return data


def unsnappy(data):
    if not data.startswith(XERIAL[:8]):
        return bytes(cramjam.snappy.decompress_raw(data))
    out, at = [], len(XERIAL)
    while at < len(data):
        size = struct.unpack_from(">i", data, at)[0]
        out.append(bytes(cramjam.snappy.decompress_raw(data[at + 4 : at + 4 + size])))
        at += 4 + size
    return b"".join(out)


def unzstd(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


records.DECOMPRESS.update({2: unsnappy, 3: lz4.frame.decompress, 4: unzstd})
