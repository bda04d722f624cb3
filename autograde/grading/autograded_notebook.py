"""The notebook that is graded: the lesson as it was released, with what a student handed in in its place."""

from copy import deepcopy
from functools import cache

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from vae_helpers.submissions.submission import Submission

from ..lessons.build import NOTEBOOKS
from ..lessons.lesson import Lesson

# Characters of a cell that are shown, and of all of a notebook's code. What colours code takes a time that grows with the square of
# its length, wherever the notebook is looked at.
LONGEST_CELL, LONGEST_NOTEBOOK = 10_000, 200_000


def release_of(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is handed out: a copy of your own."""
    return deepcopy(_read_release(lesson))


@cache
def _read_release(lesson: Lesson) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", as_version=4)


def notebook_of(submission: Submission, lesson: Lesson) -> NotebookNode:
    """The released notebook with the student's solutions and own cells, those that are very long cut short."""
    notebook = release_of(lesson)
    released = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [released.get(cell.id) or new_code_cell(id=cell.id) for cell in submission.cells]
    room = LONGEST_NOTEBOOK
    for cell, placed in zip(notebook.cells, submission.cells, strict=True):
        if cell.cell_type == "code":
            cell.source = _cut(placed.source, min(LONGEST_CELL, room))
            room = max(0, room - len(placed.source))
    return notebook


def _cut(source: str, most: int) -> str:
    """A cell of so many characters at most; the rest is in the file that was handed in."""
    if len(source) <= most:
        return source
    return f"{source[:most]}\n# … {len(source) - most:,} more characters are not shown here."
