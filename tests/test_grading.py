"""nbgrader from end to end, with its own commands, on a course of its own: assignment → submissions → marks, feedback, export."""

import csv
import html
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from nbgrader.api import Gradebook

from autograde import demo, judge
from autograde.catalogue import find_exercise
from autograde.lessons.build import NOTEBOOKS, check_id, write_source
from autograde.lessons.lesson import ROOT, LessonError, read_lesson

pytestmark = pytest.mark.xdist_group("grading")  # one course for all of them
LESSON = read_lesson("03_kl_divergence")
POINTS = sum(cell.points for cell in LESSON.exercises.values())
EXERCISE = "gaussian_kl"
REFERENCE = "def gaussian_kl(mu, logvar):\n    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)\n"
TWICE = "def gaussian_kl(mu, logvar):\n    return (mu**2 + logvar.exp() - 1 - logvar).sum(1)\n"


def nbgrader(course: Path, *words: str) -> str:
    """Run one stock nbgrader command in the course's folder; returns what it printed."""
    command = [sys.executable, "-m", "nbgrader", *words]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def solve(notebook, **solutions: str) -> None:
    """Write the reference into each solution cell, or what `solutions` says for it."""
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in LESSON.exercises:
            cell.source = solutions.get(name, LESSON.exercises[name].source)


def remove(notebook, *names: str) -> None:
    notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") not in names]


def given_names(notebook) -> list[str]:
    cells = (c.metadata.get("nbgrader", {}) for c in notebook.cells)
    return [c["grade_id"] for c in cells if c.get("locked") and not c["grade"]]


def right(notebook):
    solve(notebook)


def wrong(notebook):
    solve(notebook, gaussian_kl=TWICE)


def untouched(notebook):
    pass


def messy(notebook):
    """Right, with everything around it that has ever cost an honest student a mark."""
    noise = """%%time
import sys, warnings
%matplotlib inline
!ls /nonexistent
files = !ls
print("spam\\n" * 50_000)
warnings.warn("deprecated")
print("progress 100%", file=sys.stderr)
display(files)
get_ipython().run_line_magic("load_ext", "autoreload")
"""
    talkative = REFERENCE.replace("return", 'import sys; print("spam"); print("spam", file=sys.stderr); return')
    solve(notebook, gaussian_kl=noise + talkative + "\ntensor_that_is_not_there\n")
    notebook.cells.insert(0, new_code_cell("%%bash\nexit 1"))
    notebook.cells.insert(0, new_code_cell('raise RuntimeError("an experiment")'))
    notebook.cells.append(new_code_cell("False"))
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id.startswith("code-"):
            cell.source = "import os; os._exit(9)  # a demonstration: it does not run"


def helper(notebook):
    """Right, by way of a cell and of a file of the student's own."""
    solve(notebook, gaussian_kl="def gaussian_kl(mu, logvar):\n    return half() * twice(mu, logvar)\n")
    own = new_code_cell(f"from my_module import half\n{TWICE.replace('gaussian_kl', 'twice')}")
    place = next(i for i, c in enumerate(notebook.cells) if c.id == EXERCISE)
    notebook.cells.insert(place, own)


def without_check(notebook):
    solve(notebook)
    remove(notebook, check_id(EXERCISE))


def without_cells(notebook):
    """The given cells, one solution and its check are gone."""
    solve(notebook)
    remove(notebook, EXERCISE, check_id(EXERCISE), *given_names(notebook))


def without_metadata(notebook):
    """Right, but a tool has removed nbgrader's marks from the solution and from the check."""
    solve(notebook)
    for cell in notebook.cells:
        if cell.id in (EXERCISE, check_id(EXERCISE)):
            cell.metadata = {}


def forged(notebook):
    """Wrong, with outputs and a last value that stock nbgrader takes for points."""
    solve(notebook, gaussian_kl=TWICE + "\n1.0")
    for cell in notebook.cells:
        if cell.id == check_id(EXERCISE):
            cell.source = "True"
            cell.outputs = [new_output("execute_result", {"text/plain": "2.0"}, execution_count=1)]


def endless(notebook):
    solve(notebook, gaussian_kl="def gaussian_kl(mu, logvar):\n    while True:\n        pass\n")


def stuck(notebook):
    """An endless loop that no exception leaves."""
    solve(notebook)
    loop = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"
    notebook.cells.append(new_code_cell(loop))


def exits(notebook):
    solve(notebook, gaussian_kl="def gaussian_kl(mu, logvar):\n    import os\n    os._exit(0)\n")


WITHOUT_ONE = POINTS - LESSON.exercises[EXERCISE].points
# nbgrader's score in the gradebook; an exercise that can't be judged costs the others nothing.
STUDENTS = {
    right: POINTS,
    wrong: WITHOUT_ONE,
    untouched: 0,
    messy: POINTS,
    helper: POINTS,
    without_check: POINTS,
    without_cells: WITHOUT_ONE,
    without_metadata: POINTS,
    forged: WITHOUT_ONE,
    endless: WITHOUT_ONE,
    stuck: POINTS,
    exits: WITHOUT_ONE,
}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A graded course: the repository's configuration and layout, one lesson, a submission of each student."""
    root = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    write_source(LESSON, root / "build" / "source")
    nbgrader(root, "generate_assignment", LESSON.name)
    # What lies beside the source notebook must not take the place of what a student hands in.
    (root / "build" / "source" / LESSON.name / "my_module.py").write_text("raise RuntimeError('the instructor's own')\n")
    for student in STUDENTS:
        notebook = nbformat.read(release_of(root), as_version=4)
        student(notebook)
        folder = root / "grading" / "submitted" / student.__name__ / LESSON.name
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / f"{LESSON.name}.ipynb")
        (folder / "my_module.py").write_text("def half():\n    return 0.5\n")
        # Beside the notebook on purpose: it must hide no module of the same name.
        (folder / "random.py").write_text("raise RuntimeError('the wrong random')\n")
    nbgrader(root, "autograde", LESSON.name, "--JudgeSubmission.step_timeout=15")
    nbgrader(root, "generate_feedback", LESSON.name)
    nbgrader(root, "export")
    return root


def release_of(root: Path) -> Path:
    return root / "notebooks" / LESSON.name / f"{LESSON.name}.ipynb"


def graded_cell(course: Path, student: str, name: str):
    folder = course / "grading" / "autograded" / student / LESSON.name
    notebook = nbformat.read(folder / f"{LESSON.name}.ipynb", as_version=4)
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def feedback(course: Path, student: str) -> str:
    path = course / "grading" / "feedback" / student / LESSON.name / f"{LESSON.name}.html"
    return html.unescape(path.read_text(encoding="utf-8"))


def test_stock_generate_assignment_makes_what_is_committed(course):
    assert release_of(course).read_bytes() == (NOTEBOOKS / LESSON.name / f"{LESSON.name}.ipynb").read_bytes()


@pytest.mark.parametrize(("student", "points"), STUDENTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_score_in_the_gradebook(course, student, points):
    with Gradebook(f"sqlite:///{course}/grading/gradebook.db") as gradebook:
        submission = gradebook.find_submission(LESSON.name, student.__name__)
        assert (submission.score, submission.max_score) == (points, POINTS)
        assert submission.needs_manual_grade == (student is endless)  # the machine may have been slow: a human looks


def test_export_has_the_marks(course):
    with open(course / "grades.csv", newline="") as file:
        marks = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert marks == {student.__name__: points for student, points in STUDENTS.items()}


def test_feedback_names_the_mistake_and_keeps_the_seed_for_the_instructor(course):
    namespace = {}
    exec(TWICE, namespace)
    mistake = judge(EXERCISE, namespace[EXERCISE]).mistake
    hint = find_exercise(EXERCISE).mistakes[mistake][0]
    assert hint in feedback(course, "wrong")
    assert hint not in feedback(course, "right")
    display = graded_cell(course, "wrong", check_id(EXERCISE)).outputs[0]
    assert display.metadata["verdict"]["mistake"] == mistake
    assert f"{display.metadata['verdict']['seed']}" not in feedback(course, "wrong")
    assert (
        f"seed {display.metadata['verdict']['seed']}"
        in graded_cell(course, "wrong", check_id(EXERCISE)).outputs[1].traceback[0]
    )


def test_a_replayed_seed_gives_the_same_verdict(course):
    output = graded_cell(course, "wrong", check_id(EXERCISE)).outputs
    namespace = {}
    exec(TWICE, namespace)
    again = judge(EXERCISE, namespace[EXERCISE], output[0].metadata["verdict"]["seed"])
    assert output[0].data["text/plain"] == str(again)


def test_every_submission_and_exercise_has_its_own_seed(course):
    outputs = [graded_cell(course, student, check_id(EXERCISE)).outputs[0] for student in ("right", "messy", "helper")]
    assert len({output.text for output in outputs}) == 3


@pytest.mark.parametrize(
    ("student", "words"),
    [
        ("untouched", "not written yet"),
        ("without_cells", "its cell is gone"),
        ("endless", "stopped after 15 seconds"),
        ("exits", "ended the Python process itself (exit status 0)"),
    ],
)
def test_feedback_says_what_happened(course, student, words):
    verdict, error = graded_cell(course, student, check_id(EXERCISE)).outputs
    assert error.output_type == "error"
    assert words in verdict.data["text/plain"]
    assert words in feedback(course, student)


def test_an_error_is_shown_where_it_happened_and_nowhere_else(course):
    (error,) = graded_cell(course, "messy", EXERCISE).outputs
    assert error.ename == "NameError"
    assert "tensor_that_is_not_there" in error.evalue
    assert "cell gaussian_kl, line" in error.traceback[0]
    assert "<module>" in error.traceback[0]
    kinds = {student.__name__: outputs_of_checks(course, student.__name__) for student in STUDENTS}
    assert kinds["messy"] == kinds["right"] == {"stream stdout"}
    assert set().union(*kinds.values()) == {"stream stdout", "display_data", "error"}


def outputs_of_checks(course: Path, student: str) -> set[str]:
    outputs = [o for name in LESSON.exercises for o in graded_cell(course, student, check_id(name)).outputs]
    return {f"{o.output_type} {o.get('name', '')}".strip() for o in outputs}


def test_no_solution_gets_among_the_submissions(course):
    folder = course / "grading" / "autograded" / "untouched"
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".ipynb"}  # nor is a student's own file copied
    for path in [*folder.rglob("*.ipynb"), *(course / "grading" / "feedback" / "untouched").rglob("*.html")]:
        assert "BEGIN SOLUTION" not in path.read_text(encoding="utf-8")


def test_an_unknown_lesson_is_a_clear_failure(course):
    done = subprocess.run([sys.executable, "-m", "nbgrader", "autograde", "99_nonsense"], cwd=course, capture_output=True)
    assert done.returncode != 0


def test_the_demonstration_plants_every_mistake_and_every_variant():
    lessons = [read_lesson(name) for name in demo.LESSONS]
    students = demo.make_class(lessons)
    assert len(students) >= 30
    assert {student.kind for student in students} == {"right", "mistakes", "half finished", "untouched"}
    for lesson in lessons:
        for name in lesson.exercises:
            answers = [student.answers[lesson.name][name] for student in students]
            planted = [answer.mistake for answer in answers if answer.mistake]
            assert sorted(planted) == sorted(find_exercise(name).mistakes)
            written = {answer.source for answer in answers if answer.source and not answer.mistake}
            assert written == {answer.source for answer in demo.correct_answers(find_exercise(name))}
            for source in written:
                compile(source, name, "exec")


def test_the_demonstration_spares_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for folder in (tmp_path, ROOT):
        with pytest.raises(LessonError, match="choose another folder"):
            demo.make_course(folder, [], [])
    assert (tmp_path / "thesis.tex").exists()
