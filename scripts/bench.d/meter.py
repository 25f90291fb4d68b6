"""What the operating system counts: CPU time and memory of a process, and how busy the machine was besides."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
MB = 1e6
CPUCLOCK_SCHED = 2  # how the kernel makes a clock's id of a process id: clock_getcpuclockid(3)


def cpu_s(pid):
    """User and system time of all threads of a process, past and present, from the kernel's CPU clock of that process: the sum
    of what /proc/PID/stat tells, which rounds to 10 ms, in nanoseconds."""
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED) / 1e9


def cpu_ticks_s(pid):
    """The same as /proc/PID/stat has it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid):
    """(resident, of that anonymous: what is not a page of some file that the kernel can drop)"""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024 / MB
    return sizes["Rss"], sizes["Anonymous"]


def bytes_read_from_disk(pid):
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("read_bytes:"):
            return int(line.split()[1])
    raise RuntimeError("no read_bytes")


def machine_busy_s():
    """(CPU time of everything that ran on this machine, time that the hypervisor gave to others)"""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def children_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def load_average():
    return os.getloadavg()[0]


@dataclass
class Reading:
    """What happened between `Meter.start` and `Meter.stop`."""

    wall_s: float
    broker_cpu_s: float
    load_cpu_s: float
    others_cpu_s: float  # neither broker nor load: other programs, and the kernel's own threads that write dirty pages back
    stolen_s: float
    disk_read_bytes: int


class Meter:
    def __init__(self, pid):
        self.pid = pid
        self.before = self._now()

    def _now(self):
        return time.monotonic(), cpu_s(self.pid), children_s(), *machine_busy_s(), bytes_read_from_disk(self.pid)

    def stop(self):
        wall, broker, load, busy, stolen, read = (now - then for now, then in zip(self._now(), self.before))
        return Reading(wall, broker, load, max(0.0, busy - broker - load), stolen, read)
