"""One member of a group over aiokafka."""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaConnectionError, KafkaError
from member import HEARTBEAT_MS, OPTIONS, SESSION_MS, Processed, closing, run, say_partitions, say_refused

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}
processed = Processed()
owned = set()  # as its callbacks say: what it fetched before may still come after them


async def consume():
    # A rebalance goes on beside the loop: what is processed and committed must not be cut in two by it.
    whole = asyncio.Lock()
    client = None
    while client is None:
        client = await started(whole)
    while not closing.is_set():
        try:
            found = await client.getmany(timeout_ms=100)
        except KafkaError as failure:
            say_refused(failure)
            continue
        async with whole:
            processed.add([(r.topic, r.partition, r.offset, r.value) for p, records in found.items() if p in owned for r in records])
            await commit(client, processed.due())
    async with whole:
        await commit(client, processed.of(list(processed.offsets)))
    await client.stop()


async def started(whole):
    """A consumer, or None where no broker is there just now, which aiokafka does not wait for when it starts."""
    client = AIOKafkaConsumer(
        bootstrap_servers=OPTIONS["address"],
        group_id=OPTIONS["group"],
        group_instance_id=OPTIONS.get("instance"),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=[ASSIGNORS[OPTIONS["assignor"]]],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        metadata_max_age_ms=1000,
    )
    client.subscribe(topics=OPTIONS["topics"].split(","), listener=Listener(client, whole))
    try:
        await client.start()
    except KafkaConnectionError as failure:
        say_refused(failure)
        await client.stop()
        await asyncio.sleep(0.1)
        return None
    return client


class Listener(ConsumerRebalanceListener):
    """aiokafka calls on_partitions_revoked for what is lost, too."""

    def __init__(self, client, whole):
        self._client, self._whole = client, whole

    async def on_partitions_assigned(self, assigned):
        owned.update(assigned)
        say_partitions("assigned", assigned)

    async def on_partitions_revoked(self, revoked):
        names = [tuple(each) for each in revoked]
        async with self._whole:
            await commit(self._client, processed.of(names))
            processed.forget(names)
            owned.difference_update(revoked)
            say_partitions("revoked", revoked)


async def commit(client, offsets):
    if not offsets:
        return
    try:
        await client.commit({TopicPartition(*partition): offset for partition, offset in offsets.items()})
    except KafkaError as failure:
        say_refused(failure)
        return
    processed.committed(offsets)


run(lambda: asyncio.run(consume()))
