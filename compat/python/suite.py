"""A Python client against a broker. Consumers assign(): no group is needed. The argument says which client."""

import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from admin import admin_calls
from consuming import limits, long_poll, positions, resets
from crash import restarts
from data import acks, every_codec, just_too_large, many, shapes, timestamps
from harness import snippet
from harness.broker import Broker
from harness.checks import passed, timed

PARTS = (admin_calls, every_codec, shapes, timestamps, acks, just_too_large, positions, resets, limits, long_poll, many, restarts)


def main(suite):
    if suite == "aiokafka":
        from aio import Client
    else:
        from kafka_python import Client
    print(f"  {Client.name}")
    with tempfile.TemporaryDirectory(prefix=f"felice-{suite}") as folder:
        broker = Broker(folder, settings=["auto.create.topics.enable=false"])
        try:
            with broker:
                client = Client(broker)
                for part in PARTS:
                    with timed(part.__name__.replace("_", " ")):
                        part(client, broker)
            passed("the broker stops cleanly")
            snippet.runs(suite, f"from {suite}", [sys.executable])
        except Exception as failure:
            print(f"  FAIL {failure}", file=sys.stderr)
            traceback.print_exc()
            print(broker.log_tail(), file=sys.stderr)
            sys.exit(1)


main(sys.argv[1])
