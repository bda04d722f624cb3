"""A submission's steps, taken in children: what comes back of each, whatever ends a child. The grader and `hand_in` both take them so."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..checks.observation import Observation, unpack
from .protocol import ERROR, LENGTH, STARTED, OutOfTime

STEP_SECONDS, SECONDS = 30.0, 300.0  # what one cell or one check may take, and all of them together
Error = dict[str, Any]  # {"ename", "evalue", "traceback", "fatal"}: as in a notebook, and whether it ended the child


@dataclass
class Returned:
    """What came back. observations: by exercise. errors: of exercises and of cells ("cell …"), by name, as in a notebook."""

    observations: dict[str, Observation] = field(default_factory=dict)
    errors: dict[str, Error] = field(default_factory=dict)


def take_all(
    steps: Sequence[dict[str, Any]],
    run: Callable[[list[dict[str, Any]], float, Returned], tuple[tuple[str, Error] | None, float]],
    seconds: float,
) -> Returned:
    """Take steps (see `protocol`) in children. What ends a child is left out, and the rest are taken again.

    Cells after the last exercise don't run. So an exercise that kills its process, or can't be interrupted, costs the others nothing.
    run: (steps, seconds left, what came back so far, to add to) → None, or the step that ended the child and its error; and the seconds
    that it took. seconds: for all steps together.
    """
    returned, left_over = Returned(), seconds
    while True:
        # A cell that stopped with an error runs again, as it did before; one that ended the process does not.
        coming = [step for step in steps if is_to_come(step, returned)]
        left = [step["name"] for step in coming if "source" not in step]
        if not left:
            return returned
        last = [step["name"] for step in coming].index(left[-1])
        fatal, taken = run(coming[: last + 1], left_over, returned)
        if fatal is None:
            return returned
        step, error = fatal
        left_over -= taken
        if left_over <= 0:
            for exercise in left:
                if exercise not in returned.observations:
                    returned.errors.setdefault(exercise, error)
            return returned
        returned.errors[step] = error


def is_to_come(step: dict[str, Any], returned: Returned) -> bool:
    """Whether a step is still to be taken, or again."""
    if "source" in step:
        return not returned.errors.get(step["name"], {}).get("fatal")
    return step["name"] not in returned.observations and step["name"] not in returned.errors


class Frames:
    """A child's frames, as their bytes come.

    steps: the names of the cells and exercises, in the order in which the child begins them. step: the one that it is at.
    """

    def __init__(self, steps: Sequence[str]):
        self.buffer, self.size, self.step = bytearray(), 0, None
        self.coming, self.answered = list(steps), True

    def add(self, data: bytes, returned: Returned) -> None:
        """Take the frames that are complete with these bytes. Raises ValueError where one can't be."""
        self.buffer += data
        self.size += len(data)
        while len(self.buffer) >= LENGTH:
            length = int.from_bytes(self.buffer[:LENGTH], "little")
            self.allow(length)
            if len(self.buffer) < LENGTH + length:
                return
            data = bytes(self.buffer[LENGTH : LENGTH + length])
            del self.buffer[: LENGTH + length]
            self.take(data, returned)

    def allow(self, length: int) -> None:
        """Whether a frame may be so long."""

    def begun(self) -> None:
        """A step has begun."""

    def take(self, data: bytes, returned: Returned) -> None:
        """Take one frame. Raises ValueError for one that is not the next."""
        observations, notes = unpack(data)
        if STARTED in notes:
            if notes[STARTED] != self.coming[0]:
                raise ValueError("not the next step")
            self.step, self.answered = self.coming.pop(0), False
            self.begun()
            return
        if self.answered:
            raise ValueError("a second answer")
        if ERROR in notes:
            returned.errors[self.step] = notes[ERROR]
        else:
            returned.observations[self.step] = observations[self.step]
        self.answered = True


def error_of(name: str, message: str, trace: Sequence[str] = (), fatal: bool = False) -> Error:
    return {"ename": name, "evalue": message, "traceback": list(trace) or [f"{name}: {message}"], "fatal": fatal}


def too_long(seconds: float | None) -> Error:
    """The error of a step that took longer than so many seconds; None: of all steps, that took too long together."""
    if seconds is None:
        what = "stopped: the cells and checks took too long together. Does a loop never end, or does a cell train a model?"
    else:
        what = f"stopped after {seconds:g} seconds, from outside. Does a loop never end?"
    return error_of(OutOfTime.__name__, what, fatal=True)


def ended(status: int) -> Error:
    """The error of a child that ended by itself before it was done. status: its exit status, or minus the signal that ended it."""
    if -status in (getattr(signal, "SIGXCPU", None), getattr(signal, "SIGALRM", None)):
        return too_long(None)
    how = f"signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"exit status {status}"
    return error_of("ProcessEnded", f"your code ended the Python process itself ({how}).", fatal=True)


FORGED = error_of("ForgedAnswer", "stopped because your code wrote into the grader's own files.", fatal=True)
