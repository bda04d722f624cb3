"""Grade one submission: a pure function from its files, the lesson and the seeds to marks."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
from vae_helpers.checks.verdict import Verdict
from vae_helpers.submissions.outcomes import State, outcome
from vae_helpers.submissions.released import LESSONS, check_id
from vae_helpers.submissions.steps import Returned
from vae_helpers.submissions.submission import Submission, assemble
from vae_helpers.submissions.which_notebook import Handin, Missing, Unreadable

from ..catalogue import find_exercise
from ..lessons.build import NOTEBOOKS
from ..lessons.lesson import PACKAGE, Lesson, read_lesson
from ..sandbox.bubblewrap import HELPERS
from ..sandbox.children import observe_submission
from ..sandbox.limits import Limits
from ..sandbox.starting import OtherHelpers
from .autograded_notebook import notebook_of, release_of
from .expendable_process import bounded
from .judging import judge_observation
from .marks import Mark, Marks

# No published model of these images comes near; nor does the course's own after twenty times the lesson's training.
TOO_GOOD = 60.0  # nats per image
# What images that nobody has seen may cost more than the published ones. Trained models: 35 to 50, whatever their size and training.
TOO_FAR = 65.0  # nats per image
NOT_THEIRS = (HELPERS / "mnist", HELPERS / "shipped")
MAY_BE_SLOW = "The machine may be at fault, so your instructor will look at it."


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
    paths = [lesson.path, NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", LESSONS / f"{lesson.name}.json"]
    for folder in (HELPERS, PACKAGE):
        paths += sorted(folder.rglob("*.py"))
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Job:
    """What it takes to grade a submission. handin: None where there is none. seeds: by exercise.

    student: whose it is. course: the course's digest, so that a worker elsewhere judges by the same text; any, where it is empty.
    alone: it took too long before, and nothing else is graded beside it now.
    """

    handin: Handin | None
    lesson_name: str
    seeds: dict[str, int]
    limits: Limits = Limits()
    sandboxed: bool = True
    student: str = ""
    course: str = ""
    alone: bool = False

    @property
    def lesson(self) -> Lesson:
        return read_lesson(self.lesson_name)


def grade(job: Job) -> Marks:
    """The marks of a submission. Never raises for what is in it: everything ends in a state. Raises OtherHelpers."""
    try:
        if job.handin is None:
            raise Missing("nothing was handed in.")
        submission = bounded(assemble, job.handin, job.lesson_name)
        returned = _run(job, submission, job.lesson.exercises)
        marks = [_judge_one(name, job, submission, returned) for name in job.lesson.exercises]
    except Missing as reason:
        return _without_marks(job, State.MISSING, str(reason))
    except Unreadable as reason:
        return _without_marks(job, State.UNREADABLE, str(reason))
    except OtherHelpers:
        raise  # nobody can be graded
    except Exception as error:
        return grader_error(job, error)
    notebook = notebook_of(submission, job.lesson)
    cells = {cell.id: cell for cell in notebook.cells}
    for name, placed in submission.plan:
        if placed is not None and placed.id:
            error = returned.errors.get(name)
            words = {k: error[k] for k in ("ename", "evalue", "traceback")} if error else {}
            cells[placed.id].outputs = [new_output("error", **words)] if error else []
    notebook = _write_outputs(notebook, marks, submission.remarks)
    return _marks(job, State.GRADED, submission.remarks, marks, notebook)


def _marks(job: Job, state: State, remarks: list[str], marks: list[Mark], notebook: NotebookNode) -> Marks:
    # A grader's error is tried again next time: so it is no result of what was handed in.
    digest = digest_of(job.handin, job.lesson, job.seeds) if job.handin and state != State.GRADER_ERROR else ""
    return Marks(job.lesson_name, state, remarks, marks, job.sandboxed, digest, nbformat.writes(notebook))


def grader_error(job: Job, error: Exception) -> Marks:
    """The grader's own fault, or the machine's: a human looks, and nobody gets 0 for it."""
    what = (
        f"the grader failed ({type(error).__name__}: {error}). That is no fault of yours; your instructor will look at it."
    )
    return _without_marks(job, State.GRADER_ERROR, what)


def judge_exercise(job: Job, exercise: str) -> tuple[Mark, Observation]:
    """The mark of one exercise alone, and what came back. Raises Unreadable where there is nothing to run."""
    submission = bounded(assemble, job.handin, job.lesson_name)
    returned = _run(job, submission, [exercise])
    return _judge_one(exercise, job, submission, returned), returned.observations.get(exercise, [])


def _run(job: Job, submission: Submission, exercises: Iterable[str]) -> Returned:
    """Run the submission's cells and the exercises' probes in children; a trained model's halves in two of their own."""
    asked = {
        name: {"name": name, "check": job.lesson.exercises[name].check or name, "seed": job.seeds[name]}
        for name in exercises
        if name not in submission.absent
    }
    trained = [name for name in asked if find_exercise(name).stand_in is not None]

    def child(probed: dict[str, dict], given: np.ndarray | None = None, hidden: Sequence[Path] = ()) -> Returned:
        # What is told of the lessons is for reading submissions; a submission itself needs none of it.
        options = {"given": given, "hidden": [*hidden, LESSONS], "limits": job.limits, "sandboxed": job.sandboxed}
        return observe_submission(submission.steps(probed), submission.files, **options)

    returned = child({name: exercise for name, exercise in asked.items() if name not in trained})
    for name in trained:
        try:
            model = TwoProcesses(child, asked[name])
            returned.observations[name] = observe(name, lambda model=model: model, job.seeds[name])
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
        returned = self.child({name: self.exercise | {"half": half}}, given=given.numpy(), hidden=NOT_THEIRS)
        if name in returned.errors:
            raise HalfFailed(returned.errors[name])
        return [torch.from_numpy(np.asarray(fact.value, dtype=np.float32)) for fact in returned.observations[name]]


def _judge_one(name: str, job: Job, submission: Submission, returned: Returned) -> Mark:
    seed = job.seeds[name]
    verdict, state = outcome(name, submission, returned, lambda name, seen: judge_observation(name, seen, seed))
    if reason := _doubt(returned.observations.get(name, [])):
        verdict, state = Verdict(name, False, f"{reason}, so your instructor will look at it."), State.FOR_A_HUMAN
    if state == State.TIME_OUT:
        twice = " It was tried twice, the second time alone." if job.alone else ""
        verdict = replace(verdict, message=f"{verdict.message}\n{MAY_BE_SLOW}{twice}")
    most = job.lesson.exercises[name].points
    points = most if verdict.passed else 0
    return Mark(name, state, points, most, verdict.message, verdict.mistake, seed, verdict.written)


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


def _without_marks(job: Job, state: State, sentence: str) -> Marks:
    lesson = job.lesson
    marks = [Mark(name, state, 0, cell.points, sentence, None, job.seeds[name]) for name, cell in lesson.exercises.items()]
    return _marks(job, state, [sentence], marks, _write_outputs(release_of(lesson), marks, [sentence]))


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
    """A mark as a check cell's outputs: a line on stdout for full points, else the verdict and an error; with the seed of its inputs."""
    verdict = Verdict(mark.exercise, mark.state == State.PASSED, mark.message, mark.mistake)
    told = f"(inputs drawn from seed {mark.seed})"
    if verdict.passed:
        return [new_output("stream", name="stdout", text=f"{verdict}\n{told}\n")]
    text = str(verdict)
    html = {"text/html": verdict._repr_html_(), "text/plain": text}
    return [
        new_output("display_data", html, metadata={"verdict": {"mistake": mark.mistake, "seed": mark.seed}}),
        new_output(
            "error", ename="CheckFailed", evalue=text.split("\n")[0], traceback=[told]
        ),  # the verdict stands above it
    ]
