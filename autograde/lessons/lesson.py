"""A lesson's text: find it, read it, and say clearly where it is malformed."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jupytext

PACKAGE = Path(__file__).resolve().parents[1]  # autograde
ROOT = PACKAGE.parent
SOLUTIONS = ROOT / "solutions"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


class CourseError(Exception):
    """Something that an instructor must mend, in one line that says what."""


class LessonError(CourseError):
    """A malformed or unknown lesson, in one line that names the file and, where there is one, the line."""


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson. `exercise` and `points` are set for an exercise, `given` for definitions that others use.

    `claim`: assertions of what the prose says of the run above it; in the solved notebook only.
    """

    kind: str  # "markdown" or "code"
    source: str
    line: int  # of the cell's first line in the text, counted from 1
    exercise: str | None = None
    points: int | None = None
    given: bool = False
    claim: bool = False
    check: str | None = None  # what the check cell passes to `check`, where it is not the exercise's own name


@dataclass(frozen=True)
class Lesson:
    """A parsed lesson. `name` is its folder's and file's name, as "03_kl_divergence"."""

    name: str
    path: Path
    cells: tuple[Cell, ...]

    @property
    def exercises(self) -> dict[str, Cell]:
        """The cells that students write, by the names of their exercises, in order."""
        return {cell.exercise: cell for cell in self.cells if cell.exercise}


def lesson_names(solutions: Path = SOLUTIONS) -> list[str]:
    """The names of all lessons, in order."""
    return sorted(path.parent.name for path in solutions.glob("*/*.md") if path.stem == path.parent.name)


@cache
def read_lesson(name: str, solutions: Path = SOLUTIONS) -> Lesson:
    """Parse one lesson. Raises LessonError for an unknown or malformed one."""
    path = solutions / name / f"{name}.md"
    if not path.exists():
        known = ", ".join(lesson_names(solutions)) or "none"
        raise LessonError(f"no lesson is called {name!r}: {path} does not exist (known: {known})")
    text = path.read_text(encoding="utf-8")
    _check_fences(text, path)
    cells, position = [], 0
    for cell in jupytext.reads(text, fmt="md").cells:
        position = max(text.find(cell.source, position), position)
        line = text.count("\n", 0, position) + 1
        position += len(cell.source)
        cells.append(_parse_cell(cell, path, line))
    _check_exercises(cells, path)
    return Lesson(name, path, tuple(cells))


def _parse_cell(cell, path: Path, line: int) -> Cell:
    if cell.cell_type != "code":
        return Cell("markdown", cell.source, line)
    known = {"exercise", "points", "given", "claim", "check"}
    metadata = {k: v for k, v in cell.metadata.items() if k != "lines_to_next_cell"}  # Jupytext's own note on blank lines
    unknown = sorted(set(metadata) - known)
    if unknown:
        raise LessonError(
            f"{path}:{line - 1}: unknown word in the fence: {', '.join(unknown)} (known: {', '.join(sorted(known))})"
        )
    return Cell("code", cell.source, line, **metadata)


def _check_fences(text: str, path: Path) -> None:
    opened = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if opened is None:
                opened = number
            elif line.strip() == "```":
                opened = None
            else:
                raise LessonError(f"{path}:{opened}: this fence is not closed before the next one opens on line {number}")
    if opened is not None:
        raise LessonError(f"{path}:{opened}: this fence is never closed")


def _check_exercises(cells: list[Cell], path: Path) -> None:
    seen = {}
    for cell in cells:
        fence = cell.line - 1
        if cell.kind == "markdown":
            continue
        begun = None
        for offset, line in enumerate(cell.source.splitlines()):
            if BEGIN in line:
                if begun is not None:
                    raise LessonError(f"{path}:{cell.line + offset}: a solution begins inside the one of line {begun}")
                begun = cell.line + offset
            elif END in line:
                if begun is None:
                    raise LessonError(f"{path}:{cell.line + offset}: this END SOLUTION has no BEGIN SOLUTION")
                begun = None
        if begun is not None:
            raise LessonError(f"{path}:{begun}: this solution is not closed: add a line {END}")
        if cell.claim and (cell.exercise or cell.given):
            raise LessonError(
                f"{path}:{fence}: a claim is no exercise and gives nothing: only claim=true may stand in its fence"
            )
        if cell.exercise is None:
            if BEGIN in cell.source:
                raise LessonError(
                    f'{path}:{fence}: a solution in a cell that is no exercise; give its fence exercise="name" points=N'
                )
            if cell.claim and not any(line.startswith("assert ") for line in cell.source.splitlines()):
                raise LessonError(f"{path}:{fence}: a claim that asserts nothing: add a line that begins with assert")
            continue
        if BEGIN not in cell.source:
            raise LessonError(f"{path}:{fence}: exercise {cell.exercise} has no {BEGIN} … {END}")
        if not isinstance(cell.points, int) or isinstance(cell.points, bool) or cell.points < 0:
            raise LessonError(
                f"{path}:{fence}: exercise {cell.exercise} has no points (write points=2; points=0 for a challenge)"
            )
        if cell.exercise in seen:
            raise LessonError(f"{path}:{fence}: exercise {cell.exercise} stands here and on line {seen[cell.exercise]}")
        seen[cell.exercise] = fence


def lesson_of(exercise: str) -> Lesson:
    """The lesson that an exercise belongs to. Raises LessonError where no lesson has it."""
    for name in lesson_names():
        lesson = read_lesson(name)
        if exercise in lesson.exercises:
            return lesson
    raise LessonError(f"no lesson in {SOLUTIONS} has an exercise called {exercise!r}")


def module_of(lesson: Lesson, kind: str) -> str:
    """The file of the lesson's probes ("probes") or catalogue entries ("catalogue"), from the repository's root."""
    folder = {"probes": "vae_helpers/checks/probes", "catalogue": "autograde/catalogue"}[kind]
    return f"{folder}/lesson_{lesson.name.split('_')[0]}.py"
