"""A lesson's page: what students are given, cell by cell, with the outputs of the solved lesson where they give nothing away."""

import ast
import base64
import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell, new_output

from ..lessons.build import INSTALL_ID, NOTEBOOKS, check_id, source_notebook
from ..lessons.last_cells import HAND_IN_IDS
from ..lessons.lesson import Cell, CourseError, Lesson
from .explorer import frames, plane
from .figures import save_figure
from .launch import file_address
from .recording import FRAMES, PLANE

WIDGET = "application/vnd.jupyter.widget-view+json"
STATIC = "../_static/"  # from a lesson's page
FOLDED = {"figure": 6, "given": 12}  # lines from which on the code that draws a figure, or is given, is folded away
PICTURE = re.compile(r"src=(['\"])data:image/png;base64,([^'\"]+)\1")
LESSON_LINK = re.compile(r"\[([^\]]+)\]\(\.\./(\w+)/\w+\.ipynb(#[^)]*)?\)")
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./\.\./([^)]+)\)")  # a file of the repository
WAY_ON = re.compile(r"^(Previous|Next): \[.*\.ipynb\)\.?$")


def page(
    lesson: Lesson,
    executed: nbformat.NotebookNode,
    static: Path,
    others: Iterable[str],
    address: str | None = None,
    notebooks: Path = NOTEBOOKS,
) -> nbformat.NotebookNode:
    """The page's notebook. executed: the solved one, with outputs. static: where figures are saved, below "figures".

    others: the lessons that the site has; a link to any other is left out. address: the repository's OWNER/NAME, to which links
    to its other files lead; without one they are left out. What stands in an exercise's cell, and whether a
    cell is one, comes from the released notebook and from the lesson, never from the solved one. Raises CourseError where the
    released notebook is not what the lesson's text gives.
    """
    path = notebooks / lesson.name / f"{lesson.name}.ipynb"
    released = nbformat.read(path, as_version=4)
    ids = [cell.id for cell in source_notebook(lesson).cells]
    if [cell.id for cell in released.cells] != ids or [cell.id for cell in executed.cells] != ids:
        raise CourseError(f"{path} is stale: python -m autograde build {lesson.name[:2]}")
    kinds = {id_: kind for name, cell in lesson.exercises.items() for id_, kind in _kinds(name, cell)}
    for cell, ran in zip(released.cells, executed.cells, strict=True):
        if cell.cell_type == "markdown":
            cell.source = _prose(cell.source, set(others), address)
            continue
        kind = kinds.get(cell.id)
        locked = cell.metadata.get("nbgrader", {}).get("locked", False)
        cell.metadata = {"tags": [kind] if kind else []}
        cell.outputs, cell.execution_count = [], None
        if kind:
            continue
        cell.outputs = _outputs(ran.outputs, static / "figures")
        lines = cell.source.count("\n") + 1
        draws = any("<img" in output.get("data", {}).get("text/html", "") for output in cell.outputs)
        if lines > FOLDED["given"] and locked or lines > FOLDED["figure"] and draws:
            cell.metadata["tags"].append("hide-input")
        if _reveals(cell.source):
            cell.metadata["tags"].append("hide-output")
    # A page can neither install the course nor hand anything in.
    released.cells = [cell for cell in released.cells if cell.source and cell.id not in (INSTALL_ID, *HAND_IN_IDS)]
    released.metadata.pop("widgets", None)
    nbformat.validate(released)
    return released


def _kinds(name: str, cell: Cell) -> list[tuple[str, str]]:
    """(cell id, tag) of an exercise's cell, and of its check."""
    kind = "prediction" if name.startswith("predict_") else "challenge" if cell.points == 0 else "exercise"
    return [(name, kind), (check_id(name), "check")]


def _reveals(source: str) -> bool:
    """Whether the cell says which option of a prediction was right: for readers who ask, as one may not have decided yet."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == "reveal" for called in calls)


def _prose(text: str, others: set[str], address: str | None) -> str:
    """Without the lesson's own links to its neighbours, which the page has at its foot, and links to pages that are not there."""
    kept = "\n".join(line for line in text.splitlines() if not WAY_ON.match(line))
    kept = OUTSIDE.sub(lambda link: f"[{link[1]}]({file_address(address, link[2])})" if address else link[1], kept)
    return LESSON_LINK.sub(lambda link: link[0] if link[2] in others else link[1], kept).strip()


def _outputs(outputs: list, figures: Path) -> list:
    """What is shown below a cell: figures as files, what was recorded as what moves; no widget, progress or warning."""
    made = []
    for output in outputs:
        if output.output_type == "error" or output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream":
            made.append(output)
            continue
        data = dict(output.data)
        if FRAMES in data:
            data = {"text/html": frames(data[FRAMES], STATIC, figures)}
        elif PLANE in data:
            if not data[PLANE]["shipped"]:
                continue
            data = {"text/html": plane(STATIC, data[PLANE]["extent"])}
        elif "text/html" in data:
            data["text/html"] = PICTURE.sub(lambda found: _as_file(found[2], figures), data["text/html"])
        made.append(new_output("display_data", data=data))
    return made


def _as_file(data: str, figures: Path) -> str:
    name, width, height = save_figure(base64.b64decode(data), figures)
    return f'loading="lazy" width="{width}" height="{height}" src="{STATIC}figures/{name}"'


def with_buttons(notebook: nbformat.NotebookNode, buttons: str) -> nbformat.NotebookNode:
    """The page with `buttons`, HTML, below its title."""
    first = notebook.cells[0]
    title, _, rest = first.source.partition("\n")
    notebook.cells[:1] = [new_markdown_cell(f"{title}\n\n{buttons}\n\n{rest.strip()}", id=first.id)]
    return notebook
