"""Every entry of the corpus of faults, graded for real, in the sandbox; and what none of them may leave behind."""

import contextlib
import gc
import hashlib
import multiprocessing
import os
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import faults
import nbformat
import pytest
import torch
from faults import ALL, FAULTS, LESSON, MARKER
from nbconvert.exporters import HTMLExporter

import vae_helpers
from autograde.grading.grade import Job, grade
from autograde.grading.handin_files import read_folder
from autograde.grading.marks import Marks, State
from autograde.grading.seeds import seeds_of
from autograde.sandbox import bubblewrap, cgroups
from autograde.sandbox.bubblewrap import require_sandbox
from autograde.sandbox.children import PYTORCH
from autograde.sandbox.limits import Limits
from autograde.sandbox.memory import memory_elsewhere
from vae_helpers.submissions.which_notebook import Handin, Missing

pytestmark = pytest.mark.xdist_group("faults")  # each is graded once, for all the tests that look at it
SEEDS = seeds_of(b"secret", "student", LESSON.exercises)
STATES = {
    State.PASSED,
    State.FAILED,
    State.ERROR,
    State.TIME_OUT,
    State.OUT_OF_MEMORY,
    State.MISSING,
    State.UNREADABLE,
    State.GRADER_ERROR,
    State.FOR_A_HUMAN,
}
BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course with things in it that no submission may see or change."""
    root = tmp_path_factory.mktemp("course")
    for name in ("grading/secret", "grading/gradebook.db", "grading/submitted/another/notebook.ipynb"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    for path in (root, *root.rglob("*"), *root.parents):
        with contextlib.suppress(PermissionError):
            path.chmod(path.stat().st_mode | 0o005)
    return root


@pytest.fixture(scope="module")
def port():
    """A port of this machine at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def honest() -> Handin:
    return answer(faults.RIGHT)


def answer(source: str) -> Handin:
    """A submission with this in the cell of the attacked exercise, and right otherwise."""
    return Handin({faults.NAME: nbformat.writes(faults.solved(gaussian_kl=source)).encode()})


@pytest.fixture(scope="module")
def honest_marks(honest) -> Marks:
    """An honest submission's marks before any other has been graded."""
    require_sandbox()
    return grade(Job(honest, LESSON.name, SEEDS))


PATIENT = Limits(step=600, submission=3600, memory=512 << 20, disk=32 << 20)  # nothing waits for these: a net
USES_ITS_TIME = {
    "endless_cell_around",
    "sleeps_just_under",
    "training_in_own_cells",
}  # ends well when its time is over, or almost


@pytest.fixture(scope="module")
def impatient(honest, honest_marks) -> Limits:
    """For what never ends, so that it ends soon. Longer on a busy machine, for the sake of the right answers beside it."""
    began = time.monotonic()
    grade(Job(honest, LESSON.name, SEEDS))
    took = time.monotonic() - began
    return replace(PATIENT, step=max(3.0, 5 * took), submission=max(40.0, 60 * took))


@pytest.fixture(scope="module")
def graded(tmp_path_factory, course, port, impatient, before):
    """Grades an entry, once."""
    done: dict[str, Marks] = {}

    def grade_entry(name: str, sandboxed: bool = True) -> Marks:
        key = f"{name} {sandboxed}"
        if key not in done:
            folder = tmp_path_factory.mktemp(name)
            never_ends = BY_NAME[name].exercise == State.TIME_OUT or name in USES_ITS_TIME
            limits = impatient if never_ends else PATIENT
            handin = hand_in(BY_NAME[name], folder, {"COURSE": course, "PORT": port, "STEP": limits.step})
            done[key] = grade(Job(handin, LESSON.name, SEEDS, limits, sandboxed))
        return done[key]

    return grade_entry


def hand_in(fault: faults.Fault, folder: Path, words: dict) -> Handin | None:
    fault.hand_in(folder)
    for path in folder.glob("*.ipynb"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 1_000_000:
            data = path.read_bytes()
            for word, value in words.items():
                data = data.replace(word.encode(), str(value).encode())
            path.write_bytes(data)
    with contextlib.suppress(Missing):
        return read_folder(folder)
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_state_and_mark(fault, graded, honest, honest_marks):
    marks = graded(fault.name)
    attacked = next(mark for mark in marks.exercises if mark.exercise == faults.ATTACKED)
    told = f"{attacked.message}\n{marks.remarks}"
    assert (marks.state, attacked.state, marks.points) == (fault.state, fault.exercise, fault.points), told
    assert {mark.state for mark in marks.exercises} <= STATES
    assert all(mark.message for mark in marks.exercises)
    assert attacked.mistake or not fault.is_spy, told  # it looked, and found nothing: an error would be no answer
    assert marks.remarks or marks.state == State.GRADED
    for text in (marks.to_json(), marks.notebook):
        text.encode()  # that can be written to a file
    assert Marks.from_json(marks.to_json()).points == marks.points
    if marks.state == State.GRADED and marks.points < ALL:
        # An honest submission, graded by the same processes after it, has the same marks as before.
        assert grade(Job(honest, LESSON.name, SEEDS)).to_json() == honest_marks.to_json()
    assert honest_marks.points == ALL


def test_the_corpus_is_large_and_every_entry_says_what_it_is():
    assert len(FAULTS) >= 75
    assert len(BY_NAME) == len(FAULTS)
    assert all(re.fullmatch(r"[^\n]+[.:?]", fault.what) for fault in FAULTS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a_helper_below", "of your own 1 defines it, and stands below this check"),
        ("a_constant_after_what_stops", "The cell of your own 1 stopped at line 1 with ModuleNotFoundError"),
        ("trained_in_a_demonstration", "'history = fit(None, None, None)', was left out"),
        ("another_lessons_notebook", "is the notebook of 07_convolutional_vae, and this is 03_kl_divergence"),
        ("conflict_markers", "holds Git's marks of a conflict"),
        ("latin_1", "is not in UTF-8"),
        ("huge_notebook", "Clear its outputs"),
        ("zip_bomb", "zeros.bin is too large"),
        ("zip_bomb", "none.zip is damaged"),
    ],
)
def test_a_student_is_told_what_became_of_it(graded, name, words):
    marks = graded(name)
    attacked = next(mark for mark in marks.exercises if mark.exercise == faults.ATTACKED)
    assert words in f"{attacked.message}\n{marks.remarks}"


@pytest.mark.parametrize(
    "name",
    ["reads_solutions", "reads_autograde", "reads_the_secret", "reads_the_system", "reads_processes", "uses_the_network"],
)
def test_spies_find_what_they_look_for_where_there_is_no_sandbox(graded, name):
    """So that the sandbox, and no slip in the spy, is what keeps it from them."""
    assert graded(name, sandboxed=False).points == ALL


SYSTEM = [Path(module.__file__) for module in (vae_helpers, torch, os)]


@pytest.fixture(scope="module")
def before(impatient, port, course) -> dict:
    """What is to be the same afterwards."""
    gc.collect()
    return {"files": len(os.listdir("/proc/self/fd")), "system": [hashlib.sha256(p.read_bytes()).digest() for p in SYSTEM]}


@pytest.fixture(scope="module")
def everything(before, graded) -> None:
    """All entries graded."""
    for fault in FAULTS:
        graded(fault.name)


def test_nothing_of_the_course_or_of_the_system_was_changed(everything, before, course):
    assert {path.read_text() for path in course.rglob("*") if path.is_file()} == {"precious"}
    assert [hashlib.sha256(path.read_bytes()).digest() for path in SYSTEM] == before["system"]


def test_no_process_is_left_behind(everything):
    wait_until(lambda: not [path for path in Path("/proc").glob("[0-9]*/cmdline") if MARKER in read(path)])
    ours = [path for path in Path("/proc").glob("[0-9]*/status") if f"\nPPid:\t{os.getpid()}\n" in read(path)]
    assert not [path for path in ours if "bwrap" in read(path)]


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_a_course_below_tmp_is_not_covered_by_the_sandboxs_own_tmp(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as helpers:
        Path(helpers).chmod(0o755)
        Path(helpers, "there").touch()
        monkeypatch.setattr(bubblewrap, "HELPERS", Path(helpers))
        command = [*bubblewrap._arguments(1 << 20), "--", "/bin/ls", helpers]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["there"]


def test_what_lies_in_the_sandboxs_folders_is_counted_as_memory():
    with bubblewrap.Sandbox(32 << 20) as box:
        # The socket by which bubblewrap set up the network is closed, and the kernel lets go of it when it comes to it.
        while Path(f"/proc/{box.first}/net/sockstat").read_text().split()[2] != "0":
            time.sleep(0.01)
        before = memory_elsewhere(box.first, bubblewrap.FOLDERS)
        for i, folder in enumerate(bubblewrap.FOLDERS):
            Path(f"/proc/{box.first}/root{folder}/file").write_bytes(bytes(i + 1 << 20))
        assert memory_elsewhere(box.first, bubblewrap.FOLDERS) - before == 6 << 20


LENT = "0::/lent.slice/grader.scope\n"


@pytest.mark.parametrize(
    ("told", "controllers", "lends"),
    [
        ("4:memory:/x\n" + LENT, "cpu memory pids", True),
        (LENT, "cpu pids", False),
        ("0::/\n", "cpu memory pids", False),
        ("4:memory:/x\n", "cpu memory pids", False),
    ],
    ids=["lent", "no memory", "the root", "version 1"],
)
def test_control_groups_are_made_where_the_system_lends_them(tmp_path, told, controllers, lends):
    (tmp_path / "self").write_text(told)
    (tmp_path / "lent.slice").mkdir()
    (tmp_path / "lent.slice" / "cgroup.procs").touch()
    (tmp_path / "lent.slice" / "cgroup.subtree_control").write_text(controllers)
    found = cgroups.lent_group(tmp_path, tmp_path / "self")
    assert found == (tmp_path / "lent.slice" if lends else None)


def test_a_submission_runs_in_its_control_group(tmp_path, monkeypatch, honest):
    """In a hierarchy of plain files, which hold what is written to them."""
    seen = []
    monkeypatch.setattr(cgroups, "lent_group", lambda: tmp_path)
    monkeypatch.setattr(cgroups, "_remove", seen.append)
    monkeypatch.setattr(cgroups.Group, "ran_out", lambda group: False)
    assert grade(Job(honest, LESSON.name, SEEDS)).points == ALL
    (group,) = seen
    assert {path.name: path.read_text() for path in group.iterdir()} == {
        "memory.max": f"{Limits.memory + PYTORCH}",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "pids.max": f"{Limits.processes + 1}",
        "cgroup.procs": "0",
    }


def test_what_the_kernel_ends_for_its_memory_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "lent_group", lambda: tmp_path)
    monkeypatch.setattr(cgroups, "_remove", lambda path: None)
    (tmp_path / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert cgroups.Group(tmp_path, 0).ran_out()
    (tmp_path / "memory.events").write_text("low 0\noom 0\noom_kill 0\n")
    assert not cgroups.Group(tmp_path, 0).ran_out()
    monkeypatch.setattr(cgroups.Group, "ran_out", lambda group: True)
    marks = grade(
        Job(answer("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n" + faults.RIGHT), LESSON.name, SEEDS)
    )
    attacked = next(mark for mark in marks.exercises if mark.exercise == faults.ATTACKED)
    assert (attacked.state, attacked.points) == (State.OUT_OF_MEMORY, 0)


def test_no_file_is_left_behind(everything):
    for place in ("/", "/tmp", "/dev", "/dev/shm", "/var/tmp", "/usr/share", Path.home(), Path.cwd()):
        assert not Path(place, MARKER).exists()
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    assert not [line for line in segments if int(line.split()[0]) == 0x5AE]


def test_the_grader_keeps_no_file_open(before, everything):
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before["files"]


THREADS = """
import ctypes, threading, time
try:
    for _ in range({}):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
except RuntimeError:
    ctypes.CDLL(None).prctl(15, b"{}")  # the process's name
    time.sleep(1000)
"""


def test_no_submission_takes_the_processes_of_another_nor_outlives_its_grader(honest_marks):
    """One that has started as many threads as it may, in another grader's sandbox, leaves this one its own."""
    greedy = answer(THREADS.format(1000, MARKER))
    modest = answer(THREADS.format(20, "") + faults.RIGHT)
    grader = multiprocessing.get_context("fork").Process(target=grade, args=(Job(greedy, LESSON.name, SEEDS),))
    grader.start()
    try:
        wait_until(lambda: is_running(MARKER))
        assert grade(Job(modest, LESSON.name, SEEDS)).points == ALL
        assert is_running(MARKER)
    finally:
        grader.kill()
        grader.join()
    wait_until(lambda: not is_running(MARKER))


def is_running(name: str) -> bool:
    return any(read(path).strip() == name for path in Path("/proc").glob("[0-9]*/comm"))


def wait_until(condition, seconds: float = 300) -> None:
    """Wait for an event. After so many seconds, on however busy a machine, it will not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited for {seconds:g} seconds"
        time.sleep(0.1)


class Markup(HTMLParser):
    """Finds what a browser would run, and what it would show as text."""

    def __init__(self, page: str):
        super().__init__()
        self.scripts, self.handlers, self.shown, self.inside = [], [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        told = [f"{name}={value}" for name, value in attributes]
        self.handlers += [text for text in told if re.match(r"on|\w+=\s*javascript:", text)]

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.shown).append(data)

    def handle_endtag(self, tag):
        self.inside = None


SCRIPTED = [name for name in BY_NAME if name.startswith("script_in_")] + ["error_before", "exceptions_that_bite"]


@pytest.mark.parametrize("name", SCRIPTED)
def test_no_script_of_a_student_gets_into_the_feedback(graded, name):
    notebook = nbformat.reads(graded(name).notebook, as_version=4)
    nbformat.validate(notebook)
    found = Markup(HTMLExporter(template_name="lab").from_notebook_node(notebook)[0])
    assert not [script for script in found.scripts if "alert" in script]
    assert found.handlers == []
    assert any("alert(1)" in text for text in found.shown)


def test_of_a_huge_cell_the_beginning_is_shown(graded):
    """What colours code would take hours over all of it."""
    notebook = nbformat.reads(graded("a_huge_cell").notebook, as_version=4)
    (cell,) = (cell for cell in notebook.cells if "spam and eggs" in cell.source)
    assert len(cell.source) < 11_000 and "more characters are not shown here" in cell.source


def test_markup_finds_scripts():
    found = Markup("<p>alert</p><script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>")
    assert (found.scripts, len(found.handlers), found.shown) == (["alert(1)"], 2, ["alert", "x"])
