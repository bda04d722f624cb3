"""Marks in nbgrader's gradebook: each submission's in one transaction, by the judge alone."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from nbgrader.api import (
    Assignment,
    BaseCell,
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.preprocessors import ComputeChecksums, SaveCells
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from ..lessons.build import check_id, source_notebook
from ..lessons.lesson import CourseError, Lesson
from .marks import Marks, State


@contextlib.contextmanager
def open_gradebook(db_url: str, course_id: str) -> Iterator[Gradebook]:
    """nbgrader's gradebook. What was not committed when something fails is undone. Raises CourseError where it can't be used."""
    try:
        with Gradebook(db_url, course_id) as gradebook:
            try:
                yield gradebook
            except BaseException:
                gradebook.db.rollback()
                raise
    except ModuleNotFoundError as error:
        raise CourseError(f"the gradebook {_without_password(db_url)} needs a package: pip install {error.name}") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise CourseError(f"the gradebook {_without_password(db_url)} can't be used: {reason}") from error


def _without_password(db_url: str) -> str:
    try:
        return repr(make_url(db_url))
    except SQLAlchemyError:
        return "of c.CourseDirectory.db_url"


def enter_lesson(lesson: Lesson, db_url: str, course_id: str) -> None:
    """Make sure that the gradebook knows the lesson's cells and their points, as `nbgrader generate_assignment` does.

    Raises CourseError where exercises have come or gone since submissions were graded, which nbgrader can't keep apart.
    """
    points = {check_id(name): cell.points for name, cell in lesson.exercises.items()}
    with open_gradebook(db_url, course_id) as gradebook:
        try:
            notebook = gradebook.find_notebook(lesson.name, lesson.name)
            known = {cell.name: cell.max_score for cell in notebook.grade_cells}
            if known == points:
                return
            if known.keys() != points.keys() and notebook.submissions:
                changed = ", ".join(sorted(known.keys() ^ points.keys()))
                raise CourseError(
                    f"{lesson.name} has other exercises than when it was first graded ({changed}): export its marks, "
                    f"remove it from the gradebook (nbgrader db assignment remove --force {lesson.name}), and grade it again"
                )
        except MissingEntry:
            gradebook.update_or_create_assignment(lesson.name)
    resources = {"nbgrader": {"notebook": lesson.name, "assignment": lesson.name, "db_url": db_url}}
    notebook, resources = ComputeChecksums().preprocess(source_notebook(lesson), resources)
    SaveCells().preprocess(notebook, resources)


def known_students(db_url: str, course_id: str) -> list[str]:
    """The ids of the students that the gradebook knows."""
    with open_gradebook(db_url, course_id) as gradebook:
        return [student.id for student in gradebook.students]


def known_people(db_url: str, course_id: str) -> list[tuple[str, str, str, str]]:
    """(id, last name, first name, e-mail address) of every student that the gradebook knows; what it doesn't know is empty."""
    with open_gradebook(db_url, course_id) as gradebook:
        return [(s.id, s.last_name or "", s.first_name or "", s.email or "") for s in gradebook.students]


@dataclass
class Score:
    """A submission's marks, a human's included: points, the penalty taken off; None until a human has looked. exercises: by check cell."""

    points: float | None
    penalty: float
    exercises: dict[str, float | None]


def lesson_scores(lesson: str, db_url: str, course_id: str) -> dict[str, Score]:
    """The marks that count of each submission of a lesson, by student."""
    scores: dict[str, Score] = {}
    with open_gradebook(db_url, course_id) as gradebook:
        columns = (SubmittedAssignment.student_id, SubmittedNotebook.late_submission_penalty, BaseCell.name)
        rows = gradebook.db.query(*columns, Grade.score, Grade.needs_manual_grade, Grade.manual_score)
        rows = rows.select_from(Grade).join(Grade.notebook).join(SubmittedNotebook.assignment).join(Grade.cell)
        rows = rows.join(SubmittedAssignment.assignment).filter(Assignment.name == lesson)
        for student, penalty, cell, score, needs_a_look, manual in rows:
            of = scores.setdefault(student, Score(-(penalty or 0.0), penalty or 0.0, {}))
            open_still = needs_a_look and manual is None
            of.exercises[cell] = None if open_still else score
            of.points = None if open_still or of.points is None else of.points + score
    for score in scores.values():
        score.points = None if score.points is None else max(0.0, score.points)
    return scores


def is_saved(student: str, marks: Marks, db_url: str, course_id: str) -> bool:
    """Whether the gradebook holds just these marks."""
    with open_gradebook(db_url, course_id) as gradebook:
        try:
            notebook = gradebook.find_submission_notebook(marks.lesson, marks.lesson, student)
        except MissingEntry:
            return False
        kept = [grade.auto_score == score for grade, score, _ in _scores(marks, notebook)]
        return all(kept) and len(kept) == len(marks.exercises)


def submission_of(gradebook: Gradebook, assignment: Assignment, student: str) -> SubmittedAssignment:
    """The student's submission, and with it the student, made where they are new; not committed yet."""
    database = gradebook.db
    if database.get(Student, student) is None:
        database.add(Student(id=student))
        database.flush()
    wanted = database.query(SubmittedAssignment).filter_by(assignment_id=assignment.id, student_id=student)
    if (submission := wanted.one_or_none()) is not None:
        return submission
    submission = SubmittedAssignment(assignment_id=assignment.id, student_id=student)
    database.add(submission)
    database.flush()
    for notebook in assignment.notebooks:
        made = SubmittedNotebook(notebook_id=notebook.id, assignment_id=submission.id)
        database.add(made)
        database.flush()
        database.add_all(Comment(cell_id=cell.id, notebook_id=made.id) for cell in notebook.solution_cells)
    database.flush()
    database.refresh(submission)
    return submission


def save_marks(
    student: str,
    marks: Marks,
    db_url: str,
    course_id: str,
    timestamp: datetime | None = None,
    late: Callable[[SubmittedAssignment, SubmittedNotebook], None] = lambda submission, notebook: None,
) -> None:
    """Write a submission's marks, and with them the student and the submission where they are new; all of it, or nothing.

    Who handed in no folder gets no submission. A mark that a human gave stays, and is flagged for another look; so are marks in doubt.
    late: takes off what being late costs. Raises MissingEntry where the gradebook does not know the lesson.
    """
    with open_gradebook(db_url, course_id) as gradebook:
        database = gradebook.db
        assignment = gradebook.find_assignment(marks.lesson)
        if marks.state == State.MISSING and not marks.digest and not _is_graded(gradebook, assignment, student):
            if database.get(Student, student) is None:
                database.add(Student(id=student))
                database.commit()
            return
        submission = submission_of(gradebook, assignment, student)
        if marks.doubt is None:
            submission.timestamp = timestamp
        database.flush()
        database.refresh(submission)
        for made in submission.notebooks:
            there = {grade.cell_id for grade in made.grades}
            missing = [cell.id for cell in made.notebook.grade_cells if cell.id not in there]
            database.add_all(Grade(cell_id=cell, notebook_id=made.id) for cell in missing)
            database.flush()
            database.refresh(made)
            for grade, score, needs_a_look in _scores(marks, made):
                grade.auto_score, grade.needs_manual_grade = score, needs_a_look
            database.flush()
            database.refresh(made)  # its score is the database's sum
            late(submission, made)
        database.commit()


def _is_graded(gradebook: Gradebook, assignment: Assignment, student: str) -> bool:
    """Whether there are grades of a submission: one that was given an extension, and no more, has none."""
    wanted = gradebook.db.query(SubmittedAssignment).filter_by(assignment_id=assignment.id, student_id=student)
    submission = wanted.one_or_none()
    return submission is not None and any(made.grades for made in submission.notebooks)


def _scores(marks: Marks, notebook: SubmittedNotebook) -> Iterator[tuple[Grade, float | None, bool]]:
    """(grade, auto_score, needs_manual_grade) of each check cell. None: no mark, not even 0, until a human has looked."""
    by_check = {check_id(mark.exercise): mark for mark in marks.exercises}
    # All at once: `grade.name` would ask the database for one cell after the other.
    names = {cell.id: cell.name for cell in notebook.notebook.grade_cells}
    for grade in notebook.grades:
        mark = by_check[names[grade.cell_id]]
        if mark.state.needs_a_human:
            # The machine's failure takes nobody's mark, be the file that tells of it lost.
            yield grade, grade.auto_score if mark.state == State.GRADER_ERROR else None, True
        else:
            yield grade, mark.points, marks.doubt is not None or grade.manual_score is not None
