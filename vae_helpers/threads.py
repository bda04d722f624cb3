"""PyTorch's threads, made fit to share a machine.

The threads of one operation wait for each other by spinning: a turn of the loop, and another, for milliseconds. Where a browser
keeps a core busy, each spins away the time that the other needs, and training takes 25 times as long. Threads that sleep while
they wait lose a quarter on an idle machine, and not much more than their share on a busy one. Whichever they do, the numbers stay
the same. Where all of them together get no more than one core, one thread alone is faster still, and adds up in another order:
then the last digits differ.
"""

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable

import torch

LOOK = 0.25  # seconds between two looks at how many cores this process gets
PAUSE = 5.0  # seconds before what was seen to be of no use, spinning or a second thread, is tried again
CHOSEN = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}  # variables by which somebody has decided it already
# Where PyTorch's OpenMP library is, if it isn't found among what the process has loaded: by platform.
FILES = {"win32": "libiomp5md.dll", "darwin": "libomp.dylib"}


class Crowd:
    """Threads of GNU's OpenMP library sleep early while there are more of them than processors.

    (They turn a thousand times then, in place of 300,000.) So a thread of ours keeps a team that large, which does nothing.
    """

    def __init__(self, libgomp: ctypes.CDLL):
        self.libgomp, self.leave = libgomp, None
        self.does_nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # free(NULL), in each thread of the team

    def __call__(self, sleep: bool) -> None:
        if sleep and self.leave is None:
            come, self.leave = threading.Event(), threading.Event()
            threading.Thread(target=self._hold, args=(come, self.leave), name="crowd", daemon=True).start()
            come.wait()
        elif not sleep and self.leave is not None:
            self.leave.set()
            self.leave = None

    def _hold(self, come: threading.Event, leave: threading.Event) -> None:
        threads = (os.cpu_count() or 1) + 1
        self.libgomp.GOMP_parallel(self.does_nothing, None, ctypes.c_uint(threads), ctypes.c_uint(0))
        come.set()
        leave.wait()


def _find_switch() -> Callable[[bool], None]:
    """What makes waiting threads sleep (True) or spin (False) in this process; does nothing where that can't be had."""
    with contextlib.suppress(OSError, AttributeError, KeyError):  # no such library, function or platform: as it was
        library = ctypes.CDLL(None) if sys.platform != "win32" else None
        if not (hasattr(library, "kmp_set_blocktime") or hasattr(library, "GOMP_parallel")):
            name = FILES[sys.platform]
            beside = os.path.join(os.path.dirname(torch.__file__), "lib", name)
            library = ctypes.CDLL(beside if os.path.exists(beside) else name)
        if hasattr(library, "kmp_set_blocktime"):  # Intel's and LLVM's: Windows, macOS, conda
            return lambda sleep: library.kmp_set_blocktime(0 if sleep else 200)  # milliseconds; 200 is its own default
        return Crowd(library)
    return lambda sleep: None


_sleep = (lambda sleep: None) if CHOSEN & os.environ.keys() or torch.get_num_threads() == 1 else _find_switch()
_sleep(True)  # from the first import on: whatever a notebook computes does not suffer from its neighbours


class SharedCores:
    """While steps run: PyTorch's threads spin as long as they get the cores that they ask for, and sleep otherwise; beside others
    that leave one core, there is one thread. At the end all is as it was.

    >>> with SharedCores() as cores:
    ...     for step in range(3):
    ...         cores.look()  # a step goes here
    """

    def __enter__(self) -> "SharedCores":
        self.threads, self.spinning, self.one, self.not_before = torch.get_num_threads(), False, False, 0.0
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def look(self) -> None:
        """Call it after every step; a few times a second it decides anew."""
        wall = time.perf_counter()
        if wall - self.wall < LOOK:
            return
        cpu = time.process_time()
        cores = (cpu - self.cpu) / (wall - self.wall)  # that this process was given
        self.wall, self.cpu = wall, cpu
        # Threads that sleep use 1.4 cores of two idle ones, and 1 beside a busy process; those that spin 1.8, and 1.
        if self.spinning and cores < 0.7 * self.threads:
            self.not_before = wall + PAUSE
            self._spin(False)
        elif self.one:
            if wall > self.not_before:
                self._use_one(False)
        elif not self.spinning and cores < 1.15 and self.threads > 1:
            self.not_before = wall + PAUSE
            self._use_one(True)
        elif not self.spinning and cores > 0.15 * self.threads + 0.9 and wall > self.not_before:
            self._spin(True)

    def _spin(self, spinning: bool) -> None:
        self.spinning = spinning
        _sleep(not spinning)

    def _use_one(self, one: bool) -> None:
        self.one = one
        torch.set_num_threads(1 if one else self.threads)

    def __exit__(self, *_) -> None:
        self._spin(False)
        self._use_one(False)
