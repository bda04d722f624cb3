"""What a submission takes: memory, of its processes and elsewhere, and the machine's cores."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil


def memory_below(*roots: int) -> int:
    """Bytes that these processes, by id, and all that they have started hold; what several share is counted once.

    (Proportional set size: a page that n processes share counts 1/n in each.) A process that has ended holds nothing.
    """
    return sum(map(_held_by, _below(*roots)))


def memory_elsewhere(process: int, folders: Iterable[str]) -> int:
    """Bytes that the sandbox of a process holds and that are no process's: in its folders, and at most in its sockets."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for folder in folders:
            about = os.statvfs(f"/proc/{process}/root{folder}")
            total += (about.f_blocks - about.f_bfree) * about.f_frsize
        sockets = int(Path(f"/proc/{process}/net/sockstat").read_text().split()[2])  # "sockets: used 7"
        total += sockets * 2 * int(Path("/proc/sys/net/core/wmem_max").read_text())  # that one may grow to
    return total


def seconds_below(*roots: int) -> float:
    """Seconds of a core that these processes, and all that they have started, have had so far, but for those that have ended."""
    total = 0.0
    for process in _below(*roots):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _below(*roots: int) -> set[psutil.Process]:
    processes = set()
    for root in roots:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(root)
            processes |= {process, *process.children(recursive=True)}
    return processes


def _held_by(process: psutil.Process) -> int:
    try:
        try:
            return process.memory_full_info().pss
        except (
            psutil.AccessDenied
        ):  # one that hides; how many pages it has is open to everybody, those that it shares included
            return process.memory_info().rss
    except psutil.Error:
        return 0
