"""Histories with a fault planted in each: the judge has to find it, and nothing in a history that has none."""

import judge
from harness.checks import same
from history import History, Observation

P = ("letters", 0)
NAME = [list(P)]


def healthy():
    """Two members, one after the other, read offsets 0 to 9 of one partition; the first is killed with one message uncommitted."""
    history = History()
    history.add("a", "joining", at=0)
    history.add("a", "assigned", at=10, partitions=NAME)
    history.add("a", "records", at=20, records=read(0, 5))
    history.add("a", "committed", at=30, offsets=[[*P, 4]])
    history.add("a", "killed", at=40)
    history.add("b", "joining", at=50)
    history.add("b", "assigned", at=60, partitions=NAME)
    history.add("b", "records", at=70, records=read(4, 10))
    history.add("b", "committed", at=80, offsets=[[*P, 10]])
    history.add("b", "revoked", at=90, partitions=NAME)
    history.add("b", "closed", at=100)
    history.observe(35, {P: 4})
    history.observe(95, {P: 10})
    return history


def read(start, end):
    return [[*P, offset, str(offset + 100)] for offset in range(start, end)]


def replaced(history, at, **data):
    for n, event in enumerate(history.events):
        if event.at == at:
            history.events[n] = event._replace(data={**event.data, **data})


def lost(history):
    replaced(history, 70, records=read(4, 9))


def invented(history):
    replaced(history, 70, records=[*read(4, 9), [*P, 9, "100"]])


def unowned(history):
    history.add("b", "records", at=95, records=read(9, 10))


def skipped(history):
    replaced(history, 70, records=[*read(4, 7), *read(8, 10), *read(7, 8)])


def again(history):
    replaced(history, 70, records=read(3, 10))


def again_as_seen(history):
    """Committed by a member that could not say so any more, but an admin client saw it."""
    history.observations[0] = Observation(35, {P: 5})
    history.observations.insert(1, Observation(45, {P: 5}))


def shared(history):
    replaced(history, 60, partitions=[])
    history.add("b", "assigned", at=15, partitions=NAME)
    history.events.sort(key=lambda event: event.at)


def forgotten(history):
    history.observations[0] = Observation(35, {})


def inexact(history):
    return {P: 9}


FAULTS = [lost, invented, unowned, skipped, again, again_as_seen, shared, forgotten, inexact]


def found():
    sent = {P: {number + 100: number for number in range(10)}}
    same("the judge finds nothing in a healthy history", [], judge.verdict(healthy(), sent, {P: 10}, {P: 10}, set()))
    named = {}
    for plant in FAULTS:
        history = healthy()
        committed = plant(history) or {P: 10}
        verdict = judge.verdict(history, sent, {P: 10}, committed, set())
        named[plant.__name__] = plant.__name__.split("_")[0] in {line.split(":")[0] for line in verdict}
    same(f"the judge finds {len(FAULTS)} planted faults", [], [fault for fault, known in named.items() if not known])
