"""Leaves steps out of a round that found a difference, as long as it is found."""

import time
from collections import Counter

from world import World

LIMIT_S = 60
TRIES = 3


def replayed(tag, sides, steps):
    """A round of these steps, up to the first difference."""
    world = World(tag, sides, Counter(), limit_s=1.5)
    for step in steps:
        world.play(step)
        if world.is_over:
            break
    world.close()
    return world


def shrunk(found, sides):
    """The world of the shortest list of steps that was found to differ in an answer of the same API; None where the steps do not
    show it again."""
    deadline, replays = time.monotonic() + LIMIT_S, 0

    def differing(steps):
        nonlocal replays
        replays += 1
        world = replayed(f"{found.tag}-{replays}", sides, steps)
        return world if world.difference and world.difference[0] == found.difference[0] else None

    smallest = next(filter(None, (differing(found.steps) for _ in range(TRIES))), None)
    if smallest is None:
        return None
    size = len(smallest.steps) // 2
    while size:
        at = 0
        while at < len(smallest.steps) and time.monotonic() < deadline:
            shorter = differing(smallest.steps[:at] + smallest.steps[at + size :])
            if shorter:
                smallest = shorter
            else:
                at += size
        size //= 2
    return smallest
