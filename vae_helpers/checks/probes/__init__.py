"""One probe an exercise, a module a lesson: each runs an implementation on drawn inputs and records what it does."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from ..recorder import NotWritten, Recorder

Probe = Callable[[Any, Recorder], None]
PROBES: dict[str, Probe] = {}
OPTIONS: dict[str, str] = {}  # by prediction, its letters; none where it is a number
PREDICTION = "your prediction"


def probe(exercise: str) -> Callable[[Probe], Probe]:
    """Register the decorated function as the probe of `exercise`. Raises ValueError where it has one."""
    if exercise in PROBES:
        raise ValueError(f"vae_helpers/checks/probes has two probes called {exercise!r}: give one another name")

    def register(function: Probe) -> Probe:
        PROBES[exercise] = function
        return function

    return register


def choice(exercise: str, options: str) -> None:
    """Register a prediction with lettered options, such as "abc"."""
    OPTIONS[exercise] = options

    @probe(exercise)
    def record(answer: Any, see: Recorder) -> None:
        letter = answer.strip().lower() if isinstance(answer, str) else answer
        with see.attempt(PREDICTION):
            _refuse_none(answer)
            if letter not in list(options):
                wrong = f"{answer!r} is not one of {', '.join(options)}"
                see.note(PREDICTION, "choice", wrong, told=wrong + ".")
                return
            # Where it stands among the options, as an array that is no letter.
            see.note(PREDICTION, "choice", [letter == option for option in options])


def number(exercise: str, rtol: float) -> None:
    """Register a prediction that is a number, right within the relative tolerance `rtol`."""
    OPTIONS[exercise] = ""

    @probe(exercise)
    def record(answer: Any, see: Recorder) -> None:
        with see.attempt(PREDICTION):
            _refuse_none(answer)
            see.note(PREDICTION, "number", float(answer), rtol=rtol)


def _refuse_none(answer: Any) -> None:
    if answer is None or answer is ...:
        raise NotWritten("put your answer in place of None in the cell above, run it, and try again.")


def find_probe(exercise: str) -> Probe:
    """The probe of an exercise. Raises ValueError where there is none."""
    if exercise not in PROBES:
        load_all()
    if exercise not in PROBES:
        raise ValueError(f"no exercise is called {exercise!r}")
    return PROBES[exercise]


def load_all() -> None:
    """Import every lesson's probes."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
