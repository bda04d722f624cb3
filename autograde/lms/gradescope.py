"""Gradescope: the autograder archive of a lesson, and what runs in it: the same grading, its verdicts as Gradescope's tests."""

import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from nbgrader.utils import find_all_files

from vae_helpers.files import write_whole, write_zip

from ..grading.marks import Mark, Marks, State
from ..lessons.lesson import ROOT, Lesson, read_lesson

STUDENT = "student"  # who it is does not matter here: inputs are drawn anew each time
LESSON_FILE = "lesson.txt"
SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when it builds the autograder's image.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends bubblewrap python3 python3-pip python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/python -m pip install --index-url https://download.pytorch.org/whl/cpu {torch}
/autograder/venv/bin/python -m pip install --editable "/autograder/source[grading]"
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission: from /autograder/submission to /autograder/results/results.json.
autograder="${AUTOGRADER:-/autograder}"
python="$autograder/venv/bin/python"
[ -x "$python" ] || python=python3
cd "$autograder/source" && exec "$python" -m autograde.lms.gradescope "$autograder"
"""


def autograder(lesson: Lesson, path: Path, root: Path = ROOT) -> Path:
    """Write the archive that an instructor uploads under "Configure autograder"; returns its path. It holds no secret and no submission."""
    tomls = (root / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    torch = " ".join(line.strip().rstrip(",") for line in tomls if line.strip().startswith('"torch'))
    files = {
        "setup.sh": SETUP.format(torch=torch).encode(),
        "run_autograder": RUN.encode(),
        LESSON_FILE: lesson.name.encode(),
    }
    names = ["pyproject.toml", "README.md", "LICENSE", "nbgrader_config.py", f"notebooks/{lesson.name}/{lesson.name}.ipynb"]
    paths = [root / name for name in names] + sorted((root / "solutions").rglob("*.md"))
    for folder, endings in (
        ("autograde", (".py", ".j2", ".json", ".css")),
        ("vae_helpers", (".py", ".safetensors", ".json", ".gz", ".md")),
    ):
        paths += [Path(p) for p in sorted(find_all_files(str(root / folder), ["__pycache__"])) if p.endswith(endings)]
    files |= {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return write_zip(path, files, programs=("setup.sh", "run_autograder"))


def run(folder: Path) -> Path:
    """Grade `folder`/submission as `folder`/results/results.json says; returns that file. It is written whatever happens."""
    results = folder / "results" / "results.json"
    try:
        content = results_of(_grade(folder))
    except Exception as error:  # a human must see it, and nobody gets 0 for it
        what = f"The autograder failed ({type(error).__name__}: {error}). That is no fault of yours; your instructor will look at it."
        content = {"output": what, "tests": []}
    write_whole(results, json.dumps(content, indent=1, ensure_ascii=False))
    return results


def _grade(folder: Path) -> Marks:
    from ..grading.classroom import Course, grade_class
    from ..sandbox.bubblewrap import SandboxMissing, require_sandbox

    lesson = read_lesson((folder / "source" / LESSON_FILE).read_text(encoding="utf-8").strip())
    try:
        require_sandbox()
        sandboxed = True
    except SandboxMissing:  # Gradescope gives each submission a container of its own
        sandboxed = False
    with tempfile.TemporaryDirectory() as made:
        shutil.copy(ROOT / "nbgrader_config.py", made)
        course = Course.find(Path(made))
        shutil.copytree(folder / "submission", course.submission_folder(STUDENT, lesson.name), symlinks=True)
        (Path(made) / "grading" / "secret").write_text(secrets.token_hex(32))
        return grade_class(course, lesson, progress=False, sandboxed=sandboxed)[STUDENT]


def results_of(marks: Marks) -> dict:
    """Marks as Gradescope's results.json: a test an exercise, with our message; remarks on top. Seeds are for instructors alone.

    A submission that a human must look at gets no tests, and so no score until somebody gives one.
    """
    remarks = list(marks.remarks)
    if not marks.sandboxed:
        remarks.append("Graded in Gradescope's container alone, without a sandbox in it.")
    if marks.state.needs_a_human:
        return {"output": "\n".join(remarks), "tests": []}
    seeds = "\n".join(f"{mark.exercise}: inputs drawn from seed {mark.seed}" for mark in marks.exercises)
    hidden = {"name": "For the instructor", "output": seeds, "visibility": "hidden", "score": 0, "max_score": 0}
    return {
        "output": "\n".join(remarks),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [*map(_test, marks.exercises), hidden],
    }


def _test(mark: Mark) -> dict:
    made = {
        "name": mark.exercise,
        "score": mark.points,
        "max_score": mark.max_points,
        "status": "passed" if mark.state == State.PASSED else "failed",
        "output": mark.message,
        "output_format": "text",
        "visibility": "visible",
    }
    if mark.state.needs_a_human:
        made["output"] += "\nYour instructor will look at it."
        del made["status"]
    return made


if __name__ == "__main__":
    print(run(Path(sys.argv[1])))
