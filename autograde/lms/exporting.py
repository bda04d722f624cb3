"""Marks as a table: for Canvas's gradebook, for Moodle's grading worksheet, or for a spreadsheet."""

import re
from pathlib import Path

from vae_helpers.files import write_whole

from ..grading.classroom import Course
from ..grading.gradebook import Score, known_people, lesson_scores
from ..lessons.build import check_id
from ..lessons.lesson import CourseError, Lesson
from .participants import Participants, called
from .spreadsheets import AsItIs, number, table

FORMATS = ("csv", "canvas", "moodle")
# Canvas's import (lib/gradebook_importer.rb) knows these, in this order up to Section, and takes every other column for an assignment.
CANVAS_COLUMNS = (
    "Student", "LastName", "FirstName", "ID", "SIS User ID", "SIS Login ID", "Integration ID", "Root Account", "Section"
)  # fmt: skip
# Moodle's (mod/assign/feedback/offline/importgradeslib.php) wants the first three, and writes the last over the comments there.
MOODLE_READS = ("Identifier", "Grade", "Last modified (grade)", "Feedback comments")
POSSIBLE = "    Points Possible"  # with the spaces that Canvas writes in front of it


def write_marks(
    course: Course,
    lesson: Lesson,
    form: str = "csv",
    listed: Participants | None = None,
    output: Path | None = None,
    column: str | None = None,
    exercises: bool = False,
) -> tuple[Path, list[str]]:
    """Write a lesson's marks; returns the file and what an instructor should know.

    form: "csv"; or "canvas" or "moodle", whose own file (`listed`: the gradebook as exported, the worksheet as downloaded) has the
    ids and names. column: the assignment's in it; by default the one that begins with the lesson's name, Moodle's "Grade", or a new
    one. exercises: with one column for each. Who handed in nothing, or waits for a human, keeps what the platform has.
    Raises CourseError where there is nothing to write, or the list is another's.
    """
    scores = lesson_scores(lesson.name, *course.database)
    if not scores:
        raise CourseError(
            f"the gradebook holds no marks of {lesson.name}: run `python -m autograde grade {lesson.name}` first"
        )
    if form != "csv" and listed is None:
        what = {"canvas": "the gradebook, exported from Canvas", "moodle": "the grading worksheet, downloaded from Moodle"}[
            form
        ]
        raise CourseError(f"--format {form} needs {what}: give it with --from")
    waiting = sorted(student for student, score in scores.items() if score.points is None)
    remarks = [f"no mark yet, since a human must look: {', '.join(waiting)}"] if waiting else []
    names = list(lesson.exercises) if exercises else []
    if listed is None:
        rows = _plain_table(course, lesson, scores, names)
    else:
        students, unknown = _students(listed, scores)
        remarks += unknown
        make = _canvas_table if form == "canvas" else _moodle_table
        rows = make(lesson, scores, names, listed, students, column, remarks)
    output = output or course.root / "grading" / "exports" / f"{lesson.name}.{form}.csv"
    if listed and output.exists() and output.samefile(listed.path):
        raise CourseError(f"{output} is the platform's own file: write to another")
    write_whole(output, table(rows, listed.delimiter if listed else ","))
    return output, remarks


def _plain_table(course: Course, lesson: Lesson, scores: dict[str, Score], names: list[str]) -> list[list]:
    head = ["student", "last_name", "first_name", "email", "lesson", *names, "points", "of", "late_penalty"]
    most = float(sum(cell.points for cell in lesson.exercises.values()))
    rows = []
    for student, *about in known_people(*course.database):
        score = scores.get(student, Score(None, 0.0, {}))
        each = [number(score.exercises.get(check_id(name))) for name in names]
        rows.append([student, *about, lesson.name, *each, number(score.points), most, number(score.penalty)])
    return [head, *rows]


def _students(listed: Participants, scores: dict[str, Score]) -> tuple[dict[int, str], list[str]]:
    """The student of each of the list's rows that is one's, and sentences on those who are not in it, or are in it twice."""
    rows: dict[str, list[int]] = {}
    for person in listed.people:
        student = called(person, set(scores))
        if student in scores:
            rows.setdefault(student, []).append(person.row)
    twice = sorted(student for student, places in rows.items() if len(places) > 1)
    missing = sorted(scores.keys() - rows.keys())
    remarks = [f"in {listed.path.name} more than once, so no mark was written: {', '.join(twice)}"] if twice else []
    remarks += [f"not in {listed.path.name}: {', '.join(missing)}"] if missing else []
    return {places[0]: student for student, places in rows.items() if len(places) == 1}, remarks


def _canvas_table(lesson, scores, names, listed, students, column, remarks) -> list[list]:
    head = listed.head
    if head[0] not in ("Student", "LastName") or not {"ID", "Section"} <= set(head):
        raise CourseError(f"{listed.path} is no gradebook of Canvas: it has no columns Student, ID and Section")
    kept = [i for i, name in enumerate(head) if name in CANVAS_COLUMNS]
    place = _column(listed, column or lesson.name, column is not None)
    most = float(sum(cell.points for cell in lesson.exercises.values()))
    possible = next((row for row in listed.rows if row and row[0].strip().casefold() == "points possible"), None)
    scale = _scale(
        possible[place] if possible and place is not None and place < len(possible) else "", most, remarks, "Canvas"
    )
    title = head[place] if place is not None else lesson.name
    points = [float(lesson.exercises[name].points) for name in names]
    first = [POSSIBLE if i == 0 else "" for i in kept]
    rows = [
        [*(head[i] for i in kept), title, *(f"{lesson.name} {name}" for name in names)],
        [*first, most * scale, *points],
    ]
    for i, student in sorted(students.items()):
        row = [*listed.rows[i], *[""] * (len(head) - len(listed.rows[i]))]
        total, *each = _cells(scores[student], names, scale)
        rows.append([*(row[k] for k in kept), total or (row[place] if place is not None else ""), *each])
    return rows


def _moodle_table(lesson, scores, names, listed, students, column, remarks) -> list[list]:
    head = listed.head
    place = _column(listed, column or "Grade", True)
    for needed in MOODLE_READS[:3]:
        if needed not in head:
            raise CourseError(f"{listed.path} is no grading worksheet of Moodle: it has no column {needed}")
    kept = [name in MOODLE_READS for name in head]
    most = float(sum(cell.points for cell in lesson.exercises.values()))
    at = head.index("Maximum grade") if "Maximum grade" in head else None
    maximum = next((row[at] for row in listed.rows if at is not None and at < len(row)), "")
    scale = _scale(maximum, most, remarks, "Moodle")
    rows = [[*head, *(f"{lesson.name} {name}" for name in names)]]
    for i, row in enumerate(listed.rows):
        row = [*row, *[""] * (len(head) - len(row))]
        cells = _cells(scores[students[i]], names, scale) if i in students else [""] * (1 + len(names))
        row[place] = cells[0] or row[place]
        row = [AsItIs(cell) if keep else cell for cell, keep in zip(row, kept, strict=False)]
        rows.append([*row, *cells[1:]])
    return rows


def _cells(score: Score, names: list[str], scale: float) -> list[str]:
    points = None if score.points is None else score.points * scale
    return [number(points), *(number(score.exercises.get(check_id(name))) for name in names)]


def _scale(maximum: str, most: float, remarks: list[str], whose: str) -> float:
    """By what marks are multiplied, so that the most that one can get is what the platform has."""
    try:
        there = float(maximum.replace(",", "."))
    except ValueError:
        return 1.0
    if there <= 0 or there == most:
        return 1.0
    remarks.append(f"most points in {whose}: {there:g}, in the lesson: {most:g}; marks are multiplied by {there / most:.4g}")
    return there / most


def _column(listed: Participants, wanted: str, must: bool) -> int | None:
    """Which column is called so, but for the number in brackets that Canvas adds."""
    places = [i for i, name in enumerate(listed.head) if re.sub(r" \(\d+\)$", "", name) == wanted or name == wanted]
    if len(places) > 1 or (must and not places):
        how = "more than one column is" if places else "no column is"
        raise CourseError(
            f"{listed.path}: {how} called {wanted!r} (there are {', '.join(listed.head)}); --column says which"
        )
    return places[0] if places else None
