"""A boundary around reading what a student handed in: it happens in a process that may die, and ends in that student's state."""

import os
import pickle
import resource
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from vae_helpers.submissions.which_notebook import Unreadable

from ..lessons.lesson import CourseError
from ..sandbox.starting import GraderError
from .handin_files import MACHINES_OWN

SECONDS = 30  # of a core's time
MEMORY = 1 << 30  # bytes beyond what this process has

T = TypeVar("T")


def bounded(function: Callable[..., T], *arguments) -> T:
    """What the function returns, computed in a copy of this process. Raises what it raises for an instructor or a student to read;
    Unreadable where it raises anything else, or needs more time or memory than reading a notebook can take; and GraderError where the
    machine fails.
    """
    reading, writing = os.pipe()
    # An interrupt from the terminal waits: Python prints one that comes while it forks, and forgets it. Only its main thread hears one.
    interrupts, heard = [], None
    if threading.current_thread() is threading.main_thread():
        heard = signal.signal(signal.SIGINT, lambda *interrupt: interrupts.append(interrupt))
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            _limit()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(_outcome(function, arguments))
        finally:
            os._exit(0)
    try:
        if heard is not None:
            signal.signal(signal.SIGINT, heard)
        for interrupt in interrupts if callable(heard) else ():
            heard(*interrupt)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            data = pipe.read()
    finally:
        _, status, used = os.wait4(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGTERM)
    if killed and used.ru_utime + used.ru_stime < SECONDS - 1:
        raise GraderError("what reads a submission was ended from outside")
    try:
        returned, raised = pickle.loads(data)
    except (EOFError, pickle.UnpicklingError):  # it was stopped
        raise Unreadable(
            f"it takes more than {SECONDS} seconds or {MEMORY >> 30} GB to read. Remove pasted data and large outputs."
        ) from None
    if raised is not None:
        raise raised
    return returned


def _limit() -> None:
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    for kind, most in ((resource.RLIMIT_AS, taken + MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(kind, (most, most))


def _outcome(function: Callable, arguments: tuple) -> bytes:
    try:
        return pickle.dumps((function(*arguments), None))
    except (CourseError, Unreadable) as error:
        return pickle.dumps((None, error))
    except MemoryError:
        return b""
    except OSError as error:
        kind = GraderError if error.errno in MACHINES_OWN else Unreadable
        return pickle.dumps((None, kind(f"it can't be read ({error.strerror or error}).")))
    except Exception as error:  # whatever a file can make a reader stumble over
        return pickle.dumps((None, Unreadable(f"it can't be read ({type(error).__name__}: {str(error)[:200]}).")))
