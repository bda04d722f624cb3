"""The autograder for Gradescope, in a folder of Gradescope's shape."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_class import LESSON, NAME, POINTS, WRONG, notebook

from autograde.__main__ import main
from autograde.grading.marks import Mark, Marks, State
from autograde.lms.gradescope import results_of, run


@pytest.fixture(scope="module")
def autograder(tmp_path_factory) -> Path:
    """/autograder as Gradescope makes it of the archive."""
    folder = tmp_path_factory.mktemp("gradescope")
    assert main(["gradescope", "00", "--output", str(folder / "autograder.zip")]) == 0
    for name in ("submission", "results"):
        (folder / name).mkdir()
    with zipfile.ZipFile(folder / "autograder.zip") as archive:
        archive.extractall(folder / "source")
    shutil.copy(folder / "source" / "run_autograder", folder)
    return folder


def results(autograder: Path, **files: bytes) -> dict:
    shutil.rmtree(autograder / "submission")
    (autograder / "submission").mkdir()
    for name, data in files.items():
        (autograder / "submission" / name).write_bytes(data)
    (autograder / "results" / "results.json").unlink(missing_ok=True)
    environment = {
        "AUTOGRADER": str(autograder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", str(autograder / "run_autograder")], env=environment, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads((autograder / "results" / "results.json").read_text())


def test_every_exercise_is_a_test_with_the_judges_message(autograder):
    found = results(autograder, **{NAME: notebook(bits_per_dim=WRONG)})
    tests = {test["name"]: test for test in found["tests"] if test["visibility"] == "visible"}
    assert list(tests) == list(LESSON.exercises)
    assert sum(test["max_score"] for test in tests.values()) == POINTS
    wrong = tests.pop("bits_per_dim")
    assert (wrong["score"], wrong["status"]) == (0, "failed") and "nats" in wrong["output"]
    assert all(test["score"] == test["max_score"] and test["status"] == "passed" for test in tests.values())
    (hidden,) = [test for test in found["tests"] if test["visibility"] == "hidden"]
    assert "seed" in hidden["output"] and "seed" not in json.dumps([*tests.values(), wrong, found["output"]])


def test_what_cannot_be_read_gets_no_score_and_a_sentence(autograder):
    found = results(autograder, **{NAME: b"<html>"})
    assert found["tests"] == [] and "web page" in found["output"]


def test_the_archive_holds_no_secret_and_its_scripts_are_scripts(autograder):
    names = zipfile.ZipFile(autograder / "autograder.zip").namelist()
    assert {"setup.sh", "run_autograder"} <= set(names)
    assert not [name for name in names if name.startswith(("grading", "tests", ".git")) or "__pycache__" in name]
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(autograder / "source" / script)], check=True)
    assert '"torch>=' in (autograder / "source" / "setup.sh").read_text()


def test_a_failure_of_the_autograder_itself_is_told_and_costs_nobody_a_point(tmp_path):
    (tmp_path / "submission").mkdir()
    found = json.loads(run(tmp_path).read_text())
    assert found["tests"] == [] and "no fault of yours" in found["output"]


def test_a_mark_that_waits_for_a_human_is_neither_passed_nor_failed():
    mark = Mark("trained_vae", State.FOR_A_HUMAN, 0, 4, "better than is possible.", None, 7)
    (test, _) = results_of(Marks("07", State.GRADED, [], [mark], False, "digest", ""))["tests"]
    assert "status" not in test and test["output"].endswith("Your instructor will look at it.")


def test_an_unknown_lesson_gets_one_clear_line(tmp_path, capsys):
    assert main(["gradescope", "77", "--output", str(tmp_path / "x.zip")]) == 1
    assert capsys.readouterr().err.startswith("error: no lesson is called '77'")
    assert list(tmp_path.iterdir()) == []
