"""The same grading inside nbgrader: what `nbgrader autograde` and the formgrader's button run."""

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Float

from .classroom import Course
from .grading import Job, grade
from .lesson import read_lesson
from .limits import Limits
from .sandbox import require_sandbox
from .submission import release_of


class SubmissionExporter(NotebookExporter):
    """Reads no submission: nbgrader starts from the released notebook, and `JudgeSubmission` puts the submission into it.

    So a file that nbgrader's own reader would give up on ends in a state like every other.
    """

    def from_filename(self, filename: str, resources: dict | None = None, **words) -> tuple[str, dict]:
        """The released notebook in nbconvert's terms, (its JSON, resources), whatever lies at `filename`."""
        release = release_of(read_lesson(resources["nbgrader"]["assignment"]))
        return self.from_notebook_node(release, resources, **words)


class JudgeSubmission(NbGraderPreprocessor):
    """Takes the place of nbgrader's Execute and SaveAutoGrades: grades what was handed in, and writes the marks."""

    step_timeout = Float(Limits.step, help="Seconds that one cell or one check of a submission may take.").tag(config=True)
    timeout = Float(Limits.submission, help="Seconds that all of a submission may take together.").tag(config=True)
    sandbox = Bool(True, help="Run student code in a sandbox. Without one it runs with your rights.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Grade what the student of `resources` handed in, and save the marks; returns the graded notebook and `resources`.

        Raises SandboxMissing where there is no sandbox and one is wanted.
        """
        names = resources["nbgrader"]
        if self.sandbox:
            require_sandbox()
        course, lesson = Course(self.parent.parent.coursedir, self.config), read_lesson(names["assignment"])
        handin, seeds = course.read(names["student"], lesson.name), course.seeds(names["student"], lesson)
        limits = Limits(step=self.step_timeout, submission=self.timeout)
        marks = grade(Job(handin, lesson.name, seeds, limits, self.sandbox, names["student"]))
        course.save_marks(names["student"], marks)
        self.log.info("%s, %s: %s, %g of %g", names["student"], lesson.name, marks.state, marks.points, marks.max_points)
        return nbformat.reads(marks.notebook, as_version=4), resources
