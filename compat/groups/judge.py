"""What has to hold of a whole history, whatever happened in it. Each function is one oracle and returns what speaks against it."""

from collections import defaultdict, namedtuple

from history import partitions

# One member owned one partition from `start` to `end`; `how` is revoked, lost, killed, closed, error or open (to the end).
Interval = namedtuple("Interval", "partition member start end how records")
FOREVER = 1 << 62


def verdict(history, acknowledged, ends, committed, loose):
    """Everything that is wrong, as lines. `acknowledged` and `ends` are of the messages that were sent, `committed` is what
    the group had committed when its last member had closed. `loose` are members whose client does not tell exactly what it
    owns: between what it says, it may process a little more."""
    intervals = ownership(history.events)
    return [
        *lost(history.events, acknowledged),
        *invented(history.events, acknowledged),
        *unowned(history.events, intervals, loose),
        *skipped(intervals),
        *again(intervals, history),
        *shared(history.events, intervals),
        *forgotten(history),
        *inexact(ends, committed),
    ]


def ownership(events):
    """All intervals, with the records that were processed in them: [(at, offset)]."""
    open_, done = {}, []

    def end(partition, member, at, how):
        if (interval := open_.pop((partition, member), None)) is not None:
            done.append(interval._replace(end=at, how=how))

    for event in events:
        match event.what:
            case "assigned":
                for partition in partitions(event):
                    end(partition, event.member, event.at, "revoked")
                    open_[partition, event.member] = Interval(partition, event.member, event.at, FOREVER, "open", [])
            case "revoked" | "lost":
                for partition in partitions(event):
                    end(partition, event.member, event.at, event.what)
            case "killed" | "closed" | "error":
                for partition, member in list(open_):
                    if member == event.member:
                        end(partition, member, event.at, event.what)
            case "records":
                for topic, number, offset, _ in event.data["records"]:
                    if interval := open_.get(((topic, number), event.member)):
                        interval.records.append((event.at, offset))
    return done + list(open_.values())


def processed(events):
    """Each record: (event, partition, offset, number of the message)."""
    for event in events:
        if event.what == "records":
            for topic, number, offset, value in event.data["records"]:
                yield event, (topic, number), offset, int(value)


def lost(events, acknowledged):
    """Each message that was acknowledged was processed."""
    seen = defaultdict(set)
    for _, partition, _, number in processed(events):
        seen[partition].add(number)
    for partition, sent in acknowledged.items():
        if missing := sent.keys() - seen[partition]:
            yield f"lost: {len(missing)} messages of {named(partition)}, such as {sorted(missing)[:5]}"


def invented(events, acknowledged):
    """At each offset is the message that was stored there, whoever reads it."""
    stored = {(partition, offset): number for partition, sent in acknowledged.items() for number, offset in sent.items() if offset is not None}
    for event, partition, offset, number in processed(events):
        if stored.setdefault((partition, offset), number) != number:
            yield f"invented: {event.member} read {number} at {named(partition)}@{offset}, not {stored[partition, offset]}"


def unowned(events, intervals, loose):
    """Members process only what they own."""
    counted = defaultdict(int)
    for interval in intervals:
        counted[interval.member] += len(interval.records)
    every = defaultdict(int)
    for event, *_ in processed(events):
        every[event.member] += 1
    for member in every.keys() - set(loose):
        if every[member] != counted[member]:
            yield f"unowned: {member} processed {every[member] - counted[member]} records of partitions that it did not own"


def skipped(intervals):
    """While a member owns a partition, it reads it without gap or turn."""
    for interval in intervals:
        offsets = [offset for _, offset in interval.records]
        for before, after in zip(offsets, offsets[1:]):
            if after != before + 1:
                yield f"skipped: {interval.member} read {named(interval.partition)}@{after} after {before}"


def again(intervals, history):
    """Whoever begins to own a partition begins at or after what had been committed by then: only the uncommitted is read twice."""
    for interval in intervals:
        floor = max((offset for at, offset in commits(history, interval.partition) if at < interval.start), default=0)
        if early := [offset for _, offset in interval.records if offset < floor]:
            yield f"again: {interval.member} read {named(interval.partition)}@{min(early)} though {floor} was committed before it owned it"


def shared(events, intervals):
    """No two own a partition at once, but for whom the group had thrown out before it could know: it was stopped meanwhile, or
    it says itself that it lost the partition, or fails since it is fenced."""
    stops = defaultdict(list)
    for event in events:
        if event.what in ("stopped", "continued"):
            stops[event.member].append(event.at)
    by_partition = defaultdict(list)
    for interval in intervals:
        by_partition[interval.partition].append(interval)
    for partition, owners in by_partition.items():
        owners.sort(key=lambda interval: interval.start)
        for n, first in enumerate(owners):
            if first.how in ("lost", "error") or any(first.start <= at <= first.end for at in stops[first.member]):
                continue
            for second in owners[n + 1 :]:
                if second.member != first.member and second.start < first.end:
                    end = "the end" if first.end == FOREVER else f"{first.end - second.start} ms later"
                    yield f"shared: {second.member} was assigned {named(partition)}, which {first.member} owned until {end}"


def forgotten(history):
    """What was committed stays committed, and is what an admin client sees, through crashes of the broker too."""
    floors = defaultdict(int)
    # In one and the same millisecond it may have been seen before it was committed.
    events = sorted(
        [(each.asked, 0, "seen", list(each.offsets.items())) for each in history.observations]
        + [(at, 1, "committed", [(tuple(p), o)]) for p, at, o in acknowledged_commits(history)],
        key=lambda each: each[:2],
    )
    for at, _, what, offsets in events:
        found = dict(offsets)
        if what == "seen":
            for partition, floor in floors.items():
                if found.get(partition, 0) < floor:
                    yield f"forgotten: {named(partition)} was committed at {floor}, and then seen at {found.get(partition)}"
        for partition, offset in offsets:
            floors[partition] = max(floors[partition], offset)


def inexact(ends, committed):
    """When all is drained and closed, what is committed is the end of the log."""
    for partition, end in ends.items():
        if committed.get(partition, 0) != end:
            yield f"inexact: {named(partition)} ends at {end} and {committed.get(partition)} is committed"


def acknowledged_commits(history):
    for event in history.events:
        if event.what == "committed":
            for topic, number, offset in event.data["offsets"]:
                yield (topic, number), event.at, offset


def commits(history, partition):
    """(at, offset) of what is known to have been committed by then."""
    found = [(at, offset) for name, at, offset in acknowledged_commits(history) if name == partition]
    # An observation is of some time before its answer came, which is before the next one was asked for.
    for each, following in zip(history.observations, history.observations[1:]):
        if partition in each.offsets:
            found.append((following.asked, each.offsets[partition]))
    return found


def named(partition):
    return f"{partition[0]}-{partition[1]}"
