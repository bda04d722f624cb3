"""nbgrader's own ways to grade, `nbgrader autograde` and the formgrader's button: both go through `grade_class`, too.

nbgrader by itself would copy a submission, follow its links and parse its notebook, in its own process. It offers no setting for another
converter, so `nbgrader_config.py`, which every way to nbgrader loads, calls `take_over`.
"""

import sys
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

import nbformat
from nbconvert.exporters import NotebookExporter
from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde, GenerateFeedback, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import SaveAutoGrades
from nbgrader.utils import parse_utc
from traitlets import Bool, Float
from traitlets.config import Config, Configurable
from traitlets.utils.importstring import import_item

from ..lessons.lesson import CourseError, read_lesson
from ..sandbox.limits import Limits


class JudgeSubmission(Configurable):
    """Settings of `nbgrader_config.py` that count whichever way one grades."""

    step_timeout = Float(Limits.step, help="Seconds that one cell or one check of a submission may take.").tag(config=True)
    timeout = Float(Limits.submission, help="Seconds that all of a submission may take together.").tag(config=True)
    sandbox = Bool(True, help="Run student code in a sandbox. Without one it runs with your rights.").tag(config=True)


def take_over() -> None:
    """From now on, nbgrader in this process opens nothing that a student handed in."""
    Autograde.start = start
    GenerateFeedback.init_notebooks = _graded_notebooks
    NbGraderAPI.get_submitted_timestamp = _submitted_timestamp
    CourseDirectory.get_existing_timestamp = lambda self, folder: timestamp_in(folder)


def start(self: Autograde) -> None:
    """Grade whom the command or the button names. Raises NbGraderException, after a line in the log, where nothing can be graded."""
    from .classroom import Course, grade_class, summary  # PyTorch, which nbgrader's other commands need not wait for

    try:
        lesson, course = read_lesson(self.coursedir.assignment_id), Course(self.coursedir, self.config)
        students = _chosen(self.coursedir, course.everybody(lesson.name))
        results = grade_class(course, lesson, students, again=self.force, progress=sys.stderr.isatty())
    except CourseError as error:
        self.log.error("%s", error)
        raise NbGraderException(str(error)) from error
    for student, marks in results.items():
        self.log.info("%s, %s: %s, %g of %g", student, lesson.name, marks.state, marks.points, marks.max_points)
    for line in summary(results).splitlines():
        self.log.info("%s", line)


def _chosen(coursedir: CourseDirectory, everybody: list[str]) -> list[str] | None:
    """Those whom nbgrader's --student names, or matches, without those whom it excludes; None for everybody."""
    wanted, left_out = coursedir.student_id, coursedir.student_id_exclude.split(",")
    if wanted == "*" and left_out == [""]:
        return None
    named = [wanted] if wanted in everybody else [s for s in everybody if fnmatchcase(s, wanted)]
    return [student for student in named if student not in left_out] or [wanted]


def _graded_notebooks(self: GenerateFeedback) -> None:
    """Finds them by name: in nbgrader's own patterns, a student whose id has brackets in it is nobody."""
    coursedir = self.coursedir

    def graded(student: str) -> Path:
        return Path(coursedir.format_path(coursedir.autograded_directory, student, coursedir.assignment_id))

    everybody = Path(coursedir.format_path(coursedir.autograded_directory, ".", "."))
    students = sorted(path.name for path in everybody.glob("*"))
    students = [student for student in students if any(graded(student).glob("*.ipynb"))]
    chosen = _chosen(coursedir, students) or students
    self.assignments = {str(graded(s)): sorted(map(str, graded(s).glob("*.ipynb"))) for s in chosen if s in students}
    if not self.assignments:
        self.log.error("Nothing of %s is graded for %s", coursedir.assignment_id, coursedir.student_id)
        raise NbGraderException("nothing to give feedback on")


def timestamp_in(folder: str | Path) -> datetime | None:
    """When a submission was collected, in UTC, as nbgrader wrote it. None where that can't be read, or is a time that other time zones
    don't have: a student may have changed it.
    """
    from .handin_files import read_file

    data, _ = read_file(Path(folder, "timestamp.txt"), most=100)
    try:
        when = parse_utc(data.decode().strip()) if data else None
        return when if when and datetime.min.year < when.year < datetime.max.year else None
    except (ValueError, OverflowError):
        return None


def _submitted_timestamp(self, assignment_id: str, student_id: str) -> datetime | None:
    coursedir = self.coursedir
    return timestamp_in(coursedir.format_path(coursedir.submitted_directory, student_id, assignment_id))


class PreprocessorFailed(CourseError):
    """A preprocessor of the instructor's own stopped at a graded notebook; the marks are in the gradebook."""


class Preprocessors:
    """The instructor's own `c.Autograde.autograde_preprocessors`, run on what the judge has made, once the marks are saved; and what
    else is configured of nbgrader's converter: hooks, rights, whether students are made.

    Raises CourseError for one that can't be had, or that would run or mark a notebook itself.
    """

    def __init__(self, coursedir: CourseDirectory, config: Config):
        self.converter = Autograde(coursedir=coursedir, config=config)
        self.exporter = NotebookExporter(parent=self.converter, config=self.converter.config)
        # Where none are configured, nbgrader's own default would execute the notebook here.
        configured = "autograde_preprocessors" in config.get("Autograde", {})
        self.own = self.converter.autograde_preprocessors if configured else []
        for own in self.own:
            try:
                kind = import_item(own) if isinstance(own, str) else own
                judges = isinstance(kind, type) and issubclass(kind, (ExecutePreprocessor, SaveAutoGrades))
                self.exporter.register_preprocessor(kind)
            except Exception as error:
                raise CourseError(
                    f"c.Autograde.autograde_preprocessors: {own} can't be used ({type(error).__name__}: {error})"
                ) from error
            if judges:
                raise CourseError(
                    f"c.Autograde.autograde_preprocessors: leave out {kind.__name__}, for the judge runs and marks what was handed in"
                )

    def hook(self, when: str, student: str, lesson: str) -> None:
        """Call the instructor's own `pre_convert_hook` or `post_convert_hook`, as nbgrader does. Raises PreprocessorFailed."""
        hook = getattr(self.converter, f"{when}_convert_hook")
        coursedir = self.converter.coursedir
        folder = Path(coursedir.format_path(coursedir.submitted_directory, student, lesson))
        try:
            if hook:
                hook(assignment=lesson, student=student, notebooks=sorted(map(str, folder.glob("*.ipynb"))))
        except Exception as error:
            raise PreprocessorFailed(
                f"c.Autograde.{when}_convert_hook stopped for {student} with {type(error).__name__}: {error}"
            ) from error

    def share(self, student: str, lesson: str) -> None:
        """Give the graded files the rights that are configured, and those of the instructors' group, where it shares them."""
        if self.converter.coursedir.groupshared or "permissions" in self.converter.config.get("Autograde", {}):
            self.converter.set_permissions(lesson, student)

    def run(self, notebook: str, student: str, lesson: str) -> str:
        """The notebook, as JSON, that they make of a graded one. Raises PreprocessorFailed."""
        if not self.own:
            return notebook
        folder = self.converter.coursedir.format_path(self.converter.coursedir.submitted_directory, student, lesson)
        try:
            resources = self.converter.init_single_notebook_resources(f"{folder}/{lesson}.ipynb")
            return self.exporter.from_notebook_node(nbformat.reads(notebook, as_version=4), resources)[0]
        except Exception as error:
            raise PreprocessorFailed(
                f"c.Autograde.autograde_preprocessors stopped at {student}'s graded notebook with {type(error).__name__}: {error}"
            ) from error
