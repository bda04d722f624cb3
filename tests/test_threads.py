"""PyTorch's threads sleep while they wait where the machine is shared, spin where it is not, and compute the same."""

import os
import subprocess
import sys

import pytest
import torch

from vae_helpers import threads
from vae_helpers.threads import SharedCores

COUNTS = """
import os, threading, torch
torch.set_num_threads({threads})  # by itself MKL counts cores, OpenMP their hardware threads
import vae_helpers
crowd = any(thread.name == "crowd" for thread in threading.enumerate())
print(crowd, len(os.listdir("/proc/self/task")) > os.cpu_count() + 1)
"""


def crowded(pytorch_threads: int, **variables: str) -> str:
    """Whether a process that imports the helpers has the sleeping thread, and more threads than there are processors."""
    environment = {name: value for name, value in os.environ.items() if name not in threads.CHOSEN}
    command = [sys.executable, "-c", COUNTS.format(threads=pytorch_threads)]
    done = subprocess.run(command, env=environment | variables, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Machine:
    """A clock and a processor that give a process so many cores."""

    def __init__(self, monkeypatch, threads_of_pytorch: int):
        self.now = self.used = 0.0
        self.said, self.threads = [], threads_of_pytorch
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(threads.time, "process_time", lambda: self.used)
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(self, "threads", n))
        monkeypatch.setattr(threads, "_sleep", self.said.append)

    def run(self, cores: SharedCores, seconds: float, given: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.now += 0.02
            self.used += 0.02 * given
            cores.look()


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch, 2)


def test_spins_on_an_idle_machine_sleeps_beside_a_busy_process_and_at_the_end(machine):
    with SharedCores() as cores:
        machine.run(cores, 1, given=1.4)
        assert machine.said == [False]  # spin
        machine.run(cores, 1, given=1.8)
        assert machine.said == [False]
        machine.run(cores, 1, given=1.0)  # somebody else came
        assert machine.said == [False, True]
    assert machine.said[-1] is True


def test_beside_a_busy_process_it_never_spins(machine):
    with SharedCores() as cores:
        machine.run(cores, 20, given=1.0)
    assert False not in machine.said


def test_beside_a_busy_process_one_thread_does_it_all_until_it_is_gone(machine):
    with SharedCores() as cores:
        machine.run(cores, 1, given=1.0)
        assert machine.threads == 1
        machine.run(cores, 6, given=1.0)  # in between it looks whether the other is still there
        assert machine.threads == 1
        machine.run(cores, 6, given=1.4)
        assert machine.threads == 2 and machine.said[-1] is False
        machine.run(cores, 1, given=1.0)
        assert machine.threads == 1
    assert machine.threads == 2


def test_after_a_disappointment_it_waits_before_it_spins_again(machine):
    with SharedCores() as cores:
        machine.run(cores, 0.5, given=1.4)
        machine.run(cores, 0.5, given=1.0)
        assert machine.said == [False, True]
        machine.run(cores, 4, given=1.4)
        assert machine.said == [False, True]
        machine.run(cores, 2, given=1.4)
        assert machine.said == [False, True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.skipif(not isinstance(threads._find_switch(), threads.Crowd), reason="of GNU's OpenMP library")
def test_importing_the_helpers_stops_the_spinning_unless_somebody_has_chosen():
    """That it does is seen in `make bench`: on a busy machine, what spins gets no time to be caught at it."""
    assert crowded(2) == "True True"
    assert crowded(2, OMP_WAIT_POLICY="ACTIVE").startswith("False")
    assert crowded(1).startswith("False")


def test_the_switch_can_be_thrown_again_and_again():
    crowd = threads._find_switch()
    x = torch.randn(1 << 20)
    want = x.exp().sum()
    for sleep in (True, True, False, False, True, False):
        crowd(sleep)
        assert torch.equal(x.exp().sum(), want)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32", "emscripten"])
def test_where_there_is_no_such_library_everything_stays_as_it_was(monkeypatch, platform):
    def load(name):
        if name is None:
            return object()  # a process that has no OpenMP loaded
        raise OSError(name)

    monkeypatch.setattr(threads.ctypes, "CDLL", load)
    monkeypatch.setattr(threads.sys, "platform", platform)
    assert threads._find_switch()(True) is None
