"""Where a consumer begins, what it waits for, and what it does when it is told to begin where nothing is."""

import threading
import time

from clients import LIMIT_S, Message, acknowledged, code_of, create, follow, some
from harness.checks import require, same

COUNT = 100
PARTITIONS = 3
OFFSET_OUT_OF_RANGE = 1


def positions(client, broker):
    create(client, {"read": (PARTITIONS, {})})
    messages = [Message("read", n % PARTITIONS, b"%d" % n) for n in range(COUNT * PARTITIONS)]
    acknowledged(client.sent(messages))
    every = [("read", n) for n in range(PARTITIONS)]
    same("the end offsets", dict.fromkeys(every, COUNT), client.ends(every))

    reader = client.reader()
    reader.assign({("read", 0): 40, ("read", 1): "earliest", ("read", 2): 99})
    records = some(reader, 60 + 100 + 1)
    firsts = {number: [r.offset for r in records if r.partition == number] for number in range(PARTITIONS)}
    same("from an offset, from the start and the last, at once", {0: list(range(40, 100)), 1: list(range(100)), 2: [99]}, firsts)
    same("the position is behind them", 100, reader.position(("read", 1)))

    reader.assign({("read", 0): "latest"})
    same("the latest position", COUNT, reader.position(("read", 0)))
    acknowledged(client.sent([Message("read", 0, b"new")]))
    same("from the latest, what comes after", [(COUNT, b"new")], [(r.offset, r.value) for r in some(reader, 1)])
    reader.close()


def resets(client, broker):
    create(client, {"reset": (1, {})})
    acknowledged(client.sent([Message("reset", 0, b"%d" % n) for n in range(10)]))
    for beyond in (11, 1 << 40):
        reader = client.reader(reset="earliest")
        reader.assign({("reset", 0): beyond})
        same(f"offset {beyond} is out of range, so from the earliest", list(range(10)), [r.offset for r in some(reader, 10)])
        reader.close()
    reader = client.reader(reset="latest")
    reader.assign({("reset", 0): None})
    same("without a position, from the latest", 10, reader.position(("reset", 0)))
    reader.close()
    reader = client.reader(reset="none")
    reader.assign({("reset", 0): 11})

    def poll_until_it_fails():
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            require("records from beyond the end", not reader.poll(0.5))

    same("with reset=none an error", OFFSET_OUT_OF_RANGE, code_of(poll_until_it_fails))
    reader.close()


def limits(client, broker):
    """A fetch that may take less than one batch still brings that one, so that every consumer gets on."""
    create(client, {"limits": (2, {})})
    for n in range(20):
        acknowledged(client.sent([Message("limits", n % 2, b"%d" % n * 5000)]))
    for settings in ({"max_partition_fetch_bytes": 1000}, {"fetch_max_bytes": 1000}):
        reader = client.reader(**settings)
        reader.assign({("limits", 0): 0, ("limits", 1): 0})
        records = follow(reader, "limits", 2, 20)
        same(f"all come with {settings}", 20, len(records))
        reader.close()


def long_poll(client, broker):
    """A fetch waits for data, and no longer than that."""
    create(client, {"wait": (1, {})})
    reader = client.reader(fetch_max_wait_ms=20_000)
    reader.assign({("wait", 0): 0})
    same("nothing comes yet", [], reader.poll(0.3))
    late = threading.Timer(0.3, lambda: acknowledged(client.sent([Message("wait", 0, b"late")])))
    start = time.monotonic()
    late.start()
    same("what comes while a fetch waits", [b"late"], [r.value for r in some(reader, 1)])
    waited = time.monotonic() - start
    late.join()
    require(f"it came after {waited:.1f} s of a fetch that may wait 20", 0.3 <= waited < 10)
    reader.close()

    reader = client.reader(fetch_max_wait_ms=700, fetch_min_bytes=1_000_000)
    start = time.monotonic()
    reader.assign({("wait", 0): 0})
    same("less than fetch_min_bytes comes at last", [b"late"], [r.value for r in some(reader, 1)])
    require(f"but only after fetch_max_wait_ms, and not {time.monotonic() - start:.2f} s", time.monotonic() - start >= 0.7)
    reader.close()
