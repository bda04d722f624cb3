"""A control group (cgroup v2) for each submission, where the system lends this process some: the kernel then counts all its memory.

Elsewhere limits do, a process's and, watched, all of its processes' together (`confinement.py` in `warm_parent`, `memory.py`).
"""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENDING = 5.0  # seconds that the processes of a group may take to end
_numbers = itertools.count()


@dataclass(frozen=True)
class Group:
    """entrance: a file descriptor; the process that writes "0" to it enters."""

    path: Path
    entrance: int

    def ran_out(self) -> bool:
        """Whether something in it was ended for want of memory."""
        told = (self.path / "memory.events").read_text().split()
        return int(dict(zip(told[::2], told[1::2], strict=True)).get("oom_kill", 0)) > 0


def lent_group(hierarchy: Path = Path("/sys/fs/cgroup"), told: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The group in which this process may make others beside its own, with limits of memory and processes; None where there is none.

    told: the file that says in which group this process is.
    """
    with contextlib.suppress(OSError):
        for line in told.read_text().splitlines():
            if not line.startswith("0::/") or line == "0::/":
                continue
            parent = (hierarchy / line.removeprefix("0::/")).parent
            lent = (parent / "cgroup.subtree_control").read_text().split()
            # Who moves a process needs the right to it where the two groups meet.
            ours = all(os.access(path, os.W_OK) for path in (parent, parent / "cgroup.procs"))
            if ours and {"memory", "pids"} <= set(lent):
                return parent
    return None


@contextlib.contextmanager
def control_group(memory: int, processes: int) -> Iterator[Group | None]:
    """A group of so many bytes and processes, gone afterwards with all that is in it; None where the system lends none."""
    parent = lent_group()
    if parent is None:
        yield None
        return
    path = parent / f"vae-grading-{os.getpid()}-{next(_numbers)}"
    path.mkdir()
    try:
        limits = {"memory.max": memory, "memory.oom.group": 1, "pids.max": processes + 1}  # one waits for the others
        for name, value in limits.items():
            (path / name).write_text(f"{value}")
        with contextlib.suppress(OSError):  # there is no swap
            (path / "memory.swap.max").write_text("0")
        with (path / "cgroup.procs").open("w") as entrance:
            yield Group(path, entrance.fileno())
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    end = time.monotonic() + ENDING
    with contextlib.suppress(OSError):  # a kernel before 5.14; the sandbox's end has ended them
        (path / "cgroup.kill").write_text("1")
    while path.exists() and time.monotonic() < end:
        try:
            path.rmdir()
        except OSError:  # somebody is still in it
            time.sleep(0.02)
