"""Run a submission in a child of the warm parent, in a sandbox, within its budgets; collect what came back."""

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_helpers.checks.protocol import NOT_STARTED, pack_request

from .answers import Answers, Returned, ended
from .limits import Limits
from .memory import memory_below
from .sandbox import FOLDER, Sandbox
from .starting import GraderError, warm_parent

PYTORCH = 1 << 30  # bytes: more than PyTorch, and all that is imported with it, take


def observe_submission(
    cells: Sequence[tuple[str, str]],
    exercises: Sequence[dict[str, Any]],
    files: dict[str, bytes],
    *,
    given: np.ndarray | None = None,
    hidden: Sequence[Path] = (),
    limits: Limits = Limits(),
    sandboxed: bool = True,
) -> Returned:
    """Run cells and probes (see `vae_helpers.checks.protocol`) in a child. What ends the child is left out, and the rest run again.

    So an exercise that kills its process, or can't be interrupted, costs the others nothing.
    hidden: folders of `vae_helpers` that are empty in the sandbox.
    Raises GraderError where it is not the submission that failed.
    """
    with warm_parent():  # until it is up, the time is the grader's
        pass
    returned, deadline = Returned(), time.monotonic() + limits.submission
    while True:
        left = [e for e in exercises if e["name"] not in returned.observations and e["name"] not in returned.errors]
        # A cell that stopped with an error runs again, as it did before; one that ended the process does not.
        running = [(name, source) for name, source in cells if not returned.errors.get(name, {}).get("fatal")]
        if not left:
            return returned
        request = {"cells": running, "exercises": left, "seconds": limits.step, "own_seconds": limits.submission / 4}
        fatal = _run_once(request, files, given, hidden, limits, sandboxed, deadline, returned)
        if fatal is None:
            return returned
        step, error = fatal
        if step is None or time.monotonic() >= deadline:
            for exercise in left:
                returned.errors.setdefault(exercise["name"], error)
            return returned
        returned.errors[step] = error


def _run_once(
    request, files, given, hidden, limits: Limits, sandboxed, deadline, returned: Returned
) -> tuple[str | None, dict] | None:
    """One child's work, added to `returned`. Returns None, or the step that ended it (None: no step had begun) and the error."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(Sandbox(limits.disk, hidden)) if sandboxed else None
        folder = FOLDER if box else stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        asked = stack.enter_context(tempfile.TemporaryFile())
        asked.write(pack_request({"folder": folder, **request}, files, given))
        asked.seek(0)
        answers, answering = os.pipe()
        stack.callback(os.close, answers)
        budgets = {
            "memory": limits.memory,
            "processes": limits.processes if box or os.getuid() else 4096,
            "file_size": limits.disk,
            "cpu_seconds": int(limits.submission) + 5,
        }
        with warm_parent() as parent:
            try:
                pid = parent.fork([asked.fileno(), answering, *([box.pidfd] if box else [])], budgets)
            finally:
                os.close(answering)

            def kill():
                with contextlib.suppress(ProcessLookupError):
                    box.kill() if box else os.killpg(pid, signal.SIGKILL)

            steps = [name for name, _ in request["cells"]] + [e["name"] for e in request["exercises"]]
            reading = Answers(answers, parent.socket, steps, request["seconds"], deadline)
            roots = [pid, *([box.first] if box else [])]
            try:
                stopped = reading.read(returned, lambda: memory_below(*roots) > limits.memory + PYTORCH)
            finally:
                kill()
                status = parent.status()
                kill()  # what it started and left behind, where no sandbox ends with it
        stopped = stopped or reading.drain(returned)
        if stopped is not None:
            return reading.step, stopped
        if status == 0 and all(
            e["name"] in returned.observations or e["name"] in returned.errors for e in request["exercises"]
        ):
            return None
        if status == NOT_STARTED and reading.step is None:
            raise GraderError("a child could not be started in the sandbox")
        return reading.step, ended(status)
