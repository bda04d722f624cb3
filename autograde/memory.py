"""How much memory a submission's processes hold."""

import contextlib

import psutil


def memory_below(*roots: int) -> int:
    """Bytes that these processes, by id, and all that they have started hold; what several share is counted once.

    (Proportional set size: a page that n processes share counts 1/n in each.) A process that has ended holds nothing.
    """
    processes = set()
    for root in roots:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(root)
            processes |= {process, *process.children(recursive=True)}
    return sum(map(_held_by, processes))


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
