"""What the grader and the process that runs a submission say to each other, by name.

A request is one file. Its notes are

    {"folder": "…",                                            where the submission's files are put, and cells run
     "steps": [{"name": "cell gaussian_kl", "source": "def …"},   cells to run and
               {"name": "gaussian_kl", "check": "expression", "seed": 7}, …],   exercises to probe, in the order of the notebook
     "seconds": 30,                                            how long one step may take
     "own_seconds": 75}                                        how long all cells of the student's own may take

and its arrays the submission's `files`, as bytes. An exercise with a "half", "encode" or "decode", is a trained model, of which
only that method is called, on the array `given`: no process sees both the images and the codes made of them.

The answers are frames, one before each step, {"started": its name}, and one after it where there is something to tell: an
observation, or {"error": {"ename", "evalue", "traceback"}}, as a notebook writes it. A step is a cell or an exercise.
"""

from typing import Any

import numpy as np

from ..checks.observation import Fact, Observation, pack, unpack

NOT_STARTED = 99  # exit status of a child that came to no step
STARTED, ERROR = "started", "error"  # what a frame's notes hold
LENGTH = 8  # bytes in front of a frame that say how long it is
NO_HAND_IN = "VAE_NO_HAND_IN"  # in the environment of whatever runs a lesson's cells and has nothing to hand in
CELL = "cell "  # what the names of cells' steps begin with


def cell_step(name: str) -> str:
    """The name of the step that runs a cell."""
    return CELL + name


OWN = cell_step("of your own")  # what the names of the student's own cells begin with


def seconds_on_a_core(process: int | str = "self") -> tuple[float, float]:
    """Seconds that a process's main thread has run so far, and that it waited, ready to run, for a core; 0 where that can't be told."""
    try:
        with open(f"/proc/{process}/schedstat") as file:
            ran, waited, _ = file.read().split()
        return int(ran) / 1e9, int(waited) / 1e9
    except (OSError, ValueError):
        return 0.0, 0.0


class OutOfTime(BaseException):
    """A cell or a probe that took too long. No `except Exception` in a submission or a probe takes it for its own."""


def pack_request(request: dict[str, Any], files: dict[str, bytes], given: np.ndarray | None) -> bytes:
    """A request's notes, the submission's files by path, and the array that half of a trained model is given, if one is."""
    arrays = {"files": [Fact("file", path, np.frombuffer(data, dtype=np.uint8)) for path, data in files.items()]}
    if given is not None:
        arrays["given"] = [Fact("given", "given", given)]
    return pack(arrays, **request)


def unpack_request(data: bytes) -> tuple[dict[str, Any], dict[str, bytes], np.ndarray | None]:
    """The inverse of `pack_request`."""
    arrays, request = unpack(data)
    given = arrays["given"][0].value if "given" in arrays else None
    return request, {fact.what: fact.value.tobytes() for fact in arrays["files"]}, given


def frame(observations: dict[str, Observation], **notes: Any) -> bytes:
    """An answer as it is sent: its length, then observations and notes."""
    data = pack(observations, **notes)
    return len(data).to_bytes(LENGTH, "little") + data


def plain(text: str, most: int = 2000) -> str:
    """Text that any file can hold (no lone surrogates) and any terminal can show (no commands), of so many characters at most."""
    return "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text[:most])
