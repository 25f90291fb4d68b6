"""What the battery asks of a client, whichever it is. `kafka_python.py` and `aio.py` each have a class `Client` with

    name, CODECS             its name, and the codecs that it has
    NULL_HEADERS             whether it can send a header whose value is null
    sent(messages, ...)      sends all with one producer, returns an `Acknowledgement` or an exception for each
    reader(...)              a `Reader`: assign(), poll(), position(), close()
    ends(partitions)         the end offsets
    since(partition, time)   the first offset whose timestamp is at or after a time in ms, or None
    admin()                  an `Admin`, whose calls return or raise what the broker answers

Partitions are (topic, number). Settings that both clients know by the same name are handed through.
"""

import time
from collections import namedtuple

from harness.checks import Wrong, require, settled

LIMIT_S = 100

Message = namedtuple("Message", "topic partition value key headers timestamp", defaults=[None, (), None])
Record = namedtuple("Record", "partition offset timestamp timestamp_type key value headers")
Acknowledgement = namedtuple("Acknowledgement", "partition offset timestamp")

CREATE_TIME, LOG_APPEND_TIME = 0, 1


class Hold:
    """Makes a sender pause before its message number `at`, until `ready` (a threading.Event) is set."""

    def __init__(self, at, ready):
        self.at, self.ready = at, ready


def create(client, topics):
    """Creates topics, {name: (partitions, settings)}, and waits until the broker serves them all: Kafka answers
    CreateTopics a little before."""
    with client.admin() as admin:
        for name, (partitions, settings) in topics.items():
            admin.create_topic(name, partitions, settings=settings)
    every = [(name, n) for name, (partitions, _) in topics.items() for n in range(partitions)]

    def served():
        try:
            return sorted(client.ends(every)) == sorted(every)
        except Exception as failure:
            return repr(failure)

    settled(f"created and served: {', '.join(topics)}", True, served)


def acknowledged(results):
    """The acknowledgements, where every message has one."""
    failures = [result for result in results if isinstance(result, BaseException)]
    require(f"{len(failures)} of {len(results)} messages failed: {failures[:3]}", not failures)
    return results


def read(client, topic, partitions, wanted=None, **settings):
    """The records from the beginning to `wanted` of them, or to the end offsets of now, in the order in which they came;
    a gap in a partition's offsets is an error."""
    every = [(topic, n) for n in range(partitions)]
    if wanted is None:
        wanted = sum(client.ends(every).values())
    reader = client.reader(**settings)
    try:
        reader.assign(dict.fromkeys(every, 0))
        return follow(reader, topic, partitions, wanted)
    finally:
        reader.close()


def follow(reader, topic, partitions, wanted):
    records, following = [], dict.fromkeys(range(partitions), 0)
    deadline = time.monotonic() + LIMIT_S
    while len(records) < wanted:
        require(f"{topic}: only {len(records)} of {wanted} records came", time.monotonic() < deadline)
        for record in reader.poll(0.5):
            at = following[record.partition]
            require(f"{topic}-{record.partition}: {record.offset} instead of {at}", record.offset == at)
            following[record.partition] += 1
            records.append(record)
    return records


def some(reader, wanted):
    """The next records, at least `wanted`."""
    records, deadline = [], time.monotonic() + LIMIT_S
    while len(records) < wanted:
        require(f"only {len(records)} of {wanted} records came", time.monotonic() < deadline)
        records.extend(reader.poll(0.5))
    return records


def code_of(call, *arguments, **named):
    """The Kafka error code that a call ends with."""
    try:
        answer = call(*arguments, **named)
    except Exception as failure:
        code = getattr(failure, "errno", None)
        if code is None:
            raise
        return code
    raise Wrong(f"{call.__name__}{arguments}: expected an error, got {answer}")
