"""A broker under test: Felice or the real Kafka, started, killed and restarted on the same port and folder.

The kind comes from BROKER ("felice" or "kafka"), Felice's binary from FELICE_BIN. A broker's folder holds `state.json`
(kind, port, pid, settings), `log` (what it printed) and `data` (its log folder, in Kafka's file formats).
"""

import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60
STOP_LIMIT_S = 60


class BrokerFailed(Exception):
    """The broker did not start, died, or did not stop; the message carries the end of what it printed."""


class Broker:
    """One broker in one folder. Invariant: `pid` is set exactly while a process that this folder started may live."""

    def __init__(self, folder, kind=None, settings=None, version=None):
        """`version` is of Kafka, where it is not the usual one."""
        self.version = version
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state_file = self.folder / "state.json"
        self._child = None
        if self._state_file.exists():
            state = json.loads(self._state_file.read_text())
            self.kind, self.port, self.pid = state["kind"], state["port"], state["pid"]
            self.settings = state["settings"] if settings is None else list(settings)
        else:
            self.kind = kind or os.environ.get("BROKER", "felice")
            self.port, self.pid, self.settings = free_port(), None, list(settings or [])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def data(self):
        return self.folder / "data"

    def start(self):
        """Starts the process and returns once it serves Metadata with itself in it."""
        self.launch()
        return self.await_serving()

    def launch(self):
        """Starts the process."""
        if self.pid is not None:
            raise BrokerFailed(f"{self.folder} is started already (pid {self.pid})")
        with open(self.folder / "log", "ab") as log:
            self._child = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self._environment()
            )
        self.pid = self._child.pid
        self._save()

    def await_serving(self, limit_s=START_LIMIT_S):
        deadline = time.monotonic() + limit_s
        while not serves(self.port):
            if (code := self.exit_code()) is not None:
                self.kill()
                raise BrokerFailed(f"exited with {code} before it served\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerFailed(f"does not serve after {limit_s} s\n{self.log_tail()}")
            time.sleep(0.01)  # a port offers no event to wait for
        return self

    def exit_code(self):
        """How the process that this object started ended by itself, or None."""
        return None if self._child is None else self._child.poll()

    def kill(self):
        """SIGKILL: what a crash of the process looks like. The page cache survives, nothing else does."""
        self._signal_and_wait(signal.SIGKILL)

    def stop(self):
        """SIGTERM: a clean stop, which has to end with exit code 0 (Java's own is 143)."""
        code = self._signal_and_wait(signal.SIGTERM)
        if code not in (None, 0, 143 if self.kind == "kafka" else 0):
            raise BrokerFailed(f"a clean stop ended with {code}\n{self.log_tail()}")

    def log_tail(self, lines=30):
        printed = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(printed[-lines:])

    def resident_bytes(self):
        """Resident memory of the process."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def _command(self):
        sets = [word for setting in self.settings for word in ("--set", setting)]
        if self.kind == "kafka":
            return [ROOT / "scripts/kafka", "run", "--dir", self.folder, "--port", str(self.port), *sets]
        if self.kind == "felice":
            binary = os.environ.get("FELICE_BIN") or shutil.which("felice")
            if not binary:
                raise BrokerFailed("FELICE_BIN names no binary of Felice, and none is on PATH")
            return [binary, "serve", "--data-dir", self.data, "--listen", self.address, *sets]
        raise BrokerFailed(f"BROKER={self.kind} is neither felice nor kafka")

    def _environment(self):
        return {**os.environ, "KAFKA_VERSION": self.version} if self.version else None

    def _signal_and_wait(self, which):
        """Returns the exit code where the process is a child of this one, else None."""
        if self.pid is None:
            return None
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            handle = None
        code = None
        if handle is not None:
            try:
                signal.pidfd_send_signal(handle, which)
                if not select.select([handle], [], [], STOP_LIMIT_S)[0]:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    raise BrokerFailed(f"alive {STOP_LIMIT_S} s after {which.name}\n{self.log_tail()}")
            finally:
                os.close(handle)
        if self._child is not None:
            code = self._child.wait()
            self._child = None
        self.pid = None
        self._save()
        return code

    def _save(self):
        state = {"kind": self.kind, "port": self.port, "pid": self.pid, "settings": self.settings}
        self._state_file.write_text(json.dumps(state))

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.stop()
        else:
            self.kill()


def free_port():
    """A free port outside of the range that the kernel gives to outgoing connections. While a killed broker is down,
    clients try its port over and over; a port within that range would sooner or later be connected to itself."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def serves(port):
    """Whether a broker answers Metadata (version 1, no topics) on this port with at least one broker."""
    body = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
            peer.sendall(struct.pack(">i", len(body)) + body)
            with peer.makefile("rb") as answer:
                size = struct.unpack(">i", answer.read(4))[0]
                brokers = struct.unpack(">ii", answer.read(size)[:8])[1]
                return brokers > 0
    except (OSError, struct.error):
        return False
