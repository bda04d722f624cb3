"""The solved notebooks under nbmake, with everything real."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograde.grading.grade import Job, grade
from autograde.grading.handin_files import read_folder
from autograde.grading.marks import State
from autograde.lessons.build import write_source
from autograde.lessons.lesson import lesson_names, read_lesson
from vae_helpers.submissions.protocol import NO_HAND_IN

BUDGET = {"13_likelihoods": 180}  # seconds on 2 free cores; 90 for every other lesson
HANGS = 1800  # seconds: a cell that takes longer, on however busy a machine, never ends
# The kernel imports tests/explorers.py.
FINDS = os.environ | {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
    NO_HAND_IN: "1",
}
WEIGHTS = {"07_convolutional_vae": "vae.safetensors"}  # what a student hands in beside the notebook


@pytest.mark.parametrize("name", lesson_names())
def test_solved_notebook_passes_under_nbmake(name, tmp_path, record_property):
    path = write_source(read_lesson(name), tmp_path, claims=True)
    explored = tmp_path / "explored"
    move_explorers(path, explored)
    # `-p autograde.jupyter_kernels`: see there.
    command = [
        *(sys.executable, "-m", "pytest", "--nbmake", f"--nbmake-timeout={HANGS}"),
        "-p",
        "autograde.jupyter_kernels",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    before = processor_time()
    done = subprocess.run([*command, str(path)], cwd=path.parent, env=FINDS, capture_output=True, text=True)
    took = processor_time() - before
    record_property(name, f"{took:.0f} s of processor time (budget {2 * BUDGET.get(name, 90)} s, 2 cores)")
    assert done.returncode == 0, done.stdout[-3000:]
    explorers = [json.loads(line) for line in explored.read_text().splitlines()] if explored.exists() else []
    calls = re.findall(r'"(?:latent_explorer|explore)\(', path.read_text(encoding="utf-8"))
    assert len(explorers) == len(calls) > 0  # none went past the one that moves them
    for drawn, opened, moved in explorers:
        record_property(f"{name}, {drawn}", f"opens in {opened:.2f} s of processor time, answers in {moved:.2f} s at most")
    if name in WEIGHTS:
        handed_in = read_folder(path.parent)
        assert WEIGHTS[name] in handed_in.files
        for seed in range(3):
            marks = grade(Job(handed_in, name, dict.fromkeys(read_lesson(name).exercises, seed)))
            assert {mark.exercise: mark.message for mark in marks.exercises if mark.state != State.PASSED} == {}


def move_explorers(notebook: Path, report: Path) -> None:
    """Have every explorer of a notebook moved through its range where it stands: see tests/explorers.py."""
    content = nbformat.read(notebook, as_version=4)
    content.cells.insert(0, nbformat.v4.new_code_cell(f"import explorers\n\nexplorers.watch({str(report)!r})"))
    nbformat.write(content, notebook)


def processor_time() -> float:
    """Seconds that the processes which this one started, and theirs, have computed: what a busy machine changes little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
