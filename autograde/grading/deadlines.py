"""When a lesson is due, for whom it is due later, and what being late costs: in nbgrader's own columns of the gradebook."""

import math
from datetime import datetime, timedelta, timezone

from dateutil.parser import parse
from dateutil.tz import gettz
from nbgrader.api import MissingEntry, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties
from traitlets import Float
from traitlets.config import Config

from ..lessons.lesson import CourseError
from .gradebook import open_gradebook, submission_of

DAY = 24 * 3600


class LatePolicy(LateSubmissionPlugin):
    """What is taken off a late submission: nbgrader's "none" or "zero", or a share of its points for each day that has begun."""

    percent_per_day = Float(0, min=0, help="Percent of the submission's points for each day late that has begun.").tag(
        config=True
    )
    grace_minutes = Float(0, min=0, help="Minutes after the deadline that cost nothing.").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """Points to take off; None where nothing is."""
        if total_seconds_late <= 60 * self.grace_minutes:
            return None
        if self.penalty_method == "zero" or not self.percent_per_day:
            return super().late_submission_penalty(student_id, score, total_seconds_late)
        return score * min(1.0, self.percent_per_day / 100 * math.ceil(total_seconds_late / DAY))


class Deadlines:
    """A course's due dates, extensions and late policy. Times that people write and read are those of the course's time zone."""

    def __init__(self, config: Config, db_url: str, course_id: str):
        self.database = (db_url, course_id)
        self.zone = gettz(str(config.NbGraderAPI.get("timezone", ""))) or gettz() or timezone.utc
        self._penalties = AssignLatePenalties(config=config)
        self._penalties.init_plugin()

    def apply(self, submission: SubmittedAssignment, notebook: SubmittedNotebook) -> None:
        """Take off what being late costs, by whatever class AssignLatePenalties.plugin_class names. Its scores must be up to date."""
        seconds = 0 if submission.duedate is None or submission.timestamp is None else submission.total_seconds_late
        student, plugin = submission.student_id, self._penalties.plugin_inst
        penalty = plugin.late_submission_penalty(student, notebook.score, seconds) if seconds > 0 else None
        if penalty is not None:
            penalty = self._penalties._check_late_penalty(notebook, penalty)
        if (notebook.late_submission_penalty or None) != (penalty or None):
            notebook.late_submission_penalty = penalty

    def renew(self, lesson: str, student: str | None = None) -> None:
        """Apply the policy anew to what is graded already, of one student or of all."""
        with open_gradebook(*self.database) as gradebook:
            wanted = gradebook.db.query(SubmittedAssignment).filter_by(assignment_id=gradebook.find_assignment(lesson).id)
            for submission in wanted.filter_by(student_id=student) if student else wanted:
                for notebook in submission.notebooks:
                    self.apply(submission, notebook)
            gradebook.db.commit()

    def set(self, lesson: str, when: datetime | None, student: str | None = None) -> None:
        """Make a lesson due, or with None not due, for all; or for a student later than for all. when: UTC, without a zone.

        Raises CourseError for a student whom the gradebook does not know, and for an extension of what is not due, or to before it.
        """
        with open_gradebook(*self.database) as gradebook:
            assignment = gradebook.find_assignment(lesson)
            if student is None:
                if when is None and any(submission.extension for submission in assignment.submissions):
                    raise CourseError(f"somebody has an extension for {lesson}: take it back first (--student STUDENT none)")
                assignment.duedate = when
            else:
                if gradebook.db.get(Student, student) is None:
                    known = ", ".join(s.id for s in gradebook.students[:10]) or "nobody"
                    raise CourseError(f"no student is called {student!r} (known: {known})")
                if assignment.duedate is None:
                    raise CourseError(f"{lesson} is not due, so that nobody needs an extension: set its due date first")
                if when is not None and when <= assignment.duedate:
                    raise CourseError(
                        f"{lesson} is due at {self.local(assignment.duedate)}: an extension is to a later time"
                    )
                extended = submission_of(gradebook, assignment, student)
                extended.extension = None if when is None else when - assignment.duedate
            gradebook.db.commit()
        self.renew(lesson)

    def all(self) -> list[tuple[str, datetime | None, dict[str, timedelta]]]:
        """(lesson, when it is due in UTC, extensions by student) of every lesson in the gradebook."""
        with open_gradebook(*self.database) as gradebook:
            return [
                (a.name, a.duedate, {s.student_id: s.extension for s in a.submissions if s.extension})
                for a in sorted(gradebook.assignments, key=lambda a: a.name)
            ]

    def about(self, lesson: str, student: str) -> str:
        """A sentence for the student: when it was handed in and due, and what being late costs. "" where nothing is due."""
        with open_gradebook(*self.database) as gradebook:
            try:
                submission = gradebook.find_submission(lesson, student)
            except MissingEntry:
                return ""
            if submission.duedate is None:
                return ""
            due = f"Due {self.local(submission.duedate)}" + " (with your extension)" * bool(submission.extension)
            if submission.timestamp is None:
                return f"{due}."
            handed_in = f"{due}; handed in {self.local(submission.timestamp)}"
            if not submission.total_seconds_late:
                return f"{handed_in}: in time."
            penalty = sum(notebook.late_submission_penalty or 0 for notebook in submission.notebooks)
            cost = f"which costs {round(penalty, 2):g} of the points" if penalty else "which costs nothing"
            return f"{handed_in}: {_span(submission.total_seconds_late)} late, {cost}."

    def local(self, when: datetime) -> str:
        """A time of the gradebook, in UTC, as people here read it."""
        return when.replace(tzinfo=timezone.utc).astimezone(self.zone).strftime("%Y-%m-%d %H:%M %Z")

    def utc(self, text: str) -> datetime:
        """A time as people here write it, or with a zone of its own, for the gradebook. Raises CourseError."""
        try:
            when = parse(text, default=datetime(1, 1, 1, 23, 59))
        except (ValueError, OverflowError):
            when = None
        if when is None or when.year < 2000:
            raise CourseError(f"{text!r} is no date: write it as 2026-12-01, or 2026-12-01 18:00")
        return when.replace(tzinfo=when.tzinfo or self.zone).astimezone(timezone.utc).replace(tzinfo=None)


def _span(seconds: float) -> str:
    """A length of time in the two largest units: "1 day 2 hours"."""
    left, parts = max(60, round(seconds)), []
    for name, size in (("day", DAY), ("hour", 3600), ("minute", 60)):
        n, left = divmod(left, size)
        parts += [f"{n} {name}{'s' * (n != 1)}"] if n else []
    return " ".join(parts[:2])
