"""Run a submission in a child of the warm parent, in a sandbox, within its budgets; collect what came back."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vae_helpers.submissions.protocol import pack_request
from vae_helpers.submissions.steps import Error, Returned, ended, is_to_come, take_all

from .bubblewrap import FOLDER, FOLDERS, Sandbox
from .cgroups import control_group
from .limits import Limits
from .memory import memory_below, memory_elsewhere, seconds_below
from .replies import TOO_MUCH_MEMORY, Answers
from .starting import GraderError, warm_parent

PYTORCH = 1 << 30  # bytes: more than PyTorch, and all that is imported with it, take


def observe_submission(
    steps: Sequence[dict[str, Any]],
    files: dict[str, bytes],
    *,
    given: np.ndarray | None = None,
    hidden: Sequence[Path] = (),
    limits: Limits = Limits(),
    sandboxed: bool = True,
) -> Returned:
    """Take steps (see `vae_helpers.submissions.protocol`) in children, as `take_all` does.

    hidden: folders of `vae_helpers` that are empty in the sandbox.
    Raises GraderError where it is not the submission that failed.
    """

    def run(coming: list[dict[str, Any]], left_over: float, returned: Returned) -> tuple[tuple[str, Error] | None, float]:
        request = {"steps": coming, "seconds": limits.step, "own_seconds": limits.submission / 4}
        return _run_once(request, files, given, hidden, limits, sandboxed, left_over, returned)

    return take_all(steps, run, limits.submission)


def _run_once(
    request, files, given, hidden, limits: Limits, sandboxed, seconds: float, returned: Returned
) -> tuple[tuple[str, Error] | None, float]:
    """One child's work, added to `returned`. Returns None, or the step that ended it and the error; and the seconds that it took.

    Raises GraderError where no step had begun: until then, nothing is the submission's doing.
    """
    with contextlib.ExitStack() as stack:
        processes = (
            limits.processes if sandboxed or os.getuid() else 4096
        )  # root's own count, too, where there is no sandbox
        group = stack.enter_context(control_group(limits.memory + PYTORCH, processes))
        box = stack.enter_context(Sandbox(limits.disk, hidden)) if sandboxed else None
        folder = FOLDER if box else stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        asked = stack.enter_context(tempfile.TemporaryFile())
        asked.write(pack_request({"folder": folder, **request}, files, given))
        asked.seek(0)
        answers, answering = os.pipe()
        stack.callback(os.close, answers)
        budgets = {
            "memory": limits.memory,
            "processes": processes,
            "file_size": limits.disk,
            "cpu_seconds": int(limits.submission) + 5,
        }
        with warm_parent() as parent:
            try:
                others = {"sandbox": box and box.pidfd, "group": group and group.entrance}
                others = {name: descriptor for name, descriptor in others.items() if descriptor is not None}
                words = {"budgets": budgets, "folders": FOLDERS, "files": limits.files}
                pid = parent.fork(asked.fileno(), answering, others, **words)
            finally:
                os.close(answering)

            def kill():
                with contextlib.suppress(ProcessLookupError):
                    box.kill() if box else os.killpg(pid, signal.SIGKILL)

            steps = [step["name"] for step in request["steps"]]
            roots = [pid, *([box.first] if box else [])]
            whose = (lambda: _only_child(pid) if box else pid), (lambda: seconds_below(*roots))

            def takes_too_much() -> bool:
                elsewhere = memory_elsewhere(box.first, FOLDERS) if box else 0
                return memory_below(*roots) + elsewhere > limits.memory + PYTORCH

            reading = Answers(answers, parent.socket, steps, request["seconds"], seconds, *whose)
            try:
                stopped = reading.read(returned, takes_too_much)
                taken = reading.taken
            finally:
                kill()
                status = parent.status()
                kill()  # what it started and left behind, where no sandbox ends with it
            if stopped is None and group and group.ran_out():
                stopped = TOO_MUCH_MEMORY
        stopped = stopped or reading.drain(returned)
        lacking = any("source" not in step and is_to_come(step, returned) for step in request["steps"])
        if stopped is None and status == 0 and not lacking:
            return None, taken
        if reading.step is None:
            raise GraderError(f"a child ended before it began (status {status})")
        return (reading.step, stopped or ended(status)), taken


def _only_child(pid: int) -> int:
    """The process that takes the steps in a sandbox: the only child of the one that was forked, which only waits for it."""
    try:
        return next(iter(psutil.Process(pid).children()), psutil.Process(pid)).pid
    except psutil.Error:
        return pid
