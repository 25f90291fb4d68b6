"""Asks the broker under test and a real Kafka the same, and compares the answers.

    compat/differential/run [CASE ...] [--show]    --show prints every answer of the broker under test

What Kafka 4 no longer has is compared with Kafka 3.9.1.

BROKER=kafka compares Kafka with Kafka, which has to find nothing: what differs from run to run is not a difference."""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from cases import CASES
from differences import differ, short
from harness.broker import Broker
from known import KNOWN
from peer import Peer

SETTINGS = ["node.id=1", "auto.create.topics.enable=true", "offsets.topic.num.partitions=4", "group.initial.rebalance.delay.ms=0",
            "group.consumer.assignment.interval.ms=0"]
SHOWN = 12
# The last Kafka that serves the versions that Kafka 4 dropped.
LAST_WITH_OLD = "3.9.1"


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    arguments.add_argument("--show", action="store_true")
    chosen = arguments.parse_args()
    names = chosen.cases or list(CASES)
    dropped = [name for name in names if getattr(CASES[name], "is_dropped", False)]
    met = Counter()
    wrong = against(None, [name for name in names if name not in dropped], met, chosen.show)
    wrong += against(LAST_WITH_OLD, dropped, met, chosen.show)
    if os.environ.get("BROKER", "felice") == "felice":
        wrong += tell_known(met, whole=len(names) == len(CASES))
    print(f"  {wrong} differences, {met.total()} known ones")
    sys.exit(1 if wrong else 0)


def against(version, names, met, show):
    """Runs the cases on the broker under test and on this version of Kafka; returns the number of differences that are
    not known ones."""
    if not names:
        return 0
    with tempfile.TemporaryDirectory(prefix="felice-differential") as folder:
        tested = Broker(Path(folder, "tested"), settings=SETTINGS, version=version)
        kafka = Broker(Path(folder, "kafka"), kind="kafka", settings=SETTINGS, version=version)
        try:
            with kafka, tested:
                peers = Peer(tested), Peer(kafka)
                for peer in peers:
                    peer.ready()
                return compare(*peers, names, met, show)
        except Exception:
            print(tested.log_tail(), file=sys.stderr)
            raise


def compare(tested, kafka, names, met, show):
    """Runs the cases; returns the number of differences that are not known ones, which are counted in `met`."""
    wrong = answers = 0
    for name in names:
        start = time.monotonic()
        failures = run_on_both(name, tested, kafka)
        if show:
            for label, answer in tested.transcript.items():
                print(f"       {label}: {answer}")
        differences = []
        for label in dict.fromkeys([*kafka.transcript, *tested.transcript]):
            one, other = tested.transcript.get(label, "not asked"), kafka.transcript.get(label, "not asked")
            for path, mine, its in differ(one, other):
                known = next((k for k in KNOWN if k.covers(name, label, path, mine, its)), None)
                if known:
                    met[known] += 1
                else:
                    differences.append((label, path, mine, its))
        answers += len(kafka.transcript)
        for failure in failures:
            print(f"  FAIL {name}: {failure}")
        for label, path, mine, its in differences[:SHOWN]:
            print(f"  FAIL {name}: {label}: {path or 'the answer'}\n         {tested.broker.kind}: {short(mine)}\n         kafka:  {short(its)}")
        if len(differences) > SHOWN:
            print(f"  FAIL {name}: and {len(differences) - SHOWN} more")
        wrong += len(failures) + len(differences)
        if not failures and not differences:
            print(f"  ok   {name}: {len(kafka.transcript)} answers, {time.monotonic() - start:.1f} s", flush=True)
    print(f"  {answers} answers compared with Kafka {kafka.broker.version or ''}".rstrip())
    return wrong


def tell_known(met, whole):
    """Prints the reasons of the known differences; returns how many known ones were not met although all cases ran."""
    for reason in dict.fromkeys(known.reason for known in KNOWN if known in met):
        print(f"  known, {sum(met[known] for known in KNOWN if known.reason == reason)} times: {reason}")
    unmet = [known for known in KNOWN if known not in met] if whole else []
    for known in unmet:
        print(f"  FAIL a known difference that was not met: {known.case}: {known.label}: {known.path}: {known.reason}")
    return len(unmet)


def run_on_both(name, *peers):
    """Runs a case on each peer at the same time; returns what went wrong in the case itself."""
    failures = []

    def run(peer):
        try:
            peer.begin(name)
            CASES[name](peer)
        except Exception as failure:
            failures.append(f"on {peer.broker.kind}: {type(failure).__name__}: {failure}")

    threads = [threading.Thread(target=run, args=[peer]) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


main()
