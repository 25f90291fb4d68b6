"""The scenarios, by title. Each is a function of a `Group`, or of a broker where it makes its own."""

from collections import namedtuple

from group import Group

Scenario = namedtuple("Scenario", "title fast run")
PARTITIONS = 20


def life(group):
    """Five members over twenty partitions: they come, go, are killed, are stopped past their session, and so is the broker."""
    group.join("a", "b", "c")
    group.settles("3 members joined")
    group.join("d", "e")
    group.settles("2 more joined")
    group.close("a")
    group.settles("1 closed")
    group.say("pause-commits", "b")
    group.flows()  # so that there is something that is to be read twice
    group.kill("b")
    group.stop("c")
    group.settles("1 was killed and 1 stopped past its session")
    group.go_on("c")
    group.join("f")
    group.settles("the stopped one went on and 1 more joined")
    group.crash_broker()
    group.drain()


def of_one_client(client, protocol, assignor, fast=False):
    title = f"{client} {assignor}" if protocol == "classic" else f"{client} consumer protocol, {assignor}"

    def run(broker, folder, show):
        with Group(title, broker, folder / "members", {"letters": PARTITIONS}, "readers", client, protocol, assignor, show) as group:
            life(group)

    return Scenario(title, fast, run)


SCENARIOS = [
    of_one_client("java", "classic", "cooperative-sticky", fast=True),
    of_one_client("java", "consumer", "uniform", fast=True),
    of_one_client("librdkafka", "classic", "range"),
    of_one_client("librdkafka", "classic", "cooperative-sticky", fast=True),
    of_one_client("librdkafka", "consumer", "uniform"),
    of_one_client("franz-go", "classic", "cooperative-sticky"),
    of_one_client("franz-go", "consumer", "uniform"),
    of_one_client("sarama", "classic", "range"),
    of_one_client("kafkajs", "classic", "its own"),
    of_one_client("kafka-python", "classic", "range"),
    of_one_client("kafka-python", "classic", "cooperative-sticky"),
    of_one_client("aiokafka", "classic", "roundrobin"),
    of_one_client("java", "classic", "range"),
    of_one_client("java", "classic", "roundrobin"),
    of_one_client("java", "classic", "sticky"),
    of_one_client("java", "consumer", "range"),
]
