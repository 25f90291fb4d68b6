"""What members said and what was done to them, in the order in which it was heard; and what follows from it by now.

Times are in ms since 1970 by the one clock of the machine, taken where a thing happened: a line is heard a little later.
"""

import threading
import time
from collections import namedtuple

from harness.checks import Wrong

# `what` is one of ../members/README.md's events, or "joining", "killed", "stopped", "continued", "broker ends", "broker back".
Event = namedtuple("Event", "at member what data")
# What the group had committed, as an admin client saw it: {partition: offset}.
Observation = namedtuple("Observation", "asked offsets")


def now():
    return time.time_ns() // 1_000_000


class History:
    """Partitions are (topic, number). Invariant: `owned` has the members that live, and no partition of those that ended."""

    def __init__(self, show=False):
        self.heard = threading.Condition()
        self.events = []
        self.observations = []
        self.owned = {}  # {member: its partitions}
        self.latest = {}  # {partition: (member, number of the message it processed last)}
        self.wrong = []  # members that ended by themselves
        self._may_fail = set()
        self._show = show

    def add(self, member, what, at=None, **data):
        with self.heard:
            event = Event(at or now(), member, what, data)
            self.events.append(event)
            self._follow(event)
            self.heard.notify_all()
        if self._show and what != "records":
            print(f"       {event.at % 1_000_000 / 1000:7.3f} {member or ''} {what} {shown(data)}", flush=True)

    def observe(self, asked, offsets):
        with self.heard:
            self.observations.append(Observation(asked, offsets))

    def expect_error(self, member):
        with self.heard:
            self._may_fail.add(member)

    def _follow(self, event):
        owned = self.owned.get(event.member, set())
        match event.what:
            case "joining":
                self.owned[event.member] = set()
            case "assigned":
                owned.update(partitions(event))
            case "revoked" | "lost":
                owned.difference_update(partitions(event))
            case "records":
                for topic, number, _, value in event.data["records"]:
                    self.latest[topic, number] = (event.member, int(value))
            case "killed" | "closed":
                self.owned.pop(event.member, None)
            case "error" if event.member in self._may_fail:
                self.owned.pop(event.member, None)
            case "error" | "vanished":
                self.wrong.append(f"{event.member}: {event.what} {event.data.get('error', '')}")

    def wait(self, what, limit_s, holds):
        """Returns the seconds until `holds()`, which is asked again after each event."""
        start = time.monotonic()
        with self.heard:
            while not holds():
                if self.wrong:
                    raise Wrong(f"while waiting until {what}: {'; '.join(self.wrong)}")
                left = start + limit_s - time.monotonic()
                if left <= 0:
                    raise Wrong(f"not within {limit_s} s: {what}; owned are {self.shares()}")
                self.heard.wait(left)
        return time.monotonic() - start

    def shares(self):
        return {member: sorted(f"{topic}-{number}" for topic, number in owned) for member, owned in self.owned.items()}


def partitions(event):
    return [(topic, number) for topic, number in event.data["partitions"]]


def shown(data):
    if "partitions" in data:
        return " ".join(f"{topic}-{number}" for topic, number in sorted(map(tuple, data["partitions"])))
    if "offsets" in data:
        return " ".join(f"{number}:{offset}" for _, number, offset in sorted(map(tuple, data["offsets"])))
    return " ".join(f"{name}={value}" for name, value in data.items())
