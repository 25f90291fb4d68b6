"""The scenarios, by title. Each makes the brokers that it needs: what one breaks is not seen by the next."""

import os
from collections import namedtuple

import connect
import tools
from churn import churn
from group import LEFT_S, SETTINGS, Group
from harness.broker import Broker

Scenario = namedtuple("Scenario", "title fast run")
PARTITIONS = 20
TOPIC = {"letters": PARTITIONS}


def life(group):
    """Five members over twenty partitions: they come, go, are killed, are stopped past their session, and so is the broker."""
    group.join("a", "b", "c")
    group.settles("3 members joined")
    group.join("d", "e")
    group.settles("2 more joined")
    group.close("a")
    group.settles("1 closed", within_s=LEFT_S)
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


def static(group):
    """A static member may go and come back, under another member id, and nobody else sees a rebalance."""
    for name in "abcde":
        group.join(name, instance=name)
    group.settles("5 static members joined")
    with group.nobody_else_moves("1 was closed and is back", "b"):
        group.close("b")
        group.join("b", instance="b")
    if group.protocol == "classic":
        with group.nobody_else_moves("1 was killed and is back", "c"):
            group.kill("c")
            group.join("c", instance="c")
        group.may_fail("d")
        group.join("another d", instance="d")
        group.fails("d", "Fenced|fenced")
        group.settles("1 was replaced while it lived, and is fenced")
    else:  # which keeps the place for whom it has, until that leaves or its session ends
        group.may_fail("another d")
        group.join("another d", instance="d")
        group.fails("another d", "Unreleased|UNRELEASED|still used|unreleased")
        group.settles("1 could not be replaced while it lives")
    group.kill("e")
    group.settles("1 was killed and stayed away past its session")
    group.crash_broker()
    with group.nobody_else_moves("the broker was killed, and 1 was closed and is back", "a"):
        group.close("a")
        group.join("a", instance="a")
    group.drain()


def every_leader(clients):
    """One client after the other leads the group, and so assigns to all others."""

    def run(group):
        for client in clients:
            group.join(client, client=client)
            group.settles(f"{client} joined")
        for client in clients[:-1]:
            group.close(client)
            group.settles(f"{client} closed", within_s=LEFT_S)
        group.join(clients[0], client=clients[0])
        group.settles(f"{clients[0]} joined again")
        group.crash_broker()
        group.drain()

    return run


def together(clients):
    """Several clients in one group of the consumer protocol."""

    def run(group):
        for client in clients:
            group.join(f"{client} 1", f"{client} 2", client=client)
        group.settles(f"two of each joined: {', '.join(clients)}")
        group.kill(f"{clients[0]} 1")
        group.close(f"{clients[1]} 1")
        group.settles("1 was killed and 1 closed")
        group.crash_broker()
        group.drain()

    return run


def migration(group):
    """From the classic protocol to the consumer protocol and back, member by member, while messages flow."""
    group.join("a", "b", "c")
    group.settles("3 classic members joined")
    group.is_of_type("classic")
    group.join("d", "e", protocol="consumer", assignor="uniform")
    group.settles("2 of the consumer protocol joined them")
    group.is_of_type("consumer")
    group.join("f")
    group.settles("1 more classic one joined")
    group.kill("a")
    group.settles("a classic one was killed")
    group.crash_broker()
    group.close("b", "c", "f")
    group.settles("no classic one is left", within_s=LEFT_S)
    group.is_of_type("consumer")
    group.join("g", "h")
    group.settles("2 classic members joined")
    group.close("d")
    group.kill("e")
    group.settles("none of the consumer protocol is left", even=False)
    group.is_of_type("classic")
    group.drain()


def growing(group):
    """Topics that match are subscribed to when they appear, and topics grow."""
    group.join("a", "b", "c", **group.subscription)
    group.settles("3 members joined", even=False)
    group.also_there({"unread": 2})
    group.grow({"letters-c": 6})
    group.settles("a topic appeared", even=False)
    group.more_partitions("letters-a", 12)
    group.settles("a topic grew", even=False)
    group.join("d", **group.subscription)
    group.settles("1 more joined", even=False)
    group.crash_broker(even=False)
    group.drain()


def of_one_client(client, protocol, assignor, fast=False, life=life, title=None, topics=None, subscription=None):
    usual = f"{client} {assignor}" if protocol == "classic" else f"{client} consumer protocol, {assignor}"
    title = f"{usual}, {title}" if title else usual
    return scenario(title, fast, life, topics or TOPIC, client, protocol, assignor, subscription)


def scenario(title, fast, life, topics, client, protocol, assignor, subscription=None):
    def run(folder, show, seed):
        broker = Broker(folder / "broker", settings=SETTINGS)
        with broker, Group(title, broker, folder / "members", topics, "readers", client, protocol, assignor, show) as group:
            group.subscription, group.seed = subscription, seed
            life(group)

    return Scenario(title, fast, run)


def of_pattern(client, protocol, assignor, **subscription):
    title = "the broker's regex" if "regex" in subscription else "pattern"
    return of_one_client(client, protocol, assignor, False, growing, title, {"letters-a": 10, "letters-b": 10}, subscription)


def tools_of_kafka(folder, show, seed):
    tools.same_as_kafka(os.environ.get("BROKER", "felice"), folder)


SCENARIOS = [
    Scenario("tools", True, tools_of_kafka),
    Scenario("connect", False, connect.share_tasks),
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
    of_one_client("java", "classic", "range", life=static, title="static members"),
    of_one_client("java", "consumer", "uniform", life=static, title="static members"),
    of_one_client("librdkafka", "classic", "cooperative-sticky", life=static, title="static members"),
    scenario("mixed, range", True, every_leader(["librdkafka", "sarama", "franz-go", "kafka-python", "aiokafka", "java"]), TOPIC, "java", "classic", "range"),
    scenario("mixed, consumer protocol", False, together(["java", "librdkafka", "franz-go"]), TOPIC, "java", "consumer", "uniform"),
    scenario("churn, classic", False, churn(["librdkafka", "sarama", "franz-go", "kafka-python", "aiokafka"]), TOPIC, "librdkafka", "classic", "range"),
    scenario("churn, cooperative", False, churn(["librdkafka", "franz-go"]), TOPIC, "librdkafka", "classic", "cooperative-sticky"),
    scenario("churn, consumer protocol", False, churn(["librdkafka", "franz-go", "java"]), TOPIC, "librdkafka", "consumer", "uniform"),
    scenario("java migration", False, migration, TOPIC, "java", "classic", "range"),
    of_pattern("java", "classic", "cooperative-sticky", pattern="letters-.*"),
    of_pattern("java", "consumer", "uniform", pattern="letters-.*"),
    of_pattern("java", "consumer", "uniform", regex="letters-.*"),
    of_pattern("librdkafka", "classic", "range", pattern="^letters-.*"),
    of_pattern("librdkafka", "consumer", "uniform", regex="^letters-.*"),
    of_pattern("franz-go", "classic", "cooperative-sticky", pattern="^letters-.*"),
]
