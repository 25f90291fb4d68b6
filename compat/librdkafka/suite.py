"""librdkafka against a broker, by way of confluent-kafka. Consumers assign(): no group is needed."""

import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import confluent_kafka
from admin import admin_calls
from crash import killed_in_between
from data import every_codec, headers_nulls_and_sizes, made_again, timestamps, two_hundred_thousand
from harness import snippet
from harness.broker import Broker
from harness.checks import passed, timed


def main():
    print(f"  librdkafka {confluent_kafka.libversion()[0]}")
    with tempfile.TemporaryDirectory(prefix="felice-librdkafka") as folder:
        broker = Broker(folder, settings=["auto.create.topics.enable=false"])
        try:
            with broker:
                parts = (admin_calls, every_codec, headers_nulls_and_sizes, made_again, timestamps, two_hundred_thousand, killed_in_between)
                for part in parts:
                    with timed(part.__name__.replace("_", " ")):
                        part(broker)
            passed("the broker stops cleanly")
            snippet.runs("confluent-kafka", "from confluent-kafka", [sys.executable])
        except Exception as failure:
            print(f"  FAIL {failure}", file=sys.stderr)
            traceback.print_exc()
            print(broker.log_tail(), file=sys.stderr)
            sys.exit(1)


main()
