"""From a lesson's text to nbgrader's source notebook, the students' notebook, and the answer keys."""

import hashlib
import inspect
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vae_helpers.checks import KEYS, PUBLIC_SEED, observe
from vae_helpers.checks.agreement import agree
from vae_helpers.checks.observation import Fact, Observation, pack, undecided_places, unpack
from vae_helpers.checks.probes import OPTIONS, PROBES
from vae_helpers.checks.probes import load_all as load_probes
from vae_helpers.checks.recorder import Recorder
from vae_helpers.checks.verdict import compare
from vae_helpers.files import write_whole
from vae_helpers.submissions.released import LESSONS, check_id

from ..catalogue import Exercise, find_exercise
from ..catalogue import load_all as load_catalogue
from ..site.launch import install_source, repository
from .last_cells import HAND_IN_IDS, release_data, with_hand_in
from .lesson import ROOT, Cell, Lesson, LessonError, lesson_names, read_lesson
from .proofread import module_of, proofread
from .rounding import observe_decided

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


def compile_key(exercise: str, old: bytes = b"") -> bytes:
    """The answer key: what the probe sees of the reference and of each mistake, with the hints.

    A mistake is known by what every processor sees of it: what rounding alone decides has no value.
    old: a key of the exercise. What still holds of it is kept as it is.
    Raises LessonError when the key could not tell a mistake from the reference or from another mistake, the reference raises
    what the probe does not ask for, or rounding decides what is seen of it.
    """
    try:
        entry = find_exercise(exercise)
        kept = _what_holds(entry, old)
        reference = kept.get("reference") or observe_decided(exercise, entry.reference, PUBLIC_SEED)
        mistakes = {
            name: kept.get(name) or observe_decided(exercise, make(), PUBLIC_SEED)
            for name, (_, make) in entry.mistakes.items()
        }
    except ValueError as error:
        raise LessonError(f"{exercise}: {error}") from error
    if places := undecided_places(reference):
        label, what = places[0]
        raise LessonError(f"{exercise}: rounding alone decides what the probe sees of the reference ({label}: {what})")
    # Whatever is predicted passes: that options differ is another question.
    same = agree if exercise in OPTIONS else lambda seen, known: compare(exercise, seen, known).passed
    for name, seen in mistakes.items():
        undecided = undecided_places(seen)
        but = ", but for what rounding alone decides" * bool(undecided)
        if same([f for f in seen if f.value is not None], [f for f in reference if f.place not in undecided]):
            raise LessonError(f"{exercise}: the probe cannot tell the mistake {name!r} from the reference{but}")
        for other, known in mistakes.items():
            if other != name and agree(seen, known):
                but = ", but for what rounding alone decides" * bool(undecided or undecided_places(known))
                raise LessonError(f"{exercise}: the probe cannot tell the mistake {name!r} from {other!r}{but}")
    hints = {name: hint for name, (hint, _) in entry.mistakes.items()}
    return pack(
        {name: [replace(fact, told=None) for fact in seen] for name, seen in {"reference": reference, **mistakes}.items()},
        **hints,
    )


def _what_holds(entry: Exercise, key: bytes) -> dict[str, Observation]:
    """What a key says of the reference ("reference") and of those mistakes that it has, where the probe sees the same here.

    Nothing where the reference differs. Raises LessonError as `_observe_reference` does.
    """
    reference = _observe_reference(entry)
    try:
        known, _ = unpack(key)
    except Exception:  # no key at all
        return {}
    if not _same_reference(reference, known.get("reference", [])):
        return {}
    held = {
        name: known[name]
        for name, (_, make) in entry.mistakes.items()
        if name in known and agree(observe(entry.name, make(), PUBLIC_SEED), known[name])
    }
    return {"reference": known["reference"], **held}


def _same_reference(seen: Observation, known: Observation) -> bool:
    return agree(seen, known) and all(_same_tolerances(a, b) for a, b in zip(seen, known, strict=True))


class _ReferenceRecorder(Recorder):
    """Is surprised, too, where a call's `inputs` are not what the reference calls its arguments: students read these names."""

    def call(self, label: str, function: Callable, *args: Any, inputs: Sequence[str] = (), **options: Any) -> Any:
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            for said, name in zip(inputs, names, strict=False):
                if said != name:
                    self.surprises.append(f"has no argument {said!r} there, but {name!r} ({label})")
        return super().call(label, function, *args, inputs=inputs, **options)


def _observe_reference(entry: Exercise) -> Observation:
    """What the probe sees of the reference. Raises LessonError for what the probe does not ask for."""
    recorder = _ReferenceRecorder(PUBLIC_SEED)
    seen = observe(entry.name, entry.reference, PUBLIC_SEED, recorder)
    if recorder.surprises:
        probe = f"mend its probe in {module_of(entry.lesson, 'probes')}"
        asked = "; where a right answer raises, the probe says raises=ValueError" * recorder.surprises[0].startswith(
            "raises"
        )
        raise LessonError(f"{entry.name}: the reference {recorder.surprises[0]}: {probe}{asked}")
    return seen


def key_holds(exercise: str, key: bytes) -> bool:
    """Whether an answer key says what the probe sees here, but for last digits, and names every mistake.

    Raises LessonError for an exercise that the catalogue does not know.
    """
    try:
        known, hints = unpack(key)
    except Exception:  # no key at all
        return False
    try:
        entry = find_exercise(exercise)
        if list(known) != ["reference", *entry.mistakes] or hints != {
            name: hint for name, (hint, _) in entry.mistakes.items()
        }:
            return False
        reference, mistakes = known["reference"], [(name, hint, known[name]) for name, hint in hints.items()]
        seen = _observe_reference(entry)
        return _same_reference(seen, reference) and all(
            compare(exercise, observe(exercise, make(), PUBLIC_SEED), reference, mistakes).mistake == name
            for name, (_, make) in entry.mistakes.items()
        )
    except ValueError as error:
        raise LessonError(f"{exercise}: {error}") from error


def _same_tolerances(seen: Fact, known: Fact) -> bool:
    if isinstance(known.value, str):  # words have none
        return isinstance(seen.value, str)
    # Some are made from what was seen, and have last digits of their own.
    same_atol = np.shape(seen.atol) == np.shape(known.atol) and np.allclose(seen.atol, known.atol, rtol=1e-3, atol=0)
    return (seen.rtol, seen.limit) == (known.rtol, known.limit) and same_atol


def same_cells(released: Path, made: Path) -> bool:
    """Whether two notebooks have the same cells, whatever their outputs."""
    try:
        theirs, ours = (nbformat.read(path, as_version=4).cells for path in (released, made))
    except Exception:  # whatever it is, it is not what the build made
        return False
    return [(c.cell_type, c.source, c.metadata.get("nbgrader")) for c in theirs] == [
        (c.cell_type, c.source, c.metadata.get("nbgrader")) for c in ours
    ]
