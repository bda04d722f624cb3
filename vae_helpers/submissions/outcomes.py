"""How an exercise ended, and what is said of it: from what came back of a submission's cells and probes."""

import re
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

from ..checks.observation import NOT_WRITTEN, Observation
from ..checks.verdict import Verdict
from .protocol import OWN, OutOfTime, cell_step
from .steps import Returned
from .submission import Submission
from .syntax import bound, defined


class State(str, Enum):
    """How an exercise, or a submission as a whole, ended. A word in files, for people to read."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    TIME_OUT = "time-out"
    OUT_OF_MEMORY = "out of memory"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    GRADER_ERROR = "grader error"
    FOR_A_HUMAN = "for a human"
    GRADED = "graded"  # a submission as a whole, whatever its exercises' states

    def __str__(self) -> str:
        return self.value

    @property
    def needs_a_human(self) -> bool:
        """Whether there is no mark, not even 0, until a human has looked."""
        return self in (State.UNREADABLE, State.GRADER_ERROR, State.FOR_A_HUMAN, State.TIME_OUT)


def outcome(
    name: str, submission: Submission, returned: Returned, judge: Callable[[str, Observation], Verdict]
) -> tuple[Verdict, State]:
    """The verdict and the state of one exercise. judge: compares what was seen of it with the reference."""
    verdict, state = _verdict(name, submission, returned, judge)
    if not verdict.passed and (why := _why_missing(name, verdict.message, submission, returned)):
        verdict = replace(verdict, message=f"{verdict.message}\n{why}")
    return verdict, state


def _verdict(name: str, submission: Submission, returned: Returned, judge: Callable) -> tuple[Verdict, State]:
    if name in submission.absent:
        return Verdict(name, False, "not handed in: its cell is gone, and no other defines it."), State.MISSING
    if name not in returned.observations:
        return _unseen(name, returned)
    verdict = judge(name, returned.observations[name])
    if verdict.passed:
        return verdict, State.PASSED
    raised = [fact.value for fact in returned.observations[name] if fact.what == "raised" and isinstance(fact.value, str)]
    return verdict, State.OUT_OF_MEMORY if any(map(_is_out_of_memory, raised)) else State.FAILED


def _why_missing(name: str, message: str, submission: Submission, returned: Returned) -> str | None:
    """Where a name is not defined when an exercise is probed: which cell should have done it, and what became of that cell."""
    lacking = re.search(r"name '(\w+)' is not defined", message)
    if lacking is None:
        return None
    order = [step for step, _ in submission.plan]
    before, after = submission.plan[: order.index(name)], submission.plan[order.index(name) :]
    stopped = [(step, cell) for step, cell in before if cell and step in returned.errors and step != cell_step(name)]
    stopped = [s for s in stopped if lacking[1] in bound(s[1].source)] or [s for s in stopped if s[0].startswith(OWN)]
    if stopped:
        step, error = stopped[0][0], returned.errors[stopped[0][0]]
        line = re.match(r".*?, line (\d+), in <module>", error["traceback"][0])
        at = f" at line {line[1]}" if line else ""
        return f"The {step} stopped{at} with {error['ename']}: {error['evalue'].rstrip('.')}. What it defines after that is missing here."
    later = next((step for step, cell in after if cell and lacking[1] in defined(cell.source)), None)
    return f"The {later} defines it, and stands below this check: move it up." if later else None


def _unseen(name: str, returned: Returned) -> tuple[Verdict, State]:
    """The verdict and the state where there was nothing to judge."""
    error, stopped = returned.errors[name], returned.errors.get(cell_step(name))
    if stopped and f"{stopped['ename']}: {stopped['evalue']}" == NOT_WRITTEN:
        return Verdict(name, False, "not written yet.", written=False), State.FAILED
    if error["ename"] == "NameError" and stopped:
        return (
            Verdict(
                name,
                False,
                f"not yet.\nThe {error['evalue']}. Its cell stopped with {stopped['ename']}: {stopped['evalue']}",
            ),
            _state_of(stopped),
        )
    if error["ename"] == "NameError":
        return Verdict(name, False, f"not yet.\nThe {error['evalue']}. Is it spelt as the exercise asks?"), State.FAILED
    return Verdict(name, False, f"not yet.\nIt stopped with {error['ename']}: {error['evalue']}"), _state_of(error)


def _state_of(error: dict[str, Any]) -> State:
    if error["ename"] == OutOfTime.__name__:
        return State.TIME_OUT
    return State.OUT_OF_MEMORY if _is_out_of_memory(f"{error['ename']}: {error['evalue']}") else State.ERROR


def _is_out_of_memory(error: str) -> bool:
    """Whether an error, as "name: message", is Python's, NumPy's, PyTorch's or the system's way to say so."""
    name = error.partition(":")[0]
    return name.endswith("MemoryError") or "can't allocate memory" in error or "Cannot allocate memory" in error
