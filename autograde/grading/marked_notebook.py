"""The notebook that is graded: the lesson as it was released, with what a student handed in in its place."""

from copy import deepcopy
from functools import cache

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from vae_helpers.submissions.submission import Submission

from ..lessons.build import NOTEBOOKS
from ..lessons.lesson import Lesson


def release_of(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is handed out: a copy of your own."""
    return deepcopy(_read_release(lesson))


@cache
def _read_release(lesson: Lesson) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", as_version=4)


def notebook_of(submission: Submission, lesson: Lesson) -> NotebookNode:
    """The released notebook with the student's solutions and own cells."""
    notebook = release_of(lesson)
    released = {cell.id: cell for cell in notebook.cells}
    notebook.cells = [released.get(cell.id) or new_code_cell(id=cell.id) for cell in submission.cells]
    for cell, placed in zip(notebook.cells, submission.cells, strict=True):
        if cell.cell_type == "code":
            cell.source = placed.source
    return notebook
