"""What every lesson ends with: the cells in which a student sees what will count. And what is told of the lesson for that, as data."""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from vae_helpers.submissions.released import Asked, Release, ReleasedCell

from .lesson import Lesson

SAVES = re.compile(r"""save_weights\([^()]*,\s*["']([^"'/]+)["']\)""")  # beside the notebook
HAND_IN_IDS = ("hand-in-text", "hand-in")  # of the cells that every lesson ends with
# Colab's notebooks lie in no folder: 00 says how it is done there.
HAND_IN = """## Your points so far, and handing in

Save the notebook (Ctrl + S, or ⌘ + S), then run the cell below, whenever you like and as often as you like. From the saved file it takes
what is marked, your answers and your own cells, and runs it once more from top to bottom, as marking does: without training and
plots. It says for each exercise whether it would count, and why not, and packs {packed} into `{name}.zip`, beside the
notebook. That is the file to hand in."""


def with_hand_in(cells: list[NotebookNode], lesson: Lesson) -> list[NotebookNode]:
    """The cells, and after them what every lesson ends with; only the links to the lessons beside it stand below."""
    *before, last = cells
    text, _, links = last.source.rpartition("\n")
    beside = last.cell_type == "markdown" and links.startswith(("Previous: ", "Next: "))
    if beside:
        last.source = text.rstrip()
    packed = " and ".join(f"`{name}`" for name in (f"{lesson.name}.ipynb", *weights_of(lesson)))
    words = HAND_IN.format(name=lesson.name, packed=packed)
    pair = [new_markdown_cell(words), new_code_cell(f'from vae_helpers import hand_in\n\nhand_in("{lesson.name}")')]
    for cell, cell_id in zip(pair, HAND_IN_IDS, strict=True):
        cell.id = cell_id
    return [*before, last, *pair, *([new_markdown_cell(links)] if beside else [])]


def weights_of(lesson: Lesson) -> list[str]:
    """The files that the lesson saves beside its notebook, and that are handed in with it."""
    return sorted({name for cell in lesson.cells if cell.kind == "code" for name in SAVES.findall(cell.source)})


def release_data(lesson: Lesson, notebook: Path) -> str:
    """What `vae_helpers.submissions.released` tells of a lesson, from its notebook as it is handed out."""
    cells = [
        ReleasedCell(
            cell.id,
            cell.metadata.get("nbgrader", {}).get("grade_id"),
            cell.cell_type,
            cell.source if cell.cell_type == "code" else "",
        )
        for cell in nbformat.read(notebook, as_version=4).cells
    ]
    exercises = {name: Asked(cell.check or name, cell.points) for name, cell in lesson.exercises.items()}
    return Release(lesson.name, weights_of(lesson), exercises, cells).to_json()
