"""The steps that a sequence is made of. Each takes the world, decides by its random numbers what to do, has it done on both brokers
and compares what they say. The time of records lies in the past and moves on by leaps, so that segments end by `segment.ms` and
get old for retention without anybody waiting."""

import time

import compression
import records
from world import DAY_MS, HOUR_MS, PARTITIONS, Topic, first_segment

MIB = 1 << 20
KEYS = 24


def begin(world):
    """Topics of all kinds, and some idempotent producers."""
    kinds = [("delete", False), ("compact", False), world.random.choice([("compact,delete", False), ("delete", True), ("compact", True)])]
    for number, (policy, is_recompressed) in enumerate(kinds):
        world.topics.append(new_topic(world, f"{world.peers[0].case}-{number}", policy, is_recompressed))
        world.create(world.topics[-1])
    for _ in range(3):
        new_producer(world)


def new_topic(world, name, policy, is_recompressed):
    topic = Topic(name, policy, is_recompressed, world.started_ms - 20 * DAY_MS)
    topic.settings = {
        "cleanup.policy": policy,
        "retention.ms": "-1",
        "segment.ms": str(HOUR_MS * world.random.choice((1, 24, 168))),
        "segment.bytes": str((64 if is_recompressed else 1) * MIB),
        "min.cleanable.dirty.ratio": "1.0",  # not at all, until a step has it done
        "file.delete.delay.ms": "100",
    }
    return topic


def new_producer(world):
    answers = world.each(lambda peer: peer.call("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000}))
    world.compare("InitProducerId", *(peer.plain(answer) for peer, answer in zip(world.peers, answers)))
    world.producers.append([{id(peer): answer["ProducerId"] for peer, answer in zip(world.peers, answers)}, 0])


def produce(world):
    """A batch of any size, codec and age, with keys, tombstones, headers; now and then one that has to be refused."""
    rng, topic, partition = world.random, world.random.choice(world.topics), world.random.randrange(PARTITIONS)
    count = rng.choice((1, 1, 3, 10, 40))
    largest = rng.choice((10, 200, 2000, 500_000 // count))
    if rng.random() < 0.25:
        topic.clock_ms = min(topic.clock_ms + rng.randrange(2 * DAY_MS), world.started_ms - HOUR_MS)
    topic.clock_ms = min(topic.clock_ms + rng.randrange(60_000), world.started_ms - HOUR_MS)
    keyed = "compact" in topic.policy and rng.random() < 0.95 or rng.random() < 0.3
    wild_ms = rng.choice((0,) * 30 + (2 * HOUR_MS + world.started_ms - topic.clock_ms, -1000 * DAY_MS))
    batch = []
    for _ in range(count):
        key = b"key %d" % rng.randrange(KEYS) if keyed else rng.choice((None, None, b""))
        value = None if keyed and rng.random() < 0.2 else rng.randbytes(rng.randrange(largest // 2)).hex().encode()
        headers = [(rng.choice(("a", "b", "ä")), rng.choice((None, b"", b"x" * 20))) for _ in range(rng.choice((0, 0, 0, 1, 3)))]
        batch.append((topic.clock_ms + wild_ms + rng.randrange(-2000, 2000), key, value, headers))
    codec = rng.randrange(5)
    producer = rng.randrange(len(world.producers)) if not wild_ms and rng.random() < 0.4 else None
    send(world, topic, partition, batch, codec, producer)


def send(world, topic, partition, batch, codec=0, producer=None, epoch=None, sequence=None):
    """Sends a batch as (timestamp, key, value, headers) tuples; by the next sequence number where none is given."""
    if producer is not None:
        epoch = world.producers[producer][1] if epoch is None else epoch
        due = topic.sequences.get((producer, partition, epoch), 0)
        sequence = due if sequence is None else sequence
        sent = (partition, batch, codec, producer, epoch, sequence)
    base_ms = batch[0][0]
    payload = b"".join(records.record(n, value, key, stamp - base_ms, headers) for n, (stamp, key, value, headers) in enumerate(batch))
    payload = compression.compress(codec, payload)

    def fields(peer):
        who = (-1, -1, -1) if producer is None else (world.producers[producer][0][id(peer)], epoch, sequence)
        made = records.batch([None] * len(batch), times=[each[0] for each in batch], base_time=base_ms, payload=payload, attributes=codec, producer=who)
        return {"Acks": -1, "TimeoutMs": 30000, "TopicData": [{"Name": topic.name, "PartitionData": [{"Index": partition, "Records": made}]}]}

    by = "" if producer is None else f" by {producer}, epoch {epoch}, sequence {sequence}"
    what = f"produce {len(batch)} to {topic.name}-{partition}, {len(payload)} bytes, {compression.NAMES[codec]}, from {base_ms}{by}"
    world.steps.append(what)
    answer = world.ask(what, "Produce", 9, fields)["Responses"][0]["PartitionResponses"][0]
    if answer["ErrorCode"] == 0:
        world.counts["records"] += len(batch)
        if producer is not None and sequence == due:
            topic.sequences[producer, partition, epoch] = sequence + len(batch)
            topic.sent = [*topic.sent[-20:], (*sent, answer["BaseOffset"])]
    return answer


def resend(world):
    """What an idempotent producer may send: something again, after a gap, with its next epoch or one that is over."""
    topic = world.random.choice(world.topics)
    if not topic.sent:
        return
    partition, batch, codec, producer, epoch, sequence, _ = world.random.choice(topic.sent[-7:])
    kind = world.random.choice(("again", "again", "again", "gap", "next epoch", "old epoch"))
    if kind == "again":
        send(world, topic, partition, batch, codec, producer, epoch, sequence)
    elif kind == "gap":
        send(world, topic, partition, batch, codec, producer, epoch, sequence + 1000)
    elif kind == "old epoch" and world.producers[producer][1]:
        send(world, topic, partition, batch, codec, producer, world.producers[producer][1] - 1, 0)
    elif kind == "next epoch":
        world.producers[producer][1] += 1
        send(world, topic, partition, batch, codec, producer)


def delete_records(world):
    topic, partition = world.random.choice(world.topics), world.random.randrange(PARTITIONS)
    (_, _, start), (_, _, end) = world.same("ListOffsets", lambda peer: world.offsets(peer, topic, [(partition, -2), (partition, -1)]))
    offset = world.random.choice((-1, end + 1, start, end, *(world.random.randint(start, end) for _ in range(6))))
    asked = {"Topics": [{"Name": topic.name, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}], "TimeoutMs": 30000}
    what = f"DeleteRecords {topic.name}-{partition} below {offset} of {start} to {end}"
    world.steps.append(what)
    world.ask(what, "DeleteRecords", world.random.choice((1, 2)), asked)
    world.compare_topic(f"after {what}", topic)


FOREVER = "9223372036854775807"
# What `alter` changes, and to what else.
DEFAULTS = {
    "message.timestamp.type": "CreateTime",
    "max.message.bytes": "1048588",
    "message.timestamp.before.max.ms": FOREVER,
    "index.interval.bytes": "4096",
    "delete.retention.ms": "86400000",
    "compression.type": "producer",
    "retention.bytes": "-1",
}
OTHERS = {
    "message.timestamp.type": ("LogAppendTime",),
    "max.message.bytes": ("20000",),
    "message.timestamp.before.max.ms": (str(21 * DAY_MS),),
    "index.interval.bytes": ("0", "100000"),
    "delete.retention.ms": ("0",),
    "compression.type": ("uncompressed",),
    "segment.ms": (str(HOUR_MS), str(DAY_MS)),
}


def alter(world):
    """A setting that changes what is stored from then on."""
    topic = world.random.choice(world.topics)
    name = world.random.choice(list(OTHERS))
    values = [*OTHERS[name], *([DEFAULTS[name]] if name in DEFAULTS else [])]
    if topic.is_recompressed and name == "compression.type":
        values += compression.NAMES[1:]
    value = world.random.choice(values)
    world.steps.append(f"alter {topic.name}: {name}={value}")
    world.alter(topic, **{name.replace(".", "_"): value})


def look(world):
    topic = world.random.choice(world.topics)
    world.steps.append(f"look at {topic.name}")
    world.compare_topic(f"a look at {topic.name}", topic)


def retain(world):
    """Lets retention do its work, and waits for it."""
    topic = world.random.choice(world.topics)
    if topic.is_recompressed or topic.policy == "compact" or world.random.random() < 0.5:
        limit = {"retention_ms": world.started_ms - topic.clock_ms + world.random.randrange(-HOUR_MS, 6 * DAY_MS)}
        limit["retention_ms"] = max(HOUR_MS, limit["retention_ms"])
    else:
        limit = {"retention_bytes": world.random.choice((0, MIB // 2, 2 * MIB))}
    what = f"retention of {topic.name} with {limit}"
    world.steps.append(what)
    before = world.same(what, lambda peer: world.state(peer, topic))
    world.alter(topic, **limit)
    after = world.settle(what, topic)
    world.counts["removed by retention"] += removed(before, after)
    world.alter(topic, retention_ms=-1, retention_bytes=-1)
    world.compare_topic(f"after {what}", topic)


def compact(world):
    """Ends the active segments, lets the cleaner do its work, and waits for it."""
    topics = [topic for topic in world.topics if "compact" in topic.policy]
    if not topics:
        return
    topic = world.random.choice(topics)
    what = f"compaction of {topic.name}"
    world.steps.append(what)
    world.alter(topic, message_timestamp_type="CreateTime", segment_ms=HOUR_MS, message_timestamp_before_max_ms=FOREVER)
    topic.clock_ms = min(topic.clock_ms + 3 * HOUR_MS, world.started_ms - HOUR_MS)
    for partition in range(PARTITIONS):
        send(world, topic, partition, [(topic.clock_ms, b"ends a segment", b"", [])])
    before = world.same(what, lambda peer: world.state(peer, topic))
    world.alter(topic, min_cleanable_dirty_ratio="0.0")
    after = world.settle(what, topic)
    world.counts["removed by compaction"] += removed(before, after)
    world.alter(topic, min_cleanable_dirty_ratio="1.0")
    world.compare_topic(f"after {what}", topic)


def removed(before, after):
    return sum(len(part["records"]) for part in before.values()) - sum(len(part["records"]) for part in after.values())


def change_policy(world):
    topic = world.random.choice(world.topics)
    policy = world.random.choice(("delete", "compact", "compact,delete"))
    world.steps.append(f"cleanup.policy of {topic.name}: {policy}")
    world.alter(topic, cleanup_policy=policy)
    topic.policy = topic.settings["cleanup.policy"]


def make_anew(world):
    """A topic is deleted and another made under its name, which has nothing of the old one. It is told the default of each setting
    that the old one had: after a restart, Kafka 4.3.1 would give it those again (it replays the records in one image)."""
    at = world.random.randrange(len(world.topics))
    topic = world.topics[at]
    world.steps.append(f"delete {topic.name} and make it anew")
    world.delete(topic)
    world.topics[at] = new_topic(world, topic.name, topic.policy, topic.is_recompressed)
    world.topics[at].settings = {**{name: DEFAULTS[name] for name in topic.settings if name in DEFAULTS}, **world.topics[at].settings}
    world.create(world.topics[at])
    world.compare_topic(f"{topic.name} made anew", world.topics[at])


def restart(world):
    """A clean stop or SIGKILL, after which all is as before."""
    is_kill = world.random.random() < 0.5
    what = "kill -9" if is_kill else "restart"
    world.steps.append(what)
    if is_kill:
        world.on_kafka(lambda peer: await_log_starts(world, peer))

    def again(peer):
        (peer.broker.kill if is_kill else peer.broker.stop)()
        peer.broker.start()
        peer.hang_up()
        for topic in world.topics:
            peer.served(topic.name, PARTITIONS)
        peer.ready()

    world.each(again)
    world.counts["kills" if is_kill else "restarts"] += 1
    for topic in world.topics:
        # After a restart Kafka knows only the last batch of a producer, and none that retention or DeleteRecords has removed; Felice
        # tells what was sent before from what is new there, too.
        starts = [start for _, _, start in world.offsets(world.peers[0], topic, [(n, -2) for n in range(PARTITIONS)])]
        latest = {(sent[0], sent[3]): sent for sent in topic.sent}
        topic.sent = [sent for sent in latest.values() if sent[-1] >= starts[sent[0]]]
        world.compare_topic(f"{topic.name} after a {what}", topic)


def await_log_starts(world, peer):
    """Kafka writes down a log start that DeleteRecords moved only every so often, and forgets it if it is killed before."""

    def written():
        try:
            lines = (peer.broker.data / "log-start-offset-checkpoint").read_text().splitlines()[2:]
        except FileNotFoundError:
            lines = []
        checkpoint = {tuple(line.split()[:2]): int(line.split()[2]) for line in lines}
        for topic in world.topics:
            for partition in range(PARTITIONS):
                first = first_segment(peer, topic, partition)
                start = checkpoint.get((topic.name, str(partition)), first)
                if max(start, first) != world.offsets(peer, topic, [(partition, -2)])[0][2]:
                    return False
        return True

    peer.until(written, 30)


# How often each comes.
STEPS = {produce: 60, resend: 8, delete_records: 5, alter: 8, look: 4, retain: 6, compact: 4, change_policy: 2, make_anew: 1, restart: 2}


def run(world, count, without=()):
    begin(world)
    kinds = [step for step in STEPS if step.__name__ not in without]
    weights = [STEPS[step] for step in kinds]
    for _ in range(count):
        world.random.choices(kinds, weights)[0](world)
    for topic in world.topics:
        world.compare_topic(f"{topic.name} at the end", topic)
