"""One student's exercise once more, for an appeal: the inputs, what came back, what was expected, and the verdict."""

import inspect
from typing import Any

import numpy as np
import torch

from vae_helpers.checks.observation import Observation
from vae_helpers.checks.probes import find_probe
from vae_helpers.checks.recorder import Recorder, undisturbed
from vae_helpers.submissions.which_notebook import Unreadable

from ..catalogue import find_exercise
from ..lessons.lesson import CourseError, lesson_of
from ..sandbox.bubblewrap import require_sandbox
from .classroom import Course
from .grade import Job, judge_exercise

OPTIONS = set(inspect.signature(Recorder.call).parameters)  # what is not passed on


class _Inputs(Recorder):
    """A Recorder that also keeps what each call was given."""

    def __post_init__(self):
        super().__post_init__()
        self.given: dict[str, list[str]] = {}

    def call(self, label: str, function, *args: Any, inputs=(), **words: Any) -> Any:
        names = [*inputs, *(f"argument {i + 1}" for i in range(len(inputs), len(args)))]
        given = {**dict(zip(names, args, strict=True)), **{k: v for k, v in words.items() if k not in OPTIONS}}
        self.given[label] = [f"{name} = {_show(value)}" for name, value in given.items()]
        return super().call(label, function, *args, inputs=inputs, **words)


def replay(course: Course, student: str, exercise: str, *, sandboxed: bool = True) -> str:
    """What an appeal needs, as text. Raises CourseError for an unknown exercise, or a student who handed in nothing."""
    if sandboxed:
        require_sandbox()
    lesson = lesson_of(exercise)
    handin = course.read(student, lesson.name)
    if handin is None:
        known = ", ".join(course.students(lesson.name)[:10]) or "nobody"
        raise CourseError(f"{student!r} has handed in nothing for {lesson.name} (those who have: {known})")
    seeds = course.seeds(student, lesson)
    inputs = _Inputs(seeds[exercise])
    with undisturbed(inputs.seed):
        find_probe(exercise)(find_exercise(exercise).reference, inputs)
    try:
        marks, seen = judge_exercise(Job(handin, lesson.name, seeds, course.limits, sandboxed), exercise)
    except Unreadable as reason:
        raise CourseError(str(reason)) from None
    lines = [f"{student}, {lesson.name}, {exercise}: inputs drawn from seed {inputs.seed}", ""]
    theirs = _by_label(seen)
    for label, expected in _by_label(inputs.facts).items():
        lines += [label, *(f"    {text}" for text in inputs.given.get(label, []))]
        returned = theirs.pop(label, {})
        for what in [*expected, *(w for w in returned if w not in expected)]:
            lines += [
                f"  {what}",
                f"    returned: {returned.get(what, 'nothing')}",
                f"    expected: {expected.get(what, 'nothing')}",
            ]
        lines.append("")
    for label, returned in theirs.items():
        lines += [label, *(f"  {what}: {value}" for what, value in returned.items()), ""]
    saved = course.saved_marks(student, lesson.name)
    on_file = next((mark for mark in saved.exercises if mark.exercise == exercise), None) if saved else None
    lines += [f"Verdict: {marks.state}, points: {marks.points:g} of {marks.max_points:g}", marks.message]
    if on_file is None:
        lines.append("No mark is on file.")
    elif (on_file.state, on_file.points) == (marks.state, marks.points):
        lines.append("The mark on file is the same.")
    else:
        lines.append(
            f"The mark on file is another: {on_file.state}, points: {on_file.points:g}. Was something changed since?"
        )
    return "\n".join(lines)


def _by_label(facts: Observation) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for fact in facts:
        value = _show(fact.value) + (f" (at most {fact.limit:g})" if fact.limit is not None else "")
        found.setdefault(fact.label, {})[fact.what] = value
    return found


def _show(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=6, threshold=60, edgeitems=3).replace("\n", "\n      ")
        return f"{text}  {value.dtype} {value.shape}" if value.ndim else text
    return repr(value) if not isinstance(value, str) else value
