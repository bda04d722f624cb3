"""The solved lessons, executed once for each content: an unchanged lesson's outputs are taken from where they were kept."""

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from vae_helpers.files import write_whole
from vae_helpers.submissions.protocol import NO_HAND_IN

from ..lessons.build import source_notebook
from ..lessons.lesson import ROOT, CourseError, Lesson

KEPT = ROOT / "build" / "executed"
HANGS = 1800  # seconds: a cell that takes longer, on however busy a machine, never ends
RECORD = "from autograde.site.recording import record; record()"


def execute_all(lessons: list[Lesson], kept: Path = KEPT, workers: int = 1) -> dict[str, nbformat.NotebookNode]:
    """The executed notebooks by lesson, `workers` kernels at a time. Raises CourseError where a cell stops with an error."""
    with ThreadPoolExecutor(workers) as pool:
        started = {lesson.name: pool.submit(executed, lesson, kept) for lesson in lessons}
        try:
            return {name: run.result() for name, run in started.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def executed(lesson: Lesson, kept: Path = KEPT) -> nbformat.NotebookNode:
    """The lesson's solved notebook with its outputs: those that are kept, where nothing that they come from has changed."""
    path = kept / f"{lesson.name}-{content_hash(lesson)}.ipynb"
    if not path.exists():
        text = nbformat.writes(_execute(lesson))
        for older in kept.glob(f"{lesson.name}-*.ipynb"):
            older.unlink()
        write_whole(path, text)
    return nbformat.read(path, as_version=4)


def content_hash(lesson: Lesson) -> str:
    """Of all that the outputs come from: the lesson's code, the helpers, what they load, and the keys of its exercises."""
    digest = hashlib.sha256()
    for cell in lesson.cells:
        if cell.kind == "code" and not cell.claim:
            digest.update(f"{cell.exercise}\0{cell.check}\0{cell.source}\0".encode())
    helpers = ROOT / "vae_helpers"
    probes = f"lesson_{lesson.name[:2]}.py"
    files = [path for path in helpers.rglob("*.py") if path.parent.name != "probes" or path.name in ("__init__.py", probes)]
    files += [path for folder in ("shipped", "mnist") for path in (helpers / folder).iterdir()]
    files += [helpers / "checks" / "keys" / f"{exercise}.safetensors" for exercise in lesson.exercises]
    for path in sorted([*files, Path(__file__).with_name("recording.py")]):
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _execute(lesson: Lesson) -> nbformat.NotebookNode:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from .. import jupyter_kernels  # noqa: F401

    notebook = source_notebook(lesson)
    notebook.cells.insert(0, new_code_cell(RECORD))
    # One thread a kernel: there are as many kernels as cores.
    environment = os.environ | {"OMP_NUM_THREADS": "1", NO_HAND_IN: "1"}
    with tempfile.TemporaryDirectory() as folder:  # the weights that it saves
        client = NotebookClient(notebook, timeout=HANGS, resources={"metadata": {"path": folder}})
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise CourseError(f"{lesson.path}: a cell stops with {error.ename}: {error.evalue}") from error
    del notebook.cells[0]
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    return notebook
