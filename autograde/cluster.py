"""A map over the workers of a Dask cluster: processes of this machine, or whatever answers at a scheduler's address."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, get_context
from typing import Any

from .lesson import CourseError

CONNECT_SECONDS = 15


def start_fork_server() -> None:
    """Begin to import what this machine's workers need, in the one process that all of them will be forked from."""
    get_context("forkserver").set_forkserver_preload(["distributed", "autograde.classroom"])
    forkserver.ensure_running()


@contextlib.contextmanager
def cluster(workers: int, scheduler: str | None = None) -> Iterator[Callable]:
    """`mapping(function, items, otherwise)` over `workers` processes, or over those of the scheduler at an address.

    It yields (item, function(item)) in whatever order they are done; where the machine, and not the function's own `except`, fails,
    (item, otherwise(item, error)). Raises CourseError where no scheduler answers.
    """
    import dask
    from distributed import Client, LocalCluster, as_completed

    logging.getLogger("distributed").setLevel(logging.ERROR)
    # A submission can't reach the worker; a worker that dies is the machine's doing, and its work is done again elsewhere.
    dask.config.set({"distributed.scheduler.allowed-failures": 5, "distributed.comm.timeouts.connect": "10s"})
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            start_fork_server()
            local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, memory_limit=0)
            scheduler = stack.enter_context(local)
        try:
            client = stack.enter_context(Client(scheduler, timeout=CONNECT_SECONDS))
        except (OSError, ValueError) as error:
            raise CourseError(
                f"no scheduler answers at {scheduler}: is it running, and is the address right? ({error})"
            ) from None

        def mapping(function: Callable, items: Iterator, otherwise: Callable) -> Iterator[tuple[Any, Any]]:
            item_of, done = {}, as_completed([])

            def submit() -> None:
                for item in items:
                    future = client.submit(function, item, pure=False)
                    item_of[future.key] = item
                    done.add(future)
                    return

            # No more at a time than keeps everybody busy: items are made when their turn comes.
            for _ in range(2 * max(1, sum(client.nthreads().values()))):
                submit()
            for future in done:
                item = item_of.pop(future.key)
                try:
                    result = future.result()
                except Exception as error:
                    result = otherwise(item, error)
                submit()
                yield item, result

        yield mapping
