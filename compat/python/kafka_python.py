"""kafka-python, as the battery sees it."""

import contextlib
import logging

import kafka
import kafka.errors
from clients import LIMIT_S, Acknowledgement, Record
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource

# A client whose broker is killed has much to say.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


class Client:
    name = f"kafka-python {kafka.__version__}"
    CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
    NULL_HEADERS = False  # it refuses to send them

    def __init__(self, broker):
        self._common = {"bootstrap_servers": broker.address, "reconnect_backoff_max_ms": 200}

    def sent(self, messages, codec="none", hold=None, seen=None, idempotent=False, **settings):
        settings["compression_type"] = None if codec == "none" else codec
        settings["enable_idempotence"] = idempotent
        with KafkaProducer(**self._common, **settings) as producer:
            futures = []
            for number, message in enumerate(messages):
                if hold and number in hold:
                    hold[number].wait(LIMIT_S)
                future = self._send(producer, message)
                if seen:
                    future.add_callback(seen)
                futures.append(future)
            producer.flush(LIMIT_S)
            return [self._result(future) for future in futures]

    @staticmethod
    def _send(producer, message):
        return producer.send(
            message.topic, message.value, message.key, list(message.headers), message.partition, message.timestamp
        )

    @staticmethod
    def _result(future):
        try:
            metadata = future.get(LIMIT_S)
        except kafka.errors.KafkaError as failure:
            return failure
        return Acknowledgement(metadata.partition, metadata.offset, metadata.timestamp)

    def reader(self, reset="none", **settings):
        return Reader(KafkaConsumer(**self._common, auto_offset_reset=reset, max_poll_records=10_000, **settings))

    def ends(self, partitions):
        with contextlib.closing(KafkaConsumer(**self._common)) as consumer:
            ends = consumer.end_offsets([TopicPartition(*each) for each in partitions])
        return {tuple(partition): offset for partition, offset in ends.items()}

    def since(self, partition, time_ms):
        with contextlib.closing(KafkaConsumer(**self._common)) as consumer:
            (found,) = consumer.offsets_for_times({TopicPartition(*partition): time_ms}).values()
        return found and found.offset

    @contextlib.contextmanager
    def admin(self):
        with contextlib.closing(KafkaAdminClient(**self._common)) as admin:
            yield Admin(admin)


class Reader:
    def __init__(self, consumer):
        self._consumer = consumer

    def assign(self, starts):
        """Partitions, each with an offset, "earliest", "latest", or None for what auto_offset_reset says."""
        self._consumer.assign([TopicPartition(*each) for each in starts])
        for each, start in starts.items():
            partition = TopicPartition(*each)
            match start:
                case "earliest":
                    self._consumer.seek_to_beginning(partition)
                case "latest":
                    self._consumer.seek_to_end(partition)
                case int():
                    self._consumer.seek(partition, start)

    def poll(self, seconds):
        records = self._consumer.poll(int(seconds * 1000))
        return [
            Record(r.partition, r.offset, r.timestamp, r.timestamp_type, r.key, r.value, list(r.headers))
            for some in records.values()
            for r in some
        ]

    def position(self, partition):
        return self._consumer.position(TopicPartition(*partition))

    def close(self):
        self._consumer.close()


class Admin:
    def __init__(self, client):
        self._client = client

    def cluster(self):
        """(node ids with addresses, controller, cluster id)"""
        cluster = self._client.describe_cluster()
        nodes = {each["broker_id"]: f"{each['host']}:{each['port']}" for each in cluster["brokers"]}
        return nodes, cluster["controller_id"], cluster["cluster_id"]

    def topics(self):
        return {name for name in self._client.list_topics() if not name.startswith("__")}

    def describe_topic(self, name):
        """{partition: (leader, replicas, isr)}"""
        (topic,) = self._client.describe_topics([name])
        raise_for(topic["error_code"])
        return {p["partition_index"]: (p["leader_id"], p["replica_nodes"], p["isr_nodes"]) for p in topic["partitions"]}

    def create_topic(self, name, partitions=-1, replicas=1, assignments=None, settings=None, validate_only=False):
        topic = {"configs": settings or {}}
        if assignments:
            topic["assignments"] = assignments
        else:
            topic |= {"num_partitions": partitions, "replication_factor": replicas}
        self._client.create_topics({name: topic}, validate_only=validate_only)

    def delete_topic(self, name):
        self._client.delete_topics([name])

    def create_partitions(self, name, count, validate_only=False):
        self._client.create_partitions({name: count}, validate_only=validate_only)

    def settings(self, topic):
        """{name: value}; the defaults included"""
        described = self._client.describe_configs([ConfigResource("TOPIC", topic)], config_filter="all")
        return {name: entry["value"] for name, entry in described["topic"][topic].items()}

    def alter(self, topic, name, value):
        """Sets one setting and leaves the others."""
        resource = ConfigResource("TOPIC", topic, configs={name: value})
        answer = self._client.alter_configs([resource], raise_on_unknown=False)["topic"][topic]
        if answer != "OK":
            raise next(error for error in kafka.errors.kafka_errors.values() if error.__name__ in answer)(answer)


def raise_for(code):
    if code:
        raise kafka.errors.for_code(code)
