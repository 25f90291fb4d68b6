"""One member of a group over kafka-python."""

import logging
import time

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from member import HEARTBEAT_MS, OPTIONS, SESSION_MS, Processed, closing, run, say_partitions, say_refused

logging.getLogger("kafka").setLevel(logging.CRITICAL)
ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}
processed = Processed()


def consume():
    client = None
    while client is None:
        client = started()
    client.subscribe(topics=OPTIONS["topics"].split(","), listener=Listener(client))
    while not closing.is_set():
        found = client.poll(timeout_ms=100)
        processed.add([(r.topic, r.partition, r.offset, r.value) for records in found.values() for r in records])
        commit(client, processed.due())
    commit(client, processed.of(list(processed.offsets)))
    client.close(autocommit=False)


def started():
    """A consumer, or None where no broker is there just now, which kafka-python does not wait for when it starts."""
    try:
        return KafkaConsumer(
            bootstrap_servers=OPTIONS["address"],
            group_id=OPTIONS["group"],
            group_instance_id=OPTIONS.get("instance"),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[ASSIGNORS[OPTIONS["assignor"]]],
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            reconnect_backoff_max_ms=200,
            metadata_max_age_ms=1000,
        )
    except KafkaError as failure:
        say_refused(failure)
        time.sleep(0.1)
        return None


class Listener(AsyncConsumerRebalanceListener):
    """Called by the thread that does all I/O, which must not wait for itself: hence async."""

    def __init__(self, client):
        self._client = client

    async def on_partitions_assigned(self, assigned):
        say_partitions("assigned", assigned)

    async def on_partitions_revoked(self, revoked):
        names = [tuple(each) for each in revoked]
        if due := processed.of(names):
            try:
                answer = await self._client.commit_async(wire(due))
                if not hasattr(answer, "topics"):
                    raise KafkaError("the coordinator has yet to be found")
                processed.committed(due)
            except KafkaError as failure:
                say_refused(failure)
        processed.forget(names)
        say_partitions("revoked", revoked)

    async def on_partitions_lost(self, lost):
        processed.forget([tuple(each) for each in lost])
        say_partitions("lost", lost)


def commit(client, offsets):
    if not offsets:
        return
    try:
        client.commit(wire(offsets))
    except KafkaError as failure:
        say_refused(failure)
        return
    processed.committed(offsets)


def wire(offsets):
    return {TopicPartition(*partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}


run(consume)
