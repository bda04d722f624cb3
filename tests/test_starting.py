"""The warm parent as the grader sees it: one is started, used again, and given up when something fails."""

import subprocess

import pytest

from autograde.sandbox import starting
from autograde.sandbox.starting import GraderError, OtherHelpers, helpers_digest, warm_parent

UP = f"import socket\nhere = socket.socket(fileno=0)\nhere.send(b'{helpers_digest()}')\nhere.send(b'warm')\nhere.recv(1)\n"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A function that says which program is the parent's; the processes that were started."""
    processes, real = [], subprocess.Popen

    def start(text: str) -> list:
        (tmp_path / "parent.py").write_text(text)
        return processes

    monkeypatch.setattr(starting, "PROGRAM", tmp_path / "parent.py")
    monkeypatch.setattr(starting, "_parents", {})
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: processes.append(real(*a, **k)) or processes[-1])
    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_one_that_does_not_come_up_is_not_started_again_to_be_killed(started):
    processes = started("")
    with pytest.raises(GraderError, match="did not come up"), warm_parent():
        pass
    assert len(processes) == 1
    assert starting._parents == {}


def test_one_with_other_helpers_is_refused(started):
    processes = started(UP.replace(helpers_digest(), 64 * "0"))
    with pytest.raises(OtherHelpers, match="are not those in"), warm_parent():
        pass
    assert processes[0].wait(60) < 0  # killed


def test_one_is_enough_until_something_fails(started):
    processes = started(UP)
    for _ in range(2):
        with warm_parent() as parent:
            assert parent.process is processes[0]
    with pytest.raises(ZeroDivisionError), warm_parent():
        1 / 0  # noqa: B018
    assert processes[0].wait(60) < 0  # killed
    with warm_parent() as parent:
        assert parent.process is processes[1]


def test_one_that_is_given_up_while_it_starts_is_killed(started, monkeypatch):
    processes = started("import time\ntime.sleep(600)\n")

    class Interrupted:
        def __init__(self, ours):
            self.ours = ours

        def recv(self, most):
            raise KeyboardInterrupt

    pair = starting.socket.socketpair
    monkeypatch.setattr(starting.socket, "socketpair", lambda: (Interrupted((made := pair())[0]), made[1]))
    with pytest.raises(KeyboardInterrupt), warm_parent():
        pass
    assert processes[0].wait(60) < 0
