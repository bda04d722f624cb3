"""`hand_in`: what it says will count is what counts, on any system, and each thing that can be wrong gets its line."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

import autograde.jupyter_kernels  # noqa: F401
from autograde.grading.classroom import Course
from autograde.grading.grade import Job, grade
from autograde.grading.handin_files import read_folder
from autograde.lessons.build import NOTEBOOKS, source_notebook
from autograde.lessons.last_cells import HAND_IN_IDS
from autograde.lessons.lesson import ROOT, lesson_names, read_lesson
from autograde.lms.collecting import collect
from vae_helpers.__main__ import main
from vae_helpers.submissions.handing_in import CannotHandIn, find_notebook, hand_in, pack, unsaved
from vae_helpers.submissions.protocol import NO_HAND_IN
from vae_helpers.submissions.released import released

LESSON = read_lesson("03_kl_divergence")
POINTS = sum(cell.points for cell in LESSON.exercises.values())
NAME = f"{LESSON.name}.ipynb"
TRAINS = read_lesson("07_convolutional_vae")


def notebook(lesson=LESSON, solved: bool = True, **answers: str) -> NotebookNode:
    """A student's notebook: with every answer right, or none, but for these."""
    path = NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb"
    made = source_notebook(lesson) if solved else nbformat.read(path, as_version=4)
    for cell in made.cells:
        cell.source = answers.get(cell.id, cell.source)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return tmp_path


def lines(out: str) -> dict[str, str]:
    """What was said of each exercise, and how many points it would get, by its name."""
    return {line.split()[1]: line for line in out.splitlines() if line[0] in "✓✗·"}


# Not Unix: what vae_helpers asks the system for must be there on Windows, too. What others import is their own affair.
ELSEWHERE = """
import builtins, os, signal
asked = builtins.__import__
def only_what_is_everywhere(name, globals=None, *rest, **words):
    if name in ("resource", "fcntl", "termios", "pwd") and (globals or {}).get("__name__", "").startswith("vae_helpers"):
        raise ImportError(name)
    return asked(name, globals, *rest, **words)
builtins.__import__ = only_what_is_everywhere
del signal.setitimer, signal.SIGALRM, signal.SIGXCPU, os.fork, os.killpg, os.setsid, os.pidfd_open
open(os.path.join(os.path.dirname(__file__), f"ran-{os.getpid()}"), "w")
"""


def test_what_would_count_is_what_counts_and_nothing_on_the_way_is_unix_only(folder):
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "sitecustomize.py").write_text(ELSEWHERE)
    wrong = "def gaussian_kl(mu, logvar):\n    return 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1)"
    nbformat.write(notebook(gaussian_kl=wrong), folder / NAME)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "elsewhere"), str(ROOT)]), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "vae_helpers", "hand_in", "03"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, encoding="utf-8")
    assert done.returncode == 1, done.stderr  # not every point would count
    assert len(list((folder / "elsewhere").glob("ran-*"))) == 2  # the command, and the child
    said = lines(done.stdout)
    assert list(said) == list(LESSON.exercises)
    assert "(0 of 2): not yet. You read `logvar` as log σ" in said.pop("gaussian_kl")
    assert {line[0] for line in said.values()} == {"✓"}
    assert f"{POINTS - 2} of {POINTS} points would count." in done.stdout
    assert "noted: " in said["predict_narrow"]  # and nothing of which option is right
    with zipfile.ZipFile(folder / f"{LESSON.name}.zip") as packed:
        assert packed.namelist() == [NAME]
        assert packed.read(NAME) == (folder / NAME).read_bytes()
    # As it comes back from Moodle: collected, and graded to the same.
    upload = folder / "moodle" / "Ada Lovelace_1234567_assignsubmission_file_"
    upload.mkdir(parents=True)
    (folder / f"{LESSON.name}.zip").rename(upload / f"{LESSON.name}.zip")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    course = Course.find(folder)
    result = collect(course, folder / "moodle")
    assert [(student, name) for student, name, _ in result.placed] == [("Ada Lovelace", LESSON.name)]
    handed_in = read_folder(course.submission_folder("Ada Lovelace", LESSON.name))
    marks = grade(Job(handed_in, LESSON.name, dict.fromkeys(LESSON.exercises, 5), sandboxed=False))
    assert marks.points == POINTS - 2
    assert [mark.exercise for mark in marks.exercises if not mark.points] == ["gaussian_kl"]


def test_each_way_not_to_count_has_its_line(folder, capsys):
    answers = {
        "kl_on_grid": "def kl_on_grid(*_):\n    raise ValueError('no idea')",
        "predict_narrow": "predict_narrow = 'z'",
        "kl_1d": "import os\nos._exit(3)",
        "gaussian_kl": "def gaussian_kl(mu, logvar):\n    return sum(range(10**15))",  # no signal comes between
        "kl_monte_carlo": "kl_monte_carlo = 1 / 0",
    }
    made = notebook(solved=False, **answers)
    made.cells = [cell for cell in made.cells if cell.id != "kl_low_variance"]
    made.cells.append(nbformat.v4.new_code_cell('hand_in("03")'))  # never begins anew in the child
    nbformat.write(made, folder / NAME)
    assert pack("03", step_seconds=2) is False
    out = capsys.readouterr().out
    said = lines(out)
    assert list(said) and set(said) == set(LESSON.exercises)
    for name, words in {
        "kl_on_grid": "no idea",
        "predict_narrow": "'z' is not one of",
        "kl_1d": "your code ended the Python process itself (exit status 3)",
        "gaussian_kl": "stopped after 2 seconds, from outside. Does a loop never end?",
        "kl_monte_carlo": "ZeroDivisionError: division by zero",
        "kl_low_variance": "not handed in: its cell is gone",
        "gaussian_kl_between": "not written yet",
    }.items():
        assert words in " ".join(out[out.index(said[name]) :].split("\n")[:3]), name
    assert f"0 of {POINTS} points would count." in out
    assert (folder / f"{LESSON.name}.zip").exists()


def test_weights_are_packed_and_missing_ones_are_said(folder, capsys):
    answers = {"trained_vae": "def trained_vae():\n    return load_weights(VAE(latent_dim=32), 'vae.safetensors')"}
    own = "import beside\nimport math"
    made = notebook(TRAINS, solved=False, **answers)
    made.cells.append(nbformat.v4.new_code_cell(own))
    nbformat.write(made, folder / "renamed.ipynb")
    (folder / "beside.py").write_text("mine = 1\n")
    assert pack("07", "renamed.ipynb") is False
    assert "vae.safetensors is not beside the notebook: run the cell that trains" in capsys.readouterr().out
    (folder / "vae.safetensors").write_bytes(b"no weights")
    (folder / "diary.txt").write_text("nobody's business")
    assert main(["hand_in", "07", "renamed.ipynb"]) == 1
    assert "is not beside" not in capsys.readouterr().out
    with zipfile.ZipFile(folder / f"{TRAINS.name}.zip") as packed:
        assert packed.namelist() == [f"{TRAINS.name}.ipynb", "beside.py", "vae.safetensors"]


def test_a_file_that_is_older_than_what_was_run_is_said(folder):
    """In a kernel, as a student runs it: the answer that was run last is not in the file, an earlier one that was mended is none's loss."""
    lesson = read_lesson("00_start_here")
    made = notebook(lesson, solved=False)
    made.cells = [cell for cell in made.cells if cell.id in (*lesson.exercises, *HAND_IN_IDS) or "given" in cell.id]
    nbformat.write(made, folder / f"{lesson.name}.ipynb")
    first, *_, last = made.cells = [cell for cell in made.cells if cell.cell_type == "code"]
    first.source += "\ndef ink(x):\n    return None"
    ink = next(cell for cell in made.cells if cell.id == "ink")
    ink.source = "def ink(x):\n    return x.mean(dim=(1, 2, 3))"
    NotebookClient(made, allow_errors=True, resources={"metadata": {"path": str(folder)}}).execute()
    out = "".join(output.text for output in last.outputs)
    assert out.count("! ink: what you ran last is not what the file has. Save the notebook first") == 2
    assert "(0 of 1): not written yet" in lines(out)["ink"], out
    assert (folder / f"{lesson.name}.zip").exists()


@pytest.mark.parametrize(
    ("history", "cells", "lost"),
    [
        (["def gaussian_kl(a): return 1"], ["def gaussian_kl(a):\n    return 1  # one"], None),
        (["def gaussian_kl(a): return 1", "def gaussian_kl(a): return 2"], ["def gaussian_kl(a): return 2"], None),
        (["def gaussian_kl(a): return 2"], ["def gaussian_kl(a): return 1"], "gaussian_kl"),
        (["half = 0.5", "def gaussian_kl(a): return half * a"], ["def gaussian_kl(a): return half * a"], "half"),
        (["scratch = 1", "2 +"], [], None),
    ],
)
def test_what_is_not_saved(history, cells, lost):
    warning = unsaved(history, cells, released("03"))
    assert (warning is None) if lost is None else warning.startswith(f"{lost}: what you ran last")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!doctype html><p>", "is a web page (HTML), not a notebook."),
        (b"", "is empty."),
        (b'{"cells": 3}', "it holds no cells."),
        (None, "is the notebook of 07_convolutional_vae, and this is 03_kl_divergence."),
    ],
    ids=["a page", "empty", "no cells", "another lesson"],
)
def test_what_is_no_notebook_of_the_lesson_gets_one_line_and_no_zip(folder, capsys, content, says):
    other = (NOTEBOOKS / TRAINS.name / f"{TRAINS.name}.ipynb").read_bytes()
    (folder / NAME).write_bytes(other if content is None else content)
    assert main(["hand_in", "03"]) == 1
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and says in error
    hand_in("03")  # in a notebook, where a traceback helps nobody
    assert says in capsys.readouterr().out
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_where_there_is_no_notebook_or_no_lesson(folder, capsys, monkeypatch):
    assert main(["hand_in", "99"]) == 1
    assert "no lesson is called '99'" in capsys.readouterr().err
    assert main(["hand_in", "03"]) == 1
    assert f"there is no {NAME} in {folder}: say where it is, as hand_in(" in capsys.readouterr().err
    assert main(["hand_in", "03", "nowhere.ipynb"]) == 1
    assert "there is no file" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "google.colab", os)
    with pytest.raises(CannotHandIn, match="choose File, Download, Download .ipynb"):
        find_notebook(released("03"), None)


def test_where_the_notebook_is_found(folder, monkeypatch):
    release = released("03")
    mine = folder / "my_notebooks" / LESSON.name / NAME
    again = folder / f"{LESSON.name} (1).ipynb"
    here, opened = folder / NAME, folder / "elsewhere.ipynb"
    for path in (again, mine, here, opened):  # each comes before the one before
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        monkeypatch.setenv("JPY_SESSION_NAME", str(path) if path == opened else "not-a-path")
        assert find_notebook(release, None) == path
    assert find_notebook(release, mine.parent) == mine


@pytest.mark.parametrize("name", lesson_names())
def test_every_lesson_ends_with_it_and_it_is_not_marked(name):
    cells = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4).cells
    assert [cell.id for cell in cells[-3:-1]] == list(HAND_IN_IDS)
    text, code, links = cells[-3:]
    assert code.source.endswith(f'hand_in("{name}")')
    assert "nbgrader" not in code.metadata
    assert links.source.startswith(("Previous: ", "Next: "))
    for packed in (f"{name}.ipynb", f"{name}.zip", *released(name).weights):
        assert f"`{packed}`" in text.source


def test_it_does_nothing_where_cells_are_run_for_something_else(folder, monkeypatch, capsys):
    monkeypatch.setenv(NO_HAND_IN, "1")
    hand_in("03")
    assert "skipped" in capsys.readouterr().out
