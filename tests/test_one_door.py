"""One class graded in each of the three ways: marks, states, penalties, comments and files are the same, whatever was handed in."""

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from faults import write_too_deep
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from test_class import LESSON, NAME, POINTS, WRONG, new_gradebook, notebook  # noqa: F401 (a fixture)
from traitlets.config import PyFileConfigLoader

from autograde.__main__ import main
from autograde.grading.classroom import Course, grade_class
from autograde.grading.marks import State
from autograde.lessons.lesson import ROOT, CourseError

WAYS = ("grade", "command", "button")
# In the instructor's file: what being late costs, and a preprocessor of theirs, which counts on marks that are saved.
OWN = """
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor

c.LatePolicy.percent_per_day = 25

class Signed(NbGraderPreprocessor):
    def preprocess(self, nb, resources):
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as book:
            submission = book.find_submission(names["assignment"], names["student"])
            told = f"{submission.score:g} points less {submission.late_submission_penalty:g}, says {names['notebook']}"
            for comment in submission.notebooks[0].comments:
                comment.auto_comment = told
            book.db.commit()
        nb.cells.append(new_markdown_cell(told, id="signed"))
        return nb, resources

c.Autograde.autograde_preprocessors.append(Signed)
"""


def hand_in(course: Course, student: str, data: bytes = b"", name: str = NAME) -> Path:
    folder = course.submission_folder(student, LESSON.name)
    folder.mkdir(parents=True, exist_ok=True)
    if data:
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory, new_gradebook) -> Path:  # noqa: F811
    """A course whose students are honest, late, careless or hostile. Its secret lies where links can lead to."""
    root = tmp_path_factory.mktemp("handed_in") / "course"
    root.mkdir()
    (root / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text() + OWN)
    course = Course.find(root)
    shutil.copy(new_gradebook, root / "grading")
    _ = course.secret
    course.deadlines.set(LESSON.name, datetime(2026, 12, 1))
    honest = hand_in(course, "ada", notebook(), name="00_start_here (1).ipynb")
    (honest / "timestamp.txt").write_text("yesterday")
    (hand_in(course, "bob", notebook(bits_per_dim=WRONG)) / "timestamp.txt").write_text("2026-12-02 10:00:00.000000 UTC")
    (course.submission_folder("bob", LESSON.name) / "submission_secret.txt").write_text("bob's own")
    (hand_in(course, "never", notebook()) / "timestamp.txt").write_text("9999-12-31 23:59:59 UTC")
    hand_in(course, "web page", b"<html>")
    hand_in(course, "deep", b'{"cells": ' + b"[" * 100_000)
    (hand_in(course, "huge") / NAME).touch()
    os.truncate(course.submission_folder("huge", LESSON.name) / NAME, 1 << 30)
    (hand_in(course, "link") / NAME).symlink_to(root / "grading" / "secret")
    beside = hand_in(course, "[pipes]", notebook())
    (beside / "data.txt").symlink_to(root / "grading" / "secret")
    (beside / "system").symlink_to("/etc")
    os.mkfifo(beside / "pipe")
    os.mkfifo(beside / "timestamp.txt")
    hand_in(course, "long")
    hand_in(course, "empty")
    with Gradebook(*course.database) as book:
        book.add_student("nobody")
    return root


def api(course: Course) -> NbGraderAPI:
    """What the formgrader's buttons call."""
    config = PyFileConfigLoader("nbgrader_config.py", str(course.root)).load_config()
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def grade_by(way: str, course: Course, student: str | None = None) -> None:
    """Grade everybody, or one student anew."""
    if way == "grade":
        words = ["--again", "--students", student] if student else []
        before = os.getcwd()
        os.chdir(course.root)
        try:
            assert main(["grade", "00", "--workers", "1", *words]) == 0
        finally:
            os.chdir(before)
    elif way == "command":
        words = ["--force", f"--student={student}"] if student else []
        command = [sys.executable, "-m", "nbgrader", "autograde", LESSON.name, *words]
        done = subprocess.run(command, cwd=course.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        for each in [student] if student else course.everybody(LESSON.name):
            done = api(course).autograde(LESSON.name, each)
            assert done["success"], done


@pytest.fixture(scope="module")
def graded(handed_in, tmp_path_factory) -> dict[str, Course]:
    """By way: a copy of the course, graded; then bob's wrong answer marked by a human, and bob graded once more; then feedback."""
    found = {}
    for way in WAYS:
        root = tmp_path_factory.mktemp(way) / "course"
        subprocess.run(["cp", "-a", "--sparse=always", handed_in, root], check=True)
        course = found[way] = Course.find(root)
        write_too_deep(course.submission_folder("long", LESSON.name), NAME)  # which `cp` can't copy
        grade_by(way, course)
        with Gradebook(*course.database) as book:
            grades = book.find_submission(LESSON.name, "bob").notebooks[0].grades
            wrong = next(grade for grade in grades if grade.score < grade.max_score)
            wrong.manual_score = 0.5
            book.db.commit()
        grade_by(way, course, "bob")
        for student in ("bob", "[pipes]"):
            assert api(course).generate_feedback(LESSON.name, student)["success"]
    return found


def records(course: Course) -> dict[str, tuple]:
    """What the gradebook holds of each submission."""
    found = {}
    with Gradebook(*course.database) as book:
        for s in book.assignment_submissions(LESSON.name):
            (made,) = s.notebooks
            grades = sorted((g.name, g.auto_score, g.manual_score, g.needs_manual_grade) for g in made.grades)
            comments = sorted((c.name, c.auto_comment, c.manual_comment) for c in made.comments)
            found[s.student_id] = (s.score, s.late_submission_penalty, s.timestamp, s.needs_manual_grade, grades, comments)
    return found


def files(course: Course) -> dict[str, bytes]:
    """What grading has written, but for the gradebook."""
    grading = course.root / "grading"
    paths = [path for name in ("autograded", "feedback", "marks") for path in (grading / name).rglob("*")]
    assert not [path for path in paths if path.is_symlink()]
    return {path.relative_to(grading).as_posix(): path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.parametrize("way", ["command", "button"])
def test_nbgraders_own_ways_write_the_same(graded, way):
    assert records(graded[way]) == records(graded["grade"])
    theirs, ours = files(graded[way]), files(graded["grade"])
    assert theirs.keys() == ours.keys()
    assert [name for name in ours if theirs[name] != ours[name]] == []


@pytest.mark.parametrize("way", WAYS)
def test_everybody_ends_in_a_state_and_the_class_goes_on(graded, way):
    course = graded[way]
    states = {student: marks.state for student, marks in course.all_marks(LESSON.name).items()}
    graded_students = {"ada", "bob", "[pipes]", "never"}
    unreadable = {"web page", "deep", "huge", "link", "long"}
    assert states == {
        **dict.fromkeys(graded_students, State.GRADED),
        **dict.fromkeys(unreadable, State.UNREADABLE),
        **dict.fromkeys(("empty", "nobody"), State.MISSING),
    }
    scores = {student: row[0] for student, row in records(course).items()}
    assert [scores[student] for student in ("ada", "[pipes]", "never")] == [POINTS] * 3


@pytest.mark.parametrize("way", WAYS)
def test_late_penalties_preprocessors_and_what_a_human_gave_count(graded, way):
    course = graded[way]
    score, penalty, timestamp, needs_a_look, grades, comments = records(course)["bob"]
    assert [manual for _, _, manual, _ in grades if manual is not None] == [0.5]
    assert needs_a_look and timestamp == datetime(2026, 12, 2, 10)
    assert penalty == pytest.approx(0.5 * score) and 0 < score < POINTS  # two days have begun
    told = f"{score:g} points less {penalty:g}, says {LESSON.name}"
    assert {comment for _, comment, _ in comments} == {told}
    made = files(course)
    assert told.encode() in made[f"autograded/bob/{LESSON.name}/{NAME}"]
    assert told.encode() in made[f"feedback/bob/{LESSON.name}/{LESSON.name}.html"]
    assert f"feedback/[pipes]/{LESSON.name}/{LESSON.name}.html" in made
    assert made[f"autograded/bob/{LESSON.name}/submission_secret.txt"] == b"bob's own"


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_was_handed_in_is_copied_or_followed(graded, way):
    course = graded[way]
    made = files(course)
    names = {NAME, "timestamp.txt", "submission_secret.txt", f"{LESSON.name}.html"}
    assert {Path(name).name for name in made if not name.startswith("marks/")} <= names
    assert [name for name, data in made.items() if course.secret.hex().encode() in data] == []


def test_the_formgraders_list_waits_for_no_pipe_and_bears_any_time(handed_in, monkeypatch):
    """It looks at when each submission was collected, in the instructor's time zone."""
    monkeypatch.setattr(NbGraderAPI, "timezone", "Asia/Tokyo")
    listed = {row["student"]: row["display_timestamp"] for row in api(Course.find(handed_in)).get_submissions(LESSON.name)}
    assert listed["bob"].startswith("2026-12-02")
    assert listed["[pipes]"] is listed["ada"] is listed["never"] is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("c.Autograde.autograde_preprocessors.append('nbgrader.preprocessors.Execute')", "leave out Execute"),
        ("c.Autograde.autograde_preprocessors.append('nbgrader.preprocessors.SaveAutoGrades')", "leave out SaveAutoGrades"),
        ("c.Autograde.autograde_preprocessors.append('no.such.Thing')", "no.such.Thing can't be used"),
    ],
)
def test_a_preprocessor_that_cannot_be_used_is_said_before_anybody_is_graded(
    handed_in, tmp_path, capsys, monkeypatch, line, says
):
    (tmp_path / "nbgrader_config.py").write_text((handed_in / "nbgrader_config.py").read_text() + line + "\n")
    shutil.copytree(handed_in / "grading" / "submitted" / "ada", tmp_path / "grading" / "submitted" / "ada")
    monkeypatch.chdir(tmp_path)
    assert main(["grade", "00", "--workers", "1"]) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and says in said
    assert not (tmp_path / "grading" / "marks").exists()


HOOKS = """
from pathlib import Path

def before(assignment, student, notebooks):
    for notebook in notebooks:
        Path(notebook).rename(Path(notebook).with_name("renamed.ipynb"))

def after(assignment, student, notebooks):
    raise RuntimeError(f"{assignment}, {[Path(n).name for n in notebooks]}")

c.Autograde.create_student = False
c.Autograde.pre_convert_hook, c.Autograde.post_convert_hook = before, after
c.CourseDirectory.groupshared = True
"""


def test_hooks_rights_and_whether_students_are_made_count_as_configured(handed_in, tmp_path, capsys, monkeypatch):
    (tmp_path / "nbgrader_config.py").write_text((handed_in / "nbgrader_config.py").read_text() + HOOKS)
    course = Course.find(tmp_path)
    shutil.copy(handed_in / "grading" / "gradebook.db", tmp_path / "grading")
    for student in ("nobody", "stranger"):
        shutil.copytree(handed_in / "grading" / "submitted" / "ada", tmp_path / "grading" / "submitted" / student)
    monkeypatch.chdir(tmp_path)
    assert main(["grade", "00", "--workers", "1"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "create_student is False, and the gradebook doesn't know stranger (and at 1 more)" in said
    assert list(course.all_marks(LESSON.name)) == ["nobody"]
    assert (course.submission_folder("nobody", LESSON.name) / "renamed.ipynb").exists()
    assert (course.graded_folder("nobody", LESSON.name) / NAME).stat().st_mode & 0o777 == 0o664
    assert course.graded_folder("nobody", LESSON.name).stat().st_mode & 0o2770 == 0o2770
    marks = course.marks_file("nobody", LESSON.name)
    assert marks.stat().st_mode & 0o777 == 0o664
    assert [f.stat().st_mode & 0o2770 for f in (marks.parent, marks.parent.parent, tmp_path / "grading")] == 3 * [0o2770]
    assert (tmp_path / "grading" / "secret").stat().st_mode & 0o777 == 0o640
    with pytest.raises(CourseError, match=r"post_convert_hook stopped for nobody with RuntimeError: .*\['renamed.ipynb'\]"):
        grade_class(course, LESSON, ["nobody"], again=True, progress=False)


def test_a_preprocessor_that_stops_costs_nobody_a_mark(handed_in, tmp_path, capsys, monkeypatch):
    config = (handed_in / "nbgrader_config.py").read_text()
    stops = 'told = f"{submission', '1 / (names["student"] != "ada"); told = f"{submission'
    assert stops[0] in config
    (tmp_path / "nbgrader_config.py").write_text(config.replace(*stops))
    course = Course.find(tmp_path)
    shutil.copy(handed_in / "grading" / "gradebook.db", tmp_path / "grading")
    for student in ("ada", "web page"):
        shutil.copytree(handed_in / "grading" / "submitted" / student, tmp_path / "grading" / "submitted" / student)
    monkeypatch.chdir(tmp_path)
    assert main(["grade", "00", "--workers", "1"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: the marks are saved, but ") and "ada's graded notebook with ZeroDivisionError" in said
    assert records(course)["ada"][0] == POINTS
    assert set(course.all_marks(LESSON.name)) == {"web page", "nobody"}  # ada's turn comes again
    assert (course.graded_folder("ada", LESSON.name) / NAME).exists()
