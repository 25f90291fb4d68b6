"""Does the same random things to the broker under test and to a real Kafka, and compares all that they answer and hold.

    compat/sequences/run [--seed S] [--rounds N] [--steps N] [--without STEP,...] [--show]

Round after round has the next seed; one whose seed is told again does the same again. --show tells every step."""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "differential")]

import steps
from harness.broker import Broker
from peer import Peer
from world import Different, World

# All that Kafka does every so often, often.
SETTINGS = [
    "node.id=1",
    "auto.create.topics.enable=false",
    "log.retention.check.interval.ms=200",
    "log.cleaner.backoff.ms=100",
    "log.cleaner.dedupe.buffer.size=16777216",
    # A producer is forgotten by the time of its records, which are old here: 24 days, the most there is.
    "producer.id.expiration.ms=2147483647",
]
OF_KAFKA = ["log.initial.task.delay.ms=100", "log.flush.start.offset.checkpoint.interval.ms=200"]
LAST = 6


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--steps", type=int, default=80)
    arguments.add_argument("--without", default="")
    arguments.add_argument("--show", action="store_true")
    chosen = arguments.parse_args()
    if unknown := set(filter(None, chosen.without.split(","))) - {step.__name__ for step in steps.STEPS}:
        arguments.error(f"no step {', '.join(unknown)}; there are: {', '.join(step.__name__ for step in steps.STEPS)}")
    rounds = chosen.rounds or 3 * int(os.environ.get("COMPAT_SCALE", "1"))
    seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="felice-sequences") as folder:
        tested = Broker(Path(folder, "tested"), settings=SETTINGS + (OF_KAFKA if os.environ.get("BROKER") == "kafka" else []))
        kafka = Broker(Path(folder, "kafka"), kind="kafka", settings=SETTINGS + OF_KAFKA)
        with kafka, tested:
            for number in range(seed, seed + rounds):
                wrong += not play(number, chosen, Peer(tested), Peer(kafka))
            panics = (tested.folder / "log").read_text(errors="replace").count("panicked")
            if panics:
                print(f"  FAIL {panics} panics\n{tested.log_tail()}")
    sys.exit(1 if wrong or panics else 0)


def play(seed, chosen, *peers):
    """One round; returns whether both brokers agree."""
    start = time.monotonic()
    for peer in peers:
        peer.begin(f"round-{seed}")
        peer.ready()
    world = World(seed, *peers)
    failure = None
    try:
        steps.run(world, chosen.steps, chosen.without.split(","))
    except Different as difference:
        failure = str(difference)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    world.close()
    if chosen.show or failure:
        for number, step in enumerate(world.steps):
            if chosen.show or number >= len(world.steps) - LAST:
                print(f"       {number + 1:3} {step}")
    if failure:
        print(f"  FAIL seed {seed}, step {len(world.steps)}: {failure}\n       the same again: scripts/compat sequences --seed {seed} --rounds 1 --steps {chosen.steps}{chosen.without and f' --without {chosen.without}'}", flush=True)
        return False
    print(f"  ok   seed {seed}: {len(world.steps)} steps, " + ", ".join(f"{count} {name}" for name, count in world.counts.items()) + f", {time.monotonic() - start:.1f} s", flush=True)
    return True


main()
