"""An instructor's week with nbgrader's exchange: what goes out, what comes in, and feedback that arrives."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeFactory
from traitlets.config import Config, PyFileConfigLoader

from autograde.demo import reference_source
from autograde.grading.classroom import Course, grade_class, prepare
from autograde.lessons.build import NOTEBOOKS, source_notebook
from autograde.lessons.lesson import ROOT, read_lesson
from autograde.lessons.train_shipped import NAMES, new_conv_vae
from vae_helpers import load_parameters, save_weights

START, TRAINS = read_lesson("00_start_here"), read_lesson("07_convolutional_vae")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A course as `python -m autograde prepare` leaves it, with two lessons. Making the gradebook takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("prepared")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    for lesson in (START, TRAINS):
        shutil.copytree(
            NOTEBOOKS / lesson.name, root / "notebooks" / lesson.name, ignore=shutil.ignore_patterns("*.safetensors")
        )
    prepare(Course.find(root), [START, TRAINS])
    return root


@pytest.fixture
def course(tmp_path, prepared) -> Course:
    return Course.find(shutil.copytree(prepared, tmp_path / "course"))


def instructor(course: Course) -> NbGraderAPI:
    """What the formgrader's buttons call."""
    config = PyFileConfigLoader("nbgrader_config.py", str(course.root)).load_config()
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def solved(path: Path, lesson, **others: str) -> bytes:
    """A notebook that was fetched, with the solutions written into it, or other sources where they are given."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in lesson.exercises:
            cell.source = others.get(name) or reference_source(lesson.exercises[name])
    return nbformat.writes(notebook).encode()


class Student:
    """One who uses nbgrader's commands, on another account: only the exchange's folder and the course's name are shared."""

    def __init__(self, course: Course, name: str):
        self.folder = course.root.parent / name
        self.folder.mkdir(exist_ok=True)
        config = Config()
        config.CourseDirectory.update({"course_id": "vae", "student_id": name, "root": str(self.folder)})
        config.Exchange.root = str(course.root / "grading" / "exchange")
        config.Exchange.assignment_dir = str(self.folder)
        config.Exchange.cache = str(self.folder / ".cache")
        self.config = config

    def does(self, what: str, lesson) -> None:
        self.config.CourseDirectory.assignment_id = lesson.name
        coursedir = CourseDirectory(config=self.config)
        authenticator = NbGraderAPI(CourseDirectory(config=self.config), config=self.config).authenticator
        kind = getattr(ExchangeFactory(config=self.config), what)
        kind(coursedir=coursedir, authenticator=authenticator, config=self.config).start()

    def solves(self, lesson, *but: str) -> None:
        """Writes the solutions into the notebook that was fetched, except for the exercises named."""
        path = self.folder / lesson.name / f"{lesson.name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name in lesson.exercises and name not in but:
                cell.source = reference_source(lesson.exercises[name])
        nbformat.write(notebook, path)

    def feedback(self, lesson) -> str:
        self.does("FetchFeedback", lesson)
        (page,) = self.folder.glob(f"{lesson.name}/feedback/*/{lesson.name}.html")
        return page.read_text(encoding="utf-8")


def trained_weights(folder: Path) -> None:
    """Lesson 07's weights without lesson 07's training: lesson 05's, with dimensions of the code added that say nothing, and each
    dimension scaled by another factor, since weights that ship are nobody's own.
    """
    vae, given = new_conv_vae(32), load_parameters("conv_vae")
    state = {name: torch.zeros_like(value) for name, value in vae.state_dict().items()}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        known = torch.from_numpy(given[f"{NAMES[layer]}.{kind}"])
        value[tuple(slice(0, n) for n in known.shape)] = known
    vae.load_state_dict(state)
    scale = torch.linspace(0.5, 2.0, 32)
    with torch.no_grad():
        vae.encoder.mu.weight *= scale[:, None]
        vae.encoder.mu.bias *= scale
        vae.encoder.logvar.bias += 2 * scale.log()
        vae.decoder.layers[0].weight /= scale
    save_weights(vae, folder / "vae.safetensors")


def released(course: Course, lesson) -> dict[str, str]:
    folder = course.root / "grading" / "exchange" / "vae" / "outbound" / lesson.name
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()
    }


def test_what_lies_beside_a_lesson_is_not_released(course):
    folder = course.root / "notebooks" / TRAINS.name
    trained_weights(folder)
    (folder / "notes.txt").write_text("the answers")
    done = instructor(course).release_assignment(TRAINS.name)
    assert done["success"], done
    assert "vae.safetensors" in done["log"] and "notes.txt" in done["log"]
    name = f"{TRAINS.name}.ipynb"
    sent = released(course, TRAINS)
    assert set(sent) == {name}
    assert nbformat.reads(sent[name], 4).cells == nbformat.read(NOTEBOOKS / TRAINS.name / name, 4).cells


def test_a_lesson_in_which_an_instructor_has_written_is_refused(course):
    path = course.root / "notebooks" / START.name / f"{START.name}.ipynb"
    nbformat.write(source_notebook(START), path)
    done = instructor(course).release_assignment(START.name)
    assert not done["success"]
    assert "is not what the build makes of the lesson" in done["log"] and f"autograde build {START.name}" in done["log"]
    assert released(course, START) == {}


def test_an_assignment_of_the_instructors_own_is_released_as_it_is(course):
    folder = course.root / "notebooks" / "own"
    folder.mkdir()
    (folder / "own.ipynb").write_bytes(nbformat.writes(nbformat.v4.new_notebook()).encode())
    assert instructor(course).release_assignment("own")["success"]
    assert (course.root / "grading" / "exchange" / "vae" / "outbound" / "own" / "own.ipynb").exists()


def test_what_a_link_leads_to_is_not_collected(course):
    """nbgrader would copy it, with the instructor's rights, to where the student's own code may read it."""
    inbound = course.root / "grading" / "exchange" / "vae" / "inbound"
    for name in ("ada", "bob"):
        folder = inbound / f"{name}+{START.name}+2026-12-01 10:00:00 UTC"
        (folder / "data").mkdir(parents=True)
        nbformat.write(source_notebook(START), folder / f"{START.name}.ipynb")
        (folder / "timestamp.txt").write_text("2026-12-01 10:00:00.000000 UTC")
        (folder / "data" / "numbers.csv").write_text("1,2")
    _ = course.secret
    theirs = next(inbound.glob("ada+*"))
    (theirs / "data" / "notes.txt").symlink_to(course.root / "grading" / "secret")
    (theirs / "all").symlink_to(course.root / "grading")
    os.mkfifo(theirs / "pipe")
    assert instructor(course).collect(START.name)["success"]
    for name in ("ada", "bob"):
        folder = course.submission_folder(name, START.name)
        taken = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        assert taken == {f"{START.name}.ipynb", "timestamp.txt", "data/numbers.csv"}


def test_what_is_too_large_to_collect_stops_nobody(course, monkeypatch):
    inbound = course.root / "grading" / "exchange" / "vae" / "inbound"
    for name in ("ada", "bob"):
        folder = inbound / f"{name}+{START.name}+2026-12-01 10:00:00 UTC"
        folder.mkdir(parents=True)
        (folder / f"{START.name}.ipynb").write_text("x" * 5000 * (name == "ada"))
    api = instructor(course)
    api.coursedir.max_dir_size = 4  # kB
    done = api.collect(START.name)
    assert done["success"] and "Directory size is too big" in done["log"]
    assert not course.submission_folder("ada", START.name).exists()
    assert course.submission_folder("bob", START.name).exists()


def test_a_week_with_the_exchange(course, caplog):
    """Released, fetched, solved, handed in, collected, graded by each of the three ways; and the feedback is fetched."""
    caplog.set_level(logging.INFO)
    api = instructor(course)
    students = {name: Student(course, name) for name in ("ada", "bob")}
    for lesson in (START, TRAINS):
        assert api.release_assignment(lesson.name)["success"]
        for student in students.values():
            student.does("FetchAssignment", lesson)
    for name, student in students.items():
        student.solves(START, *["bits_per_dim"] * (name == "bob"))
        student.does("Submit", START)
    students["ada"].solves(TRAINS)
    trained_weights(students["ada"].folder / TRAINS.name)
    students["ada"].does("Submit", TRAINS)
    # Somebody sends an e-mail instead, and somebody hands in nothing.
    kai = course.submission_folder("kai", START.name)
    shutil.copytree(students["ada"].folder / START.name, kai)
    for lesson in (START, TRAINS):
        assert api.collect(lesson.name)["success"]

    saved = {}
    for way in ("autograde", "command", "button"):
        if way == "autograde":
            grade_class(course, START, progress=False)
            grade_class(course, TRAINS, progress=False)
        elif way == "command":
            command = [sys.executable, "-m", "nbgrader", "autograde", START.name, "--force"]
            subprocess.run(command, cwd=course.root, check=True, capture_output=True)
        else:
            assert all(api.autograde(START.name, student)["success"] for student in ("ada", "bob", "kai"))
        saved[way] = {student: course.saved_marks(student, START.name).to_json() for student in ("ada", "bob", "kai")}
        assert api.generate_feedback(START.name)["success"]
        done = api.release_feedback(START.name)
        assert done["success"] and "is sent there: kai" in done["log"], done
        pages = {name: student.feedback(START) for name, student in students.items()}
        assert "bits_per_dim</b>: not written yet" in pages["bob"] and "not written yet" not in pages["ada"]
        shutil.rmtree(course.root / "grading" / "exchange" / "vae" / "feedback")
        for student in students.values():
            shutil.rmtree(student.folder / START.name / "feedback")
    assert saved["autograde"] == saved["command"] == saved["button"]
    marks = course.saved_marks("ada", TRAINS.name)
    assert marks.points == marks.max_points, [m.message for m in marks.exercises if m.points < m.max_points]
    assert course.saved_marks("bob", TRAINS.name).state == "missing"
    assert api.generate_feedback(TRAINS.name)["success"]  # of those who handed in
    assert api.release_feedback(TRAINS.name)["success"]
    assert "trained_vae" in students["ada"].feedback(TRAINS)
