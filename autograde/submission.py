"""What a student handed in, put into the lesson as it was released: the one place where submissions are read."""

import ast
import io
import json
import os
import re
import stat
import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.utils import is_grade

from vae_helpers.checks.protocol import OWN, cell_step, plain

from .build import NOTEBOOKS
from .lesson import Cell, CourseError, Lesson

LARGEST_NOTEBOOK = 20 << 20  # bytes
LARGEST_FILES = 64 << 20  # bytes, all files together
MOST_FILES = 200
MOST_CELLS = 2000
LONGEST_CELL = 200_000  # characters of a cell in which names are looked for
_OTHER_LANGUAGE = re.compile(r"\s*%%(?!(?:time|capture|prun)\b)")
# What an expression without names and calls consists of.
_CONSTANTS = (
    ast.Constant,
    ast.UnaryOp,
    ast.BinOp,
    ast.operator,
    ast.unaryop,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.expr_context,
)


@dataclass(frozen=True)
class Handin:
    """A submission's folder: files by their path in it, and what was left out, in sentences."""

    files: dict[str, bytes]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Submission:
    """A submission as it is graded.

    notebook: the released lesson with the student's cells in it. counted: (name, cell) of those that run, in order.
    absent: the exercises that no cell answers. files: what lies beside the notebook. remarks: what the student should know about how it was read.
    """

    notebook: NotebookNode
    counted: list[tuple[str, NotebookNode]]
    absent: set[str]
    files: dict[str, bytes]
    remarks: list[str]


class Unreadable(CourseError):
    """There is no notebook to grade; the message is the sentence for the student."""


class Missing(Unreadable):
    """Nothing was handed in."""


def read_folder(folder: Path) -> Handin:
    """The files of a submission's folder. Links are not followed, and nothing above the limits is read. Raises Missing."""
    if folder.is_symlink() or not folder.is_dir():
        raise Missing("nothing was handed in: there is no such folder.")
    paths = []
    for base, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith((".", "__pycache__"))]
        paths += [Path(base, name) for name in names if not name.startswith(".")]
    # Notebooks first, and what is small: so the limits keep out what matters least.
    paths = sorted(paths, key=lambda path: (path.suffix != ".ipynb", path.lstat().st_size, path))
    files, remarks, room = {}, [], LARGEST_FILES
    for path in paths[:MOST_FILES]:
        name = path.relative_to(folder).as_posix()
        inside = plain(name)
        if inside == "timestamp.txt":
            continue
        if path.suffix == ".ipynb":
            while inside in files:  # two names that differ in what can't be shown
                inside = f"another {inside}"
        elif inside != name:
            remarks.append(f"{inside} was left out: its name has characters in it that can't be shown.")
            continue
        data, remark = read_file(path, min(room, LARGEST_NOTEBOOK) if path.suffix == ".ipynb" else room)
        if data is not None:
            files[inside] = data
            room -= len(data)
        remarks += [f"{inside} {remark}"] if remark else []
    remarks = remarks[:20]
    if len(paths) > MOST_FILES:
        remarks.append(f"{len(paths)} files were handed in; the {MOST_FILES} smallest, notebooks first, were read.")
    return Handin(files, remarks)


def read_file(path: Path, most: int) -> tuple[bytes | None, str | None]:
    """A student's file, of at most so many bytes; or None, and why it was not read. Links are not followed, pipes not waited for."""
    try:
        # A link may lead to anybody's file, and a pipe may never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return None, "is a link, and links are not followed." if path.is_symlink() else f"can't be read ({error.strerror})."
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None, "is no ordinary file."
        if about.st_size > most:
            return None, f"is too large ({about.st_size / 1e6:.0f} MB; at most {most / 1e6:.0f})."
        return file.read(most), None


def release_of(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is handed out: a copy of your own."""
    return deepcopy(_read_release(lesson))


@cache
def _read_release(lesson: Lesson) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", as_version=4)


def assemble(handin: Handin, lesson: Lesson) -> Submission:
    """Put the student's solutions and own cells into the released notebook; everything else in it stays as released.

    A solution is found by its cell's grade_id, else as the cell that defines the name that the exercise asks for.
    Raises Unreadable where there is no notebook, and Missing where there is nothing at all.
    """
    notebook, remarks = _choose_notebook(handin, lesson)
    remarks = [*handin.remarks, *remarks]
    release = release_of(lesson)
    theirs = _sort_cells(notebook, release, lesson)

    counted: list[tuple[str, NotebookNode]] = []
    cells = _place(theirs.own.get(None, []), counted)
    for cell in release.cells:
        name = _grade_id(cell)
        if name in lesson.exercises:
            cell.source = theirs.found.get(name, cell.source)
        cells.append(cell)
        if name and not is_grade(cell):
            counted.append((cell_step(name), cell))
        if cell.id in theirs.added:
            counted.append((cell_step(f"{cell.id}, imports and additions"), new_code_cell(theirs.added[cell.id])))
        cells += _place(theirs.own.get(cell.id, []), counted)
    release.cells = cells
    files = {path: data for path, data in handin.files.items() if not path.endswith(".ipynb")}
    return Submission(release, counted, set(lesson.exercises) - set(theirs.found), files, remarks)


def _place(sources: list[str], counted: list[tuple[str, NotebookNode]]) -> list[NotebookNode]:
    """Cells for the student's own code, entered among those that count."""
    made = []
    for source in sources:
        number = 1 + sum(name.startswith(OWN) for name, _ in counted)
        cell = new_code_cell(source, id=f"own-{number}")
        counted.append((f"{OWN} {number}", cell))
        made.append(cell)
    return made


def _grade_id(cell: Any) -> str | None:
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else None


def _choose_notebook(handin: Handin, lesson: Lesson) -> tuple[list[dict], list[str]]:
    """The cells of the notebook to grade: of several, the one with most answers; then the one with the lesson's name."""
    wanted = f"{lesson.name}.ipynb"
    names = sorted((name for name in handin.files if name.endswith(".ipynb")), key=lambda n: (n != wanted, n))
    readable, problems = {}, []
    for name in names:
        try:
            readable[name] = _read_cells(handin.files[name])
        except ValueError as error:
            problems.append(f"{name} {error}")
    if not readable:
        left_out = [remark for remark in handin.remarks if ".ipynb" in remark]
        if problems or left_out:
            raise Unreadable(" ".join([*problems, *left_out, "Open it in Jupyter, save it, and hand it in again."]))
        if handin.files:
            raise Unreadable(
                f"there is no notebook among the files ({', '.join(sorted(handin.files)[:5])}). Hand in {wanted}."
            )
        raise Missing("nothing was handed in: the folder is empty.")
    best = max(readable, key=lambda name: _answers(readable[name], lesson))
    remarks = problems
    if len(readable) > 1:
        remarks.append(f"{len(readable)} notebooks were handed in; {best}, the one with most answers, was marked.")
    elif best != wanted:
        remarks.append(f"{best} was marked as {wanted}.")
    return readable[best], remarks


def _read_cells(data: bytes) -> list[dict]:
    """The cells of any version of a notebook. Raises ValueError with what the file is instead."""
    if not data.strip():
        raise ValueError("is empty.")
    if data.lstrip()[:1] == b"<":
        raise ValueError("is a web page (HTML), not a notebook.")
    try:
        content = json.load(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise ValueError("is damaged: it is not valid JSON, as notebooks are.") from None
    if not isinstance(content, dict):
        raise ValueError("is no notebook: it holds no cells.")
    sheets = content.get("worksheets")
    cells = (
        sheets[0].get("cells")
        if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict)
        else content.get("cells")
    )
    if not isinstance(cells, list):
        raise ValueError("is no notebook: it holds no cells.")
    if len(cells) > MOST_CELLS:
        raise ValueError(f"has {len(cells)} cells; at most {MOST_CELLS} can be marked.")
    return [cell for cell in cells if isinstance(cell, dict)]


def _source(cell: dict) -> str:
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return source.encode("utf-8", "replace").decode()  # half a character can be in JSON, and in no file


def _answers(cells: list[dict], lesson: Lesson) -> int:
    """How many exercises have something other than the released stub."""
    stubs = {_grade_id(cell): cell.source for cell in _read_release(lesson).cells}
    by_id = {_grade_id(cell) for cell in cells if _source(cell).strip() != stubs.get(_grade_id(cell), "").strip()}
    written = set().union(*(_defined(_source(cell)) for cell in cells if _grade_id(cell) not in lesson.exercises))
    return sum(name in by_id or _asked_name(cell) in written for name, cell in lesson.exercises.items())


@dataclass(frozen=True)
class _Sorted:
    """A submission's cells. found: solutions by exercise. own: the student's own code by the id of the released cell before it.

    added: what is run of a released cell that otherwise is not run, or not as the student left it, by its id.
    """

    found: dict[str, str]
    own: dict[str | None, list[str]]
    added: dict[str, str]


def _sort_cells(cells: list[dict], release: NotebookNode, lesson: Lesson) -> _Sorted:
    by_source = {cell.source.strip(): cell.id for cell in reversed(release.cells)}
    by_id = {_grade_id(cell) or cell.id: cell.id for cell in release.cells}
    released = {cell.id: cell for cell in release.cells}
    stubs = {_grade_id(cell): cell.source.strip() for cell in release.cells if _grade_id(cell) in lesson.exercises}
    wanted = {name: _asked_name(cell) for name, cell in lesson.exercises.items()}
    sources = [_source(cell) for cell in cells]
    place_of: dict[int, str] = {}  # position in the submission -> id in the release
    copies: dict[str, list[int]] = {}  # of each solution cell
    for position, cell in enumerate(cells):
        names = (_grade_id(cell), cell.get("id") if isinstance(cell.get("id"), str) else None)
        name = next((n for n in names if n in by_id), None) or by_source.get(sources[position].strip())
        if name in lesson.exercises:
            copies.setdefault(name, []).append(position)
        elif name is not None:
            place_of[position] = by_id[name]

    found: dict[str, str] = {}
    left_out = set()
    for name, positions in copies.items():
        # Of several copies, such as the parts of a cell that was split, the last that defines what is asked for; else the last
        # with an answer. The others run as the student's own.
        answers = [p for p in positions if sources[p].strip() != stubs[name]]
        defining = [p for p in answers if wanted[name] in _defined(sources[p])]
        chosen = (defining or answers or positions)[-1]
        found[name], place_of[chosen] = sources[chosen], by_id[name]
        left_out.update(set(positions) - set(answers))
    # An answer may stand anywhere else, in an edited check, too.
    elsewhere = {
        position: _defined(source)
        for position, source in enumerate(sources)
        if position not in place_of or source != released[place_of[position]].source
    }
    for name in lesson.exercises:
        if found.get(name, stubs[name]).strip() != stubs[name]:
            continue
        taken = [position for position, place in place_of.items() if place in lesson.exercises]
        position = next((p for p in reversed(elsewhere) if wanted[name] in elsewhere[p] and p not in taken), None)
        if position is not None:
            found[name], place_of[position] = sources[position], by_id[name]
        elif any(wanted[name] in _defined(source) for other, source in found.items() if other != name):
            found[name] = f"# {name} stands in another exercise's cell"

    own: dict[str | None, list[str]] = {}
    added: dict[str, str] = {}
    names = _given_names(lesson)
    place = None
    for position, cell in enumerate(cells):
        if position in place_of:
            place = place_of[position]
            if place not in lesson.exercises and released[place].cell_type == "code":
                added[place] = _added(sources[position], released[place], names)
        elif position not in left_out and cell.get("cell_type") == "code" and sources[position].strip():
            own.setdefault(place, []).append(sources[position])
    return _Sorted(found, own, {place: source for place, source in added.items() if source})


@cache
def _given_names(lesson: Lesson) -> set[str]:
    """What the lesson itself defines, in given cells and in exercises."""
    return set().union(*(_defined(cell.source) for cell in _read_release(lesson).cells if _grade_id(cell)))


def _added(source: str, release: NotebookNode, names: set[str]) -> str:
    """What is run of a demonstration, its imports; and what the student has added to a released cell that answers may need.

    Those are imports, and definitions and constants of names that the lesson does not define itself.
    """
    is_demonstration = _grade_id(release) is None
    if not is_demonstration and source == release.source:
        return ""
    try:
        tree, old = _parse(source), {ast.dump(node) for node in _parse(release.source).body}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept = []
    for node in tree.body:
        is_new = ast.dump(node) not in old
        if isinstance(node, ast.Import | ast.ImportFrom):
            if is_new or is_demonstration:
                kept.append(node)
        elif is_new and _is_definition(node) and names.isdisjoint(_defined(ast.unparse(node))):
            kept.append(node)
    return "\n".join(map(ast.unparse, kept))


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        return all(isinstance(part, _CONSTANTS) for part in ast.walk(node.value))
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)


def _asked_name(cell: Cell) -> str:
    """The name that an exercise asks the student to define."""
    return cell.check if cell.check and cell.check.isidentifier() else cell.exercise


def _parse(source: str) -> ast.Module:
    """The syntax tree of a cell. Its magics and shell lines become `pass`; IPython's own way to read them can take minutes."""
    if len(source) > LONGEST_CELL or _OTHER_LANGUAGE.match(source):
        raise ValueError("no Python that is looked at")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except SyntaxError:
            return ast.parse("\n".join(map(_without_magic, source.split("\n"))))


def _without_magic(line: str) -> str:
    """The line, or `pass` in its place where it is one that IPython makes Python of."""
    code = line.lstrip(" \t")
    target, _, value = code.partition("=")
    assigned = value.lstrip(" \t").startswith(("%", "!")) and all(c.isalnum() or c in "_ ," for c in target)
    is_magic = code.startswith(("%", "!", "?")) or code.rstrip(" \t\r").endswith("?") or assigned
    return line[: len(line) - len(code)] + "pass" if is_magic else line


def _defined(source: str) -> set[str]:
    """The names that a cell defines at its top level; none where it is no Python."""
    try:
        tree = _parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
