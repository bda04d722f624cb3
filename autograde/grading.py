"""Grade one submission: a pure function from its files, the lesson and the seeds to marks."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.utils import is_grade

from vae_helpers.checks import observe
from vae_helpers.checks.observation import Observation
from vae_helpers.checks.probes.lesson_07 import BENT, NEGATIVE_ELBO
from vae_helpers.checks.protocol import OutOfTime, cell_step
from vae_helpers.checks.verdict import Verdict

from .answers import Returned
from .build import NOTEBOOKS, check_id
from .catalogue import find_exercise
from .children import observe_submission
from .judging import judge_observation
from .lesson import Lesson, read_lesson
from .limits import Limits
from .marks import Mark, Marks, State
from .sandbox import HELPERS
from .submission import Handin, Missing, Submission, Unreadable, assemble, release_of

# No published model of these images comes near; nor does the course's own after twenty times the lesson's training.
TOO_GOOD = 60.0  # nats per image
# What images that nobody has seen may cost more than the published ones. Trained models: 35 to 50, whatever their size and training.
TOO_FAR = 65.0  # nats per image
NOT_THEIRS = (HELPERS / "mnist", HELPERS / "shipped")


def digest_of(handin: Handin, lesson: Lesson, seeds: dict[str, int]) -> str:
    """What the marks depend on: the submission's files, the seeds, and the course's own text and code."""
    digest = hashlib.sha256(course_digest(lesson).encode())
    digest.update(json.dumps([seeds, handin.remarks], sort_keys=True).encode())
    for path, data in sorted(handin.files.items()):
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


@cache  # what this process has imported does not change any more
def course_digest(lesson: Lesson) -> str:
    """Of everything that decides what is right: the lesson, what it was handed out as, and the code of both packages."""
    paths = [lesson.path, NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb"]
    for folder in (HELPERS, Path(__file__).parent):
        paths += sorted(folder.rglob("*.py"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def grade(
    handin: Handin | None,
    lesson_name: str,
    seeds: dict[str, int],
    *,
    limits: Limits = Limits(),
    sandboxed: bool = True,
) -> Marks:
    """The marks of a submission (None: there is none). Never raises for what is in it: everything ends in a state."""
    lesson = read_lesson(lesson_name)
    digest = digest_of(handin, lesson, seeds) if handin else ""
    try:
        if handin is None:
            raise Missing("nothing was handed in.")
        submission = assemble(handin, lesson)
        returned = _run(submission, lesson, lesson.exercises, seeds, limits, sandboxed)
        marks = [_mark(lesson, *_judge_one(name, returned, submission, seeds[name]), seeds) for name in lesson.exercises]
    except Missing as reason:
        return _without_marks(lesson, State.MISSING, str(reason), seeds, sandboxed, digest)
    except Unreadable as reason:
        return _without_marks(lesson, State.UNREADABLE, str(reason), seeds, sandboxed, digest)
    except Exception as error:
        return grader_error(lesson, error, seeds, sandboxed)
    for name, cell in submission.counted:
        error = returned.errors.get(name)
        cell.outputs = [new_output("error", **{k: error[k] for k in ("ename", "evalue", "traceback")})] if error else []
    notebook = _write_outputs(submission.notebook, marks, submission.remarks)
    return Marks(lesson_name, State.GRADED, submission.remarks, marks, sandboxed, digest, nbformat.writes(notebook))


def grader_error(lesson: Lesson, error: Exception, seeds: dict[str, int], sandboxed: bool) -> Marks:
    """The grader's own fault, or the machine's: a human looks, and nobody gets 0 for it. It is tried again next time."""
    what = (
        f"the grader failed ({type(error).__name__}: {error}). That is no fault of yours; your instructor will look at it."
    )
    return _without_marks(lesson, State.GRADER_ERROR, what, seeds, sandboxed, digest="")


def judge_exercise(
    handin: Handin, lesson: Lesson, exercise: str, seeds: dict[str, int], *, limits: Limits, sandboxed: bool
) -> tuple[Mark, Observation]:
    """The mark of one exercise alone, and what came back. Raises Unreadable where there is nothing to run."""
    submission = assemble(handin, lesson)
    returned = _run(submission, lesson, [exercise], seeds, limits, sandboxed)
    mark = _mark(lesson, *_judge_one(exercise, returned, submission, seeds[exercise]), seeds)
    return mark, returned.observations.get(exercise, [])


def _run(
    submission: Submission, lesson: Lesson, exercises: Iterable[str], seeds, limits: Limits, sandboxed: bool
) -> Returned:
    """Run the submission's cells and the exercises' probes in children; a trained model's halves in two of their own."""
    cells = [(name, cell.source) for name, cell in submission.counted]
    asked = {name: {"name": name, "check": lesson.exercises[name].check or name, "seed": seeds[name]} for name in exercises}
    trained = [name for name in asked if find_exercise(name).stand_in is not None]

    def child(exercises: list[dict], given: np.ndarray | None = None, hidden: Sequence[Path] = ()) -> Returned:
        options = {"given": given, "hidden": hidden, "limits": limits, "sandboxed": sandboxed}
        return observe_submission(cells, exercises, submission.files, **options)

    returned = child([exercise for name, exercise in asked.items() if name not in trained])
    for name in trained:
        try:
            returned.observations[name] = observe(name, lambda name=name: TwoProcesses(child, asked[name]), seeds[name])
        except HalfFailed as failure:
            returned.errors[name] = failure.error
    return returned


class HalfFailed(BaseException):
    """A half of a trained model gave no answer. Not an Exception, so that no probe takes it for one of its own."""

    def __init__(self, error: dict[str, Any]):
        self.error = error


class TwoProcesses(torch.nn.Module):
    """A submission's trained model, its encoder and its decoder each in a process of its own.

    The decoder's process never sees an image, so that remembering them gains nothing: all that it learns of one is its code.
    Neither finds the course's images or models on the disk.
    """

    def __init__(self, child: Callable[..., Returned], exercise: dict[str, Any]):
        super().__init__()
        self.child, self.exercise = child, exercise

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self._half("encode", x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self._half("decode", z)[0]

    def _half(self, half: str, given: torch.Tensor) -> list[torch.Tensor]:
        name = self.exercise["name"]
        returned = self.child([self.exercise | {"half": half}], given=given.numpy(), hidden=NOT_THEIRS)
        if name in returned.errors:
            raise HalfFailed(returned.errors[name])
        return [torch.from_numpy(np.asarray(fact.value, dtype=np.float32)) for fact in returned.observations[name]]


def _judge_one(name: str, returned: Returned, submission: Submission, seed: int) -> tuple[Verdict, State]:
    if name in submission.absent:
        return Verdict(name, False, "not handed in: its cell is gone, and no other defines it."), State.MISSING
    if name not in returned.observations:
        return _unseen(name, returned)
    verdict = judge_observation(name, returned.observations[name], seed)
    if reason := _doubt(returned.observations[name]):
        return Verdict(name, False, f"{reason}, so your instructor will look at it."), State.FOR_A_HUMAN
    if verdict.passed:
        return verdict, State.PASSED
    raised = [fact.value for fact in returned.observations[name] if fact.what == "raised" and isinstance(fact.value, str)]
    return verdict, State.OUT_OF_MEMORY if any(map(_is_out_of_memory, raised)) else State.FAILED


def _doubt(observation: Observation) -> str | None:
    """Why a trained model's figures are more than training gives, where they are."""
    figures = {fact.label == BENT: fact for fact in observation if fact.what == NEGATIVE_ELBO}
    if False not in figures or not figures[False].value <= figures[False].limit:
        return None
    published = float(figures[False].value)
    if published < TOO_GOOD:
        return f"better than is possible (below {TOO_GOOD:g} nats)"
    if True in figures and not figures[True].value - published <= TOO_FAR:
        bent = float(figures[True].value)
        return f"much better on the published test images ({published:.0f} nats) than on the same ones, bent a little ({bent:.0f})"
    return None


def _unseen(name: str, returned: Returned) -> tuple[Verdict, State]:
    """The verdict and the state where there was nothing to judge."""
    error, stopped = returned.errors[name], returned.errors.get(cell_step(name))
    if stopped and stopped["ename"] == "NotImplementedError":
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


def _mark(lesson: Lesson, verdict: Verdict, state: State, seeds: dict[str, int]) -> Mark:
    name = verdict.exercise
    most = lesson.exercises[name].points
    return Mark(
        name, state, most if verdict.passed else 0, most, verdict.message, verdict.mistake, seeds[name], verdict.written
    )


def _without_marks(lesson: Lesson, state: State, sentence: str, seeds, sandboxed: bool, digest: str) -> Marks:
    marks = [Mark(name, state, 0, cell.points, sentence, None, seeds[name]) for name, cell in lesson.exercises.items()]
    notebook = _write_outputs(release_of(lesson), marks, [sentence])
    return Marks(lesson.name, state, [sentence], marks, sandboxed, digest, nbformat.writes(notebook))


def _write_outputs(notebook: NotebookNode, marks: list[Mark], remarks: list[str]) -> NotebookNode:
    """The verdicts as the check cells' outputs, the way nbgrader reads marks off them; remarks on top."""
    by_check = {check_id(mark.exercise): mark for mark in marks}
    for cell in notebook.cells:
        if is_grade(cell):
            cell.outputs = verdict_outputs(by_check[cell.metadata.nbgrader.grade_id])
    if remarks:
        # In code, so that nothing in a file's name is taken for Markdown or HTML.
        text = "**How your submission was read**\n\n" + "\n".join("    " + " ".join(r.split()) for r in remarks)
        notebook.cells.insert(0, new_markdown_cell(text, id="remarks"))
    return notebook


def verdict_outputs(mark: Mark) -> list[NotebookNode]:
    """A mark as a check cell's outputs: a line on stdout for full points, else an error; with the seed of its inputs."""
    verdict = Verdict(mark.exercise, mark.state == State.PASSED, mark.message, mark.mistake)
    told = f"(inputs drawn from seed {mark.seed})"
    if verdict.passed:
        return [new_output("stream", name="stdout", text=f"{verdict}\n{told}\n")]
    text = str(verdict)
    html = {"text/html": verdict._repr_html_(), "text/plain": text}
    return [
        new_output("display_data", html, metadata={"verdict": {"mistake": mark.mistake, "seed": mark.seed}}),
        new_output("error", ename="CheckFailed", evalue=text.split("\n")[0], traceback=[f"{text}\n{told}"]),
    ]
