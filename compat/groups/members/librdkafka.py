"""One member of a group over librdkafka, by way of confluent-kafka."""

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from member import HEARTBEAT_MS, OPTIONS, SESSION_MS, Processed, closing, run, say_partitions, say_refused

processed = Processed()


def settings():
    common = {
        "bootstrap.servers": OPTIONS["address"],
        "group.id": OPTIONS["group"],
        "group.protocol": OPTIONS["protocol"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "log_level": 2,
        "reconnect.backoff.max.ms": 200,
        "topic.metadata.refresh.interval.ms": 1000,
    }
    if "instance" in OPTIONS:
        common["group.instance.id"] = OPTIONS["instance"]
    if OPTIONS["protocol"] == "consumer":
        return {**common, "group.remote.assignor": OPTIONS["assignor"]}
    times = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
    return {**common, **times, "partition.assignment.strategy": OPTIONS["assignor"]}


def consume():
    client = Consumer(settings())
    topics = [OPTIONS["pattern"]] if "pattern" in OPTIONS else [OPTIONS["regex"]] if "regex" in OPTIONS else OPTIONS["topics"].split(",")
    client.subscribe(topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)
    while not closing.is_set():
        records = []
        for message in client.consume(500, timeout=0.1):
            if message.error() is None:
                records.append((message.topic(), message.partition(), message.offset(), message.value()))
            elif message.error().code() == KafkaError._FATAL or message.error().fatal():
                raise KafkaException(message.error())
            else:
                say_refused(KafkaException(message.error()))
        processed.add(records)
        commit(client, processed.due())
    commit(client, processed.of(list(processed.offsets)))
    client.close()


def assigned(client, partitions):
    say_partitions("assigned", partitions)


def revoked(client, partitions):
    names = [(each.topic, each.partition) for each in partitions]
    commit(client, processed.of(names))
    processed.forget(names)
    say_partitions("revoked", partitions)


def lost(client, partitions):
    processed.forget([(each.topic, each.partition) for each in partitions])
    say_partitions("lost", partitions)


def commit(client, offsets):
    if not offsets:
        return
    try:
        answers = client.commit(offsets=[TopicPartition(*partition, offset) for partition, offset in offsets.items()], asynchronous=False)
        failed = [answer.error for answer in answers if answer.error]
        if failed:
            raise KafkaException(failed[0])
    except KafkaException as failure:
        say_refused(failure)
        return
    processed.committed(offsets)


run(consume)
