"""Due dates, extensions and the late policy: the same whichever way one grades."""

import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from test_class import LESSON, NAME, POINTS, new_gradebook, notebook  # noqa: F401 (a fixture)

from autograde.__main__ import main
from autograde.grading.classroom import Course, grade_class
from autograde.grading.deadlines import DAY, LatePolicy
from autograde.grading.gradebook import lesson_scores
from autograde.lessons.lesson import ROOT

HANDED_IN = "2026-12-02 10:30:00.000000 UTC"  # 11:30 in Berlin


@pytest.fixture
def course(tmp_path, new_gradebook, monkeypatch) -> Course:  # noqa: F811
    """ada and bob handed in at 11:30 in Berlin, on the day after the deadline; kai handed in nothing."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    policy(tmp_path, "c.LatePolicy.percent_per_day = 25")
    course = Course.find(tmp_path)
    shutil.copy(new_gradebook, tmp_path / "grading")
    for student in ("ada", "bob"):
        folder = course.submission_folder(student, LESSON.name)
        folder.mkdir(parents=True)
        (folder / NAME).write_bytes(notebook())
        (folder / "timestamp.txt").write_text(HANDED_IN)
    monkeypatch.chdir(tmp_path)
    return course


def policy(root: Path, line: str) -> None:
    with (root / "nbgrader_config.py").open("a") as config:
        config.write(f"\n{line}\n")


def points(course: Course) -> dict[str, float]:
    return {student: score.points for student, score in lesson_scores(LESSON.name, *course.database).items()}


def test_being_late_costs_the_same_whichever_way_one_grades_and_is_not_graded_anew(course, monkeypatch, capsys):
    assert main(["due", "00", "2026-12-01", "18:00"]) == 0
    assert capsys.readouterr().out == f"{LESSON.name}: 2026-12-01 18:00 CET\n"
    grade_class(course, LESSON, progress=False)
    late = {"ada": 0.75 * POINTS, "bob": 0.75 * POINTS}
    assert points(course) == late
    command = [sys.executable, "-m", "nbgrader", "autograde", LESSON.name, "--force", "--student=bob"]
    subprocess.run(command, cwd=course.root, check=True, capture_output=True)
    assert points(course) == late
    # An extension counts at once, and so does another due date; nobody is graded again for it.
    monkeypatch.setattr("autograde.grading.classroom.run", lambda job: pytest.fail(f"{job.student} was graded again"))
    assert main(["due", "00", "2026-12-02 11:31", "--student", "ada"]) == 0
    assert "ada until 2026-12-02 11:31 CET" in capsys.readouterr().out
    assert points(course) == {"ada": POINTS, "bob": 0.75 * POINTS}
    assert main(["due", "00", "2026-11-30", "18:00"]) == 0  # two days have begun; ada's extension moves with it
    assert points(course) == {"ada": 0.75 * POINTS, "bob": 0.5 * POINTS}
    policy(course.root, "c.LatePolicy.penalty_method = 'zero'")
    grade_class(Course.find(course.root), LESSON, progress=False)
    assert points(course) == {"ada": 0, "bob": 0}
    assert main(["due", "00", "none", "--student", "ada"]) == 0
    assert main(["due", "00", "none"]) == 0
    assert points(course) == {"ada": POINTS, "bob": POINTS}


def test_a_student_reads_when_it_was_due_and_what_being_late_costs(course):
    grade_class(course, LESSON, progress=False)
    assert course.deadlines.about(LESSON.name, "ada") == ""
    course.deadlines.set(LESSON.name, datetime(2026, 12, 1, 9, 0))
    said = course.deadlines.about(LESSON.name, "ada")
    cost = f"{0.5 * POINTS:g}"
    assert (
        said
        == f"Due 2026-12-01 10:00 CET; handed in 2026-12-02 11:30 CET: 1 day 1 hour late, which costs {cost} of the points."
    )
    course.deadlines.set(LESSON.name, datetime(2026, 12, 3), "ada")
    assert course.deadlines.about(LESSON.name, "ada").endswith(
        "(with your extension); handed in 2026-12-02 11:30 CET: in time."
    )


def test_an_extension_may_be_given_before_anything_is_handed_in(course):
    grade_class(course, LESSON, students=["ada"], progress=False)
    shutil.rmtree(course.submission_folder("bob", LESSON.name).parent)
    course.deadlines.set(LESSON.name, datetime(2026, 12, 1))
    with Gradebook(*course.database) as book:
        book.add_student("kai")
    course.deadlines.set(LESSON.name, datetime(2026, 12, 9), "kai")
    results = grade_class(course, LESSON, progress=False)
    assert results["kai"].state == "missing"
    assert set(points(course)) == {"ada"}  # no marks of what nobody handed in
    (_, due, extensions) = course.deadlines.all()[0]
    assert (due, extensions) == (datetime(2026, 12, 1), {"kai": timedelta(days=8)})


@pytest.mark.parametrize(
    ("settings", "seconds", "expected"),
    [
        ({}, DAY, None),
        ({"percent_per_day": 10}, 1, 1.0),
        ({"percent_per_day": 10}, DAY, 1.0),
        ({"percent_per_day": 10}, DAY + 1, 2.0),
        ({"percent_per_day": 10}, 30 * DAY, 10.0),
        ({"percent_per_day": 10, "grace_minutes": 15}, 15 * 60, None),
        ({"percent_per_day": 10, "grace_minutes": 15}, 15 * 60 + 1, 1.0),
        ({"penalty_method": "zero", "grace_minutes": 15}, 15 * 60, None),
        ({"penalty_method": "zero"}, 1, 10.0),
    ],
)
def test_the_policy(settings, seconds, expected):
    assert LatePolicy(**settings).late_submission_penalty("ada", 10.0, seconds) == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["due", "00", "someday"], "'someday' is no date"),
        (["due", "00", "18:00"], "'18:00' is no date"),
        (["due", "00"], "say when"),
        (["due", "77", "2026-12-01"], "no lesson is called '77'"),
        (["due", "00", "2026-12-01", "--student", "zoe"], "no student is called 'zoe'"),
        (["due", "00", "2026-12-01", "--student", "ada"], "is not due"),
    ],
)
def test_bad_input_gets_one_clear_line(course, capsys, words, says):
    with Gradebook(*course.database) as book:
        book.add_student("ada")
    assert main(words) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and says in said
    assert [due for _, due, _ in course.deadlines.all()] == [None]
