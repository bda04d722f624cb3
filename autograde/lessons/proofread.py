"""What a lesson says in more than one place, or must not leave empty: compared by the build, which says what to write where."""

import ast
import re
from pathlib import Path

from vae_helpers.checks.probes import OPTIONS
from vae_helpers.files import write_whole

from .form import check_form, prose, time, total
from .lesson import ROOT, Cell, Lesson, LessonError, module_of

README = ROOT / "README.md"
OWN_NUMBER = re.compile(r"^### (Exercise|Prediction|Challenge) \d+")
MENTION = re.compile(r"\b(exercise|prediction)s? (\d+)\b", re.IGNORECASE)
ARGUMENTS = {"show": {"caption": 1, "alt": 2}, "explore": {"caption": 1, "alt": 2}}


def proofread(lesson: Lesson, hints: dict[str, list[str]]) -> None:
    """Raises LessonError, in one line, for the first thing that doesn't agree. hints: by exercise, the catalogue's."""
    numbered = check_form(lesson, OPTIONS)
    _check_mentions(lesson, numbered, hints)
    for cell in lesson.cells:
        if cell.kind == "code":
            _check_calls(cell, lesson)


def with_row(readme: str, lesson: Lesson) -> str:
    """The README's text with the lesson's minutes, exercises and points. Raises LessonError where the lesson has no row."""
    numbers = f"{time(lesson).replace(' to ', '–')} | {len(lesson.exercises)} | {total(lesson)} |"
    link = f"(notebooks/{lesson.name}/{lesson.name}.ipynb)"
    row = re.compile(rf"^(\| \[.*{re.escape(link)} \|.*\| )\S+ \| \d+ \| \d+ \|$", re.MULTILINE)
    if not row.search(readme):
        title = next(
            (line[2:] for cell in lesson.cells for line in cell.source.splitlines() if line.startswith("# ")), lesson.name
        )
        raise LessonError(f"{README}: no row for {lesson.name}: write | [{title}]{link} | WHAT YOU DO | {numbers}")
    return row.sub(lambda found: found[1] + numbers, readme)


def update_readme(lessons: list[Lesson], readme: Path = README) -> None:
    """Write the lessons' minutes, and numbers of exercises and points, into the README's table."""
    text = new = readme.read_text(encoding="utf-8")
    for lesson in lessons:
        new = with_row(new, lesson)
    if new != text:
        write_whole(readme, new)


def still_spoken_of(exercise: str, root: Path = ROOT) -> list[str]:
    """Where texts, hints and tests have a name between backticks or quotation marks, as "solutions/…/00_start_here.md:340"."""
    name = re.compile(rf"""(["'`]){re.escape(exercise)}\1""")
    files = [*root.glob("solutions/*/*.md"), *root.glob("autograde/catalogue/*.py"), *root.glob("tests/*.py")]
    return [
        f"{path.relative_to(root)}:{number}"
        for path in sorted(files)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if name.search(line)
    ]


def _check_mentions(lesson: Lesson, numbered: dict[tuple[str, int], str], hints: dict[str, list[str]]) -> None:
    """No text says "exercise 3": the number is another one when an exercise is added before it."""
    places = [(f"{lesson.path}:{line}", OWN_NUMBER.sub("", text)) for line, text in prose(lesson)]
    for cell in lesson.cells:
        if cell.kind == "code":
            places += [(f"{lesson.path}:{line}", text) for line, text in enumerate(cell.source.splitlines(), cell.line)]
    for exercise, texts in hints.items():
        places += [(f"a hint of {exercise} in {module_of(lesson, 'catalogue')}", text) for text in texts]
    for where, text in places:
        if said := MENTION.search(text):
            name = numbered.get((said[1].lower(), int(said[2])), "NAME")
            raise LessonError(f"{where}: write `{name}` for {said[0]!r}: numbers change when an exercise is added")


def _check_calls(cell: Cell, lesson: Lesson) -> None:
    """No empty caption or alternative text, and no check of what is no exercise."""
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:  # of a solution, it is said where it runs
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        where = f"{lesson.path}:{cell.line + node.lineno - 1}"
        name, given = node.func.id, {word.arg: word.value for word in node.keywords}
        checked = node.args[0] if name == "check" and node.args else None
        if isinstance(checked, ast.Constant) and checked.value not in lesson.exercises:
            raise LessonError(f"{where}: this checks {checked.value!r}, and no fence of the lesson has that name")
        for argument, position in ARGUMENTS.get(name, {}).items():
            value = given.get(argument) or (node.args[position] if position < len(node.args) else None)
            what = {"caption": "caption", "alt": "alternative text"}[argument]
            if value is None and not any(isinstance(one, ast.Starred) for one in node.args) and None not in given:
                raise LessonError(f"{where}: {name} has no {what}: write one")
            if isinstance(value, ast.Constant) and not str(value.value).strip():
                raise LessonError(f"{where}: {name} has an empty {what}: write one")
