"""A class graded by `python -m autograde grade`: by one process, by several, interrupted, and again."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import nbformat
import psutil
import pytest
from nbgrader.api import Gradebook

from autograde.__main__ import main
from autograde.grading import classroom, cluster, gradebook
from autograde.grading import grade as grading
from autograde.grading.classroom import Course, grade_class, summary
from autograde.grading.grade import Job, course_digest
from autograde.grading.marks import Marks, State
from autograde.grading.seeds import course_secret, seeds_of
from autograde.lessons.build import source_notebook
from autograde.lessons.lesson import ROOT, CourseError, read_lesson
from autograde.reports.lesson_report import report
from autograde.sandbox import starting
from autograde.sandbox.replies import Returned
from autograde.sandbox.starting import GraderError

LESSON = read_lesson("00_start_here")
POINTS = sum(cell.points for cell in LESSON.exercises.values())
NAME = f"{LESSON.name}.ipynb"


def notebook(**solutions: str) -> bytes:
    """The solved notebook, with other sources for some exercises."""
    solved = source_notebook(LESSON)
    for cell in solved.cells:
        cell.source = solutions.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    return nbformat.writes(solved).encode()


WRONG = "import math\n\ndef bits_per_dim(nats, n_dims=784):\n    return nats / n_dims\n"


@pytest.fixture(scope="module")
def new_gradebook(tmp_path_factory) -> Path:
    """A gradebook that knows the lesson. Making one takes nbgrader seconds, copying it none."""
    root = tmp_path_factory.mktemp("gradebook")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    gradebook.enter_lesson(LESSON, *Course.find(root).database)
    return root / "grading" / "gradebook.db"


@pytest.fixture
def course(tmp_path, new_gradebook) -> Course:
    """Five students: right, wrong, unreadable, an empty folder, and one whom only the gradebook knows."""
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    course = Course.find(tmp_path)
    shutil.copy(new_gradebook, tmp_path / "grading")
    for student, data in {"ada": notebook(), "bob": notebook(bits_per_dim=WRONG), "eve": b"<html>"}.items():
        hand_in(course, student, data)
    course.submission_folder("kai", LESSON.name).mkdir(parents=True)
    with Gradebook(*course.database) as book:
        book.add_student("zoe")
    return course


def hand_in(course: Course, student: str, data: bytes) -> None:
    course.submission_folder(student, LESSON.name).mkdir(parents=True, exist_ok=True)
    (course.submission_folder(student, LESSON.name) / NAME).write_bytes(data)


def scores(course: Course) -> dict[str, tuple]:
    with Gradebook(*course.database) as book:
        found = {s.student.id: (s.score, s.needs_manual_grade) for s in book.assignment_submissions(LESSON.name)}
    return found


def grade(course: Course, **words) -> dict[str, Marks]:
    return grade_class(course, LESSON, progress=False, **words)


def test_everybody_ends_in_a_state_and_the_gradebook_agrees(course):
    results = grade(course)
    states = {student: marks.state for student, marks in results.items()}
    assert states == {
        "ada": State.GRADED,
        "bob": State.GRADED,
        "eve": State.UNREADABLE,
        "kai": State.MISSING,
        "zoe": State.MISSING,
    }
    wrong = results["bob"].points
    assert results["ada"].points == POINTS > wrong > 0
    # Nobody gets 0 for what a human has to look at; who handed in nothing has no submission.
    assert scores(course) == {"ada": (POINTS, False), "bob": (wrong, False), "eve": (0, True), "kai": (0, False)}
    assert "needs a human: eve (unreadable)" in summary(results)
    assert summary({"ada": results["ada"]}) == "students: 1 (1 graded)"
    assert "web page" in results["eve"].remarks[0]
    assert course.saved_marks("bob", LESSON.name).to_json() == results["bob"].to_json()


def test_several_workers_give_the_same_marks_as_one(course):
    serial = {student: marks.to_json() for student, marks in grade(course).items()}
    reached, save = [], course.save_marks
    course.save_marks = lambda *words: (reached.append(doors()), save(*words))[1]
    spread = {student: marks.to_json() for student, marks in grade(course, workers=2, again=True).items()}
    assert spread == serial
    assert reached[0] == reached[-1] == []
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert doors() == [server.getsockname()]


def doors() -> list:
    """Where this process, and all that it has started, can be reached by another user of the machine."""
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    there = []
    for process in ours:
        with contextlib.suppress(psutil.Error, OSError):  # one that has ended meanwhile
            there += process.net_connections("all")
    found = [tuple(c.laddr) for c in there if c.status == psutil.CONN_LISTEN]
    paths = {c.laddr for c in there if c.family == socket.AF_UNIX and c.laddr}
    private = [path for path in paths if any(p.exists() and p.stat().st_mode & 0o077 == 0 for p in Path(path).parents)]
    return found + sorted(paths - set(private))


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate of this test's own, its key in the same file, and Dask's settings that name it for both sides."""
    import distributed  # noqa: F401 (which has settings to go back to)

    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed")
    path = tmp_path / "grading.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=grading", "-keyout"]
    subprocess.run([*command, path, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    with path.open("a") as file:
        file.write((tmp_path / "cert.pem").read_text())
    settings = {f"{side}.{kind}": str(path) for side in ("client", "scheduler", "worker") for kind in ("cert", "key")}
    settings["ca-file"] = str(path)
    with dask.config.set({f"distributed.comm.tls.{name}": value for name, value in settings.items()}):
        yield path


def test_a_scheduler_reached_by_tls_gives_the_same_marks_and_takes_none_when_it_dies(course, certificate):
    import distributed

    ours = {student: marks.to_json() for student, marks in grade(course).items()}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(protocol="tls://", security=distributed.Security(), **options) as there:
        address = there.scheduler_address
        theirs = {student: marks.to_json() for student, marks in grade(course, scheduler=address, again=True).items()}
        assert theirs == ours
        for i in range(20):
            hand_in(course, f"student{i:02}", notebook())
        save = course.save_marks
        course.save_marks = lambda *words: (there.close(), save(*words))[1]
        with pytest.raises(CourseError, match="the scheduler is gone. What was graded stays"):
            grade(course, scheduler=address, again=True)
    saved = course.all_marks(LESSON.name)
    assert {student: saved[student].to_json() for student in ours} == ours
    assert State.GRADER_ERROR not in {marks.state for marks in saved.values()}


def test_nobody_is_graded_twice(course, monkeypatch):
    first = grade(course)
    monkeypatch.setattr(classroom, "run", lambda job: pytest.fail(f"{job.student} was graded again"))
    again = grade(course)
    assert {s: m.to_json() for s, m in again.items()} == {s: m.to_json() for s, m in first.items()}


def test_what_changed_is_graded_again_and_so_is_what_the_gradebook_lost(course, monkeypatch):
    grade(course)
    hand_in(course, "bob", notebook())
    with Gradebook(*course.database) as book:
        book.remove_submission(LESSON.name, "ada")
    graded, run = [], classroom.run
    monkeypatch.setattr(classroom, "run", lambda job: graded.append(job.student) or run(job))
    grade(course)
    assert sorted(graded) == ["ada", "bob"]
    assert scores(course)["bob"] == scores(course)["ada"] == (POINTS, False)


def test_an_interrupted_run_goes_on_where_it_stopped(course, monkeypatch):
    graded, run = [], classroom.run

    def interrupted(job):
        if len(graded) == 2:
            raise KeyboardInterrupt
        graded.append(job.student)
        return run(job)

    monkeypatch.setattr(classroom, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade(course)
    monkeypatch.setattr(classroom, "run", lambda job: graded.append(job.student) or run(job))
    grade(course)
    assert sorted(graded) == ["ada", "bob", "eve", "kai", "zoe"]


def fails(*_, **__):
    raise GraderError("the machine is out of order")


def file_is_out_of_reach(*_, **__):
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("broken", "by", "says"),
    [
        ("autograde.grading.grade.observe_submission", fails, "the machine is out of order"),
        ("autograde.grading.classroom.read_folder", file_is_out_of_reach, "Input/output error"),
    ],
)
@pytest.mark.parametrize("changed", [False, True])
def test_a_machine_that_fails_takes_no_mark(course, monkeypatch, broken, by, says, changed):
    grade(course)
    if changed:
        hand_in(course, "ada", notebook(bits_per_dim=WRONG))
    monkeypatch.setattr(broken, by)
    results = grade(course, students=["ada"], again=True)
    assert (results["ada"].state, results["ada"].points) == (State.GRADED, POINTS)
    assert says in results["ada"].doubt
    assert scores(course)["ada"] == (POINTS, True)
    assert (
        f"needs a human: ada (marks of before are kept: the grader failed (GraderError: {'it' * (by is not fails)}"
        in summary(results)
    )
    assert says in report(LESSON, course.all_marks(LESSON.name))
    monkeypatch.undo()
    assert (grade(course)["ada"].points < POINTS) == changed  # tried again without being asked to
    assert scores(course)["ada"][1] is False


def test_a_submission_that_cannot_be_read_any_more_by_its_own_fault_has_no_mark(course):
    grade(course)
    hand_in(course, "ada", b"<html>")
    results = grade(course)
    assert (results["ada"].state, results["ada"].doubt) == (State.UNREADABLE, None)
    assert scores(course)["ada"] == (0, True)


def test_who_had_no_mark_has_none_where_the_machine_fails(course, monkeypatch):
    monkeypatch.setattr("autograde.grading.grade.observe_submission", fails)
    assert grade(course)["ada"].state == State.GRADER_ERROR
    assert scores(course)["ada"] == (0, True)
    monkeypatch.undo()
    assert grade(course)["ada"].points == POINTS
    assert scores(course)["ada"] == (POINTS, False)
    course.marks_file("ada", LESSON.name).unlink()
    monkeypatch.setattr("autograde.grading.grade.observe_submission", fails)
    grade(course)
    assert scores(course)["ada"] == (POINTS, True)  # the gradebook still knows it


@pytest.mark.parametrize("vanish", [shutil.rmtree, lambda folder: (folder / NAME).unlink()])
def test_what_is_not_there_any_more_keeps_its_mark(course, vanish):
    before = grade(course)["ada"]
    vanish(course.submission_folder("ada", LESSON.name))
    results = grade(course)
    assert (results["ada"].points, results["ada"].digest) == (POINTS, before.digest)
    assert "is not there any more" in results["ada"].doubt
    assert scores(course)["ada"] == (POINTS, True)
    assert course.graded_folder("ada", LESSON.name).exists()
    hand_in(course, "ada", notebook())
    assert grade(course)["ada"].to_json() == before.to_json()
    assert scores(course)["ada"] == (POINTS, False)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_too_long_is_tried_again_alone(course, monkeypatch, workers):
    """`run`, with every exercise of bob's out of time unless he is alone, and of ada's in any case."""
    monkeypatch.setattr(classroom, "run", out_of_time)
    results = grade(course, workers=workers)
    ada, bob = results["ada"].exercises, results["bob"].exercises
    assert {(mark.state, mark.points) for mark in ada} == {(State.TIME_OUT, 0)}
    assert all(
        mark.message.endswith("so your instructor will look at it. It was tried twice, the second time alone.")
        for mark in ada
    )
    assert State.TIME_OUT not in {mark.state for mark in bob}
    assert scores(course)["ada"] == (0, True)
    assert scores(course)["bob"] == (results["bob"].points, False)
    assert results["bob"].points > 0
    assert "needs a human: ada" in summary(results)


def out_of_time(job: Job) -> Marks:
    if job.student == "ada" or (job.student == "bob" and not job.alone):
        with pytest.MonkeyPatch.context() as patch:
            error = {"ename": "OutOfTime", "evalue": "stopped after 30 seconds.", "traceback": ["OutOfTime"]}
            patch.setattr(grading, "observe_submission", lambda *_, **__: Returned(errors=dict.fromkeys(job.seeds, error)))
            return grading.grade(job)
    return grading.grade(job)


def test_what_a_killed_grader_left_half_written_is_removed(course):
    left, others = (course.marks_file("", LESSON.name).parent / f".ada.json.{i}.part" for i in (1, 2))
    left.parent.mkdir(parents=True)
    for path in (left, others):
        path.write_text("{")
    os.utime(left, (0, 0))
    grade(course, students=["kai"])
    assert (left.exists(), others.exists()) == (False, True)  # another machine may be writing what is young


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_from_the_terminal_gets_one_line_and_loses_nothing(course, workers):
    for i in range(20):
        hand_in(course, f"student{i:02}", notebook())
    command = [sys.executable, "-m", "autograde", "grade", "00", "--workers", workers]
    process = subprocess.Popen(
        command,
        cwd=course.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a job in the background ignores
    )
    while process.poll() is None and not course.marks_file("ada", LESSON.name).exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # to all that the terminal runs, as Ctrl-C does
    said, errors = process.communicate()
    saved = course.all_marks(LESSON.name)
    assert (process.returncode, said) == (130, ""), errors
    lines = [line for line in errors.replace("\r", "\n").splitlines() if line and not line.startswith(LESSON.name)]
    assert lines == ["stopped. What was graded is saved: the same command goes on from there."]
    assert 0 < len(saved) < 25
    assert not list((course.root / "grading").rglob("*.part"))
    assert {s: scores(course)[s][0] for s in saved if s in scores(course)} == {
        s: m.points for s, m in saved.items() if s in scores(course)
    }


def test_marks_are_written_whole_or_not_at_all(course, monkeypatch):
    grade(course)
    hand_in(course, "ada", notebook(bits_per_dim=WRONG))
    whole = gradebook._scores

    def fails_on_the_third(*words):
        for count, score in enumerate(whole(*words)):
            if count == 2:
                raise RuntimeError("the power went")
            yield score

    monkeypatch.setattr(gradebook, "_scores", fails_on_the_third)
    with pytest.raises(RuntimeError):
        grade(course, students=["ada"], again=True)
    monkeypatch.undo()
    assert scores(course)["ada"] == (POINTS, False)


def test_a_mark_that_a_human_gave_stays_and_is_flagged(course):
    grade(course)
    with Gradebook(*course.database) as book:
        marked = next(g for g in book.find_submission(LESSON.name, "bob").notebooks[0].grades if g.score < g.max_score)
        marked.manual_score = marked.max_score
        book.db.commit()
    results = grade(course, students=["bob"], again=True)
    assert results["bob"].points < POINTS
    assert scores(course)["bob"] == (POINTS, True)


@pytest.mark.parametrize("written", [b"yesterday", b"9999999999999999999999 00:00:00 UTC", b"\xff\xfe", None])
def test_a_timestamp_that_a_student_has_changed_stops_nobody(course, written):
    path = course.submission_folder("bob", LESSON.name) / "timestamp.txt"
    os.mkfifo(path) if written is None else path.write_bytes(written)
    assert course.timestamp("bob", LESSON.name) is None
    assert grade(course)["bob"].state == State.GRADED
    path.unlink()
    path.write_text("2026-11-23 10:00:00.000000 UTC")
    assert course.timestamp("bob", LESSON.name).day == 23


def test_a_name_that_cannot_be_kept_is_said_before_anything_is_written(course):
    os.makedirs(os.path.join(os.fsencode(course.root), b"grading/submitted/lat\xe9", os.fsencode(LESSON.name)))
    with pytest.raises(CourseError, match="no student can be called"):
        grade(course)
    assert scores(course) == {}


def test_points_that_were_changed_since_count_from_now_on(course):
    grade(course)
    with Gradebook(*course.database) as book:
        for cell in book.find_notebook(LESSON.name, LESSON.name).grade_cells:
            cell.max_score = 9.0
        book.db.commit()
    grade(course, again=True)
    with Gradebook(*course.database) as book:
        assert book.find_submission(LESSON.name, "ada").max_score == POINTS
        book.db.delete(book.find_notebook(LESSON.name, LESSON.name).grade_cells[0])
        book.db.commit()
    with pytest.raises(CourseError, match="other exercises than when it was first graded"):
        grade(course)


def test_grades_that_the_gradebook_lost_are_written_again(course):
    grade(course)
    with Gradebook(*course.database) as book:
        for made in book.find_submission(LESSON.name, "ada").notebooks[0].grades:
            book.db.delete(made)
        book.db.commit()
    assert scores(course)["ada"] == (0, False)
    grade(course)
    assert scores(course)["ada"] == (POINTS, False)


def test_what_a_killed_grader_or_nbgraders_own_left_goes(course):
    """nbgrader would send it to the student with the feedback."""
    folders = [course.graded_folder("ada", LESSON.name), course.marks_file("ada", LESSON.name).parent]
    for folder in folders:
        folder.mkdir(parents=True)
        for name in (f".{NAME}.1.part", f".{NAME}.2.part"):
            (folder / name).write_text("half of it")
        os.utime(folder / f".{NAME}.1.part", (0, 0))
    (folders[0] / "data").mkdir()
    (folders[0] / "data" / "notes.txt").write_text("what nbgrader once copied from a link's end")
    (folders[0] / "link").symlink_to(course.root)
    grade(course, students=["ada"])
    assert {path.name for path in folders[0].glob("[!.]*")} == {NAME}
    assert course.root.exists()
    for folder in folders:
        assert sorted(path.name for path in folder.glob(".*")) == [f".{NAME}.2.part"]  # it may be another grader's


def test_killing_a_worker_loses_nothing(course):
    """Two workers; one is killed as soon as both are there. Its submissions are graded by the other or by its successor."""
    for i in range(10):
        hand_in(course, f"student{i}", notebook())
    killed, done = [], threading.Event()

    def kill_one():
        while not done.is_set():
            workers = [worker for server in running(os.getpid(), "forkserver") for worker in running(server, "forkserver")]
            if len(workers) >= 2 and course.marks_file("ada", LESSON.name).exists():
                os.kill(workers[-1], signal.SIGKILL)
                killed.append(workers[-1])
                return
            time.sleep(0.05)

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        results = grade(course, workers=2)
    finally:
        done.set()
        thread.join()
    assert killed
    assert {s: m.points for s, m in results.items() if s.startswith("student")} == {f"student{i}": POINTS for i in range(10)}
    assert [s for s, m in results.items() if m.state == State.GRADER_ERROR] == []


def running(parent: int, word: str) -> list[int]:
    """The process ids of a process's children whose command line has the word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text()
            of = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if word in command and of == parent:
            found.append(int(folder.name))
    return sorted(found)


def test_seeds_are_secret_fresh_and_the_same_every_time(tmp_path):
    secret = course_secret(tmp_path / "grading" / "secret")
    assert course_secret(tmp_path / "grading" / "secret") == secret != course_secret(tmp_path / "other")
    assert (tmp_path / "grading" / "secret").stat().st_mode & 0o077 == 0
    ada, bob = seeds_of(secret, "ada", LESSON.exercises), seeds_of(secret, "bob", LESSON.exercises)
    assert ada == seeds_of(secret, "ada", LESSON.exercises)
    assert len({*ada.values(), *bob.values()}) == 2 * len(LESSON.exercises)
    assert seeds_of(b"another", "ada", LESSON.exercises) != ada


def test_a_worker_with_another_version_of_the_course_does_not_grade(course):
    job = Job(course.read("ada", LESSON.name), LESSON.name, {}, student="ada", course="another")
    assert course_digest(LESSON) != "another"
    with pytest.raises(CourseError, match="another version of the course"):
        classroom.run(job)


def test_children_with_other_helpers_than_the_judges_grade_nobody(course, monkeypatch, capsys):
    monkeypatch.setattr(starting, "_parents", {})
    monkeypatch.setattr(starting, "helpers_digest", lambda: "another")
    assert run_main(course, monkeypatch, "grade", "00", "--workers", "1") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: the vae_helpers installed for ")
    assert scores(course) == {}


def run_main(course: Course, monkeypatch, *words: str) -> int:
    monkeypatch.chdir(course.root)
    return main(words)


def test_replay_shows_what_an_appeal_needs(course, monkeypatch, capsys):
    grade(course)
    assert run_main(course, monkeypatch, "replay", "bob", "bits_per_dim") == 0
    said = capsys.readouterr().out
    mark = next(m for m in course.saved_marks("bob", LESSON.name).exercises if m.exercise == "bits_per_dim")
    assert f"seed {mark.seed}" in said
    for word in ("returned:", "expected:", "Verdict: failed", mark.message, "The mark on file is the same."):
        assert word in said
    assert run_main(course, monkeypatch, "replay", "ada", "bits_per_dim") == 0
    assert "Verdict: passed" in capsys.readouterr().out


def test_report_is_one_page_that_needs_nothing_else(course, monkeypatch, capsys):
    hand_in(course, "<script>alert(1)</script>".replace("/", "_"), notebook())
    grade(course)
    assert run_main(course, monkeypatch, "report", "00") == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    mistake = next(m.mistake for m in course.saved_marks("bob", LESSON.name).exercises if m.mistake)
    assert mistake in page
    assert page.count("<img alt='") == page.count("data:image/png;base64,") == 4
    assert "http" not in page
    assert "<script" not in page
    assert "eve" in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["grade", "77"], "no lesson is called '77'"),
        (["grade", "00", "--students", "nobody"], "no student is called 'nobody' (known: ada"),
        (["grade", "03"], "nobody has handed in 03_kl_divergence"),
        (["grade", "00", "--workers", "0"], "--workers 0"),
        (["grade", "00", "--scheduler", "tcp://127.0.0.1:9"], "whoever reaches a scheduler runs code as you"),
        (["grade", "00", "--scheduler", "tcp://127.0.0.1:9", "--no-tls"], "no scheduler answers at tcp://127.0.0.1:9"),
        (["grade", "00", "--scheduler", "tls://127.0.0.1:9"], "needs the certificates"),
        (["grade", "00", "--scheduler", "nonsense"], "nonsense is no tls:// address"),
        (["grade", "00", "--scheduler", "nonsense", "--no-tls"], "no scheduler answers at nonsense"),
        (["replay", "zoe", "bits_per_dim"], "'zoe' has handed in nothing"),
        (["replay", "ada", "nonsense"], "no lesson in"),
        (["report", "00"], "no marks of 00_start_here are on file"),
        (["report"], "no marks are on file"),
    ],
)
def test_bad_input_gets_one_clear_line(course, monkeypatch, capsys, words, says):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    assert run_main(course, monkeypatch, *words) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert says in said


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("grading/secret", "", "holds no secret"),
        ("grading/secret", "not hex", "holds no secret"),
        ("nbgrader_config.py", "c = (", "nbgrader_config.py stops with SyntaxError"),
        ("nbgrader_config.py", "c = get_config()\nc.CourseDirectory.db_url = 'nonsense'\n", "can't be used"),
    ],
)
def test_a_file_of_the_course_that_cannot_be_used_gets_one_clear_line(course, monkeypatch, capsys, name, text, says):
    (course.root / name).write_text(text)
    assert run_main(course, monkeypatch, "grade", "00", "--workers", "1") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    assert says in said


@pytest.mark.parametrize("text", ["7", "null", "[]", "{"])
def test_a_marks_file_that_is_none_is_written_anew(course, text):
    grade(course)
    course.marks_file("ada", LESSON.name).write_text(text)
    assert grade(course)["ada"].points == POINTS


def test_a_gradebook_that_cannot_be_used_gets_one_clear_line(course, monkeypatch, capsys):
    (course.root / "grading" / "gradebook.db").write_text("no database")
    assert run_main(course, monkeypatch, "grade", "00") == 1
    assert "the gradebook" in capsys.readouterr().err


def test_without_bubblewrap_grading_refuses_unless_asked_by_name(course, monkeypatch, capsys):
    monkeypatch.setattr("autograde.sandbox.bubblewrap.shutil.which", lambda name: None)
    assert run_main(course, monkeypatch, "grade", "00", "--workers", "1") == 1
    assert "sudo apt install bubblewrap" in capsys.readouterr().err
    assert run_main(course, monkeypatch, "grade", "00", "--workers", "1", "--no-sandbox", "--students", "ada", "bob") == 0
    assert "WITHOUT A SANDBOX" in capsys.readouterr().out
    saved = course.saved_marks("ada", LESSON.name)
    assert (saved.sandboxed, saved.points) == (False, POINTS)
    assert {mark.state for mark in saved.exercises} == {State.PASSED}


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL server of this test's own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(p) for p in [shutil.which("initdb")] if p]
    if not found:
        pytest.skip("no PostgreSQL server is installed (Debian, Ubuntu: sudo apt install postgresql)")
    binaries, data = found[-1].parent, tmp_path / "server"
    data.mkdir()
    user = {"user": "nobody"} if os.getuid() == 0 else {}  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(data, "nobody")
        for parent in data.parents[: len(data.parents) - 2]:
            parent.chmod(parent.stat().st_mode | 0o011)
    run = {"cwd": data, "check": True, "stdout": subprocess.DEVNULL, **user}
    subprocess.run([binaries / "initdb", "-D", data / "db", "-U", "vae", "--auth=trust"], **run)
    options = f"-c listen_addresses= -c unix_socket_directories={data}"
    subprocess.run(
        [binaries / "pg_ctl", "-D", data / "db", "-o", options, "-l", data / "log", "-w", "-t", "600", "start"], **run
    )
    try:
        yield f"postgresql+psycopg2://vae@/postgres?host={data}"
    finally:
        subprocess.run([binaries / "pg_ctl", "-D", data / "db", "-m", "immediate", "stop"], **run)


def test_the_gradebook_may_be_postgresql(course, postgres):
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write(f'\nc.CourseDirectory.db_url = "{postgres}"\n')
    elsewhere = Course.find(course.root)
    assert elsewhere.database[0] == postgres
    results = grade(elsewhere, workers=2)
    assert scores(elsewhere) == {
        "ada": (POINTS, False),
        "bob": (results["bob"].points, False),
        "eve": (0, True),
        "kai": (0, False),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "autograde", LESSON.name, "--student=bob"],
        cwd=course.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert scores(elsewhere)["bob"] == (results["bob"].points, False)
