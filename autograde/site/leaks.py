"""Whether what is published gives a solution away."""

import html
import re
from functools import cache
from pathlib import Path

import nbformat

from ..lessons.build import NOTEBOOKS
from ..lessons.lesson import BEGIN, END, CourseError, Lesson, lesson_names, read_lesson

TEXTS = {".html", ".js", ".json", ".ipynb", ".txt", ".md"}


def solution_lines(lesson: Lesson) -> dict[str, str]:
    """Each line that only the solutions have, without its indentation → its exercise. What students are given is no secret."""
    given = _released()
    found = {}
    for name, cell in lesson.exercises.items():
        inside = False
        for line in cell.source.splitlines():
            inside = (inside or BEGIN in line) and END not in line
            if inside and BEGIN not in line and line.strip() and line.strip() not in given:
                found[line.strip()] = name
    return found


@cache
def _released() -> str:
    notebooks = [nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4) for name in lesson_names()]
    return "\n".join(cell.source for notebook in notebooks for cell in notebook.cells)


def text_of(path: Path) -> str:
    """What a reader of the file finds: a page's text without its markup, anything else as it stands, escapes undone."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".html":
        return html.unescape(re.sub(r"<[^>]*>", "", text))
    return text.replace('\\"', '"')


def refuse_leaks(site: Path) -> None:
    """Raises CourseError where a file of the site, its search index and notebooks among them, holds a line of a solution."""
    secrets = {line: exercise for name in lesson_names() for line, exercise in solution_lines(read_lesson(name)).items()}
    theirs = {site / "_static" / name for name in ("mathjax", "scripts", "vendor", "styles", "locales")}
    for path in sorted(site.rglob("*")):
        if path.suffix not in TEXTS or theirs & set(path.parents):
            continue
        text = text_of(path)
        for line, exercise in secrets.items():
            if line in text:
                raise CourseError(f"{path.relative_to(site)} would give {exercise} away: it has {line!r}")
