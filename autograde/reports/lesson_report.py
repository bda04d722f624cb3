"""What the class got wrong: one self-contained page of HTML for a lesson, pictures first, a table under each."""

from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vae_helpers.files import write_whole

from ..catalogue import find_exercise
from ..grading.classroom import Course
from ..grading.marks import Marks, State
from ..lessons.lesson import CourseError, Lesson
from .charts import bars, columns, stacks
from .prediction_choices import chosen, misconceptions, mistake_in, right_options

TEMPLATES = Environment(
    loader=PackageLoader("autograde.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
MOST_DRAWN = 20  # bars in a picture; the table below it has all


def write_report(course: Course, lesson: Lesson, path: Path) -> Path:
    """Write the page to `path`; returns it. Raises CourseError where no marks are on file."""
    results = course.all_marks(lesson.name)
    if not results:
        raise CourseError(f"no marks of {lesson.name} are on file: run `python -m autograde grade {lesson.name}` first")
    return write_whole(path, report(lesson, results))


def report(lesson: Lesson, results: dict[str, Marks]) -> str:
    """The page. results: marks by student."""
    handed_in = {student: marks for student, marks in results.items() if marks.state != State.MISSING}
    return TEMPLATES.get_template("lesson.html").render(
        title=f"{lesson.name}: what the class got wrong",
        counts=_counts(results),
        unsandboxed=not all(marks.sandboxed for marks in results.values()),
        marks=_marks(lesson, handed_in),
        exercises=_exercises(lesson, handed_in),
        predictions=_predictions(lesson, handed_in),
        mistakes=_mistakes(lesson, handed_in),
        humans=[row for student, marks in results.items() for row in for_a_human(student, marks)],
    )


def for_a_human(student: str, marks: Marks) -> list[tuple[str, str, str]]:
    """(student, what, why) of all in a submission that a human must look at: what has no mark until then, and marks in doubt."""
    doubt = [(student, "in doubt", marks.doubt)] if marks.doubt else []
    if marks.state.needs_a_human:
        return [*doubt, (student, str(marks.state), " ".join(marks.remarks))]
    return doubt + [(student, f"{m.exercise}: {m.state}", m.message) for m in marks.exercises if m.state.needs_a_human]


def _counts(results: dict[str, Marks]) -> str:
    states = Counter(marks.state for marks in results.values())
    counts = ", ".join(f"{n} {state}" for state, n in states.most_common())
    return f"Students: {len(results)} ({counts}). For a human to look at (below): {sum(m.needs_a_human for m in results.values())}."


def _marks(lesson: Lesson, results: dict[str, Marks]) -> dict[str, Any]:
    most = sum(cell.points for cell in lesson.exercises.values())
    counts = Counter(round(marks.points) for marks in results.values())
    points = range(most + 1)
    alt = f"Columns: how many students have how many of {most} points, as in the table below."
    return {
        "picture": columns(points, [counts[p] for p in points], f"points, of {most}", "students", alt),
        "rows": [(p, counts[p]) for p in points if counts[p]],
    }


def _exercises(lesson: Lesson, results: dict[str, Marks]) -> dict[str, Any]:
    n = max(1, len(results))
    states = {name: Counter() for name in lesson.exercises}
    for marks in results.values():
        for mark in marks.exercises:
            if mark.exercise in states:
                states[mark.exercise][mark.state] += 1
    names = list(states)
    shares = [100 * states[name][State.PASSED] / n for name in names]
    others = sorted({state for counts in states.values() for state in counts} - {State.PASSED})
    rows = [
        (name, f"{share:.0f} %", *(states[name][s] for s in (State.PASSED, *others)))
        for name, share in zip(names, shares, strict=True)
    ]
    alt = "Bars: the share of students who passed each exercise, as in the table below."
    return {
        "picture": bars(names, shares, "passed, % of those who handed in", alt, most=100),
        "heads": ("exercise", "pass rate", State.PASSED, *others),
        "rows": rows,
    }


def _predictions(lesson: Lesson, results: dict[str, Marks]) -> dict[str, Any]:
    """How many chose which option of each prediction."""
    rights = right_options(lesson)
    counts = {name: Counter() for name in rights}
    for marks in results.values():
        for mark in marks.exercises:
            if mark.exercise in rights:
                counts[mark.exercise][chosen(mark, rights[mark.exercise])] += 1
    options = {name: sorted({rights[name], *misconceptions(name), *counts[name]} - {None}) for name in rights}
    letters = sorted({letter for known in options.values() for letter in known})

    def told(name: str, letter: str) -> str:
        share = f"{counts[name][letter]}{' ✓' if letter == rights[name] else ''}"
        return share if letter in options[name] else ""

    parts = [
        [(f"{letter}{' ✓' if letter == rights[name] else ''}", counts[name][letter]) for letter in options[name]]
        + [("none", counts[name][None])]
        for name in rights
    ]
    alt = "Bars in parts: how many students chose which option of each prediction, as in the table below."
    return {
        "picture": stacks(list(rights), parts, "students who handed in", alt) if rights else "",
        "heads": ("prediction", *letters, "none of them, or no answer"),
        "rows": [(name, *(told(name, letter) for letter in letters), counts[name][None]) for name in rights],
    }


def _mistakes(lesson: Lesson, results: dict[str, Marks]) -> dict[str, Any]:
    counts, unnamed = Counter(), Counter()
    for marks in results.values():
        for mark in marks.exercises:
            if mistake := mistake_in(mark, lesson):
                counts[mark.exercise, mistake] += 1
            elif mark.state == State.FAILED and mark.written:
                unnamed[mark.exercise] += 1
    top = counts.most_common(MOST_DRAWN)
    names = [f"{exercise}:\n{mistake}" for (exercise, mistake), _ in top]
    alt = "Bars: how many students made each of the most frequent mistakes, as in the table below."
    rows = [
        (exercise, mistake, n, find_exercise(exercise).mistakes.get(mistake, ("",))[0])
        for (exercise, mistake), n in counts.most_common()
    ]
    rows += [(exercise, "(no known one)", n, "") for exercise, n in unnamed.most_common()]
    return {"picture": bars(names, [n for _, n in top], "students", alt) if top else "", "rows": rows}
