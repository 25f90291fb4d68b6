"""What the members written in Python share: their arguments, lines and commands, as README.md tells them."""

import json
import os
import sys
import threading
import time

OPTIONS = dict(word.split("=", 1) for word in sys.argv[1:])
SESSION_MS, HEARTBEAT_MS, COMMIT_MS = (int(OPTIONS[f"{name}_ms"]) for name in ("session", "heartbeat", "commit"))

closing = threading.Event()
commits_paused = threading.Event()
_speaking = threading.Lock()


def say(event, **fields):
    with _speaking:
        sys.stdout.write(json.dumps({"at": time.time_ns() // 1_000_000, "event": event, **fields}, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def say_partitions(event, partitions):
    say(event, partitions=[[each.topic, each.partition] for each in partitions])


def say_refused(failure):
    say("refused", error=f"{type(failure).__name__}: {failure}")


class Processed:
    """What was processed and not yet committed: {(topic, partition): the offset after it}."""

    def __init__(self):
        self.offsets = {}
        self._due = 0

    def add(self, records):
        """Records are (topic, partition, offset, value as bytes)."""
        if records:
            say("records", records=[[topic, partition, offset, value.decode()] for topic, partition, offset, value in records])
            self.offsets |= {(topic, partition): offset + 1 for topic, partition, offset, _ in records}

    def due(self):
        """What is to be committed now."""
        if not self.offsets or commits_paused.is_set() or time.monotonic() < self._due:
            return {}
        self._due = time.monotonic() + COMMIT_MS / 1000
        return dict(self.offsets)

    def of(self, partitions):
        """What is to be committed since these partitions, (topic, partition) each, are revoked."""
        return {} if commits_paused.is_set() else {each: self.offsets[each] for each in partitions if each in self.offsets}

    def committed(self, offsets):
        say("committed", offsets=[[*partition, offset] for partition, offset in offsets.items()])
        for partition, offset in offsets.items():
            if self.offsets.get(partition) == offset:
                del self.offsets[partition]

    def forget(self, partitions):
        for partition in partitions:
            self.offsets.pop(partition, None)


def listen():
    """Obeys standard input from now on; where that ends, the driver is gone."""

    def obey():
        for command in sys.stdin:
            match command.strip():
                case "close":
                    closing.set()
                case "pause-commits":
                    commits_paused.set()
                case "resume-commits":
                    commits_paused.clear()
                case other:
                    raise ValueError(other)
        if not closing.is_set():
            os._exit(2)

    threading.Thread(target=obey, daemon=True).start()


def run(consume):
    """Runs a member to its end."""
    listen()
    try:
        consume()
    except Exception as failure:
        say("error", error=f"{type(failure).__name__}: {failure}")
        raise
    say("closed")
    os._exit(0)  # whatever threads a client has left
