"""Which of the notebooks that a student handed in is the one to mark: this lesson's, with most answers, in whatever file it came."""

import io
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .released import Release, released, released_names
from .syntax import defined, is_answer

NOTEBOOK = re.compile(r"\.ipynb(\.json|\.txt)*$", re.IGNORECASE)
LARGEST_NOTEBOOK = 20 << 20  # bytes
MOST_CELLS = 2000
TELLING = 40  # characters of a cell that is hardly in two lessons by chance


@dataclass(frozen=True)
class Handin:
    """A submission's folder: files by their path in it, and what was left out, in sentences."""

    files: dict[str, bytes]
    remarks: list[str] = field(default_factory=list)


class Unreadable(Exception):
    """There is no notebook to grade; the message is the sentence for the student."""


class Missing(Unreadable):
    """Nothing was handed in."""


def is_notebook(name: str) -> bool:
    """Whether a file is called as a notebook is, by Jupyter, or by browsers and learning platforms."""
    return NOTEBOOK.search(name) is not None


def too_large(name: str, size: int, most: int) -> str:
    """What is said of a file of more bytes than are read."""
    clear = " Clear its outputs (Edit, Clear Outputs of All Cells) and save it." if is_notebook(name) else ""
    return f"is too large ({size / 1e6:.0f} MB; at most {most / 1e6:.0f}).{clear}"


def choose_notebook(handin: Handin, lesson: Release) -> tuple[str, list[dict], list[str]]:
    """(its path, its cells, remarks): of several, the one with most answers; then the one with the lesson's name.

    Raises Unreadable where there is none of this lesson, and Missing where there is nothing at all.
    """
    wanted = f"{lesson.name}.ipynb"
    names = sorted(filter(is_notebook, handin.files), key=lambda n: (n != wanted, n))
    readable, problems, foreign = {}, [], []
    for name in names:
        try:
            cells = read_cells(handin.files[name])
        except ValueError as error:
            problems.append(f"{name} {error}")
            continue
        whose = _lesson_of(cells, lesson.name)
        if whose == lesson.name:
            readable[name] = cells
        else:
            foreign.append(f"{name} is the notebook of {whose}, and this is {lesson.name}.")
    if not readable:
        _refuse(handin, lesson, problems, foreign)
    best = max(readable, key=lambda name: _answers(readable[name], lesson))
    remarks = problems + (
        foreign if len(foreign) < 4 else [f"{len(foreign)} notebooks of other lessons were not looked at."]
    )
    if len(readable) > 1:
        remarks.append(f"{len(readable)} notebooks were handed in; {best}, the one with most answers, was marked.")
    elif best != wanted:
        remarks.append(f"{best} was marked as {wanted}.")
    return best, readable[best], remarks


def _refuse(handin: Handin, lesson: Release, problems: list[str], foreign: list[str]) -> None:
    wanted = f"{lesson.name}.ipynb"
    left_out = [remark for remark in handin.remarks if ".ipynb" in remark.lower() or ".zip" in remark.lower()]
    again = ["Open it in Jupyter, save it, and hand it in again."] if problems else []
    if foreign and not problems:
        again = [f"Hand in {wanted}."]
    if problems or foreign or left_out:
        raise Unreadable(" ".join([*problems, *foreign[:5], *left_out, *again]))
    if handin.files:
        raise Unreadable(f"there is no notebook among the files ({', '.join(sorted(handin.files)[:5])}). Hand in {wanted}.")
    if handin.remarks:
        raise Unreadable(" ".join(["nothing that was handed in can be read.", *handin.remarks[:5]]))
    raise Missing("nothing was handed in: the folder is empty.")


def read_cells(data: bytes) -> list[dict]:
    """The cells of any version of a notebook. Raises ValueError with what the file is instead."""
    if not data.strip():
        raise ValueError("is empty.")
    if b"\n<<<<<<< " in data or data.startswith(b"<<<<<<< "):
        raise ValueError("holds Git's marks of a conflict (<<<<<<<): resolve the conflict first.")
    if data.lstrip()[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<head"):
        raise ValueError("is a web page (HTML), not a notebook.")
    # What PowerShell's > and Notepad's "Unicode" write begins with a mark of its byte order.
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        # Numbers of any length: none is used.
        content = json.load(io.TextIOWrapper(io.BytesIO(data), encoding=encoding), parse_int=float)
    except UnicodeDecodeError:
        raise ValueError("is not in UTF-8, as notebooks are: some other program has saved it.") from None
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


def source_of(cell: dict) -> str:
    """A cell's text, with the line ends of this system."""
    source = cell.get("source", cell.get("input", ""))
    source = "".join(map(str, source)) if isinstance(source, list) else str(source)
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    return source.encode("utf-8", "replace").decode()  # half a character can be in JSON, and in no file


def grade_id(cell: Any) -> str | None:
    """nbgrader's name of a cell, where it has one."""
    metadata = cell.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else None


def cell_id(cell: Any) -> str | None:
    """The notebook's own name of a cell, where it has one."""
    return cell["id"] if isinstance(cell.get("id"), str) else None


@cache
def _lessons() -> dict[str, set[str]]:
    """By the names, ids and texts of cells: the lessons that were handed out with them."""
    found: dict[str, set[str]] = {}
    for lesson in released_names():
        for cell in released(lesson).cells:
            for word in _words(cell.name, cell.id, cell.source):
                found.setdefault(word, set()).add(lesson)
    return found


def _words(name: str | None, cell_id: str | None, source: str) -> set[str]:
    text = source.strip()
    return {word for word in (name, cell_id, text if len(text) > TELLING else None) if word}


def _lesson_of(cells: list[dict], expected: str) -> str:
    """The lesson that most cells were handed out in; the expected one where no other has more."""
    counts: Counter = Counter()
    for cell in cells:
        for word in _words(grade_id(cell), cell_id(cell), source_of(cell)):
            lessons = _lessons().get(word, ())
            if len(lessons) == 1:  # what stands in several tells nothing
                counts.update(lessons)
    return max(counts, key=lambda name: (counts[name], name == expected), default=expected)


def _answers(cells: list[dict], lesson: Release) -> int:
    """How many exercises have something other than the released stub."""
    stubs = lesson.stubs
    sources = [(grade_id(cell), source_of(cell)) for cell in cells]
    asked = {exercise: asked.name_in(exercise) for exercise, asked in lesson.exercises.items()}
    by_id = {name for name, source in sources if name in asked and is_answer(source, stubs[name], asked[name])}
    written = set().union(*(defined(source) for name, source in sources if name not in asked))
    return sum(name in by_id or asked[name] in written for name in asked)
