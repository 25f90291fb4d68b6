"""Saying what is expected. A check that holds prints one line, one that does not ends the suite."""

import os
import time


class Wrong(Exception):
    """A check did not hold."""


def passed(check):
    print(f"  ok   {check}", flush=True)


def same(check, expected, actual):
    if expected != actual:
        raise Wrong(f"{check}: expected <{shorten(expected)}>, got <{shorten(actual)}>")
    passed(check)


def settled(check, expected, read, kind=None):
    """What an admin call changed is there when it is answered; but Kafka answers from the controller, a little before its
    broker has heard of the change, so that there it may take up to 10 s. `kind` is of the broker that is asked, where it is not the one under test."""
    deadline = time.monotonic() + (10 if (kind or os.environ.get("BROKER")) == "kafka" else 0)
    actual = read()
    while actual != expected and time.monotonic() < deadline:
        time.sleep(0.02)
        actual = read()
    same(check, expected, actual)


def require(claim, holds):
    if not holds:
        raise Wrong(claim)


def shorten(value, limit=400):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


class timed:
    """Prints the seconds that a part took: `with timed("codecs"): ...`."""

    def __init__(self, part):
        self._part = part

    def __enter__(self):
        self._start = time.monotonic()

    def __exit__(self, kind, value, trace):
        if kind is None:
            print(f"  {self._part}: {time.monotonic() - self._start:.1f} s", flush=True)
