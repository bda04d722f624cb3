"""From a lesson's text to nbgrader's source notebook, the students' notebook, and the answer keys: all of them, or none."""

import hashlib
import re
import shutil
import tempfile
import traceback
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vae_helpers.checks import KEYS
from vae_helpers.checks.probes import PROBES
from vae_helpers.checks.probes import load_all as load_probes
from vae_helpers.files import write_whole
from vae_helpers.submissions.released import LESSONS, check_id

from ..catalogue import find_exercise
from ..catalogue import load_all as load_catalogue
from ..site.launch import install_source, repository
from .answer_keys import compile_key, key_holds
from .last_cells import HAND_IN_IDS, release_data, with_hand_in
from .lesson import ROOT, Cell, Lesson, LessonError, lesson_names, module_of, read_lesson
from .proofread import proofread

INSTALL_ID = "install"  # of the cell that installs the course in Colab
NOTEBOOKS = ROOT / "notebooks"
SOURCE = ROOT / "build" / "source"

NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(
    lesson: Lesson, notebooks: Path = NOTEBOOKS, source: Path = SOURCE, keys: Path = KEYS, lessons: Path = LESSONS
) -> None:
    """Write the lesson's source notebook, release notebook, what is told of that (in `lessons`), and the answer keys; all of them,
    or none where something fails.
    """
    _check_registered(lesson)
    proofread(lesson, {name: [hint for hint, _ in find_exercise(name).mistakes.values()] for name in lesson.exercises})
    compiled = {name: _key_of(cell, lesson, keys) for name, cell in lesson.exercises.items()}
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        told = release_data(lesson, write_release(lesson, course))
        # nbgrader hands out whatever lies beside the source notebook, such as the weights of a model trained there.
        shutil.rmtree(source / lesson.name, ignore_errors=True)
        for made, kept in ((course / "source", source), (course / "release", notebooks)):
            notebook = Path(lesson.name, f"{lesson.name}.ipynb")
            write_whole(kept / notebook, (made / notebook).read_bytes())
    write_whole(lessons / f"{lesson.name}.json", told)
    for name, data in compiled.items():
        write_whole(keys / f"{name}.safetensors", data)


def remove_left_over(keys: Path = KEYS, lessons: Path = LESSONS) -> list[str]:
    """Delete the keys of exercises that no lesson has any more, and what is told of lessons that are gone; returns the keys' names."""
    for name in {path.stem for path in lessons.glob("*.json")} - set(lesson_names()):
        (lessons / f"{name}.json").unlink()
    left = sorted({path.stem for path in keys.glob("*.safetensors")} - _all_exercises())
    for name in left:
        (keys / f"{name}.safetensors").unlink()
    return left


def _all_exercises() -> set[str]:
    return {exercise for name in lesson_names() for exercise in read_lesson(name).exercises}


def _check_registered(lesson: Lesson) -> None:
    """Whether each exercise has its probe and its entry, and a name of its own in the course."""
    try:
        load_probes()
        registered = {"catalogue": load_catalogue(), "probes": PROBES}
    except ValueError as error:
        raise LessonError(str(error)) from error
    except Exception as error:  # a slip in a module of probes, or of the catalogue
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (at.filename, at.lineno)
        raise LessonError(f"{place[0]}:{place[1]}: {type(error).__name__}: {error}") from error
    _check_references(lesson)
    others = {e: name for name in lesson_names() if name != lesson.name for e in read_lesson(name).exercises}
    for exercise, cell in lesson.exercises.items():
        where = f"{lesson.path}:{cell.line - 1}"
        if exercise in others and lesson.name in lesson_names():
            raise LessonError(
                f"{where}: {others[exercise]} has an exercise called {exercise} already: give this one another name"
            )
        predicts = exercise.startswith("predict_")
        probe = f'choice("{exercise}", "abc")' if predicts else f'@probe("{exercise}")'
        for kind, example in (("probes", probe), ("catalogue", f'{exercise} = Exercise("{exercise}")')):
            if exercise not in registered[kind]:
                left = sorted(registered[kind].keys() - lesson.exercises.keys() - others.keys())
                renamed = f" (it has {', '.join(left)}, which no lesson has: renamed?)" * bool(left)
                what = {"probes": "probe", "catalogue": "catalogue entry"}[kind]
                raise LessonError(
                    f"{where}: {exercise} has no {what}: write {example} in {module_of(lesson, kind)}{renamed}"
                )


def _check_references(lesson: Lesson) -> None:
    """Whether its catalogue builds on exercises that there are: a mistake that stops when it runs is no mistake of a student."""
    path = ROOT / module_of(lesson, "catalogue")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else [], 1):
        for name in re.findall(r'\breference\("([^"]*)"\)', line):
            try:
                find_exercise(name)
            except ValueError as error:
                raise LessonError(f"{path.relative_to(ROOT)}:{number}: {error}") from error


def write_source(lesson: Lesson, folder: Path, claims: bool = False) -> Path:
    """Write nbgrader's source notebook (the solved one, where it has its claims) below `folder`; returns its path."""
    path = folder / lesson.name / f"{lesson.name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(source_notebook(lesson, claims), path)
    return path


def write_release(lesson: Lesson, folder: Path) -> Path:
    """Write the lesson as it is handed out below `folder`/release, its source notebook below `folder`/source; returns its path."""
    write_source(lesson, folder / "source")
    generate_assignment(lesson.name, folder)
    return folder / "release" / lesson.name / f"{lesson.name}.ipynb"


def source_notebook(lesson: Lesson, claims: bool = False) -> nbformat.NotebookNode:
    """The lesson as nbgrader's source notebook, with solutions, metadata, check cells and stable cell ids.

    claims: with what the prose says of the runs, asserted. Students never see it.
    """
    cells, ids = [], set()
    made = [m for cell in lesson.cells if claims or not cell.claim for m in _notebook_cells(cell)]
    for cell in with_hand_in(made, lesson):
        cell.id = _cell_id(cell, ids)
        cells.append(cell)
    if install := install_source(repository()):
        cells.insert(1, new_code_cell(install, id=INSTALL_ID))
    notebook = new_notebook(cells=cells, metadata=NOTEBOOK_METADATA)
    nbformat.validate(notebook)
    return notebook


def _notebook_cells(cell: Cell) -> list[nbformat.NotebookNode]:
    if cell.kind == "markdown":
        return [new_markdown_cell(cell.source)]
    if cell.exercise:
        check = f'check("{cell.exercise}", {cell.check or cell.exercise})'
        return [
            new_code_cell(cell.source, metadata=_nbgrader(cell.exercise, solution=True)),
            new_code_cell(check, metadata=_nbgrader(check_id(cell.exercise), grade=True, locked=True, points=cell.points)),
        ]
    if cell.given:
        return [new_code_cell(cell.source, metadata=_nbgrader(f"given-{_digest(cell.source)}", locked=True))]
    return [new_code_cell(cell.source)]


def _nbgrader(grade_id: str, **kinds) -> dict:
    metadata = {"grade": False, "locked": False, "solution": False, "task": False, **kinds}
    return {"nbgrader": {"grade_id": grade_id, "schema_version": 3, **metadata}}


def _digest(source: str) -> str:
    return hashlib.sha1(source.encode()).hexdigest()[:10]


def _cell_id(cell: nbformat.NotebookNode, taken: set[str]) -> str:
    """The grade_id where there is one, else a digest of the source: an edit changes no other cell's id."""
    if cell.id in HAND_IN_IDS:
        return cell.id
    base = cell.metadata.get("nbgrader", {}).get("grade_id") or f"{cell.cell_type}-{_digest(cell.source)}"
    cell_id, copies = base, 1
    while cell_id in taken:
        copies += 1
        cell_id = f"{base}-{copies}"
    taken.add(cell_id)
    return cell_id


def generate_assignment(name: str, course: Path) -> None:
    """nbgrader's own generate_assignment, from course/source to course/release, with no gradebook."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", str(ROOT)).load_config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.source_directory = "source"
    config.CourseDirectory.release_directory = "release"
    config.CourseDirectory.assignment_id = name
    config.GenerateAssignment.no_database = True
    config.SaveCells.enabled = False
    try:
        GenerateAssignment(coursedir=CourseDirectory(config=config), config=config).start()
    except Exception as error:
        raise LessonError(f"nbgrader could not generate {name}: {error}") from error


def _key_of(cell: Cell, lesson: Lesson, keys: Path) -> bytes:
    """The key that there is, where it holds: another processor sees other last digits, and writes no other key for them."""
    path = keys / f"{cell.exercise}.safetensors"
    old = path.read_bytes() if path.exists() else b""
    try:
        return old if key_holds(cell.exercise, old) else compile_key(cell.exercise, old)
    except LessonError as error:
        raise LessonError(f"{lesson.path}:{cell.line - 1}: {error}") from error


def same_cells(released: Path, made: Path) -> bool:
    """Whether two notebooks have the same cells, whatever their outputs."""
    try:
        theirs, ours = (nbformat.read(path, as_version=4).cells for path in (released, made))
    except Exception:  # whatever it is, it is not what the build made
        return False
    return [(c.cell_type, c.source, c.metadata.get("nbgrader")) for c in theirs] == [
        (c.cell_type, c.source, c.metadata.get("nbgrader")) for c in ours
    ]
