"""A boundary around reading what a student handed in: it happens in a process that may die, and ends in that student's state."""

import os
import pickle
import resource
from collections.abc import Callable
from typing import TypeVar

from vae_helpers.checks.choosing import Unreadable

from .lesson import CourseError

SECONDS = 30  # of a core's time
MEMORY = 1 << 30  # bytes beyond what this process has

T = TypeVar("T")


def bounded(function: Callable[..., T], *arguments) -> T:
    """What the function returns, computed in a copy of this process. Raises what it raises for an instructor or a student to read;
    and Unreadable where it raises anything else, or needs more time or memory than reading a notebook can take.
    """
    reading, writing = os.pipe()
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
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            data = pipe.read()
    finally:
        os.waitpid(child, 0)
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
    except Exception as error:  # whatever a file can make a reader stumble over
        return pickle.dumps((None, Unreadable(f"it can't be read ({type(error).__name__}: {str(error)[:200]}).")))
