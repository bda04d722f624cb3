"""`python -m vae_helpers`: a copy of the lessons to write in, which no update of the course overwrites."""

import json
from pathlib import Path

import nbformat
import pytest

from vae_helpers.__main__ import copy_lessons, main


def write(path: Path, *sources: str, **more) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s, **more) for s in sources]), path)


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


@pytest.fixture
def lesson(tmp_path) -> Path:
    path = tmp_path / "notebooks" / "00_one" / "00_one.ipynb"
    write(path, "first")
    assert update(tmp_path) == []
    return path


def update(folder: Path) -> list[str]:
    return copy_lessons(folder / "notebooks", folder / "mine")


def test_what_nobody_has_written_in_is_brought_up_to_date(tmp_path, lesson):
    mine = tmp_path / "mine" / "00_one" / "00_one.ipynb"
    write(mine, "first", execution_count=3, outputs=[nbformat.v4.new_output("stream", text="run")])  # run and saved, no more
    write(lesson, "second")
    assert update(tmp_path) == []
    assert sources(mine) == ["second"]


def test_what_a_student_has_written_stays_and_the_new_one_lies_beside_it(tmp_path, lesson):
    folder = tmp_path / "mine" / "00_one"
    write(folder / "00_one.ipynb", "my answer")
    (folder / "vae.safetensors").write_bytes(b"trained")
    assert update(tmp_path) == []  # nothing has changed
    write(lesson, "second")
    (said,) = update(tmp_path)
    assert "yours stays as it is" in said
    assert update(tmp_path) == []  # it is said once
    write(lesson, "third")
    assert len(update(tmp_path)) == 1
    assert sources(folder / "00_one.ipynb") == ["my answer"]
    assert sources(folder / "00_one (new).ipynb") == ["third"]
    write(folder / "00_one (new).ipynb", "my second answer")
    write(lesson, "fourth")
    (said,) = update(tmp_path)
    assert "both of yours stay" in said
    assert sources(folder / "00_one.ipynb") + sources(folder / "00_one (new).ipynb") == ["my answer", "my second answer"]
    assert (folder / "vae.safetensors").read_bytes() == b"trained"


@pytest.mark.parametrize("written", ["", "{", '{"cells": 3}'])
def test_a_notebook_that_cannot_be_read_stays(tmp_path, lesson, written):
    mine = tmp_path / "mine" / "00_one" / "00_one.ipynb"
    mine.write_text(written)
    write(lesson, "second")
    assert len(update(tmp_path)) == 1
    assert mine.read_text() == written


def test_without_the_record_everything_counts_as_written(tmp_path, lesson):
    (tmp_path / "mine" / ".copied.json").unlink()
    write(lesson, "second")
    update(tmp_path)
    assert sources(tmp_path / "mine" / "00_one" / "00_one.ipynb") == ["first"]


def test_the_command_says_where_the_lessons_are_or_what_is_wrong(tmp_path, lesson, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main() == 0
    assert "my_notebooks" in capsys.readouterr().out
    assert sources(tmp_path / "my_notebooks" / "00_one" / "00_one.ipynb") == ["first"]
    (tmp_path / "my_notebooks" / ".copied.json").write_text("{")
    assert main() == 1
    assert capsys.readouterr().err.startswith("error: ")
    monkeypatch.chdir(tmp_path / "mine")
    assert main() == 1
    assert "run this in the course's folder" in capsys.readouterr().err
    assert json.loads((tmp_path / "mine" / ".copied.json").read_text())
