"""The boundary around reading: whatever it meets, it ends, and says how."""

import os
import signal

import pytest

from autograde.grading import guarded_reading
from autograde.grading.guarded_reading import bounded
from autograde.grading.handin_files import read_folder
from vae_helpers.submissions.choosing import Missing, Unreadable
from vae_helpers.submissions.syntax import is_answer, says_the_same

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
    monkeypatch.setattr(guarded_reading, "SECONDS", 1)
    with pytest.raises(Unreadable, match=says):
        bounded(function)


def test_what_is_read_comes_through_the_boundary_and_so_does_what_is_missing(tmp_path):
    (tmp_path / "notes.txt").write_text("spam")
    assert bounded(read_folder, tmp_path).files == {"notes.txt": b"spam"}
    with pytest.raises(Missing, match="no such folder"):
        bounded(read_folder, tmp_path / "nowhere")


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
