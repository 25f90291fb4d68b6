"""aiokafka, as the battery sees it: its event loop runs in a thread of its own."""

import asyncio
import contextlib
import logging
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from clients import LIMIT_S, Acknowledgement, Record

# A client whose broker is killed has much to say.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def run(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(LIMIT_S)


class Client:
    name = f"aiokafka {aiokafka.__version__}"
    CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
    NULL_HEADERS = True

    def __init__(self, broker):
        self._common = {"bootstrap_servers": broker.address}

    def sent(self, messages, codec="none", hold=None, seen=None, idempotent=False, **settings):
        if settings.pop("batch_size", None):
            settings["max_batch_size"] = 1_000_000
        settings["compression_type"] = None if codec == "none" else codec
        settings["enable_idempotence"] = idempotent
        return run(self._sent(messages, hold or {}, seen, settings))

    async def _sent(self, messages, hold, seen, settings):
        results = []
        async with AIOKafkaProducer(**self._common, **settings) as producer:
            for number, message in enumerate(messages):
                if number in hold:
                    await loop.run_in_executor(None, hold[number].wait, LIMIT_S)
                result = await self._send(producer, message)
                if seen and isinstance(result, asyncio.Future):
                    result.add_done_callback(lambda done: done.exception() or seen(done.result()))
                results.append(result)
            await producer.flush()
            return [await self._result(each) for each in results]

    @staticmethod
    async def _send(producer, m):
        try:
            return await producer.send(
                m.topic, m.value, m.key, m.partition, timestamp_ms=m.timestamp, headers=list(m.headers)
            )
        except KafkaError as failure:
            return failure

    @staticmethod
    async def _result(sent):
        if isinstance(sent, KafkaError):
            return sent
        try:
            metadata = await sent
        except KafkaError as failure:
            return failure
        return metadata and Acknowledgement(metadata.partition, metadata.offset, metadata.timestamp)

    def reader(self, reset="none", **settings):
        consumer = run(self._consumer(auto_offset_reset=reset, **settings))
        return Reader(consumer)

    def ends(self, partitions):
        return run(self._ends([TopicPartition(*each) for each in partitions]))

    async def _ends(self, partitions):
        consumer = await self._consumer()
        try:
            return {tuple(partition): offset for partition, offset in (await consumer.end_offsets(partitions)).items()}
        finally:
            await consumer.stop()

    def since(self, partition, time_ms):
        return run(self._since(TopicPartition(*partition), time_ms))

    async def _since(self, partition, time_ms):
        consumer = await self._consumer()
        try:
            found = (await consumer.offsets_for_times({partition: time_ms}))[partition]
            return found and found.offset
        finally:
            await consumer.stop()

    async def _consumer(self, **settings):
        consumer = AIOKafkaConsumer(**self._common, **settings)
        await consumer.start()
        return consumer

    @contextlib.contextmanager
    def admin(self):
        client = run(self._admin())
        try:
            yield Admin(client)
        finally:
            run(client.close())

    async def _admin(self):
        client = AIOKafkaAdminClient(**self._common)
        await client.start()
        return client


class Reader:
    def __init__(self, consumer):
        self._consumer = consumer

    def assign(self, starts):
        """Partitions, each with an offset, "earliest", "latest", or None for what auto_offset_reset says."""
        run(self._assign({TopicPartition(*each): start for each, start in starts.items()}))

    async def _assign(self, starts):
        self._consumer.assign(list(starts))
        for partition, start in starts.items():
            match start:
                case "earliest":
                    await self._consumer.seek_to_beginning(partition)
                case "latest":
                    await self._consumer.seek_to_end(partition)
                case int():
                    self._consumer.seek(partition, start)

    def poll(self, seconds):
        records = run(self._consumer.getmany(timeout_ms=int(seconds * 1000)))
        return [
            Record(r.partition, r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers))
            for some in records.values()
            for r in some
        ]

    def position(self, partition):
        return run(self._consumer.position(TopicPartition(*partition)))

    def close(self):
        run(self._consumer.stop())


class Admin:
    """Its calls answer with tuples of the protocol, most of them without a look at the error code."""

    def __init__(self, client):
        self._client = client

    def cluster(self):
        """(node ids with addresses, controller, cluster id)"""
        cluster = run(self._client.describe_cluster())
        nodes = {each["node_id"]: f"{each['host']}:{each['port']}" for each in cluster["brokers"]}
        return nodes, cluster["controller_id"], cluster["cluster_id"]

    def topics(self):
        return {name for name in run(self._client.list_topics()) if not name.startswith("__")}

    def describe_topic(self, name):
        """{partition: (leader, replicas, isr)}"""
        (topic,) = run(self._client.describe_topics([name]))
        raise_for(topic["error_code"])
        return {p["partition"]: (p["leader"], p["replicas"], p["isr"]) for p in topic["partitions"]}

    def create_topic(self, name, partitions=-1, replicas=1, assignments=None, settings=None, validate_only=False):
        if assignments:
            topic = NewTopic(name, -1, -1, assignments, settings)
        else:
            topic = NewTopic(name, partitions, replicas, topic_configs=settings)
        answer = run(self._client.create_topics([topic], validate_only=validate_only))
        raise_for(answer.topic_errors[0][1])

    def delete_topic(self, name):
        answer = run(self._client.delete_topics([name]))
        raise_for(answer.topic_error_codes[0][1])

    def create_partitions(self, name, count, validate_only=False):
        run(self._client.create_partitions({name: NewPartitions(count)}, validate_only=validate_only))

    def settings(self, topic):
        """{name: value}; the defaults included"""
        (answer,) = run(self._client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
        code, _, _, _, entries = answer.resources[0]
        raise_for(code)
        return {entry[0]: entry[1] for entry in entries}

    def alter(self, topic, name, value):
        """aiokafka has only the old AlterConfigs, which takes away whatever setting it does not name."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={name: value})
        (answer,) = run(self._client.alter_configs([resource]))
        raise_for(answer.resources[0][0])


def raise_for(code):
    if code:
        raise for_code(code)
