"""The released notebooks, as a student first opens them."""

import nbformat
import pytest
from nbclient import NotebookClient

import autograde.jupyter_kernels  # noqa: F401
from autograde.lessons.build import NOTEBOOKS
from autograde.lessons.lesson import lesson_names, read_lesson

HANGS = 1800  # seconds: a cell that takes longer, on however busy a machine, never ends


@pytest.mark.parametrize("name", lesson_names())
def test_stub_notebook_fails_every_check_kindly(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)
    cells = [c for c in notebook.cells if c.cell_type == "code" and "nbgrader" in c.metadata]
    # Demonstrations train and plot what does not exist yet; what a student gets from a check does not depend on them.
    notebook.cells = cells
    NotebookClient(notebook, allow_errors=True, timeout=HANGS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    checks = [cell for cell in cells if cell.metadata.nbgrader.grade]
    assert checks
    for cell in checks:
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert [error.ename for error in errors] == ["CheckFailed"], cell.source
        assert "not written yet" in errors[0].evalue
        assert len(errors[0].traceback) == 1  # the verdict, and no stack of lines that are not the student's
        assert any(output.output_type == "display_data" and "text/html" in output.data for output in cell.outputs)
    given = [cell for cell in cells if not cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution]
    assert all(output.output_type != "error" for cell in given for output in cell.outputs)


@pytest.mark.parametrize("name", lesson_names())
def test_release_gives_nothing_away(name):
    source = (NOTEBOOKS / name / f"{name}.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in source
    release = nbformat.reads(source, as_version=4)
    stubs = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in release.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    lesson = read_lesson(name)
    assert set(stubs) == set(lesson.exercises)
    for stub in stubs.values():
        assert 'raise NotImplementedError("not written yet")' in stub


@pytest.mark.parametrize("name", lesson_names())
def test_every_lesson_has_its_parts(name):
    lesson = read_lesson(name)
    text = "\n".join(cell.source for cell in lesson.cells if cell.kind == "markdown")
    for part in ("minutes", "What you should be able to do now", "References", "<details><summary>Hint", "★", "rediction"):
        assert part in text, f"{name} has no {part!r}"
    code = "\n".join(cell.source for cell in lesson.cells if cell.kind == "code")
    assert code.count("show(") >= 2
    assert "explore(" in code or "latent_explorer(" in code
