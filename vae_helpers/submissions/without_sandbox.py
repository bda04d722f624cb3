"""A submission's steps, taken on the student's own machine: by the grader's child, in a process of its own, on any system."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .protocol import pack_request
from .steps import FORGED, SECONDS, STEP_SECONDS, Error, Frames, Returned, ended, take_all, too_long

GRACE = 5.0  # seconds that a step may take beyond its time, where the child doesn't stop by itself
LOOK = 0.05  # seconds between two looks at what came
PACKAGES = Path(__file__).resolve().parents[2]  # the folder that `vae_helpers` lies in


class NotStarted(Exception):
    """The child came to no step: that is no fault of the submission. The message is what it said."""


def observe_apart(
    steps: Sequence[dict[str, Any]],
    files: dict[str, bytes],
    came: Callable[[Returned, str], None],
    step_seconds: float = STEP_SECONDS,
    seconds: float = SECONDS,
) -> Returned:
    """Take steps (see `protocol`) as `take_all` does, with no sandbox. Raises NotStarted where Python itself does not begin.

    came: is told what has come back so far, and the exercise that came last, as they come.
    step_seconds, seconds: what one step, and all of them, may take.
    """

    def run(coming: list[dict[str, Any]], left: float, returned: Returned) -> tuple[tuple[str, Error] | None, float]:
        request = {"steps": coming, "seconds": step_seconds, "own_seconds": seconds / 4}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return _run_once(Path(folder), request, files, left, returned, came)

    return take_all(steps, run, seconds)


def _run_once(folder, request, files, left: float, returned: Returned, came) -> tuple[tuple[str, Error] | None, float]:
    work, asked, answers, said = (folder / name for name in ("work", "request", "answers", "said"))
    work.mkdir()
    asked.write_bytes(pack_request({"folder": str(work), **request}, files, None))
    answers.touch()
    frames = _Frames(request["steps"], lambda name: came(returned, name))
    stopped: Error | None = None
    with said.open("wb") as errors, answers.open("rb") as reading:
        command = [sys.executable, "-m", "vae_helpers.submissions.child", str(asked), str(answers)]
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(command, cwd=PACKAGES, stdin=nothing, stdout=nothing, stderr=errors)
        try:
            while stopped is None:
                is_over = child.poll() is not None
                data = reading.read()
                try:
                    frames.add(data, returned)
                except Exception:  # whatever student code has written there
                    stopped = FORGED
                if is_over and not data:
                    break
                stopped = stopped or frames.too_long(request["seconds"], left)
                if not data:
                    time.sleep(LOOK)
        finally:
            child.kill()
            child.wait()
    if frames.step is None and stopped is None:
        lines = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise NotStarted(lines[-1] if lines else f"it ended with exit status {child.returncode}")
    if stopped is None and child.returncode == 0 and not frames.coming:
        return None, frames.taken
    return (frames.step, stopped or ended(child.returncode)), frames.taken


class _Frames(Frames):
    """Tells each exercise as it is answered, and how long a step takes."""

    def __init__(self, steps: Sequence[dict[str, Any]], came: Callable[[str], None]):
        super().__init__([step["name"] for step in steps])
        self.exercises, self.came = {step["name"] for step in steps if "source" not in step}, came
        self.first = self.began = 0.0

    @property
    def taken(self) -> float:
        """Seconds since the first frame."""
        return time.monotonic() - self.first if self.step else 0.0

    def begun(self) -> None:
        self.began = time.monotonic()
        self.first = self.first or self.began

    def take(self, data: bytes, returned: Returned) -> None:
        super().take(data, returned)
        if self.answered and self.step in self.exercises:
            self.came(self.step)

    def too_long(self, step: float, left: float) -> Error | None:
        """The error where this step, or all together, took longer than so many seconds, and a step its grace."""
        if self.step and self.taken > left:
            return too_long(None)
        return too_long(step) if self.step and time.monotonic() - self.began > step + GRACE else None
