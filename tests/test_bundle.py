"""The student's side as one archive: everything that a lesson needs, and nothing that gives a solution away."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from textwrap import indent

import nbformat
import pytest

from autograde.demo import reference_source
from autograde.lessons import bundle as bundling
from autograde.lessons.build import NOTEBOOKS, source_notebook
from autograde.lessons.bundle import bundle, check, readme_for_students
from autograde.lessons.lesson import ROOT, CourseError, lesson_names, read_lesson

START = read_lesson("00_start_here")
ENCODER = read_lesson("07_convolutional_vae").exercises["Encoder"]
ALL = [read_lesson(name) for name in lesson_names()]


@pytest.fixture
def root(tmp_path) -> Path:
    """A clone of the course with lesson 00, and with what lies about in a clone."""
    for name in (*bundling.SET_UP, f"notebooks/{START.name}", "vae_helpers"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


def test_a_bundle_holds_what_a_student_needs_and_nothing_that_lies_about(root, tmp_path):
    for stray in (
        f"notebooks/{START.name}/vae.safetensors",
        "vae_helpers/shipped/mine.safetensors",
        "vae_helpers/checks/keys/another_course.safetensors",
        "vae_helpers/answers.txt",
    ):
        (root / stray).write_bytes(b"x")
    left_out = bundle([START], tmp_path / "out" / "course.zip", root)
    zipfile.ZipFile(tmp_path / "out" / "course.zip").extractall(tmp_path / "student")
    course = tmp_path / "student" / bundling.FOLDER
    found = {path.relative_to(course).as_posix() for path in course.rglob("*") if path.is_file()}
    assert {name for name in left_out if "__pycache__" not in name} >= {
        f"notebooks/{START.name}/vae.safetensors",
        "vae_helpers/shipped/mine.safetensors",
        "vae_helpers/checks/keys/another_course.safetensors",
        "vae_helpers/answers.txt",
    }
    assert not [
        name
        for name in found
        if "mine" in name or "another" in name or "answers" in name or name.endswith("/vae.safetensors")
    ]
    keys = {Path(name).stem for name in found if "/keys/" in name}
    assert keys == set(START.exercises)
    assert {Path(name).stem for name in found if "/lessons/" in name} == {START.name}
    assert {
        *bundling.SET_UP,
        f"notebooks/{START.name}/{START.name}.ipynb",
        "vae_helpers/shipped/explorer.safetensors",
    } <= found
    assert {name.split("/")[0] for name in found} == {*bundling.SET_UP, "notebooks", "vae_helpers"}
    # What a student does first: take a copy, import the helpers, check an answer.
    code = "from vae_helpers import check, load_mnist, load_pretrained; check('bits_per_dim', None)"
    for words in (["-m", "vae_helpers"], ["-c", code]):
        done = subprocess.run(
            [sys.executable, *words], cwd=course, env={"PYTHONPATH": str(course)}, capture_output=True, text=True
        )
        assert done.returncode == 0 or "CheckFailed" in done.stderr, done.stderr
    assert (course / "my_notebooks" / START.name / f"{START.name}.ipynb").exists()


def test_a_notebook_in_which_somebody_has_written_is_refused_and_nothing_is_written(root, tmp_path):
    nbformat.write(source_notebook(START), root / "notebooks" / START.name / f"{START.name}.ipynb")
    with pytest.raises(CourseError, match="is not what the build makes"):
        bundle([START], tmp_path / "course.zip", root)
    assert not (tmp_path / "course.zip").exists()


def test_a_key_that_is_missing_is_told(root, tmp_path):
    (root / "vae_helpers" / "checks" / "keys" / f"{next(iter(START.exercises))}.safetensors").unlink()
    with pytest.raises(CourseError, match="no answer key of"):
        bundle([START], tmp_path / "course.zip", root)


def everything() -> dict[str, bytes]:
    """What a bundle of all lessons holds, as far as it is text."""
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "vae_helpers").rglob("*.py")}
    files |= {f"notebooks/{lesson.name}/{lesson.name}.ipynb": _released(lesson) for lesson in ALL}
    files |= {name: (ROOT / name).read_bytes() for name in (*bundling.SET_UP, "vae_helpers/mnist/README.md")}
    return files | {"README.md": readme_for_students(files["README.md"].decode(), ALL).encode()}


def _released(lesson) -> bytes:
    return (NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb").read_bytes()


def test_no_file_of_the_course_gives_a_solution_away_and_every_link_leads_somewhere():
    check(everything(), ALL)
    assert sum(len(bundling._solutions(lesson)) for lesson in ALL) > 80  # that many are looked for


def answered() -> str:
    """A notebook of one cell, an instructor's answer."""
    cell = nbformat.v4.new_code_cell(reference_source(ENCODER), metadata={"nbgrader": {"grade_id": "Encoder"}})
    return nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("vae_helpers/toy.py", indent(reference_source(ENCODER), "    "), "toy.py holds the solution of Encoder"),
        ("notebooks/00/00.ipynb", nbformat.writes(source_notebook(START)), "00.ipynb holds a solution"),
        ("notebooks/00/00.ipynb", answered(), "00.ipynb holds the solution of Encoder"),
        ("vae_helpers/toy.py", "### BEGIN SOLUTION\n", "holds a solution"),
        ("README.md", "see [it](solutions/vae.py)", "README.md links to solutions/vae.py, which students don't get"),
    ],
)
def test_what_gives_a_solution_away_or_leads_nowhere_is_told(name, text, says):
    with pytest.raises(CourseError, match=says.replace(".", r"\.")):
        check({name: text.encode()}, ALL)


def test_the_students_readme_is_for_students():
    text = readme_for_students((ROOT / "README.md").read_text(encoding="utf-8"), [START])
    assert "make lab" in text and "notebooks/00_start_here" in text and "Licence" in text
    for word in (
        "notebooks/03",
        "For instructors",
        "python -m autograde",
        "solutions/",
        "make test    #",
        ".github/pictures",
    ):
        assert word not in text, word
