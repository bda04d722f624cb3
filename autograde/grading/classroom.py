"""Grade a class: one pure function mapped over submissions, on this machine's cores or on a cluster's."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from tqdm import tqdm
from traitlets.config import Config, PyFileConfigLoader

from vae_helpers.files import remove_unfinished, write_whole
from vae_helpers.submissions.which_notebook import Handin, Missing, Unreadable

from ..lessons.build import write_source
from ..lessons.lesson import ROOT, CourseError, Lesson
from ..sandbox.bubblewrap import require_sandbox
from ..sandbox.limits import Limits
from ..sandbox.starting import GraderError
from . import gradebook
from .cluster import cluster, processes, serially
from .deadlines import Deadlines
from .expendable_process import bounded
from .grade import Job, course_digest, digest_of, grade, grader_error
from .handin_files import EXCHANGE_FILES, read_file, read_folder
from .judging import forget_observations
from .marks import Marks, State
from .nbgrader_plugin import JudgeSubmission, PreprocessorFailed, Preprocessors, timestamp_in
from .seeds import course_secret, seeds_of

LONGEST_NAME = 200  # bytes of a student's name, which becomes a file's


class Course:
    """Where a course's submissions, marks and gradebook are: nbgrader's own configuration."""

    def __init__(self, directory: CourseDirectory, config: Config | None = None):
        """config: all of nbgrader's; by default the directory's own, which holds less where nbgrader's application has made it."""
        self.directory = directory
        self.root = Path(self.directory.root)
        self.database = (self.directory.db_url, self.directory.course_id)
        self.config = config or self.directory.config
        self.settings = JudgeSubmission(config=self.config)
        self.deadlines = Deadlines(self.config, *self.database)

    @classmethod
    def find(cls, folder: Path | None = None) -> "Course":
        """The course whose nbgrader_config.py lies in `folder`; by default in the working directory, or else in this repository.

        Raises CourseError where it can't be read.
        """
        folder = folder or (Path.cwd() if Path("nbgrader_config.py").exists() else ROOT)
        try:
            config = PyFileConfigLoader("nbgrader_config.py", str(folder)).load_config()
        except Exception as error:  # it is a program
            raise CourseError(f"{folder / 'nbgrader_config.py'} stops with {type(error).__name__}: {error}") from error
        return cls(CourseDirectory(config=config))

    @property
    def secret(self) -> bytes:
        """What the seeds of everybody's inputs are drawn with."""
        return course_secret(self.root / "grading" / "secret", self.directory.groupshared)

    @property
    def limits(self) -> Limits:
        """What a submission may use, where nobody says otherwise."""
        return Limits(step=self.settings.step_timeout, submission=self.settings.timeout)

    @cached_property
    def preprocessors(self) -> Preprocessors:
        """What the instructor has configured for graded notebooks. Raises CourseError."""
        return Preprocessors(self.directory, self.config)

    def submission_folder(self, student: str, lesson: str) -> Path:
        """Where a student's files of a lesson are put by whoever collects them."""
        return Path(self.directory.format_path(self.directory.submitted_directory, student, lesson))

    def graded_folder(self, student: str, lesson: str) -> Path:
        """Where the graded notebook goes, of which nbgrader makes the feedback."""
        return Path(self.directory.format_path(self.directory.autograded_directory, student, lesson))

    def marks_file(self, student: str, lesson: str) -> Path:
        """The file that holds a submission's marks, as `Marks.to_json` writes them."""
        return self.root / "grading" / "marks" / lesson / f"{student}.json"

    def students(self, lesson: str) -> list[str]:
        """Everybody who handed in something, a link or an empty folder included. Raises CourseError for a name that can't be kept."""
        folder = Path(self.directory.format_path(self.directory.submitted_directory, ".", ".")).resolve()
        handed_in = sorted(path.name for path in folder.glob("*") if os.path.lexists(path / lesson))
        for student in handed_in:
            if not student.isprintable() or student.startswith(".") or len(student.encode(errors="replace")) > LONGEST_NAME:
                raise CourseError(f"no student can be called {student!r}: rename that folder in {folder}")
        return handed_in

    def everybody(self, lesson: str) -> list[str]:
        """Everybody who handed in something, and everybody in the gradebook who did not. Raises CourseError as `students` does."""
        return sorted({*self.students(lesson), *gradebook.known_students(*self.database)})

    def read(self, student: str, lesson: str) -> Handin | None:
        """What a student handed in; None where there is nothing. What can't be read at all is a remark. Raises GraderError."""
        try:
            return bounded(read_folder, self.submission_folder(student, lesson))
        except Missing:
            return None
        except Unreadable as reason:
            return Handin({}, [str(reason)])

    def timestamp(self, student: str, lesson: str) -> datetime | None:
        """When a submission was collected, in UTC; None where that can't be read."""
        return timestamp_in(self.submission_folder(student, lesson))

    def seeds(self, student: str, lesson: Lesson) -> dict[str, int]:
        """The seed of the student's inputs for each of the lesson's exercises, by name."""
        return seeds_of(self.secret, student, lesson.exercises)

    def save_marks(self, student: str, marks: Marks) -> Marks:
        """The one way into the records: gradebook first, then the graded notebook, last the file that says that all is done.

        Returns the marks that count: those of before, in doubt, where the machine failed after them. Raises PreprocessorFailed where
        the instructor's own preprocessors stop: the notebook is then as the judge made it.
        """
        marks = marks.after(self.saved_marks(student, marks.lesson))
        gradebook.save_marks(student, marks, *self.database, self.timestamp(student, marks.lesson), self.deadlines.apply)
        self._keep_only_what_is_graded(student, marks.lesson)
        if marks.doubt is None:
            self._save_notebook(student, marks)
        self._share(write_whole(self.marks_file(student, marks.lesson), marks.to_json()))
        return marks

    def _share(self, path: Path) -> None:
        """Where instructors share the course: their group may write the file, and in the folders above it, as in nbgrader's own."""
        if not self.directory.groupshared:
            return
        path.chmod(path.stat().st_mode | 0o660)
        for folder in path.relative_to(self.root).parents[:-1]:
            with contextlib.suppress(PermissionError):  # another instructor's, who has shared it
                (self.root / folder).chmod((self.root / folder).stat().st_mode | 0o2770)

    def _save_notebook(self, student: str, marks: Marks) -> None:
        for name in EXCHANGE_FILES:
            data, _ = read_file(self.submission_folder(student, marks.lesson) / name, most=1000)
            if data is not None:
                write_whole(self.graded_folder(student, marks.lesson) / name, data.decode(errors="replace"))
            else:  # an earlier submission's
                (self.graded_folder(student, marks.lesson) / name).unlink(missing_ok=True)
        if marks.digest or marks.state != State.MISSING:  # who handed in nothing has no submission to give feedback on
            graded = self.graded_folder(student, marks.lesson) / f"{marks.lesson}.ipynb"
            try:
                notebook = self.preprocessors.run(marks.notebook, student, marks.lesson)
            except PreprocessorFailed:
                write_whole(graded, marks.notebook)
                raise
            write_whole(graded, notebook)
            self.preprocessors.share(student, marks.lesson)

    def _keep_only_what_is_graded(self, student: str, lesson: str) -> None:
        """nbgrader sends all that lies beside a graded notebook: what it once copied there, or a killed grader left, goes."""
        folder = self.graded_folder(student, lesson)
        remove_unfinished(folder)
        for path in folder.glob("[!.]*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in (f"{lesson}.ipynb", *EXCHANGE_FILES):
                path.unlink()

    def all_marks(self, lesson: str) -> dict[str, Marks]:
        """The marks on file of a lesson, by student, in alphabetical order; those that can't be read are left out."""
        students = sorted(file.stem for file in self.marks_file("", lesson).parent.glob("*.json"))
        found = {student: self.saved_marks(student, lesson) for student in students}
        return {student: marks for student, marks in found.items() if marks is not None}

    def saved_marks(self, student: str, lesson: str) -> Marks | None:
        """The marks on file. None where there are none, or none that can be read."""
        try:
            return Marks.from_json(self.marks_file(student, lesson).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def prepare(course: Course, lessons: list[Lesson]) -> None:
    """Make what nbgrader and its formgrader need to list the lessons: their source notebooks, their points in the gradebook, a secret."""
    for lesson in lessons:
        write_source(lesson, Path(course.directory.format_path(course.directory.source_directory, ".", ".")).resolve())
        gradebook.enter_lesson(lesson, *course.database)
    _ = course.secret


def run(job: Job) -> Marks:
    """Grade one submission; on whatever machine this runs."""
    if course_digest(job.lesson) != job.course:
        raise CourseError("this worker has another version of the course; install the same one on every machine")
    marks = grade(job)
    forget_observations()
    return marks


def grade_class(
    course: Course,
    lesson: Lesson,
    students: list[str] | None = None,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    tls: bool = True,
    sandboxed: bool = True,
    again: bool = False,
    limits: Limits | None = None,
    progress: bool = True,
) -> dict[str, Marks]:
    """Grade a lesson's submissions and write the marks; returns them by student, without the notebooks.

    students: whom; by default everybody who handed in, and everybody in the gradebook who did not. A submission whose marks are
    on file and in the gradebook is not graded again, unless `again`. What takes too long is tried again at the end, alone. limits: by
    default the course's. Raises CourseError where there is nobody to grade, or nobody can be; and, when all are graded, where the
    instructor's own preprocessors have stopped at somebody's notebook.
    """
    sandboxed, limits = sandboxed and course.settings.sandbox, limits or course.limits
    _ = course.preprocessors  # before anybody is graded
    if sandboxed and scheduler is None:
        require_sandbox()
    gradebook.enter_lesson(lesson, *course.database)
    everybody = course.everybody(lesson.name)
    for student in students or []:
        if student not in everybody:
            known = ", ".join(everybody[:10]) or "nobody"
            raise CourseError(f"no student is called {student!r} (known: {known}{', …' if len(everybody) > 10 else ''})")
    students = students or everybody
    failed: list[str] = []
    if not course.preprocessors.converter.create_student:
        known = gradebook.known_students(*course.database)
        if strangers := [student for student in students if student not in known]:
            failed.append(f"c.Autograde.create_student is False, and the gradebook doesn't know {', '.join(strangers)}")
        students = [student for student in students if student in known]
    if not course.students(lesson.name):
        raise CourseError(
            f"nobody has handed in {lesson.name}: {course.submission_folder('STUDENT', lesson.name)} is where it is looked for"
        )

    remove_unfinished(course.marks_file("", lesson.name).parent)
    results: dict[str, Marks] = {}
    late: list[str] = []
    digest = course_digest(lesson)

    def record(job: Job, marks: Marks) -> None:
        try:
            marks = course.save_marks(job.student, marks)
            course.preprocessors.hook("post", job.student, lesson.name)
        except PreprocessorFailed as error:
            failed.append(str(error))
        results[job.student] = replace(marks, notebook="")  # 3,000 notebooks would fill the memory
        bar.update()

    def jobs(whose: list[str], alone: bool = False) -> Iterator[Job]:
        for student in whose:
            seeds = course.seeds(student, lesson)
            job = Job(None, lesson.name, seeds, limits, sandboxed, student, digest, alone)
            try:
                course.preprocessors.hook("pre", student, lesson.name)
            except PreprocessorFailed as error:
                failed.append(str(error))
            try:
                handin = course.read(student, lesson.name)
            except GraderError as error:
                record(job, grader_error(job, error))
                continue
            saved = None if again or alone else course.saved_marks(student, lesson.name)
            current = digest_of(handin, lesson, seeds) if handin else ""
            done = (
                saved
                and saved.digest == current
                and (saved.sandboxed or not sandboxed)
                and saved.state != State.GRADER_ERROR
                and saved.doubt is None
            )
            if done and (handin is None or gradebook.is_saved(student, saved, *course.database)):
                course.deadlines.renew(lesson.name, student)  # somebody may have moved them since
                results[student] = saved
                bar.update()
                continue
            yield replace(job, handin=handin)

    with contextlib.ExitStack() as stack:
        mapping = serially
        if scheduler is not None:
            mapping = stack.enter_context(cluster(scheduler, tls))
        elif workers > 1:
            mapping = stack.enter_context(processes(workers))
        bar = stack.enter_context(tqdm(total=len(students), disable=not progress, unit="submission", desc=lesson.name))
        for job, marks in mapping(run, jobs(students), grader_error):
            if any(mark.state == State.TIME_OUT for mark in marks.exercises):
                late.append(job.student)  # a busy machine's doing, perhaps: nothing is saved before a second try
            else:
                record(job, marks)
        for student in late:
            for job, marks in mapping(run, jobs([student], alone=True), grader_error):
                record(job, marks)
    if failed:
        more = f" (and at {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise CourseError(f"the marks are saved, but {failed[0]}{more}")
    return {student: results[student] for student in students}


def summary(results: dict[str, Marks]) -> str:
    """A line of how many ended in which state, and the students whom a human must look at."""
    states = [marks.state for marks in results.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    lines = [f"students: {len(results)} ({counts})"]
    for student, marks in results.items():
        if marks.needs_a_human:
            why = marks.doubt or (State.FOR_A_HUMAN if marks.state == State.GRADED else marks.state)
            lines.append(f"  needs a human: {student} ({why})")
    if not all(marks.sandboxed for marks in results.values()):
        lines.append("  graded WITHOUT A SANDBOX: student code ran with your rights")
    return "\n".join(lines)
