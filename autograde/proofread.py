"""What a lesson says in more than one place, or must not leave empty: compared by the build, which says what to write where."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .lesson import ROOT, Cell, Lesson, LessonError

README = ROOT / "README.md"
KIND = r"(Exercise|Prediction|Challenge)"
# A heading, or the bold beginning of a paragraph that announces an exercise.
TITLE = re.compile(rf"#{{1,6}} (?P<heading>.*)|\*\*(?P<bold>(★ )?{KIND}\b.*?)\*\*")
OWN_NUMBER = re.compile(rf"^(#{{1,6}} |\*\*)(★ )?{KIND} \d+")
MENTION = re.compile(r"\b(exercise|prediction)s? (\d+)\b", re.IGNORECASE)
ARGUMENTS = {"show": {"caption": 1, "alt": 2}, "explore": {"caption": 2, "alt": 3}}


def proofread(lesson: Lesson, hints: dict[str, list[str]]) -> None:
    """Raises LessonError, in one line, for the first thing that doesn't agree. hints: by exercise, the catalogue's."""
    _check_points(lesson)
    numbered = _check_titles(lesson)
    _check_mentions(lesson, numbered, hints)
    for cell in lesson.cells:
        if cell.kind == "code":
            _check_calls(cell, lesson)


def total(lesson: Lesson) -> int:
    """The points of all the lesson's exercises."""
    return sum(cell.points for cell in lesson.exercises.values())


def with_row(readme: str, lesson: Lesson) -> str:
    """The README's text with the lesson's numbers of exercises and points. Raises LessonError where the lesson has no row."""
    numbers = f"{len(lesson.exercises)} | {total(lesson)} |"
    link = f"(notebooks/{lesson.name}/{lesson.name}.ipynb)"
    row = re.compile(rf"^(\| \[.*{re.escape(link)} \|.*\|.*\| )\d+ \| \d+ \|$", re.MULTILINE)
    if not row.search(readme):
        title = next(
            (line[2:] for cell in lesson.cells for line in cell.source.splitlines() if line.startswith("# ")), lesson.name
        )
        raise LessonError(f"{README}: no row for {lesson.name}: write | [{title}]{link} | WHAT YOU DO | MINUTES | {numbers}")
    return row.sub(lambda found: found[1] + numbers, readme)


def update_readme(lessons: list[Lesson], readme: Path = README) -> None:
    """Write the lessons' numbers of exercises and points into the README's table."""
    text = new = readme.read_text(encoding="utf-8")
    for lesson in lessons:
        new = with_row(new, lesson)
    if new != text:
        readme.write_text(new, encoding="utf-8")


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


def _check_points(lesson: Lesson) -> None:
    for line, text in _prose(lesson):
        said = re.search(r"\*\*Points\*\* (\d+)", text)
        if said and int(said[1]) != total(lesson):
            raise LessonError(f"{lesson.path}:{line}: write **Points** {total(lesson)}, which is what the fences add up to")


def _prose(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """(number, line) of each line of the lesson's text."""
    for cell in lesson.cells:
        if cell.kind == "markdown":
            yield from enumerate(cell.source.splitlines(), cell.line)


def _check_titles(lesson: Lesson) -> dict[tuple[str, int], str]:
    """Whether titles agree with the fences below them, and count. Returns the exercises' names by kind and number."""
    counted = {"exercise": 0, "prediction": 0}
    numbered: dict[tuple[str, int], str] = {}
    title, line, kind, wrong = "", 0, None, []
    for cell in lesson.cells:
        if cell.exercise:
            where = f"{lesson.path}:{line}"
            _check_title(title, where, cell)
            if kind:
                numbered[kind, counted[kind]] = cell.check or cell.exercise
            # What follows has no title of its own, but may be one of several that it speaks of.
            title, kind = title * ("each" in title), None
        if cell.kind == "code":
            continue
        for number, text in enumerate(cell.source.splitlines(), cell.line):
            if not (found := TITLE.match(text)):
                continue
            title, line, kind = found["heading"] or found["bold"], number, None
            if said := re.search(rf"{KIND} (\d+)\b", title):
                kind = said[1].lower()
                counted[kind] = counted.get(kind, 0) + 1
                if int(said[2]) != counted[kind]:
                    wrong.append((line, f"write {said[1]} {counted[kind]}, not {said[2]}"))
    if wrong:
        (line, what), *more = wrong
        others = "".join(f"; on line {number} {words}" for number, words in more)
        raise LessonError(f"{lesson.path}:{line}: {what}{others}")
    return numbered


def _check_title(title: str, where: str, cell: Cell) -> None:
    names = {cell.exercise, cell.check}
    if (said := re.search(r"`(\w+)`", title)) and said[1] not in names:
        raise LessonError(
            f"{where}: this heading says `{said[1]}`, and the fence below it, on line {cell.line - 1}, {cell.exercise}"
        )
    said = re.search(r"\b(no|\d+) points?\b", title)
    if said and cell.points != (0 if said[1] == "no" else int(said[1])):
        raise LessonError(
            f"{where}: this heading says {said[0]}, and the fence of {cell.exercise}, on line {cell.line - 1}, {cell.points}"
        )


def _check_mentions(lesson: Lesson, numbered: dict[tuple[str, int], str], hints: dict[str, list[str]]) -> None:
    """No text says "exercise 3": the number is another one when an exercise is added before it."""
    places = [(f"{lesson.path}:{line}", OWN_NUMBER.sub("", text)) for line, text in _prose(lesson)]
    for cell in lesson.cells:
        if cell.kind == "code":
            places += [(f"{lesson.path}:{line}", text) for line, text in enumerate(cell.source.splitlines(), cell.line)]
    for exercise, texts in hints.items():
        places += [(f"a hint of {exercise} in {module_of(lesson, 'catalogue')}", text) for text in texts]
    for where, text in places:
        if said := MENTION.search(text):
            name = numbered.get((said[1].lower(), int(said[2])), "NAME")
            raise LessonError(f"{where}: write `{name}` for {said[0]!r}: numbers change when an exercise is added")


def module_of(lesson: Lesson, kind: str) -> str:
    """The file of the lesson's probes ("probes") or catalogue entries ("catalogue"), from the repository's root."""
    folder = {"probes": "vae_helpers/checks/probes", "catalogue": "autograde/catalogue"}[kind]
    return f"{folder}/lesson_{lesson.name.split('_')[0]}.py"


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
            if isinstance(value, ast.Constant) and not str(value.value).strip():
                what = {"caption": "caption", "alt": "alternative text"}[argument]
                raise LessonError(f"{where}: {name} has an empty {what}: write one")
