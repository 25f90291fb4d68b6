"""Encodes requests and decodes responses by Kafka's own message schemas (schemas/*.json), in any version. It shares
nothing with Felice's codec, so that an error there does not hide here.

A message is a dictionary under the schema's field names. What is left out of a request takes the field's default; what a
version does not have is not on the wire."""

import json
import struct
import uuid
from functools import cache
from pathlib import Path

SCHEMAS = Path(__file__).resolve().parent / "schemas"
FIXED = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d"}
ZERO_ID = uuid.UUID(int=0)


class Malformed(Exception):
    """An answer that the schema does not allow."""


@cache
def schema(api, kind, version=None):
    """A message's schema; of a version that Kafka 4 dropped, that of 3.9."""
    latest = json.loads((SCHEMAS / f"{api}{kind}.json").read_text())
    if version is None or version >= bounds(latest["validVersions"])[0]:
        return latest
    return json.loads((SCHEMAS / "3.9" / f"{api}{kind}.json").read_text())


def key(api):
    return schema(api, "Request")["apiKey"]


def versions(api):
    """All versions of the schema, as a range."""
    low, high = bounds(schema(api, "Request")["validVersions"])
    return range(low, high + 1)


def dropped(api):
    """The versions that Kafka 3.9 has and Kafka 4 has not."""
    return range(bounds(schema(api, "Request", -1)["validVersions"])[0], versions(api)[0])


def flexible(api, version):
    return within(version, schema(api, "Request", version)["flexibleVersions"])


@cache
def bounds(text):
    if text == "none":
        return 1, 0
    if text.endswith("+"):
        return int(text[:-1]), 1 << 15
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def within(version, text):
    low, high = bounds(text)
    return low <= version <= high


def request(api, version, fields, correlation_id, client_id="differential"):
    """A whole request, header and body, without the frame's length."""
    head = struct.pack(">hhi", key(api), version, correlation_id) + string(client_id)
    if flexible(api, version):
        head += b"\0"
    return head + encode(api, "Request", version, fields)


def string(text):
    """A nullable string in the classic form that request headers keep."""
    if text is None:
        return struct.pack(">h", -1)
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def encode(api, kind, version, fields):
    message = schema(api, kind, version)
    compact = within(version, message["flexibleVersions"])
    common = {each["name"]: each for each in message.get("commonStructs", [])}
    return _Encoder(version, compact, common).structure(message["fields"], fields)


def decode(api, kind, version, raw):
    """The message and what is left of the bytes after it."""
    message = schema(api, kind, version)
    compact = within(version, message["flexibleVersions"])
    common = {each["name"]: each for each in message.get("commonStructs", [])}
    decoder = _Decoder(version, compact, common, raw)
    return decoder.structure(message["fields"]), raw[decoder.at :]


def answer(api, version, raw):
    """Decodes a response with its header; returns the correlation id and the message. Bytes that are left are an error."""
    decoder = _Decoder(version, True, {}, raw)
    correlation_id = decoder.fixed(">i")
    # ApiVersions answers keep header version 0, so that a client that knows nothing yet can read them.
    if flexible(api, version) and api != "ApiVersions":
        decoder.tags({})
    message, rest = decode(api, "Response", version, raw[decoder.at :])
    if rest:
        raise Malformed(f"{api} v{version}: {len(rest)} bytes after the answer: {rest[:32].hex()}")
    return correlation_id, message


def default(field, version=0):
    kind, given = field["type"], field.get("default")
    if given == "null" or given is None and kind == "records":
        return None
    if kind.startswith("[]"):
        return []
    if kind == "string":
        return given or ""
    if kind == "bytes":
        return b""
    if kind == "uuid":
        return ZERO_ID
    if kind == "bool":
        return given in (True, "true")
    if kind in FIXED:
        return int(given, 0) if isinstance(given, str) else given or 0
    return {each["name"]: default(each) for each in field.get("fields", [])}


def unsigned(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Encoder:
    def __init__(self, version, compact, common):
        self.version, self.compact, self.common = version, compact, common

    def structure(self, fields, given):
        extra = set(given) - {field["name"] for field in fields}
        if extra:
            raise KeyError(f"no such fields: {extra}")
        out, tagged = [], {}
        for field in fields:
            if not within(self.version, field["versions"]):
                continue
            value = given.get(field["name"], default(field))
            if "tag" in field and within(self.version, field["taggedVersions"]):
                if value != default(field):
                    tagged[field["tag"]] = self.value(field, field["type"], value)
            else:
                out.append(self.value(field, field["type"], value))
        if self.compact:
            out.append(unsigned(len(tagged)))
            for tag, raw in sorted(tagged.items()):
                out += [unsigned(tag), unsigned(len(raw)), raw]
        return b"".join(out)

    def value(self, field, kind, value):
        if kind in FIXED:
            return struct.pack(FIXED[kind], value)
        if kind == "bool":
            return b"\1" if value else b"\0"
        if kind == "uuid":
            return value.bytes
        if kind.startswith("[]"):
            if value is None:
                return self.length(None, ">i")
            return self.length(len(value), ">i") + b"".join(self.value(field, kind[2:], each) for each in value)
        if kind in ("string", "bytes", "records"):
            if value is None:
                return self.length(None, ">h" if kind == "string" else ">i")
            raw = value.encode() if kind == "string" else value
            return self.length(len(raw), ">h" if kind == "string" else ">i") + raw
        nullable = within(self.version, field.get("nullableVersions", "none")) and not field["type"].startswith("[]")
        if nullable:
            return b"\xff" if value is None else b"\1" + self.structure(self.fields(field, kind), value)
        return self.structure(self.fields(field, kind), value)

    def fields(self, field, kind):
        return field["fields"] if "fields" in field else self.common[kind]["fields"]

    def length(self, count, classic):
        if self.compact:
            return unsigned(0 if count is None else count + 1)
        return struct.pack(classic, -1 if count is None else count)


class _Decoder:
    def __init__(self, version, compact, common, raw):
        self.version, self.compact, self.common, self.raw, self.at = version, compact, common, raw, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.raw):
            raise Malformed(f"{count} bytes wanted at {self.at} of {len(self.raw)}")
        self.at += count
        return self.raw[self.at - count : self.at]

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def unsigned(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def structure(self, fields):
        out, tagged = {}, {}
        for field in fields:
            if not within(self.version, field["versions"]):
                continue
            if "tag" in field and within(self.version, field["taggedVersions"]):
                tagged[field["tag"]] = field
                out[field["name"]] = default(field)
            else:
                out[field["name"]] = self.value(field, field["type"])
        if self.compact:
            out.update(self.tags(tagged))
        return out

    def tags(self, known):
        out, last = {}, -1
        for _ in range(self.unsigned()):
            tag, size = self.unsigned(), self.unsigned()
            if tag <= last:
                raise Malformed(f"tag {tag} after tag {last}")
            last, end = tag, self.at + size
            if tag in known:
                out[known[tag]["name"]] = self.value(known[tag], known[tag]["type"])
                if self.at != end:
                    raise Malformed(f"tag {tag} of {size} bytes ends {end - self.at} bytes off")
            else:
                out[f"unknown tag {tag}"] = self.take(size).hex()
        return out

    def value(self, field, kind):
        if kind in FIXED:
            return self.fixed(FIXED[kind])
        if kind == "bool":
            return self.take(1) != b"\0"
        if kind == "uuid":
            return uuid.UUID(bytes=bytes(self.take(16)))
        if kind.startswith("[]"):
            count = self.length(">i")
            return None if count is None else [self.value(field, kind[2:]) for _ in range(count)]
        if kind == "string":
            count = self.length(">h")
            return None if count is None else self.take(count).decode()
        if kind in ("bytes", "records"):
            count = self.length(">i")
            return None if count is None else bytes(self.take(count))
        if within(self.version, field.get("nullableVersions", "none")) and not field["type"].startswith("[]"):
            if self.fixed(">b") < 0:
                return None
        return self.structure(field["fields"] if "fields" in field else self.common[kind]["fields"])

    def length(self, classic):
        count = self.unsigned() - 1 if self.compact else self.fixed(classic)
        if count < -1:
            raise Malformed(f"a length of {count}")
        return None if count < 0 else count
