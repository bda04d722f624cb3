"""Run a submission in a child of the warm parent, in a sandbox, within its budgets; collect what was seen of it."""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vae_helpers.checks.child import plain
from vae_helpers.checks.observation import Fact, Observation, pack, unpack

from .sandbox import FOLDER, Sandbox

SCRIPT = Path(__file__).with_name("warm_parent.py")
GRACE = 2.0  # seconds that a step may take beyond its time, before it is stopped from outside
LONGEST_ANSWER = 64 << 20  # bytes
LONGEST_HEADER = 4 << 20  # bytes of an answer that are no arrays
LARGEST_OBSERVATION = 10_000  # facts
WATCHED = 0.5  # seconds between two looks at what all of a submission's processes take together
PYTORCH = 1 << 30  # bytes: more than PyTorch, and all that is imported with it, take


@dataclass(frozen=True)
class Limits:
    """What a submission may use. step: seconds for one cell or one check. submission: seconds for all of it together.

    memory: bytes for a process, and for all of its processes together, beyond what PyTorch takes. disk: bytes for each of its
    folders. processes: threads count.
    """

    step: float = 30
    submission: float = 300
    memory: int = 2 << 30
    disk: int = 256 << 20
    processes: int = 64


@dataclass
class Seen:
    """What came back. observations: by exercise. errors: of exercises and of cells ("cell …"), by name, as in a notebook."""

    observations: dict[str, Observation] = field(default_factory=dict)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)


class GraderError(Exception):
    """The grader failed, not the submission."""


class WarmParent:
    """The process that the children are forked from."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "MPLCONFIGDIR": "/tmp",
            "MPLBACKEND": "Agg",
            "LANG": "C.UTF-8",
        }
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment["TORCH_COMPILE_DISABLE"] = "1"  # a compiler takes a minute, and there is none in the sandbox
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(SCRIPT)], stdin=theirs, stdout=subprocess.DEVNULL, env=environment, cwd="/"
        )
        theirs.close()
        self.socket = ours
        if not ours.recv(16):
            raise GraderError("the process that student code is started from did not come up")

    def fork(self, descriptors: Sequence[int], budgets: dict[str, int]) -> int:
        """Start a child that reads descriptors[0] and answers on descriptors[1], in the sandbox descriptors[2]; its process id."""
        socket.send_fds(self.socket, [json.dumps({"budgets": budgets}).encode()], list(descriptors))
        return self._hear()["pid"]

    def status(self) -> int:
        """How the child ended: its exit status, or minus the signal that ended it. Waits for that."""
        return self._hear()["status"]

    def _hear(self) -> dict[str, int]:
        self.socket.settimeout(60)
        said = self.socket.recv(1 << 12)
        if not said:
            raise GraderError("the process that student code is started from has ended")
        return json.loads(said)


@cache
def _warm_parent(pid: int) -> WarmParent:
    return WarmParent()


@contextlib.contextmanager
def warm_parent():
    """This process's warm parent, started when first asked for; one that failed is not used again."""
    try:
        yield _warm_parent(os.getpid())
    except BaseException:
        with contextlib.suppress(Exception):
            _warm_parent(os.getpid()).process.kill()
        _warm_parent.cache_clear()
        raise


def observe_submission(
    cells: Sequence[tuple[str, str]],
    exercises: Sequence[dict[str, Any]],
    files: dict[str, bytes],
    *,
    given: np.ndarray | None = None,
    hidden: Sequence[Path] = (),
    limits: Limits = Limits(),
    sandboxed: bool = True,
) -> Seen:
    """Run cells and probes (see `vae_helpers.checks.child`) in a child. What ends the child is left out, and the rest run again.

    So an exercise that kills its process, or can't be interrupted, costs the others nothing.
    hidden: folders of `vae_helpers` that are empty in the sandbox.
    Raises GraderError where it is not the submission that failed.
    """
    with warm_parent():  # until it is up, the time is the grader's
        pass
    seen, deadline = Seen(), time.monotonic() + limits.submission
    while True:
        left = [e for e in exercises if e["name"] not in seen.observations and e["name"] not in seen.errors]
        # A cell that stopped with an error runs again, as it did before; one that ended the process does not.
        running = [(name, source) for name, source in cells if not seen.errors.get(name, {}).get("fatal")]
        if not left:
            return seen
        request = {"cells": running, "exercises": left, "seconds": limits.step, "own_seconds": limits.submission / 4}
        fatal = _run_once(request, files, given, hidden, limits, sandboxed, deadline, seen)
        if fatal is None:
            return seen
        step, error = fatal
        if step is None or time.monotonic() >= deadline:
            for exercise in left:
                seen.errors.setdefault(exercise["name"], error)
            return seen
        seen.errors[step] = error


def _run_once(
    request, files, given, hidden, limits: Limits, sandboxed, deadline, seen: Seen
) -> tuple[str | None, dict] | None:
    """One child's work, added to `seen`. Returns None, or the step that ended it (None: no step had begun) and the error."""
    with contextlib.ExitStack() as stack:
        box = stack.enter_context(Sandbox(limits.disk, hidden)) if sandboxed else None
        folder = FOLDER if box else stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        asked = stack.enter_context(tempfile.TemporaryFile())
        asked.write(_pack_request({"folder": folder, **request}, files, given))
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
            reading = _Answers(answers, parent.socket, steps, request["seconds"], deadline)
            roots = [pid, *([box.first] if box else [])]
            try:
                stopped = reading.read(seen, lambda: memory_below(*roots) > limits.memory + PYTORCH)
            finally:
                kill()
                status = parent.status()
                kill()  # what it started and left behind, where no sandbox ends with it
        stopped = stopped or reading.drain(seen)
        if stopped is not None:
            return reading.step, stopped
        if status == 0 and all(e["name"] in seen.observations or e["name"] in seen.errors for e in request["exercises"]):
            return None
        if status == 99 and reading.step is None:
            raise GraderError("a child could not be started in the sandbox")
        return reading.step, _ended(status)


def memory_below(*roots: int) -> int:
    """Bytes that these processes and all that they have started hold; what several share is counted once (proportional set size)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    total, left = 0, list(roots)
    while left:
        process = left.pop()
        left += children.get(process, [])
        with contextlib.suppress(OSError):
            total += _held_by(Path("/proc", str(process)))
    return total


def _held_by(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except PermissionError:  # one that hides; how many pages it has is open to everybody, those that it shares included
        return resource.getpagesize() * int((process / "statm").read_text().split()[1])
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _pack_request(request: dict[str, Any], files: dict[str, bytes], given: np.ndarray | None) -> bytes:
    contents = [Fact("file", path, np.frombuffer(data, dtype=np.uint8)) for path, data in files.items()]
    arrays = {"files": contents}
    if given is not None:
        arrays["given"] = [Fact("given", "given", given)]
    return pack(arrays, **request)


class _Answers:
    """A child's frames, as they come; nothing in them is trusted.

    steps: the names of the cells and exercises, in the order in which the child begins them. A frame that it can't write now
    was written by student code: that is the end of the child, so that nobody draws out the time or blames another step.
    """

    def __init__(self, pipe: int, status: socket.socket, steps: Sequence[str], seconds: float, deadline: float):
        self.pipe, self.status, self.seconds, self.deadline = pipe, status, seconds, deadline
        self.buffer, self.size, self.step, self.began = bytearray(), 0, None, time.monotonic()
        self.coming, self.answered = list(steps), True

    def read(self, seen: Seen, takes_too_much: Callable[[], bool]) -> dict[str, Any] | None:
        """Read until the child ends. Returns the error where it had to be stopped instead."""
        sources, look = [self.pipe, self.status], time.monotonic() + WATCHED
        while True:
            step_ends = self.began + self.seconds + GRACE if self.step else self.deadline
            wait = min(step_ends, self.deadline) - time.monotonic()
            if wait <= 0:
                return _too_long(self.seconds if step_ends < self.deadline else None)
            if time.monotonic() >= look:
                if takes_too_much():
                    return TOO_MUCH_MEMORY
                look = time.monotonic() + WATCHED
            ready, _, _ = select.select(sources, [], [], min(wait, WATCHED))
            if self.pipe in ready:
                data = os.read(self.pipe, 1 << 20)
                if not data:
                    sources.remove(self.pipe)  # it closed its pipe: wait for its end alone
                elif error := self._add(data, seen):
                    return error
            elif self.status in ready:
                return None

    def drain(self, seen: Seen) -> dict[str, Any] | None:
        """Read what is left in the pipe when the child has ended."""
        os.set_blocking(self.pipe, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe, 1 << 20):
                if error := self._add(data, seen):
                    return error
        return None

    def _add(self, data: bytes, seen: Seen) -> dict[str, Any] | None:
        """Take the frames that are complete with these bytes. Returns the error where the child must be stopped."""
        self.buffer += data
        self.size += len(data)
        while len(self.buffer) >= 8:
            length = int.from_bytes(self.buffer[:8], "little")
            if max(length, self.size) > LONGEST_ANSWER:
                return OUT_OF_SPACE
            if len(self.buffer) < 8 + length:
                return None
            frame = bytes(self.buffer[8 : 8 + length])
            del self.buffer[: 8 + length]
            if int.from_bytes(frame[:8], "little") > LONGEST_HEADER:
                return OUT_OF_SPACE
            try:
                self._take(frame, seen)
            except Exception:
                return FORGED
        return None

    def _take(self, frame: bytes, seen: Seen) -> None:
        """Take one frame. Raises whatever it likes for one that the child's own code can't have written."""
        observations, notes = unpack(frame)
        if "started" in notes:
            if notes["started"] != self.coming[0]:
                raise ValueError("not the next step")
            self.step, self.began, self.answered = self.coming.pop(0), time.monotonic(), False
            return
        if self.answered:
            raise ValueError("a second answer")
        if "error" in notes:
            name, message, trace = (notes["error"][key] for key in ("ename", "evalue", "traceback"))
            seen.errors[self.step] = _error(
                plain(name, 200), plain(message, 4000), [plain(line, 4000) for line in trace[:50]]
            )
        else:
            seen.observations[self.step] = [_checked(fact) for fact in observations[self.step][:LARGEST_OBSERVATION]]
        self.answered = True


def _checked(fact: Fact) -> Fact:
    """The fact with every field of its type. Tolerances and limits are the reference's affair: a submission's are dropped."""
    value = fact.value
    if not isinstance(value, np.ndarray):
        value = plain(value, 4000)
    elif value.dtype.kind not in "fiub":
        value = f"an array of {value.dtype}"
    return Fact(plain(fact.label, 200), plain(fact.what, 200), value, rtol=0.0, atol=0.0)


def _error(name: str, message: str, trace: Sequence[str] = (), fatal: bool = False) -> dict[str, Any]:
    return {"ename": name, "evalue": message, "traceback": list(trace) or [f"{name}: {message}"], "fatal": fatal}


def _too_long(seconds: float | None) -> dict[str, Any]:
    if seconds is None:
        what = "stopped: the cells and checks took too long together. Does a loop never end, or does a cell train a model?"
    else:
        what = f"stopped after {seconds:g} seconds, from outside. Does a loop never end?"
    return _error("OutOfTime", what, fatal=True)


def _ended(status: int) -> dict[str, Any]:
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        return _too_long(None)
    how = f"signal {-status}, {signal.strsignal(-status)}" if status < 0 else f"exit status {status}"
    return _error("ProcessEnded", f"your code ended the Python process itself ({how}).", fatal=True)


TOO_MUCH_MEMORY = _error("MemoryError", "stopped because all its processes together took too much memory.", fatal=True)
OUT_OF_SPACE = _error("OutOfSpace", "stopped because it returned far more than the exercise asks for.", fatal=True)
FORGED = _error("ForgedAnswer", "stopped because your code wrote into the grader's own files.", fatal=True)
