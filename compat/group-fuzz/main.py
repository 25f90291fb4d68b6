"""Asks the broker under test and a real Kafka the same as members of groups, at random, and compares the answers.

    compat/group-fuzz/run [--seed S] [--rounds N] [--kind classic|consumer|mixed] [--steps N] [--kill] [--set NAME=VALUE ...]
                          [--plant MISTAKE] [--show]

Round after round has the next seed, and the next kind where none is told; one whose seed is told again asks the same again. --kill
kills both brokers now and then. --plant has the broker under test make a mistake, which has to be found (without it, each is
planted once before the rounds). --show tells every step and answer."""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "differential")]

from harness.broker import Broker
from plants import PLANTS
from said import Step
from shrink import shrunk
from side import Side
from steps import EVERYTHING, KINDS, TOPICS, Random
from world import World

SETTINGS = [
    "node.id=1",
    "auto.create.topics.enable=false",
    "offsets.topic.num.partitions=4",
    # Nothing is put off, so that what is told next does not depend on the clock.
    "group.initial.rebalance.delay.ms=0",
    "group.consumer.assignment.interval.ms=0",
    "group.max.size=6",
    "group.consumer.max.size=6",
    "group.consumer.migration.policy=bidirectional",
]
ROUNDS = 36
KILL_CHANCE = 0.04
ROUNDS_OF_PLANT = 12
SHOWN = 12


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--kind", choices=list(KINDS))
    arguments.add_argument("--steps", type=int, default=60)
    arguments.add_argument("--kill", action="store_true")
    arguments.add_argument("--set", action="append", default=[])
    arguments.add_argument("--plant", choices=list(PLANTS))
    arguments.add_argument("--show", action="store_true")
    chosen = arguments.parse_args()
    seed = random.randrange(1 << 32) if chosen.seed is None else chosen.seed
    rounds = chosen.rounds or ROUNDS * int(os.environ.get("COMPAT_SCALE", "1"))
    settings = SETTINGS + chosen.set
    wrong, met, counts = 0, Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="felice-group-fuzz") as folder:
        tested = Broker(Path(folder, "tested"), settings=settings)
        kafka = Broker(Path(folder, "kafka"), kind="kafka", settings=settings)
        with kafka, tested:
            sides = [Side(tested), Side(kafka)]
            for side in sides:
                prepare(side)
            if chosen.plant:
                sides[0].mistake = PLANTS[chosen.plant]
            elif chosen.seed is None:
                wrong += plant_each(seed, sides, met)
            met.clear()
            for number in range(seed, seed + rounds):
                wrong += not play(number, chosen, sides, met, counts)
            if panics := (tested.folder / "log").read_text(errors="replace").count("panicked"):
                print(f"  FAIL {panics} panics\n{tested.log_tail()}")
            for side in sides:
                side.hang_up_all()
    for reason in dict.fromkeys(each.reason for each in met):
        print(f"  known, {sum(count for each, count in met.items() if each.reason == reason)} times: {reason}")
    print(f"  {rounds} rounds, {wrong} with differences; " + ", ".join(f"{count} {what}" for what, count in counts.most_common()))
    sys.exit(1 if wrong or panics else 0)


def prepare(side):
    side.ready()
    side.begin("group-fuzz")
    side.coordinate()
    for topic, partitions in TOPICS.items():
        side.create_for_groups(topic.removeprefix("group-fuzz-"), partitions)


def play(seed, chosen, sides, met, counts):
    """One round; returns whether both brokers agree."""
    kind = chosen.kind or list(KINDS)[seed % len(KINDS)]
    start = time.monotonic()
    world = run(f"seed-{seed}", seed, kind, sides, met, chosen.steps, KILL_CHANCE if chosen.kill else 0)
    counts.update(step.api for step in world.steps)
    took = f"{len(world.steps)} steps, {time.monotonic() - start:.1f} s"
    if chosen.show:
        print("\n".join(world.told))
    if not world.difference:
        print(f"  ok   seed {seed}, {kind}: {took}", flush=True)
        return True
    print(f"  FAIL seed {seed}, {kind}: {took}: {world.difference[1]}", flush=True)
    words = f"--seed {seed} --rounds 1 --kind {kind} --steps {chosen.steps}{' --kill' if chosen.kill else ''}"
    words += "".join(f" --set {each}" for each in chosen.set) + (f" --plant {chosen.plant}" if chosen.plant else "")
    print(f"       the same again: scripts/compat group-fuzz {words}")
    smallest = shrunk(world, sides)
    if smallest:
        print(f"       {len(smallest.steps)} steps are enough, with their answers:")
    else:
        print("       the same steps do not show it again; the last of what was said:")
    for line in smallest.told if smallest else world.told[-4 * SHOWN :]:
        print(f"       {line}")
    sys.stdout.flush()
    return False


def run(tag, seed, kind, sides, met, steps, kill_chance=0.0):
    """Plays a round up to the first difference, and looks at everything at its end; returns its world, whose groups are named by `tag`."""
    rng = random.Random(seed)
    world = World(tag, sides, met)
    chances = Random(rng, world, kind)
    while len(world.steps) < steps and not world.is_over:
        if rng.random() < kill_chance:
            play_all(world, [Step("kill"), *EVERYTHING])
        else:
            world.play(chances.step())
    play_all(world, EVERYTHING)
    world.close()
    return world


def play_all(world, steps):
    for step in steps:
        if not world.is_over:
            world.play(step)


def plant_each(seed, sides, met):
    """Plants each mistake, which has to be found; returns how many are not."""
    missed = []
    for name, mistake in PLANTS.items():
        sides[0].mistake = mistake
        rounds = ((n, kind) for n in range(ROUNDS_OF_PLANT) for kind in KINDS)
        worlds = (run(f"planted-{name}-{n}-{kind}", seed + n, kind, sides, met, 60) for n, kind in rounds)
        if not any(world.difference for world in worlds):
            missed.append(name)
    sides[0].mistake = None
    for name in missed:
        print(f"  FAIL a planted mistake is not found: {name}")
    if not missed:
        print(f"  ok   {len(PLANTS)} planted mistakes are found", flush=True)
    return len(missed)


main()
