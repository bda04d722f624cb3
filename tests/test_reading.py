"""The boundary around reading: whatever it meets, it ends, and says how."""

import os
import signal
import zipfile

import pytest

from autograde.grading import expendable_process
from autograde.grading.expendable_process import bounded
from autograde.grading.handin_files import DEEPEST_ARCHIVE, MOST_FILES, read_folder
from vae_helpers.submissions.released import released
from vae_helpers.submissions.syntax import is_answer, says_the_same
from vae_helpers.submissions.which_notebook import Missing, Unreadable, choose_notebook

STUB = 'def f(x):\n    """Double it."""\n    # YOUR CODE HERE\n    raise NotImplementedError("not written yet")\n'


def spin():
    while True:
        pass


def fill():
    return bytearray(4 << 30)


def stumble():
    raise RecursionError("too deep")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (spin, "takes more than 1 seconds"),
        (fill, "takes more than"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "takes more than"),
        (stumble, r"can't be read \(RecursionError: too deep\)"),
    ],
    ids=["spins", "fills the memory", "dies", "stumbles"],
)
def test_whatever_happens_behind_the_boundary_ends_in_a_sentence(monkeypatch, function, says):
    monkeypatch.setattr(expendable_process, "SECONDS", 1)
    with pytest.raises(Unreadable, match=says):
        bounded(function)


def test_what_is_read_comes_through_the_boundary_and_so_does_what_is_missing(tmp_path):
    (tmp_path / "notes.txt").write_text("spam")
    assert bounded(read_folder, tmp_path).files == {"notes.txt": b"spam"}
    with pytest.raises(Missing, match="no such folder"):
        bounded(read_folder, tmp_path / "nowhere")


def test_a_folder_of_checkpoints_alone_is_not_called_empty(tmp_path):
    checkpoints = tmp_path / ".ipynb_checkpoints"
    checkpoints.mkdir()
    (checkpoints / "00_start_here-checkpoint.ipynb").write_text("{}")
    with pytest.raises(Unreadable, match="there is only .ipynb_checkpoints, .* hand in the notebook itself"):
        choose_notebook(read_folder(tmp_path), released("00_start_here"))
    (tmp_path / "notes.txt").write_text("spam")
    assert read_folder(tmp_path).remarks == []


def test_several_archives_hold_no_more_files_than_one(tmp_path):
    for name in ("a.zip", "b.zip", "c.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for i in range(MOST_FILES):
                archive.writestr(f"{name} {i}", "spam")
    (tmp_path / "beside.txt").write_text("spam")
    assert len(read_folder(tmp_path).files) == MOST_FILES


def test_archives_in_archives_are_opened_down_to_some_depth(tmp_path):
    data = b"spam"
    for depth in range(DEEPEST_ARCHIVE + 1):
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            archive.writestr("in.zip" if depth else "in.txt", data)
        data = (tmp_path / "in.zip").read_bytes()
    assert set(read_folder(tmp_path).files) == {"in.zip"}
    (tmp_path / "in.zip").write_bytes(zipfile.ZipFile(tmp_path / "in.zip").read("in.zip"))
    assert set(read_folder(tmp_path).files) == {"in.txt"}


@pytest.mark.parametrize(
    ("source", "answers"),
    [
        (STUB, False),
        (STUB.replace("    # YOUR CODE HERE\n", ""), False),
        (STUB.replace("\n", "\n\n"), False),
        (STUB.replace("Double", "Halve").replace('"not', "'not").replace('yet"', "yet'"), False),
        (STUB.replace('"not written yet"', ""), False),
        ("import math\n" + STUB, False),
        ("# only a comment", False),
        (STUB.replace("raise", "return 2 * x; raise"), True),
        (STUB + "f = lambda x: 2 * x", True),
        ("def f(x):\n    return", True),
        ("def f(x", True),
    ],
)
def test_a_stub_is_no_answer_however_it_was_changed(source, answers):
    assert is_answer(source, STUB, "f") == answers


def test_formatting_says_nothing_and_numbers_do():
    assert says_the_same("x = [1,2]  # two", "x = [\n    1,\n    2,\n]")
    assert not says_the_same("x = 1", "x = 1.0")
    assert not says_the_same("f(-(1), 2)", "f(-(1, 2))")
