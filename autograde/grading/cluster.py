"""A map over processes: this machine's own, which no other user reaches, or those of a Dask cluster, reached by TLS."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, connection, forkserver, get_context, parent_process, util
from typing import Any

from ..lessons.lesson import CourseError

CONNECT_SECONDS = 15
TRIES = 5  # of what was lost with a worker: a submission can't reach one, so that it is the machine's doing

Mapping = Callable[[Callable, Iterator, Callable], Iterator[tuple[Any, Any]]]


def serially(function: Callable, items: Iterator, _otherwise: Callable) -> Iterator[tuple[Any, Any]]:
    """The same map in this process."""
    for item in items:
        yield item, function(item)


def start_fork_server() -> None:
    """Begin to import what this machine's workers need, in the one process that all of them will be forked from."""
    # Before Python 3.10.9 and 3.11.1 its socket is one that other users can reach (CVE-2022-42919).
    util.abstract_sockets_supported = False
    get_context("forkserver").set_forkserver_preload(["autograde.grading.classroom"])
    with contextlib.suppress(ValueError):  # not in the main thread: nobody interrupts it from a terminal
        ours = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which it inherits: its imports print no traceback
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, ours or signal.SIG_DFL)
    forkserver.ensure_running()


@contextlib.contextmanager
def processes(workers: int) -> Iterator[Mapping]:
    """`mapping(function, items, otherwise)` over so many processes of this machine.

    It yields (item, function(item)) in whatever order they are done; where the machine, and not the function's own `except`, fails,
    (item, otherwise(item, error)). A CourseError of the function's ends it.
    """
    start_fork_server()
    pool = _Pool(workers)
    try:
        yield lambda function, items, otherwise: _spread(pool.submit, 2 * workers, function, items, otherwise)
        pool.executor.shutdown()
    finally:
        pool.kill()


class _Pool:
    """Processes that are started anew where one has died."""

    def __init__(self, workers: int):
        self.workers, self.others = workers, {process.pid for process in active_children()}
        self._start()

    def _start(self) -> None:
        context = get_context("forkserver")
        self.executor = ProcessPoolExecutor(self.workers, context, initializer=_begin_worker)

    def submit(self, function: Callable, item: Any) -> Future:
        try:
            return self.executor.submit(function, item)
        except BrokenExecutor:
            self._start()
            return self.executor.submit(function, item)

    def kill(self) -> None:
        """End what still runs: a sandbox ends with its worker."""
        for process in active_children():
            if process.pid not in self.others:
                process.kill()
        self.executor.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    # A function, and not SIG_IGN, which the programs that a worker starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    # Nor does it outlive the grader, however that ends.
    threading.Thread(target=lambda: (connection.wait([parent_process().sentinel]), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def cluster(scheduler: str, tls: bool = True) -> Iterator[Mapping]:
    """The same map over the workers of the Dask scheduler at an address.

    Raises CourseError where no scheduler answers, where it is lost, and where it is not reached by TLS, unless `tls` is False.
    """
    if tls and not scheduler.startswith("tls://"):
        raise CourseError(
            f"{scheduler} is no tls:// address, and whoever reaches a scheduler runs code as you: see TLS in the README, "
            "or, in a network that nobody else is in, add --no-tls"
        )
    from distributed import Client, Security

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        if scheduler.startswith("tls://") and not Security().get_connection_args("client").get("ssl_context"):
            raise CourseError(
                f"{scheduler} needs the certificates that distributed.comm.tls in Dask's settings names: see the README"
            )
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise CourseError(
            f"no scheduler answers at {scheduler}: is it running, and are address and certificates right? ({error})"
        ) from None
    with client:
        # No more at a time than keeps everybody busy: items are made when their turn comes.
        ahead = 2 * max(1, sum(client.nthreads().values()))
        executor: Executor = client.get_executor(pure=False)
        yield lambda function, items, otherwise: _spread(executor.submit, ahead, function, items, otherwise)


def _spread(
    submit: Callable[..., Future], ahead: int, function: Callable, items: Iterator, otherwise: Callable
) -> Iterator[tuple[Any, Any]]:
    coming, lost, running = ((item, 1) for item in items), [], {}
    while True:
        while len(running) < ahead and (entry := lost.pop() if lost else next(coming, None)):
            running[submit(function, entry[0])] = entry
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            item, tries = running.pop(future)
            try:
                result = future.result()
            except CourseError:
                raise
            except CancelledError:
                raise CourseError(
                    "the scheduler is gone. What was graded stays; start again, and the rest follows"
                ) from None
            except BrokenExecutor as error:
                if tries < TRIES:
                    lost.append((item, tries + 1))
                    continue
                result = otherwise(item, error)
            except Exception as error:
                result = otherwise(item, error)
            yield item, result
