"""Tables that a spreadsheet opens: what it would run as a formula is quoted."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

from vae_helpers.files import write_whole

FORMULA = re.compile(r"[=+\-@\t\r]")


class AsItIs(str):
    """A cell that a platform has written and will read again, such as an instructor's comment: a quote would become part of it."""


def quoted(cell: object) -> str:
    """A cell as text; what a spreadsheet would run as a formula is quoted."""
    if isinstance(cell, AsItIs):
        return cell
    text = number(cell) if isinstance(cell, float) else str(cell)
    try:
        float(text)
    except ValueError:
        return f"'{text}" if FORMULA.match(text) else text
    return text


def number(value: float | None) -> str:
    """Points as a cell shows them, to four digits behind the point; an empty cell for None."""
    return "" if value is None else f"{round(value, 4):g}"


def table(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Rows as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([[quoted(cell) for cell in row] for row in rows])
    return text.getvalue()


class CsvExport(ExportPlugin):
    """`nbgrader export`: nbgrader's own columns, in a file that is safe to open."""

    def export(self, gradebook: Gradebook) -> None:
        students, assignments = (set(map(str, names)) for names in (self.student, self.assignment))
        about = ("student_id", "last_name", "first_name", "email")
        scores = ("raw_score", "late_submission_penalty", "score", "max_score")
        rows = [("assignment", "duedate", "timestamp", *about, *scores)]
        for lesson in gradebook.assignments:
            if assignments and lesson.name not in assignments:
                continue
            for person in gradebook.students:
                if students and person.id not in students:
                    continue
                try:
                    submission = gradebook.find_submission(lesson.name, person.id)
                    when, raw, penalty = submission.timestamp, submission.score, submission.late_submission_penalty or 0.0
                except MissingEntry:
                    when, raw, penalty = None, 0.0, 0.0
                names = (person.id, person.last_name, person.first_name, person.email)
                row = (lesson.name, lesson.duedate, when, *names, raw, penalty, max(0.0, raw - penalty), lesson.max_score)
                rows.append(["" if cell is None else cell for cell in row])
        path = write_whole(self.to or "grades.csv", table(rows))
        self.log.info("Grades are in %s", path)
