"""The class over all lessons, on one page: who handed in what, the marks, which misconceptions stay, who waits for a human."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup, escape

from vae_helpers.files import write_whole

from ..catalogue import find_exercise
from ..grading.classroom import Course
from ..grading.gradebook import Score, known_students, lesson_scores
from ..grading.marks import Marks, State
from ..lessons.lesson import CourseError, Lesson
from .charts import bars, boxes, grid
from .lesson_report import MOST_DRAWN, TEMPLATES, for_a_human, write_report
from .prediction_choices import mistake_in, right_options

NOT_HANDED_IN, NOT_YET = "–", "?"


def write_overview(course: Course, lessons: list[Lesson], path: Path) -> Path:
    """Write the page to `path`, and the report of each lesson that has marks beside it; returns the path.

    Raises CourseError where no lesson has marks on file.
    """
    results = {lesson: course.all_marks(lesson.name) for lesson in lessons}
    results = {lesson: marks for lesson, marks in results.items() if marks}
    if not results:
        raise CourseError("no marks are on file: run `python -m autograde grade LESSON` first, for instance with 00")
    scores = {lesson: lesson_scores(lesson.name, *course.database) for lesson in results}
    for lesson in results:
        write_report(course, lesson, path.with_name(f"{lesson.name}.html"))
    everybody = {student for marks in results.values() for student in marks}
    return write_whole(path, overview(results, scores, sorted({*everybody, *known_students(*course.database)})))


def overview(results: dict[Lesson, dict[str, Marks]], scores: dict[Lesson, dict[str, Score]], students: list[str]) -> str:
    """The page. results, scores: by lesson and student, as the judge gave them and as they count. students: the whole class."""

    def points(lesson: Lesson, student: str) -> float | str:
        marks, score = results[lesson].get(student), scores[lesson].get(student)
        if marks is None or marks.state == State.MISSING:
            return NOT_HANDED_IN
        counted = score.points if score else None if marks.needs_a_human else marks.points
        return NOT_YET if counted is None else _short(counted)

    table = {lesson: {student: points(lesson, student) for student in students} for lesson in results}
    waiting = [
        (student, _number(lesson), what, why)
        for lesson, marks in results.items()
        for student in marks
        if table[lesson].get(student) == NOT_YET
        for _, what, why in for_a_human(student, marks[student]) or [(student, "a mark by hand", "")]
    ]
    return TEMPLATES.get_template("course.html").render(
        title="The class, lesson by lesson",
        counts=f"Students: {len(students)}. Lessons with marks: {len(results)}. For a human to look at (below): {len(waiting)}.",
        lessons=_lessons(results, table),
        staying=_staying(results),
        humans=waiting,
        students=_students(table, students),
    )


def _number(lesson: Lesson) -> str:
    return lesson.name.split("_")[0]


def _short(points: float) -> float | int:
    """Without a fraction where it has none."""
    return int(points) if points == int(points) else round(points, 2)


def _most(lesson: Lesson) -> int:
    return sum(cell.points for cell in lesson.exercises.values())


def _lessons(results: dict[Lesson, dict[str, Marks]], table: dict[Lesson, dict[str, float | str]]) -> dict[str, Any]:
    """Pictures and a table of how many handed in each lesson, and what they got."""
    names, rows, shares = [_number(lesson) for lesson in results], [], []
    for lesson, marks in results.items():
        cells = table[lesson].values()
        got = [cell for cell in cells if not isinstance(cell, str)]
        shares.append([100 * points / _most(lesson) for points in got])
        link = Markup(f"<a href='{escape(lesson.name)}.html'>{escape(lesson.name)}</a>")
        handed_in = sum(cell != NOT_HANDED_IN for cell in cells)
        middle = _short(median(got)) if got else NOT_HANDED_IN
        rows.append((link, handed_in, len(table[lesson]) - handed_in, middle, _most(lesson), _hardest(lesson, marks)))
    return {
        "handed_in": bars(
            names, [row[1] for row in rows], "students", "Bars: how many handed in each lesson, as in the table below."
        ),
        "points": boxes(
            names, shares, "points, % of the lesson's", "Boxes: the points of each lesson; the table below has the medians."
        ),
        "heads": ("lesson", "handed in", "not", "median points", "of", "passed least often"),
        "rows": rows,
    }


def _hardest(lesson: Lesson, results: dict[str, Marks]) -> str:
    """The exercise that the fewest passed, with their share."""
    handed_in = [marks for marks in results.values() if marks.state != State.MISSING]
    passed = dict.fromkeys(lesson.exercises, 0)
    for marks in handed_in:
        for mark in marks.exercises:
            passed[mark.exercise] = passed.get(mark.exercise, 0) + (mark.state == State.PASSED)
    if not handed_in:
        return ""
    name = min(passed, key=passed.__getitem__)
    return f"{name} ({100 * passed[name] / len(handed_in):.0f} %)"


def _staying(results: dict[Lesson, dict[str, Marks]]) -> dict[str, Any]:
    """Mistakes that a student made in two lessons or more. Predictions don't count: their names say which letter was chosen."""
    made: dict[str, dict[str, dict[str, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )  # mistake → student → lesson → exercise
    for lesson, marks_of in results.items():
        for student, marks in marks_of.items():
            for mark in marks.exercises:
                mistake = mistake_in(mark, lesson)
                if mistake and mark.exercise not in right_options(lesson):
                    made[mistake][student].setdefault(_number(lesson), mark.exercise)
    again = {mistake: [s for s, found in of.items() if len(found) > 1] for mistake, of in made.items()}
    top = sorted((mistake for mistake in again if again[mistake]), key=lambda mistake: (-len(again[mistake]), mistake))
    numbers = [_number(lesson) for lesson in results]

    def in_lesson(mistake: str) -> Callable[[str], int]:
        return lambda number: sum(number in found for found in made[mistake].values())

    counts = [list(map(in_lesson(mistake), numbers)) for mistake in top]
    rows = []
    for mistake, row in zip(top, counts, strict=True):
        where = ", ".join(f"{number}: {n}" for number, n in zip(numbers, row, strict=True) if n)
        exercise = next(iter(next(iter(made[mistake].values())).values()))
        hint = find_exercise(exercise).mistakes.get(mistake, ("",))[0]
        rows.append((mistake, len(again[mistake]), where, ", ".join(sorted(again[mistake])), hint))
    alt = "A grid: how many students made each mistake in each lesson, as in the table below."
    return {
        "picture": grid(top[:MOST_DRAWN], numbers, counts[:MOST_DRAWN], alt) if top else "",
        "heads": ("mistake", "students in more than one lesson", "lesson: students", "who", "the hint they read"),
        "rows": rows,
    }


def _students(table: dict[Lesson, dict[str, float | str]], students: list[str]) -> dict[str, Any]:
    """A row a student: points in each lesson, and in all that have a mark."""
    rows = []
    for student in students:
        cells = [table[lesson][student] for lesson in table]
        rows.append((student, *cells, _short(sum(cell for cell in cells if not isinstance(cell, str)))))
    most = sum(_most(lesson) for lesson in table)
    heads = ("student", *(f"{_number(lesson)} (of {_most(lesson)})" for lesson in table), f"all (of {most})")
    return {"heads": heads, "rows": rows}
