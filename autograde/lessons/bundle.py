"""The student's side alone, as one archive: lessons, helpers and set-up files, and nothing that gives a solution away."""

import re
import tempfile
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import nbformat

from vae_helpers.files import write_zip

from .build import same_cells, write_release
from .last_cells import release_data
from .lesson import BEGIN, END, ROOT, CourseError, Lesson

FOLDER = "vae-course"
SET_UP = ("pyproject.toml", "environment.yml", "Makefile", "README.md", "LICENSE", "CITATION.cff")
LINK = re.compile(r"\]\(([^)#\s]+)")
NOT_FOR_STUDENTS = re.compile(r"<!-- instructors -->\n.*?<!-- /instructors -->\n", re.DOTALL)
SHORTEST = 60  # characters of a solution that is looked for: what is shorter stands in other places by chance


def bundle(lessons: Sequence[Lesson], path: Path, root: Path = ROOT) -> list[str]:
    """Write the archive; returns the files beside the course's own that were left out. Raises CourseError, and writes nothing, where
    a lesson is not what the build makes, or something in it would give a solution away, or a link in it would lead nowhere.
    """
    files, left_out = _helpers(lessons, root)
    for name in SET_UP:
        files[name] = (root / name).read_bytes()
    files["README.md"] = readme_for_students(files["README.md"].decode(), lessons).encode()
    with tempfile.TemporaryDirectory() as folder:
        for lesson in lessons:
            made, released = write_release(lesson, Path(folder)), root / "notebooks" / lesson.name
            if not same_cells(released / made.name, made):
                raise CourseError(
                    f"{released / made.name} is not what the build makes: run `python -m autograde build {lesson.name}`"
                )
            files[f"notebooks/{lesson.name}/{made.name}"] = made.read_bytes()
            told = release_data(lesson, made).encode()
            if files.get(f"vae_helpers/submissions/lessons/{lesson.name}.json") != told:
                raise CourseError(f"what is told of {lesson.name} is stale: run `python -m autograde build {lesson.name}`")
            left_out += sorted(str(p.relative_to(root)) for p in released.rglob("*") if p.is_file() and p.name != made.name)
    check(files, lessons)
    write_zip(path, {f"{FOLDER}/{name}": data for name, data in files.items()})
    return left_out


def readme_for_students(text: str, lessons: Sequence[Lesson]) -> str:
    """The README without what only instructors need, and without the rows of lessons that are not handed out."""
    names = {lesson.name for lesson in lessons}
    lines = NOT_FOR_STUDENTS.sub("", text).splitlines(keepends=True)
    return "".join(line for line in lines if not (row := re.search(r"\(notebooks/(\w+)/", line)) or row[1] in names)


def _helpers(lessons: Sequence[Lesson], root: Path) -> tuple[dict[str, bytes], list[str]]:
    """vae_helpers' own files, by their paths, and what else lies there: weights that no module names, keys and lessons that are not handed out."""
    folder, files, left_out = root / "vae_helpers", {}, []
    names, keys = {lesson.name for lesson in lessons}, {name for lesson in lessons for name in lesson.exercises}
    sources = {path: path.read_bytes() for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts}
    text = b"".join(sources.values()).decode()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        inside = path.relative_to(folder)
        is_key = inside.parent == Path("checks/keys") and path.suffix == ".safetensors" and path.stem in keys
        is_lesson = inside.parent == Path("submissions/lessons") and path.stem in names
        is_shipped = inside.parent == Path("shipped") and f'"{path.stem}' in text
        is_browser_s = inside.suffix in (".js", ".css") and f'"{path.name}"' in text
        if path in sources or inside.parent == Path("mnist") or is_key or is_lesson or is_shipped or is_browser_s:
            files[path.relative_to(root).as_posix()] = path.read_bytes()
        else:
            left_out.append(str(path.relative_to(root)))
    if missing := sorted(keys - {Path(name).stem for name in files if "/keys/" in name}):
        raise CourseError(f"there is no answer key of {', '.join(missing[:5])}: run `python -m autograde build`")
    return files, left_out


def check(files: dict[str, bytes], lessons: Sequence[Lesson]) -> None:
    """Raise CourseError where one of the files holds a solution, or a page has a link to what is not among them."""
    texts = {
        name: _text(name, data) for name, data in files.items() if name.endswith((".py", ".ipynb", ".md", ".toml", ".yml"))
    }
    solutions = [solution for lesson in lessons for solution in _solutions(lesson)]
    for name, text in texts.items():
        if BEGIN in text:
            raise CourseError(f"{name} holds a solution: {BEGIN} stands in it")
        for exercise, solution in solutions:
            # In a notebook, of the exercise's own cell: given cells may say the same, and do so in later lessons.
            if solution in _squeeze(_answer(files[name], exercise) if name.endswith(".ipynb") else text):
                raise CourseError(f"{name} holds the solution of {exercise}")
        if name.endswith((".ipynb", ".md")):
            for target in LINK.findall(_prose(name, files[name])):
                elsewhere = (
                    "://" in target or target.startswith("mailto:") or re.fullmatch(r"\.\./(\d\d_\w+)/\1\.ipynb", target)
                )
                if not elsewhere and not _is_there(name, target, files):  # another lesson may be handed out later
                    raise CourseError(f"{name} links to {target}, which students don't get")


def _solutions(lesson: Lesson) -> list[tuple[str, str]]:
    """(exercise, text) of each part that a student writes and that is long enough to be known again."""
    parts = []
    for exercise, cell in lesson.exercises.items():
        for part in re.findall(rf"{re.escape(BEGIN)}\n(.*?)\n[^\n]*{re.escape(END)}", cell.source, re.DOTALL):
            if len(_squeeze(part)) >= SHORTEST:
                parts.append((exercise, _squeeze(part)))
    return parts


def _answer(notebook: bytes, exercise: str) -> str:
    cells = _read(notebook)
    return "\n".join(cell.source for cell in cells if cell.metadata.get("nbgrader", {}).get("grade_id") == exercise)


@lru_cache(maxsize=2)  # one notebook after the other
def _read(notebook: bytes) -> list[nbformat.NotebookNode]:
    return nbformat.reads(notebook.decode(), as_version=4).cells


def _squeeze(text: str) -> str:
    return "\n".join(line.strip() for line in textwrap.dedent(text).splitlines() if line.strip())


def _text(name: str, data: bytes, kinds: Sequence[str] = ("code", "markdown")) -> str:
    if name.endswith(".ipynb"):
        return "\n".join(cell.source for cell in _read(data) if cell.cell_type in kinds)
    return data.decode()


def _prose(name: str, data: bytes) -> str:
    return _text(name, data, ["markdown"])


def _is_there(page: str, target: str, files: dict[str, bytes]) -> bool:
    parts: list[str] = []
    for part in (PurePosixPath(page).parent / target).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    path = "/".join(parts)
    return any(name == path or name.startswith(f"{path}/") for name in files)
