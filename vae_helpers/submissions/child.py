"""The student's side of grading: run a submission's cells, probe what they define, hand back what was seen.

`serve` runs in a process of its own, so that nothing a submission does reaches the judge. It reads one request and answers
in frames, one a step, so that what was seen before a step that kills the process is not lost. It judges nothing. Request and
answers are those of `protocol`.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checks import observe
from ..checks.observation import Observation
from ..checks.recorder import Recorder, undisturbed
from .devices import on_this_machine
from .ipython import shell
from .protocol import CELL, ERROR, NO_HAND_IN, OWN, STARTED, OutOfTime, frame, plain, seconds_on_a_core, unpack_request
from .weight_files import find_weights


@contextlib.contextmanager
def time_limit(seconds: float):
    """Stop Python code after so long, not counting how long it had to wait for a core.

    Code that is deep in a C++ call, or swallows everything, is left to the parent; so is all, where the system has no timers.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    end, waited = time.monotonic() + seconds, seconds_on_a_core()[1]

    def stop(*_):
        left = end + seconds_on_a_core()[1] - waited - time.monotonic()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        raise OutOfTime(f"stopped after {seconds:g} seconds. Does a loop never end, or does it train here?")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def take(
    folder: str, steps: Sequence[dict[str, Any]], seconds: float, own_seconds: float, given: np.ndarray | None = None
) -> Iterator[tuple[dict[str, Observation], dict[str, Any]]]:
    """Take the steps one after the other in one namespace: run a cell, or probe an exercise on what is defined by then.

    given: what a half of a trained model works on.
    Yields (observations, notes): `started`, the step's name, before each step; then, where there is something to tell, an
    exercise's observation, or `error`: {"ename", "evalue", "traceback"}, as a notebook writes it.
    """
    os.chdir(folder)
    # The student's own modules are found, and hide nobody else's: a file called random.py is harmless at the end.
    sys.path.append(folder)
    find_weights(folder)
    namespace = shell().user_ns
    with on_this_machine([step["source"] for step in steps if "source" in step]):
        for step in steps:
            name = step["name"]
            yield {}, {STARTED: name}
            if "source" not in step:
                yield probed(step, namespace, seconds, given)
                continue
            is_own, began = name.startswith(OWN), time.monotonic()
            error = run_cell(name, step["source"], min(seconds, max(own_seconds, 0.1)) if is_own else seconds)
            own_seconds -= is_own * (time.monotonic() - began)
            if error is not None:
                yield {}, {ERROR: error}


def probed(
    exercise: dict[str, Any], namespace: dict[str, Any], seconds: float, given: np.ndarray | None
) -> tuple[dict[str, Observation], dict[str, Any]]:
    """What is seen of an exercise, with PyTorch's own defaults; the cells that follow find theirs again."""
    device = None
    try:
        device = torch.get_default_device()
        torch.set_default_device(None)
        with time_limit(seconds), torch.inference_mode(False):
            implementation = eval(exercise["check"], namespace)
            seed, half = exercise["seed"], exercise.get("half")
            seen = (
                observe_half(implementation, half, given, seed) if half else observe(exercise["name"], implementation, seed)
            )
    except BaseException as error:  # SystemExit and the like are answers too
        return {}, {ERROR: describe(error)}
    finally:
        if device is not None and device.type != "cpu":
            torch.set_default_device(device)
    return {exercise["name"]: seen}, {}


def observe_half(implementation: Callable, half: str, given: np.ndarray, seed: int) -> Observation:
    """What "encode" or "decode" of the trained model that `implementation()` returns makes of `given`: images or codes."""
    recorder = Recorder(seed)
    with undisturbed(seed), torch.no_grad():
        parts = getattr(implementation().eval(), half)(torch.from_numpy(given.copy()))
        for i, part in enumerate(parts if isinstance(parts, (tuple, list)) else [parts]):
            recorder.note(half, f"result {i}", part)
    return recorder.facts


def run_cell(name: str, source: str, seconds: float) -> dict[str, Any] | None:
    """Run one cell as a notebook would, magics included; returns the error that stopped it, if one did."""
    try:
        with time_limit(seconds):
            error = shell().run(name, source)
    except BaseException as stopped:
        error = stopped
    return None if error is None else describe(error)


def describe(error: BaseException) -> dict[str, Any]:
    """An error as a notebook's output: its name, its message, and a traceback of the lines that are the student's own."""
    own = [line for line in traceback.extract_tb(error.__traceback__) if line.filename.startswith(f"<{CELL}")]
    where = [f"{line.filename[1:-1]}, line {line.lineno}, in {line.name}\n    {line.line}" for line in own[-5:]]
    what = "".join(traceback.format_exception_only(type(error), error)).rstrip()
    # A syntax error's text is its last line; another's may have several.
    message = " ".join((what.splitlines()[-1] if isinstance(error, SyntaxError) else what).partition(": ")[2][:4000].split())
    name = str(type(error).__name__)
    return {"ename": plain(name), "evalue": plain(message), "traceback": [plain(line) for line in (*where, what)]}


def serve(asked: int, answers: int) -> None:
    """Answer the one request that can be read from the file descriptor `asked`, in frames written to `answers`; never returns."""
    with os.fdopen(asked, "rb") as file:
        request, files, given = unpack_request(file.read())
    for path, data in files.items():
        place = Path(request["folder"], path)
        with contextlib.suppress(OSError):  # a name that this system's files can't have
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    os.environ[NO_HAND_IN] = "1"
    # What cells print, and what the programs that they start print, goes nowhere; input() finds nothing.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    process = os.getpid()
    for observations, notes in take(**request, given=given):
        if os.getpid() != process:  # a copy that student code has forked off
            os._exit(0)
        view = memoryview(frame(observations, **notes))
        while view:
            view = view[os.write(answers, view) :]
    # No waiting for threads or exit handlers that the cells left behind.
    os._exit(0)


if __name__ == "__main__":
    binary = getattr(os, "O_BINARY", 0)  # Windows would write two bytes for a line's end
    serve(os.open(sys.argv[1], os.O_RDONLY | binary), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | binary))
