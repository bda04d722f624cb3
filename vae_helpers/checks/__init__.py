"""Observe, then judge: the checks that the notebooks call.

A probe (`probes/`) runs an implementation and records what it does (`recorder`, `observation`); the judge (`verdict`) compares that
with the shipped answer key (`keys/`): arrays of what the reference and each known mistake did for the same inputs.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .agreement import agree
from .observation import Observation, unpack
from .predictions import predicted
from .recorder import Recorder, undisturbed
from .verdict import Verdict, compare

KEYS = Path(__file__).parent / "keys"
PUBLIC_SEED = 0
MOST_PRINTED = 2000  # characters of what student code prints
NOTED: dict[str, Observation] = {}  # the predictions that this kernel has taken


class CheckFailed(AssertionError):
    """A check that did not pass. Its message is the verdict; `verdict` holds it whole."""

    def __init__(self, verdict: Verdict):
        super().__init__(str(verdict))
        self.verdict = verdict

    def _render_traceback_(self) -> list[str]:
        # IPython shows this in place of a stack of lines that are not the student's; a notebook has shown the rest already.
        # nbgrader's Validate shows these lines alone.
        return [f"CheckFailed: {self.verdict.exercise}: {self.verdict.headline}"] if _in_notebook() else [str(self.verdict)]


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this, which can show HTML."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized()


def observe(exercise: str, implementation: Any, seed: int, recorder: Recorder | None = None) -> Observation:
    """Run the exercise's probe on `implementation`, with inputs drawn from `seed`, by `recorder` where one is given.

    Raises ValueError for an unknown exercise.
    """
    from .probes import find_probe

    recorder = recorder or Recorder(seed)
    with undisturbed(seed):
        find_probe(exercise)(implementation, recorder)
    return recorder.facts


@cache
def answer_key(exercise: str) -> tuple[Observation, list[tuple[str, str, Observation]]]:
    """The shipped key of an exercise: the reference's observation, and (name, hint, observation) of each mistake."""
    path = KEYS / f"{exercise}.safetensors"
    if not path.exists():
        raise ValueError(
            f"no answer key for {exercise!r}: it is spelt as in the exercise's heading; lower and upper case count"
        )
    observations, hints = unpack(path.read_bytes())
    return observations.pop("reference"), [(name, hints[name], seen) for name, seen in observations.items()]


def check(exercise: str, implementation: Callable | Any) -> None:
    """Check your solution of an exercise, and say what is wrong where something is.

    exercise: its name, as in the cell that calls this.
    implementation: your function, class, choice or number. A prediction is noted, and told by `reveal` after the experiment.
    Prints one line when it passes; raises CheckFailed, an AssertionError with the verdict, when it does not. What your code
    prints is shown then, too, once: the check calls it several times.
    """
    reference, mistakes = answer_key(exercise)
    recorder = Recorder(PUBLIC_SEED)
    seen = observe(exercise, implementation, PUBLIC_SEED, recorder)
    verdict = compare(exercise, seen, reference, mistakes)
    if predicted(exercise, seen):
        NOTED[exercise] = seen
    if verdict.passed:
        print(verdict)
        return
    if recorder.printed:
        print(f"What your code printed, the first time that it printed:\n{recorder.printed[:MOST_PRINTED]}")
    if _in_notebook():
        from IPython.display import display

        display({"text/html": verdict._repr_html_(), "text/plain": str(verdict)}, raw=True)
    raise CheckFailed(verdict)


def reveal(exercise: str) -> None:
    """After the experiment: print which option of a prediction was right, and what is wrong with the one that you chose.

    exercise: its name, as in its check. Tells nothing before the check has noted an answer. Raises ValueError for what is no prediction.
    """
    reference, mistakes = answer_key(exercise)
    right = predicted(exercise, reference)
    if right is None:
        raise ValueError(f"{exercise!r} is no prediction")
    if exercise not in NOTED:
        print(f"{exercise}: nothing noted yet. Make your prediction, run its check, and then this cell again.")
        return
    seen = NOTED[exercise]
    yours = predicted(exercise, seen)
    if agree(seen, reference):
        print(f"✓ {exercise}: you said {yours}, and that is right.")
        return
    hint = " ".join(hint for _, hint, known in mistakes if agree(seen, known))
    print(f"✗ {exercise}: you said {yours}; right is {right}. {hint}".rstrip())
