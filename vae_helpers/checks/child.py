"""The student's side of grading: run a submission's cells, probe what they define, hand back what was seen.

`serve` runs in a process of its own, so that nothing a submission does reaches the judge. It reads one request and answers
in frames, one a step, so that what was seen before a step that kills the process is not lost. It judges nothing. Request and
answers are those of `protocol`.
"""

import ast
import asyncio
import builtins
import contextlib
import inspect
import linecache
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager

from . import observe
from .observation import Observation, Recorder, undisturbed
from .protocol import CELL, ERROR, OWN, STARTED, OutOfTime, frame, plain, unpack_request


@contextlib.contextmanager
def time_limit(seconds: float):
    """Stop Python code after so long. Code that is deep in a C++ call, or swallows everything, is left to the parent."""

    def stop(*_):
        raise OutOfTime(f"stopped after {seconds:g} seconds. Does a loop never end, or does it train here?")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Nothing:
    """Whatever is asked of it, it does nothing."""

    def __getattr__(self, name: str) -> "Nothing":
        if name.startswith("__"):  # Python's own questions, such as whether it can be copied
            raise AttributeError(name)
        return self

    def __call__(self, *_, **__) -> None:
        return None


class QuietShell(Nothing):
    """What `get_ipython()` gives when a submission is graded: timed code and other files run, other magics and shell lines do nothing."""

    def __init__(self, namespace: dict[str, Any]):
        self.namespace = namespace

    def run_line_magic(self, name: str, line: str, *_, **__) -> Any:
        if name == "time":
            try:
                return eval(line, self.namespace)  # it may stand on the right of an assignment
            except SyntaxError:
                self._run(line)
        elif name == "run":
            self._run(Path(line.strip()).read_text(encoding="utf-8"))
        return None

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        if name in ("time", "capture", "prun"):
            self._run(body)
        elif name in ("writefile", "file"):
            Path(line.split()[-1]).write_text(body, encoding="utf-8")

    def getoutput(self, *_, **__) -> list[str]:
        return []

    def _run(self, source: str) -> None:
        exec(TransformerManager().transform_cell(source), self.namespace)

    def __getattr__(self, name: str) -> Nothing:
        return getattr(Nothing(), name)


def steps(
    folder: str,
    cells: Sequence[tuple[str, str]],
    exercises: Sequence[dict[str, Any]],
    seconds: float,
    own_seconds: float,
    given: np.ndarray | None = None,
) -> Iterator[tuple[dict[str, Observation], dict[str, Any]]]:
    """Run the cells one after the other in one namespace, then each exercise's probe on what they defined.

    given: what a half of a trained model works on.
    Yields (observations, notes): `started`, the name of a cell or exercise, before each step; then, where there is something
    to tell, an exercise's observation, or `error`: {"ename", "evalue", "traceback"}, as a notebook writes it.
    """
    os.chdir(folder)
    # The student's own modules are found, and hide nobody else's: a file called random.py is harmless at the end.
    sys.path.append(folder)
    namespace = _new_namespace()
    for name, source in cells:
        yield {}, {STARTED: name}
        is_own, began = name.startswith(OWN), time.monotonic()
        error = run_cell(name, source, namespace, min(seconds, max(own_seconds, 0.1)) if is_own else seconds)
        own_seconds -= is_own * (time.monotonic() - began)
        if error is not None:
            yield {}, {ERROR: error}
    for exercise in exercises:
        name = exercise["name"]
        yield {}, {STARTED: name}
        try:
            torch.set_default_device(None)
            with time_limit(seconds), torch.inference_mode(False):
                implementation = eval(exercise["check"], namespace)
                seed, half = exercise["seed"], exercise.get("half")
                seen = observe_half(implementation, half, given, seed) if half else observe(name, implementation, seed)
        except BaseException as error:  # SystemExit and the like are answers too
            yield {}, {ERROR: describe(error)}
        else:
            yield {name: seen}, {}


def observe_half(implementation: Callable, half: str, given: np.ndarray, seed: int) -> Observation:
    """What "encode" or "decode" of the trained model that `implementation()` returns makes of `given`: images or codes."""
    recorder = Recorder(seed)
    with undisturbed(seed), torch.no_grad():
        parts = getattr(implementation().eval(), half)(torch.from_numpy(given.copy()))
        for i, part in enumerate(parts if isinstance(parts, (tuple, list)) else [parts]):
            recorder.note(half, f"result {i}", part)
    return recorder.facts


def _new_namespace() -> dict[str, Any]:
    import IPython
    from IPython.display import display

    # Pickling, dataclasses and type hints look names up in the module that a cell belongs to.
    module = ModuleType("__main__")
    sys.modules["__main__"] = module
    shell = QuietShell(module.__dict__)
    IPython.get_ipython = builtins.get_ipython = lambda: shell
    builtins.display, builtins.input = display, lambda prompt="": ""  # nobody is there to answer
    for name in ("google", "google.colab"):
        sys.modules.setdefault(name, Nothing())
    return module.__dict__


def run_cell(name: str, source: str, namespace: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Run one cell as a notebook would, magics included; returns the error that stopped it, if one did."""
    filename = f"<{name}>"
    try:
        with time_limit(seconds):
            text = TransformerManager().transform_cell(source)
            # inspect.getsource and tracebacks find the cell's lines here.
            linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
            code = compile(text, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            result = eval(code, namespace)
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(result)
    except BaseException as error:
        return describe(error)
    return None


def describe(error: BaseException) -> dict[str, Any]:
    """An error as a notebook's output: its name, its message, and a traceback of the lines that are the student's own."""
    own = [line for line in traceback.extract_tb(error.__traceback__) if line.filename.startswith(f"<{CELL}")]
    where = [f"{line.filename[1:-1]}, line {line.lineno}, in {line.name}\n    {line.line}" for line in own[-5:]]
    what = "".join(traceback.format_exception_only(type(error), error)).rstrip()
    message = what.splitlines()[-1].partition(": ")[2]
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
    # What cells print, and what the programs that they start print, goes nowhere; input() finds nothing.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    process = os.getpid()
    for observations, notes in steps(**request, given=given):
        if os.getpid() != process:  # a copy that student code has forked off
            os._exit(0)
        view = memoryview(frame(observations, **notes))
        while view:
            view = view[os.write(answers, view) :]
    # No waiting for threads or exit handlers that the cells left behind.
    os._exit(0)
