"""What a learning management system hands an instructor, one archive of everybody's files, put where grading looks for it."""

import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from dateutil.parser import parse
from dateutil.tz import gettz

from vae_helpers.submissions.protocol import plain as shown
from vae_helpers.submissions.which_notebook import NOTEBOOK, is_notebook

from ..grading.classroom import LONGEST_NAME, Course
from ..grading.gradebook import known_students
from ..grading.handin_files import LARGEST_FILES
from ..lessons.lesson import CourseError, lesson_names, read_lesson
from .participants import Participant, Participants, called, fits, plain

MOST_MEMBERS = 100_000  # of the archive that the instructor gives
JUNK = re.compile(r"(^|/)(__MACOSX|\.ipynb_checkpoints|\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini)(/|$)")
# What Moodle's mod/assign/classes/downloader.php and Canvas's lib/content_zipper.rb call files. Moodle's group of those who are in
# none has no number. Canvas keeps underscores that are in a name, and has "anon" and letters instead where one marks blind.
MOODLE = re.compile(r"(?:.*/)?(?P<name>[^/]+?)(?:_(?P<number>\d+))?_assignsubmission_(?P<kind>[a-z]+)_*/*(?P<rest>.+)")
CANVAS = re.compile(r"(?P<name>[^/]+?)_(?P<late>LATE_)?(?P<number>\d+)_\d+_(?P<rest>[^/]+)")
CANVAS_BLIND = re.compile(r"(?P<late>LATE_)?(?P<name>anon_(?P<number>[A-Za-z0-9]+))_\d+_(?P<rest>[^/]+)")
CANVAS_TYPED = re.compile(r"[^/]+_(\d+|anon_[A-Za-z0-9]+)_(text|link)\.html")
# " (1)" of a second download, "-1" of a second upload.
COPY = re.compile(r"(?: ?\(\d+\)|-\d{1,2})$")


@dataclass
class Upload:
    """What one student handed in. who, number: as the archive has it. platform: whose names the files have; "" is nobody's.

    files: by their names, functions that read them, or give None where that can't be done. All at once would fill the memory.
    """

    who: str
    number: str = ""
    platform: str = ""
    late: bool = False
    files: dict[str, Callable[[], bytes | None]] = field(default_factory=dict)


@dataclass
class Collected:
    """placed: (student, lesson, what happened). unplaced: sentences, one for each file or student that could not be placed."""

    placed: list[tuple[str, str, str]] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


def collect(course: Course, source: Path, participants: Participants | None = None, lesson: str | None = None) -> Collected:
    """Put every student's files into the course's folder of submissions; the source stays as it is.

    lesson: of everything in the source; by default, what each upload's notebooks say. What was handed in before, and differs, is moved
    to grading/replaced. Raises CourseError where the source can't be read, or holds nothing.
    """
    result = Collected()
    with _opened(source) as entries:
        uploads = read_uploads(entries, result.unplaced)
        if not uploads and not result.unplaced:
            raise CourseError(f"{source} holds no file")
        known = {*known_students(*course.database), *(name for n in lesson_names() for name in course.students(n))}
        names = [_student(upload, participants, known) for upload in uploads]
        for upload, (student, why) in zip(uploads, names, strict=True):
            if student and sum(student == other for other, _ in names) > 1:
                student, why = None, f"more than one would be called {student}: say with --participants who is who"
            if student is None:
                result.unplaced.append(f"{shown(upload.who)}: {why}")
                continue
            if upload.late:
                result.late.append(student)
            when = _handed_in(participants, upload) if participants else None
            for name, files in _by_lesson(upload, lesson, result.unplaced).items():
                result.placed.append((student, name, _place(course, student, name, files, when)))
    return result


def read_uploads(entries: list[tuple[str, Callable]], unplaced: list[str]) -> list[Upload]:
    """Who handed in what, by the names that Moodle, Canvas or a plain folder give files. What fits none is said in `unplaced`."""
    uploads: dict[tuple[str, str], Upload] = {}
    entries = [(unicodedata.normalize("NFC", name), read) for name, read in entries if not JUNK.search(name)]
    # One folder around all, as it comes of packing a folder: students are what is in it.
    inner = [name.split("/", 1)[1] for name, _ in entries if "/" in name]
    one_top = len({name.split("/")[0] for name, _ in entries}) == 1 and len(inner) == len(entries)
    students = [_names_a_student(name) for name in inner]
    if one_top and (all(students) or len({*students} - {""}) > 1):
        entries = [(name.split("/", 1)[1], read) for name, read in entries]
    for name, read in entries:
        found, rest = _parse(name)
        if found is None:
            unplaced.append(f"{shown(name)}: {rest}")
            continue
        upload = uploads.setdefault((found.who, found.number), found)
        upload.late |= found.late
        while rest in upload.files:
            rest = str(PurePosixPath(rest).with_name(f"another {PurePosixPath(rest).name}"))
        upload.files[rest] = read
    return list(uploads.values())


def _names_a_student(name: str) -> str:
    """Whom the path itself names, so that a folder around it doesn't; "" where it names nobody."""
    who, _, rest = name.partition("/")
    if rest:
        return who if who not in lesson_names() else ""
    found = MOODLE.fullmatch(name) or CANVAS_BLIND.fullmatch(name) or CANVAS.fullmatch(name)
    return found["name"] if found else _own_name(name)


@contextmanager
def _opened(source: Path) -> Iterator[list[tuple[str, Callable[[], bytes | None]]]]:
    """(path in the source, a function that reads it, or gives None where that can't be done) of each file."""
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
        yield [(path.relative_to(source).as_posix(), lambda p=path: _read_file(p)) for path in paths]
        return
    if not source.exists():
        raise CourseError(f"there is no {source}: give the archive as it was downloaded, or a folder")
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError):
        raise CourseError(f"{source} is no zip archive, or it is damaged: download it again") from None
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MOST_MEMBERS:
            raise CourseError(f"{source} holds {len(members)} files; at most {MOST_MEMBERS} are read")
        yield [(m.filename.replace("\\", "/"), lambda m=m: _read_member(archive, m)) for m in members]


def _read_file(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= LARGEST_FILES else None


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    try:
        with archive.open(member) as file:
            data = file.read(LARGEST_FILES + 1)  # what the archive says of its size is its own affair
    except (zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError, RuntimeError, EOFError, OSError):
        return None
    return data if len(data) <= LARGEST_FILES else None


def _parse(path: str) -> tuple[Upload | None, str]:
    """Whose a file is, and what it is called without that; or None, and why that can't be told."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or re.match(r"\w:", path):
        return None, "its path leads out of the archive"
    if any(len(part.encode(errors="replace")) > LONGEST_NAME or not part.isprintable() for part in parts):
        return None, "its name is too long, or can't be shown"
    if found := MOODLE.fullmatch(path):
        who, number, rest = found["name"], found["number"] or "", found["rest"]
        if found["kind"] != "file":
            return None, "text typed in Moodle is not read"
        return _unless_a_time(Upload(who, number, "moodle"), rest)
    if CANVAS_TYPED.fullmatch(path):
        return None, "text typed in Canvas is not read"
    if found := CANVAS_BLIND.fullmatch(path) or CANVAS.fullmatch(path):
        return _unless_a_time(Upload(found["name"], found["number"], "canvas", bool(found["late"])), found["rest"])
    who, _, rest = path.partition("/")
    if rest:
        return Upload(who), rest
    if who := _own_name(path):
        return Upload(who), path
    return None, "nothing says whose it is: name it STUDENT.zip, or put it into a folder called after the student"


def _unless_a_time(upload: Upload, rest: str) -> tuple[Upload | None, str]:
    """Whoever hands in by a platform doesn't say when: it does."""
    return (
        (upload, rest)
        if rest != "timestamp.txt"
        else (None, "the time at which something was handed in is not taken from students")
    )


def _own_name(name: str) -> str:
    """The student's name in a notebook's or an archive's own, beside the lesson's: "ada" of "03_kl_divergence_ada.zip"."""
    stem, ending = NOTEBOOK.sub("", name), PurePosixPath(name).suffix.lower()
    if stem == name and ending != ".zip":
        return ""
    stem = stem if stem != name else name[: -len(ending)]
    for lesson in lesson_names():
        stem = re.sub(rf"(^|[ _+-]*){re.escape(lesson)}([ _+-]+|$)", "", stem, count=1, flags=re.IGNORECASE)
    return COPY.sub("", stem).strip(" _+-") if not COPY.fullmatch(stem) else ""


def _student(upload: Upload, participants: Participants | None, known: set[str]) -> tuple[str | None, str]:
    """What the student is called here, or None and why that can't be told."""
    if participants is None:
        # Canvas's number is the student's own in all of a course; Moodle's is another in each assignment.
        name = upload.number if upload.platform == "canvas" else upload.who
    else:
        people, listed = participants.people, participants.path.name
        found = [p for p in people if upload.number and p.number == upload.number]
        if found and upload.platform == "moodle" and not any(fits(upload.who, p) for p in found):
            other = found[0].full_name
            return None, f"{upload.number} is {other} in {listed}: is it another assignment's list?"
        found = found or [p for p in people if upload.who.casefold() in {n.casefold() for n in p.names}]
        found = found or [p for p in people if plain(upload.who) in p.spellings()]
        if len(found) != 1:
            how = "nobody" if not found else f"{len(found)} people"
            return None, f"{how} in {listed} can be meant"
        name = called(found[0], known)
    name = unicodedata.normalize("NFC", name).strip()
    if not name.isprintable() or len(name.encode()) > LONGEST_NAME or re.search(r"^[.]|[/\\*+]", name) or not name:
        return None, f"no student can be called {name!r}"
    return name, ""


def _handed_in(participants: Participants, upload: Upload) -> datetime | None:
    """When, in UTC, where the list says so; its times are local."""
    person: Participant | None = next((p for p in participants.people if upload.number and p.number == upload.number), None)
    try:
        when = parse(person.handed_in) if person and person.handed_in else None
    except (ValueError, OverflowError):
        return None
    return when.replace(tzinfo=when.tzinfo or gettz()).astimezone(timezone.utc) if when else None


def _by_lesson(upload: Upload, lesson: str | None, unplaced: list[str]) -> dict[str, dict[str, bytes]]:
    """An upload's files by lesson: what is beside the notebooks goes with each of them."""
    contents = {name: read() for name, read in upload.files.items()}
    for name in [name for name, data in contents.items() if data is None]:
        del contents[name]
        limit = f"larger than {LARGEST_FILES >> 20} MB"
        unplaced.append(f"{shown(upload.who)}, {shown(name)}: it is damaged, locked with a password, or {limit}")
    lessons = {name: lesson or lesson_in(name, data) for name, data in contents.items()}
    found = sorted({name for name in lessons.values() if name})
    if not found:
        what = ", ".join(sorted(contents)[:5]) or "nothing that can be read"
        unplaced.append(f"{shown(upload.who)}: no lesson's notebook is in it ({shown(what)}); --lesson says which it is")
    sorted_files: dict[str, dict[str, bytes]] = {}
    for wanted in found:
        files = sorted_files[wanted] = {}
        for name, data in contents.items():
            if lessons[name] in (wanted, None):
                inside = _kept_name(name, wanted, set(contents))
                files[inside if inside not in files else name] = data
    return sorted_files


def lesson_in(name: str, data: bytes) -> str | None:
    """The lesson that a notebook, or an archive with one, is of: by its name, or else by its exercises. None for another file."""
    if name.lower().endswith(".zip"):
        try:
            inside = zipfile.ZipFile(io.BytesIO(data)).namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            inside = []
        return next(filter(None, map(_lesson_by_name, [*filter(is_notebook, inside), name])), None)
    if not is_notebook(name):
        return None
    if by_name := _lesson_by_name(name):
        return by_name
    try:
        cells = json.loads(data)["cells"]
        ids = {cell["metadata"]["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell.get("metadata", {})}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    best = max(lesson_names(), key=lambda n: len(ids & read_lesson(n).exercises.keys()))
    return best if ids & read_lesson(best).exercises.keys() else None


def _lesson_by_name(name: str) -> str | None:
    file = PurePosixPath(name).name.casefold()
    return next((lesson for lesson in lesson_names() if lesson in file), None)


def _kept_name(name: str, lesson: str, others: set[str]) -> str:
    """A file's name without what browsers and platforms add to it; the only notebook is called as the lesson is."""
    path = PurePosixPath(name.removeprefix(f"{lesson}/"))
    notebooks = [other for other in others if is_notebook(other)]
    if is_notebook(name):
        return (
            f"{lesson}.ipynb"
            if len(notebooks) == 1 or _lesson_by_name(name) == lesson
            else NOTEBOOK.sub(".ipynb", str(path))
        )
    without = str(path.with_name(COPY.sub("", path.stem) + path.suffix))
    return without if path.suffix == ".safetensors" and without not in others else str(path)


def _place(course: Course, student: str, lesson: str, files: dict[str, bytes], when: datetime | None) -> str:
    """Write a submission's folder whole; returns what happened. An earlier one that differs is moved away, not lost."""
    folder = course.submission_folder(student, lesson)
    if when:
        files = files | {"timestamp.txt": when.strftime("%Y-%m-%d %H:%M:%S.%f UTC").encode()}
    there = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()
    }
    if there == files:
        return "unchanged"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".collecting-", dir=folder.parent) as made:
        for name, data in files.items():
            path = Path(made, lesson, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        aside = None
        if os.path.lexists(folder):
            now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
            aside = course.root / "grading" / "replaced" / student / lesson / now
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, aside)
        Path(made, lesson).replace(folder)
    return f"new; the one before is in {aside}" if aside else "new"


def told(result: Collected) -> str:
    """What an instructor reads: how many were placed, which replaced an earlier one, and who was late."""
    lines = []
    for lesson in sorted({lesson for _, lesson, _ in result.placed}):
        of_it = [(student, what) for student, name, what in result.placed if name == lesson]
        unchanged = sum(what == "unchanged" for _, what in of_it)
        lines.append(f"{lesson}: submissions placed: {len(of_it)}" + f", of them as before: {unchanged}" * bool(unchanged))
        lines += [f"  {student}: {what}" for student, what in of_it if "before" in what]
    if result.late:
        lines.append(f"late, Canvas says: {', '.join(sorted(result.late))}")
    return "\n".join([*lines, *(f"not placed: {sentence}" for sentence in result.unplaced)])
