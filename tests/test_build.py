"""The build: the same bytes from the same lesson, nothing of a solution in what students get, one line for what is malformed."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograde import build as builder
from autograde.build import NOTEBOOKS, build, check_id, source_notebook
from autograde.lesson import BEGIN, END, ROOT, LessonError, lesson_names, read_lesson, reference_namespace
from vae_helpers.checks import KEYS

LESSONS = lesson_names()
EXERCISES = {exercise: lesson for lesson in LESSONS for exercise in read_lesson(lesson).exercises}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Builds a lesson once into a folder of its own; returns that folder."""
    made = {}

    def build_into(lesson: str) -> Path:
        if lesson not in made:
            made[lesson] = tmp_path_factory.mktemp(lesson)
            shutil.copytree(KEYS, made[lesson] / "keys")
            build(read_lesson(lesson), *(made[lesson] / part for part in ("notebooks", "source", "keys")))
        return made[lesson]

    return build_into


def notebook_of(folder: Path, lesson: str) -> Path:
    return folder / lesson / f"{lesson}.ipynb"


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_committed_notebook_is_what_the_text_gives(fresh, lesson):
    committed = notebook_of(NOTEBOOKS, lesson).read_bytes()
    assert committed == notebook_of(fresh(lesson) / "notebooks", lesson).read_bytes(), "stale: run make notebooks"


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_committed_key_holds(fresh, exercise):
    """The build keeps a key that says what is seen here, whatever the last digits, and writes another in place of any other."""
    file = f"{exercise}.safetensors"
    assert (KEYS / file).read_bytes() == (fresh(EXERCISES[exercise]) / "keys" / file).read_bytes(), (
        "stale: run make notebooks"
    )


def test_every_key_and_every_notebook_has_its_lesson():
    assert {path.stem for path in KEYS.glob("*")} == set(EXERCISES)
    assert {path.stem for path in NOTEBOOKS.glob("*/*.ipynb")} == set(LESSONS)


def test_another_process_with_other_hashes_makes_the_same_bytes(fresh, tmp_path):
    lesson = LESSONS[0]
    code = f"""if True:
        from pathlib import Path
        from autograde.build import generate_assignment, write_source
        from autograde.lesson import read_lesson
        write_source(read_lesson({lesson!r}), Path("source"))
        generate_assignment({lesson!r}, Path.cwd())
    """
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True)
    for there, here in (("source", "source"), ("release", "notebooks")):
        assert notebook_of(tmp_path / there, lesson).read_bytes() == notebook_of(fresh(lesson) / here, lesson).read_bytes()


@pytest.mark.parametrize("lesson", LESSONS)
def test_students_get_every_exercise_and_no_solution(lesson):
    text = notebook_of(NOTEBOOKS, lesson).read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    cells = {cell.id: cell for cell in nbformat.reads(text, as_version=4).cells}
    for exercise, cell in read_lesson(lesson).exercises.items():
        assert "NotImplementedError" in cells[exercise].source
        left = {line.strip() for line in cells[exercise].source.splitlines()}
        assert not left & solution_lines(cell.source)
        assert not cells[exercise].outputs
        assert cells[check_id(exercise)].metadata.nbgrader.points == cell.points


def solution_lines(source: str) -> set[str]:
    lines, inside = set(), False
    for line in source.splitlines():
        inside = (inside or BEGIN in line) and END not in line
        if inside and BEGIN not in line:
            lines.add(line.strip())
    assert lines
    return lines - {""}


def test_nothing_but_notebooks_is_handed_out():
    assert {path.suffix for path in NOTEBOOKS.rglob("*") if path.is_file() and ".ipynb_checkpoints" not in path.parts} <= {
        ".ipynb",
        ".safetensors",
    }


@pytest.mark.parametrize("path", sorted((ROOT / "vae_helpers").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_vae_helpers_stands_alone(path):
    text = path.read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node.value in ("autograde", "solutions") else []
        assert not [name for name in names if name.split(".")[0] in ("autograde", "solutions")]


# Malformed lessons.

EXERCISE = '```python exercise="gaussian_kl" points=2\ngaussian_kl = None\n### BEGIN SOLUTION\ngaussian_kl = 1\n### END SOLUTION\n```\n'


def lesson_of(tmp_path: Path, text: str):
    folder = tmp_path / "09_bad"
    folder.mkdir()
    (folder / "09_bad.md").write_text(text, encoding="utf-8")
    return read_lesson("09_bad", tmp_path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("# A\n\n" + EXERCISE.replace("### END SOLUTION\n", ""), 5, "not closed"),
        ("# A\n\n" + EXERCISE.replace("### BEGIN SOLUTION\n", ""), 6, "no BEGIN SOLUTION"),
        (EXERCISE.replace("### BEGIN SOLUTION\n", "### BEGIN SOLUTION\n" * 2), 4, "begins inside the one of line 3"),
        (EXERCISE.replace("### BEGIN SOLUTION\n", "").replace("### END SOLUTION\n", ""), 1, "has no ### BEGIN SOLUTION"),
        ("# A\n\n```python\nx = 1\n", 3, "never closed"),
        ("```python\nx = 1\n\n" + EXERCISE, 1, "not closed before the next one opens on line 4"),
        ("# A\n\n" + EXERCISE + "\n# B\n\n" + EXERCISE, 12, "exercise gaussian_kl stands here and on line 3"),
        ("# A\n\n" + EXERCISE.replace(" points=2", ""), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "points=-1"), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "points=true"), 3, "has no points"),
        ("# A\n\n" + EXERCISE.replace("points=2", "point=2"), 3, "unknown word in the fence: point"),
        ("# A\n\n```python\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n```\n", 3, "in a cell that is no exercise"),
    ],
)
def test_a_malformed_lesson_gets_one_line_with_file_and_line(tmp_path, text, line, words):
    with pytest.raises(LessonError) as caught:
        lesson_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / '09_bad' / '09_bad.md'}:{line}: ")
    assert words in message
    assert "\n" not in message


def test_the_well_formed_lesson_that_these_spoil_is_read(tmp_path):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE)
    assert lesson.exercises["gaussian_kl"].points == 2
    assert lesson.exercises["gaussian_kl"].line == 4


def test_an_exercise_that_the_catalogue_does_not_know(tmp_path):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE.replace("gaussian_kl", "nonsense"))
    with pytest.raises(LessonError, match=r"09_bad\.md:3: nonsense: no exercise is called 'nonsense'") as caught:
        build(lesson, *(tmp_path / part for part in ("notebooks", "source", "keys")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("solution", "words"), [("gaussian_kl = (1", "SyntaxError: "), ("1 / 0", "ZeroDivisionError: ")])
def test_a_solution_that_does_not_run(tmp_path, solution, words):
    lesson = lesson_of(tmp_path, "# A\n\n" + EXERCISE.replace("gaussian_kl = 1", solution))
    with pytest.raises(LessonError, match=rf"09_bad\.md:4: the cell that begins here stops with {words}") as caught:
        reference_namespace(lesson)
    assert "\n" not in str(caught.value)


def test_an_unknown_lesson(tmp_path):
    with pytest.raises(LessonError, match="no lesson is called '12_nowhere'"):
        read_lesson("12_nowhere", tmp_path)


def test_the_command_says_in_one_line_what_is_wrong():
    done = subprocess.run([sys.executable, "-m", "autograde", "build", "nonsense"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "no lesson is called 'nonsense'" in done.stderr


@pytest.mark.parametrize("step", ["compile_key", "write_source", "generate_assignment"])
def test_a_build_that_fails_leaves_what_there_was(tmp_path, monkeypatch, step):
    lesson = lesson_of(tmp_path, EXERCISE)
    folders = [tmp_path / part for part in ("notebooks", "source", "keys")]
    files = [
        notebook_of(folders[0], lesson.name),
        notebook_of(folders[1], lesson.name),
        folders[2] / "gaussian_kl.safetensors",
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("old")

    def fail(*_):
        raise LessonError("broken on purpose")

    monkeypatch.setattr(builder, step, fail)
    with pytest.raises(LessonError, match="broken on purpose"):
        build(lesson, *folders)
    assert [file.read_text() for file in files] == ["old"] * 3
    assert [len(list(folder.rglob("*.*"))) for folder in folders] == [1, 1, 1]


def test_a_build_leaves_only_the_notebook_to_hand_out(tmp_path):
    lesson = read_lesson(LESSONS[0])
    folders = [tmp_path / part for part in ("notebooks", "source", "keys")]
    notebook_of(folders[1], lesson.name).parent.mkdir(parents=True)
    (folders[1] / lesson.name / "vae.safetensors").write_text("trained by the instructor")
    build(lesson, *folders)
    assert [path.name for path in (folders[1] / lesson.name).iterdir()] == [f"{lesson.name}.ipynb"]


def test_an_edit_changes_no_other_cell_s_id(tmp_path):
    text = "# A\n\n```python\nx = 1\n```\n\nwords\n\n" + EXERCISE
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = source_notebook(lesson_of(tmp_path / "before", text)).cells
    after = source_notebook(lesson_of(tmp_path / "after", text.replace("x = 1", "x = 2"))).cells
    differ = [a.id != b.id for a, b in zip(before, after, strict=True)]
    assert differ == [False, True, False, False, False]


def test_equal_cells_have_ids_of_their_own(tmp_path):
    notebook = source_notebook(lesson_of(tmp_path, "```python\nx = 1\n```\n\n```python\nx = 1\n```\n"))
    assert len({cell.id for cell in notebook.cells}) == 2
