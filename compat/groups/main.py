"""Real clients in groups: compat/groups/run groups|groups-fast [--only WORD] [--title TITLE] [--seed S] [--show]

groups-fast is the share of scripts/test. --only runs the scenarios with WORD in their title, --title one of them, --show
tells every event.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import faults
from scenarios import SCENARIOS


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("share", choices=["groups", "groups-fast"])
    arguments.add_argument("--only", default="", metavar="WORD")
    arguments.add_argument("--title", help="runs just this one")
    arguments.add_argument("--show", action="store_true")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of what is done at random")
    chosen = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    run = [each for each in SCENARIOS if chosen.only in each.title and (each.fast or chosen.share == "groups")]
    run = [each for each in run if chosen.title in (None, each.title)]
    faults.found()
    failed = [each.title for each in run if not passes(each, chosen)]
    if failed or not run:
        sys.exit(f"  FAIL {len(failed)} of {len(run)} scenarios: {', '.join(failed)}")


def passes(scenario, chosen):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="felice-groups") as folder:
        try:
            scenario.run(Path(folder), chosen.show, chosen.seed)
        except Exception as failure:
            print(f"  FAIL {scenario.title}: {failure}", flush=True)
            traceback.print_exc()
            return False
    print(f"  {scenario.title}: {time.monotonic() - start:.1f} s", flush=True)
    return True


main()
