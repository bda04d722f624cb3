"""What comes back from a child, read as it comes; nothing in it is trusted."""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Sequence

import numpy as np

from vae_helpers.checks.observation import Fact
from vae_helpers.submissions.protocol import plain, seconds_on_a_core
from vae_helpers.submissions.steps import FORGED, Error, Frames, Returned, error_of, too_long

from .starting import GraderError

STARTING = 300.0  # seconds that the machine may take until a child begins its first step
PATIENCE = 4  # how often a process's time it may wait for a core, all in all
GRACE = 2.0  # seconds that a step may take beyond its time, before it is stopped from outside
LONGEST_ANSWER = 64 << 20  # bytes
LONGEST_HEADER = 4 << 20  # bytes of an answer that are no arrays
LARGEST_OBSERVATION = 10_000  # facts
WATCHED = 0.5  # seconds between two looks at what all of a submission's processes take together


class Clock:
    """Time that a process may take, not counting how long it waits for a core: a busy machine is nobody's fault.

    all_ran: gives the seconds of a core that it and all its processes have had. Where those that are not its main thread keep the
    cores busy, it waits for itself, and that counts.
    """

    def __init__(self, process: int, seconds: float, all_ran: Callable[[], float]):
        self.process, self.seconds, self.all_ran = process, seconds, all_ran
        self.began, self.waited = time.monotonic(), seconds_on_a_core(process)[1]

    def taken(self) -> float:
        """Seconds so far."""
        ran, waited = seconds_on_a_core(self.process)
        excused = min(max(0.0, waited - self.waited), PATIENCE * self.seconds)
        if excused and self.all_ran() - ran > self.seconds / 2:
            excused = 0.0
        return time.monotonic() - self.began - excused

    def left(self) -> float:
        """Seconds to wait before asking again; none where the time is over."""
        left = self.seconds - (time.monotonic() - self.began)
        return left if left > 0 else self.seconds - self.taken()


class Answers(Frames):
    """A child's frames, as they come; nothing in them is trusted.

    steps: the names of the cells and exercises, in the order in which the child begins them. A frame that it can't write now
    was written by student code: that is the end of the child, so that nobody draws out the time or blames another step.
    seconds, submission: what one step, and all of them, may take, from the child's first frame on. process: gives the id of the
    process whose time that is. all_ran: as a Clock's.
    """

    def __init__(
        self,
        pipe: int,
        status: socket.socket,
        steps: Sequence[str],
        seconds: float,
        submission: float,
        process: Callable[[], int],
        all_ran: Callable[[], float],
    ):
        super().__init__(steps)
        self.pipe, self.status, self.seconds, self.submission = pipe, status, seconds, submission
        self.process, self.all_ran = process, all_ran
        self.of_step: Clock | None = None
        self.of_all: Clock | None = None

    @property
    def taken(self) -> float:
        """Seconds since the first frame."""
        return self.of_all.taken() if self.of_all else 0.0

    def read(self, returned: Returned, takes_too_much: Callable[[], bool]) -> Error | None:
        """Read until the child ends, and add to `returned`. Returns the error where it had to be stopped instead.

        Raises GraderError where it does not even begin.
        """
        began = time.monotonic()
        sources, look = [self.pipe, self.status], began + WATCHED
        while True:
            if self.of_all is None:
                wait = began + STARTING - time.monotonic()
                if wait <= 0:
                    raise GraderError(f"a child had not begun after {STARTING:g} seconds")
            else:
                wait = min(self.of_step.left(), self.of_all.left())
                if wait <= 0:
                    return too_long(None if self.of_all.left() <= 0 else self.seconds)
            if time.monotonic() >= look:
                if takes_too_much():
                    return TOO_MUCH_MEMORY
                look = time.monotonic() + WATCHED
            ready, _, _ = select.select(sources, [], [], min(wait, WATCHED))
            if self.pipe in ready:
                data = os.read(self.pipe, 1 << 20)
                if not data:
                    sources.remove(self.pipe)  # it closed its pipe: wait for its end alone
                elif error := self._add(data, returned):
                    return error
            elif self.status in ready:
                return None

    def drain(self, returned: Returned) -> Error | None:
        """Read what is left in the pipe when the child has ended."""
        os.set_blocking(self.pipe, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, 1 << 20):
                if error := self._add(data, returned):
                    return error
        return None

    def _add(self, data: bytes, returned: Returned) -> Error | None:
        """Take the frames that are complete with these bytes. Returns the error where the child must be stopped."""
        try:
            self.add(data, returned)
        except TooLarge:
            return OUT_OF_SPACE
        except Exception:
            return FORGED
        return None

    def allow(self, length: int) -> None:
        if max(length, self.size) > LONGEST_ANSWER:
            raise TooLarge

    def begun(self) -> None:
        self.of_all = self.of_all or Clock(self.process(), self.submission, self.all_ran)
        self.of_step = Clock(self.of_all.process, self.seconds + GRACE, self.all_ran)

    def take(self, data: bytes, returned: Returned) -> None:
        """Take one frame. Raises whatever it likes for one that the child's own code can't have written."""
        if int.from_bytes(data[:8], "little") > LONGEST_HEADER:  # safetensors' own length of it
            raise TooLarge
        step, came = self.step, Returned()
        super().take(data, came)
        for error in came.errors.values():
            name, message, trace = (error[key] for key in ("ename", "evalue", "traceback"))
            returned.errors[step] = error_of(
                plain(name, 200), plain(message, 4000), [plain(line, 4000) for line in trace[:50]]
            )
        for seen in came.observations.values():
            returned.observations[step] = [_checked(fact) for fact in seen[:LARGEST_OBSERVATION]]


class TooLarge(Exception):
    """More came back than any exercise asks for."""


def _checked(fact: Fact) -> Fact:
    """The fact with every field of its type. Tolerances and limits are the reference's affair: a submission's are dropped."""
    value = fact.value
    if not isinstance(value, np.ndarray):
        value = plain(value, 4000)
    elif value.dtype.kind not in "fiub":
        value = f"an array of {value.dtype}"
    told = None if fact.told is None else plain(fact.told, 400)
    return Fact(plain(fact.label, 200), plain(fact.what, 200), value, rtol=0.0, atol=0.0, told=told)


TOO_MUCH_MEMORY = error_of("MemoryError", "stopped because all its processes together took too much memory.", fatal=True)
OUT_OF_SPACE = error_of("OutOfSpace", "stopped because it returned far more than the exercise asks for.", fatal=True)
