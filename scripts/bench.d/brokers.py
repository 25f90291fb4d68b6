"""The brokers that are measured, and how they are made: Felice, Apache Kafka, and the floor (floor.c)."""

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import wire

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "felice"
PARTITIONS = 4


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    """Outside of the range that the kernel hands to outgoing connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Broker:
    """A running broker; what it prints goes to a file in its folder."""

    name = None
    creates_topics = True

    def __init__(self, folder, settings=None, environment=None, data=None):
        """`settings` are the broker's, under Kafka's names; `data` is its data folder, where that is not `folder`/data."""
        self.folder, self.settings = Path(folder), settings or {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = data or self.folder / "data"
        self.port = free_port()
        command, own = self.command()
        self.log = open(self.folder / "broker.log", "ab")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **own, **(environment or {})},
        )
        try:
            self.first_ack_s = wire.first_acknowledgement(self.port, "first", self.alive) - self.started
        except BaseException:
            self.stop()
            say((self.folder / "broker.log").read_text(errors="replace")[-3000:])
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def pause(self):
        """Stands still while another is measured: it takes no CPU and keeps what it has compiled and cached."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self, settle_s=1.0):
        """Goes on, and works off what its timers missed before anything is measured."""
        self.process.send_signal(signal.SIGCONT)
        wire.first_acknowledgement(self.port, "first", self.alive)
        time.sleep(settle_s)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def stored(self, topic):
        """The files of a topic's partitions."""
        return [file for file in self.data.glob(f"{topic}-*/*.log") if file.is_file()]

    def stored_bytes(self, topic):
        return sum(file.stat().st_size for file in self.stored(topic))


class Felice(Broker):
    name = "felice"

    def command(self):
        settings = [part for name, value in self.settings.items() for part in ("--set", f"{name}={value}")]
        return [felice_binary(), "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data, *settings], {}


class Kafka(Broker):
    """With the heap, collector and settings that Kafka ships (kafka-server-start.sh, config/server.properties), except that a
    pause while others are measured does not make its controller lose patience with its broker, and that a deleted topic's
    files go soon."""

    name = "kafka"

    def command(self):
        home, controller = kafka_home(), free_port()
        if not self.data.exists():
            shutil.copytree(home / "formatted", self.data)
        settings = self.folder / "server.properties"
        settings.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={self.data}
num.network.threads=3
num.io.threads=8
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
broker.session.timeout.ms=3600000
log.segment.delete.delay.ms=500
"""
            + "".join(f"{name}={value}\n" for name, value in self.settings.items())
        )
        options = "-Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
        log4j = f"-Dlog4j2.configurationFile={ROOT}/compat/kafka/log4j2.xml"
        return ["java", *options.split(), log4j, "-cp", f"{home}/libs/*", "kafka.Kafka", settings], {}


class Floor(Broker):
    """The least that any broker must do with the same bytes: floor.c. It knows every topic, and forgets all when it stops."""

    name = "floor"
    creates_topics = False

    def command(self):
        self.data.mkdir(exist_ok=True)
        return [floor_binary(), self.port, self.data, PARTITIONS], {}

    def stored(self, topic):
        return list(self.data.glob(f"{topic}-*.log"))

    def counted(self):
        """What it has to say after it stopped."""
        return json.loads((self.folder / "broker.log").read_text().splitlines()[-1])


KINDS = {kind.name: kind for kind in (Felice, Kafka, Floor)}


def once(make):
    """Remembers what `make` returned."""
    kept = []

    def made():
        if not kept:
            kept.append(make())
        return kept[0]

    return made


@once
def felice_binary():
    """FELICE_BIN, or the release build, made where it is missing or old."""
    given = os.environ.get("FELICE_BIN")
    if given:
        return given
    target = os.environ.setdefault("CARGO_TARGET_DIR", str(CACHE / "target"))
    settings = subprocess.run([ROOT / "scripts/rocksdb", "--env"], stdout=subprocess.PIPE, text=True, check=True).stdout
    build = f"{settings}\nexec cargo build --release --locked --package felice --bin felice"
    subprocess.run(["bash", "-c", build], cwd=ROOT, check=True)
    return f"{target}/release/felice"


@once
def kafka_home():
    answer = subprocess.run([ROOT / "scripts/kafka", "fetch"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return Path(answer.strip())


def compiled(source, *options):
    """The program made of a C file beside this one, cached by what it was made of."""
    text = source.read_bytes() + " ".join(options).encode()
    binary = CACHE / "bench" / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:16]}"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        made = Path(f"{binary}.{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-o", made, source, *options], check=True)
        os.replace(made, binary)
    return binary


@once
def load_binary():
    if not Path("/usr/include/librdkafka/rdkafka.h").exists():
        sys.exit("scripts/bench: needs librdkafka: apt-get install gcc librdkafka-dev")
    return compiled(HERE / "load.c", "-lrdkafka", "-lpthread", "-lm")


@once
def floor_binary():
    return compiled(HERE / "floor.c", "-msse4.2")


PREPARE = {"felice": felice_binary, "kafka": kafka_home, "floor": floor_binary}


class LoadFailed(Exception):
    pass


def load(broker, mode, topic, **settings):
    """Runs load.c against a broker and returns what it tells."""
    own = settings.pop("set", {})
    asked = [f"{name}={value}" for name, value in settings.items() if value is not None]
    asked += [f"set={name}:{value}" for name, value in own.items()]
    command = [str(load_binary()), mode, f"127.0.0.1:{broker.port}", topic, *asked]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise LoadFailed(f"{broker.name}: {' '.join(command[1:])}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def create_topic(broker, topic):
    if broker.creates_topics:
        load(broker, "create", topic, partitions=PARTITIONS)


def delete_topic(broker, topic):
    """Returns once its files are gone, so that no deletion is measured."""
    if not broker.creates_topics:
        return
    load(broker, "delete", topic)
    deadline = time.monotonic() + 30
    while any(broker.data.glob(f"{topic}-*")):
        if time.monotonic() > deadline:
            raise LoadFailed(f"{broker.name}: the files of {topic} do not go")
        time.sleep(0.1)
