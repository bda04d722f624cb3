# nbgrader's folders, mapped to this layout: notebooks/ is the release, everything that grading makes lies in grading/.
import os
import sys

from autograde.grading.nbgrader_plugin import take_over

c = get_config()  # noqa: F821 (nbgrader defines it)

# nbgrader starts alembic by its bare name: it is found beside this Python, whether or not the environment is activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

c.CourseDirectory.course_id = "vae"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
# The lessons with solutions (solutions/*.md) lie elsewhere: nbgrader copies everything in here to students.
c.CourseDirectory.source_directory = "build/source"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"
os.makedirs(os.path.join(c.CourseDirectory.root, "grading", "submitted"), exist_ok=True)
c.CourseDirectory.db_url = f"sqlite:///{os.path.join(c.CourseDirectory.root, 'grading', 'gradebook.db')}"

# The exchange lies in grading/, until NBGRADER_EXCHANGE names a folder that students can reach, too.
c.Exchange.root = os.environ.get("NBGRADER_EXCHANGE") or os.path.join(c.CourseDirectory.root, "grading", "exchange")
if not os.path.isdir(c.Exchange.root):
    os.makedirs(c.Exchange.root)
    os.chmod(c.Exchange.root, 0o777)  # nbgrader wants it writable for everybody who can reach it
c.ExchangeFactory.release_assignment = "autograde.grading.exchange.ReleaseAssignment"
c.ExchangeFactory.collect = "autograde.grading.exchange.Collect"
c.ExchangeFactory.release_feedback = "autograde.grading.exchange.ReleaseFeedback"

c.ClearSolutions.code_stub = {"python": '# YOUR CODE HERE\nraise NotImplementedError("not written yet")'}

# `nbgrader autograde` and the formgrader's button do what `python -m autograde grade` does: the judge reads submissions, runs them in a
# sandbox and writes the marks. Then come your own preprocessors, on the graded notebook, whichever way you grade. So with Autograde's
# hooks, permissions and create_student, and CourseDirectory.groupshared.
take_over()
c.Autograde.autograde_preprocessors = []

# Due dates are set with `python -m autograde due` or in the formgrader, in this time zone: this machine's, or for instance "Europe/Berlin".
c.NbGraderAPI.timezone = os.environ.get("TZ") or "/etc/localtime"
# What being late costs, whichever way one grades: percent_per_day of the points for each day that has begun, after so many minutes.
c.AssignLatePenalties.plugin_class = "autograde.grading.deadlines.LatePolicy"
c.LatePolicy.percent_per_day = 0
c.LatePolicy.grace_minutes = 0

# Feedback for students: the verdict once, formulas that need no network, and no seeds.
c.GenerateFeedback.exporter_class = "autograde.reports.feedback.FeedbackExporter"
c.GenerateFeedback.preprocessors = [
    "autograde.reports.feedback.ForTheStudent",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# `nbgrader export` writes what a spreadsheet opens without running anything.
c.ExportApp.plugin_class = "autograde.lms.spreadsheets.CsvExport"
