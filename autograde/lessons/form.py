"""The one form that every lesson has: its head, numbered sections, a card for each exercise, and widths that fit a laptop.

The build refuses what departs from it, in one line with file and line number, and with what to write in its place.
"""

import re
from collections.abc import Iterator
from math import ceil

from .lesson import Cell, Lesson, LessonError, lesson_names, read_lesson

PICTURE, CODE = 85, 100  # characters in a line: of text that is indented, and of code, where a notebook does not scroll
READING = 150  # words a minute: slower than a novel, for the formulas among them
RUNS = 2  # minutes: what all runs of a lesson take together, at most, on two cores
SITTING = 110  # minutes: a longer lesson says where a second sitting begins
SECOND_SITTING = "**A second sitting can begin here.**"
CLOSING = ("What you should be able to do now", "References")
CARD = re.compile(r"### (Exercise|Prediction|Challenge)\b")
HANDS_IN = re.compile(r"\bhand_in\(")
STARS, MINUTES = re.compile(r"★{1,3}"), re.compile(r"\b(\d+) minutes?$")
OPTION = re.compile(r"- \*\*([a-z])\*\* ")
HINT = re.compile(r"<details><summary>(Hint.*?)</summary>")
HEAD = (
    ("# ", "# {number} Title"),
    ("**When you are done, you can**", "**When you are done, you can**, and below it a list"),
    ("**Time** ", "**Time** {time} minutes. **Points** {points}."),
    ("**Builds on** ", "**Builds on** what it needs"),
)


def check_form(lesson: Lesson, options: dict[str, str]) -> dict[tuple[str, int], str]:
    """Raises LessonError for the first departure from the form. options: by prediction, its letters, as "abc", or "".

    Returns the exercises' names, as headings say them, by kind and number.
    """
    _check_cards(lesson, options)
    _check_revealed(lesson, options)
    _check_head(lesson)
    _check_sections(lesson)
    _check_widths(lesson)
    _check_ending(lesson)
    if minutes(lesson) > SITTING and not any(text.startswith(SECOND_SITTING) for _, text in prose(lesson)):
        raise LessonError(f"{lesson.path}: it takes {minutes(lesson)} minutes: write {SECOND_SITTING} where it may be cut")
    return {place: shown(cell) for place, cell in _numbered(lesson, options)}


def prose(lesson: Lesson) -> Iterator[tuple[int, str]]:
    """(number, line) of each line of the lesson's text."""
    for cell in lesson.cells:
        if cell.kind == "markdown":
            yield from enumerate(cell.source.splitlines(), cell.line)


def total(lesson: Lesson) -> int:
    """The points of all the lesson's exercises."""
    return sum(cell.points for cell in lesson.exercises.values())


def minutes(lesson: Lesson) -> int:
    """How long the lesson takes: what its cards say, but for challenges, the reading, and the runs; to five minutes."""
    cards = [line for _, line in prose(lesson) if CARD.match(line) and "· no points ·" not in line]
    work = sum(int(found[1]) for line in cards if (found := MINUTES.search(line)))
    words = sum(len(line.split()) for _, line in prose(lesson))
    return 5 * ceil((work + words / READING + RUNS) / 5)


def time(lesson: Lesson) -> str:
    """The time that a lesson states, as "90 to 105": people differ by more than any rule."""
    least = minutes(lesson)
    return f"{least} to {5 * round(1.15 * least / 5)}"


def shown(cell: Cell) -> str:
    """An exercise's name as its heading has it: what the student defines."""
    return cell.check or cell.exercise


def _numbered(lesson: Lesson, options: dict[str, str]) -> Iterator[tuple[tuple[str, int], Cell]]:
    counted = {"exercise": 0, "prediction": 0, "challenge": 0}
    for cell in lesson.exercises.values():
        kind = "prediction" if cell.exercise in options else "exercise" if cell.points else "challenge"
        counted[kind] += 1
        yield (kind, counted[kind]), cell


def _check_cards(lesson: Lesson, options: dict[str, str]) -> None:
    """Each exercise has a heading of its own, its hints before its cell, a prediction its options."""
    wrong: list[tuple[int, str]] = []
    heading: tuple[int, str] | None = None  # the last one that no exercise has taken
    hints, letters = 0, ""
    stray = 0  # the line of a hint that stands below no heading
    places = {id(cell): place for place, cell in _numbered(lesson, options)}
    for cell in lesson.cells:
        if cell.exercise:
            line = cell.line - 1
            (kind, number), points = places[id(cell)], cell.points
            said = heading[1] if heading else ""
            worth = "no points" if not points else f"{points} point{'s' * (points > 1)}"
            stars = (STARS.search(said) or "★")[0]
            time = (MINUTES.search(said) or ("", "N"))[1]
            right = f"### {kind.capitalize()} {number} · `{shown(cell)}` {stars} · {worth} · {time} minutes"
            if not heading:
                raise LessonError(f"{lesson.path}:{line}: {cell.exercise} has no heading of its own: write {right}")
            if stray:
                break
            if said != right:
                wrong.append((heading[0], f"write {right}"))
            if (wanted := options.get(cell.exercise, "")) and letters != wanted:
                listed = ", ".join(f"**{letter}**" for letter in wanted)
                raise LessonError(f"{lesson.path}:{line}: list the options above it, one a line, as - {listed}")
            heading = None
        if cell.kind == "code":
            continue
        for line, text in enumerate(cell.source.splitlines(), cell.line):
            if text.startswith("#"):
                if heading and CARD.match(heading[1]):
                    raise LessonError(f"{lesson.path}:{heading[0]}: no exercise follows this heading")
                heading, hints = (line, text) if CARD.match(text) else None, 0
                letters = letters if heading else ""  # several cards may share the list of their section
            if option := OPTION.match(text):
                letters = option[1] if not letters or option[1] <= letters[-1] else letters + option[1]
            if hint := HINT.match(text):
                hints += 1
                stray = stray or line * (not heading)
                if hint[1] != f"Hint {hints}":
                    wrong.append((line, f"write Hint {hints}"))
    if stray:
        raise LessonError(f"{lesson.path}:{stray}: hints stand between the heading of an exercise and its cell")
    if heading:
        raise LessonError(f"{lesson.path}:{heading[0]}: no exercise follows this heading")
    if wrong:
        (line, what), *more = wrong
        raise LessonError(f"{lesson.path}:{line}: {what}" + "".join(f"; on line {n} {words}" for n, words in more))


def _check_revealed(lesson: Lesson, options: dict[str, str]) -> None:
    """Each prediction is told after its experiment: in a demonstration below its cell."""
    for at, cell in enumerate(lesson.cells):
        told = f'reveal("{cell.exercise}")'
        if cell.exercise in options and not any(told in c.source for c in lesson.cells[at + 1 :] if c.kind == "code"):
            raise LessonError(
                f"{lesson.path}:{cell.line - 1}: nothing tells which answer is right: after the run write {told}"
            )


def _check_head(lesson: Lesson) -> None:
    lines = [(line, text) for line, text in prose(lesson) if text.strip()]
    if not lines:
        raise LessonError(f"{lesson.path}:1: a lesson begins with text")
    values = {"number": lesson.name.split("_")[0], "time": time(lesson), "points": total(lesson)}
    first = next((cell.line for cell in lesson.cells if cell.kind == "code"), lines[-1][0] + 1)
    last = 0
    for begins, write in HEAD:
        at, text = next(((n, text) for n, text in lines if last < n < first and text.startswith(begins)), (0, ""))
        if not at:
            raise LessonError(f"{lesson.path}:{last or 1}: the lesson's head lacks a line: {write.format(**values)}")
        stated = write.format(**values)
        if begins == "**Time** " and text != stated:
            raise LessonError(f"{lesson.path}:{at}: write {stated}")
        last = at
    if not lines[0][1].startswith(f"# {values['number']} "):
        raise LessonError(f"{lesson.path}:{lines[0][0]}: write # {values['number']} and the title")
    links = _links(lesson)
    if links and not (len(lines) > 1 and re.fullmatch(links[0], lines[1][1])):
        raise LessonError(f"{lesson.path}:{lines[0][0] + 2}: below the title write {links[1]}")
    if links and lines[-1][1] != lines[1][1]:
        raise LessonError(f"{lesson.path}:{lines[-1][0]}: at the end write {lines[1][1]}")


def _links(lesson: Lesson) -> tuple[str, str] | None:
    """The line with the lessons before and after, as a pattern that takes any beginning of their titles, and in full."""
    folder = lesson.path.parent.parent
    names = lesson_names(folder)
    at = names.index(lesson.name) if lesson.name in names else 0
    beside = [(word, names[i]) for word, i in (("Previous", at - 1), ("Next", at + 1)) if 0 <= i < len(names)]
    if not beside:
        return None
    titles = {name: read_lesson(name, folder).cells[0].source.splitlines()[0].removeprefix("# ") for _, name in beside}
    patterns, full = [], []
    for word, name in beside:
        link = f"(../{name}/{name}.ipynb)"
        beginnings = "|".join(re.escape(titles[name][:n]) for n in range(len(titles[name]), 5, -1))
        patterns.append(rf"{word}: \[({beginnings})\]{re.escape(link)}")
        full.append(f"{word}: [{titles[name]}]{link}")
    return r" \| ".join(patterns), " | ".join(full)


def _check_sections(lesson: Lesson) -> None:
    sections = [(line, text[3:]) for line, text in prose(lesson) if text.startswith("## ")]
    closing = [(line, title) for line, title in sections if title in CLOSING]
    if [title for _, title in closing] != list(CLOSING) or sections[-2:] != closing:
        raise LessonError(f"{lesson.path}: its last sections are ## {CLOSING[0]}, and then ## {CLOSING[1]}")
    for number, (line, title) in enumerate(sections[:-2], 1):
        if not re.match(rf"{number} \w", title):
            raise LessonError(f"{lesson.path}:{line}: sections are numbered: write ## {number} and the title")


def _check_ending(lesson: Lesson) -> None:
    """The cells that hand in come with the build."""
    for cell in lesson.cells:
        if cell.kind == "code" and (called := HANDS_IN.search(cell.source)):
            line = cell.line + cell.source.count("\n", 0, called.start())
            raise LessonError(f"{lesson.path}:{line}: write no hand_in(…): the build puts it at the end of every lesson")


def _check_widths(lesson: Lesson) -> None:
    for cell in lesson.cells:
        before, literal = "", False
        for line, text in enumerate(cell.source.splitlines(), cell.line):
            where = f"{lesson.path}:{line}: "
            if cell.kind == "code":
                if len(text) > CODE and not cell.claim:
                    raise LessonError(f"{where}{len(text)} characters: a line of code has at most {CODE}")
                continue
            literal = text.startswith("    ") and (literal or not before.strip())
            before = text
            if literal and len(text) > PICTURE:
                raise LessonError(f"{where}{len(text)} characters: text that is shown as it stands has at most {PICTURE}")
            if re.match(r"\s*- \[[ x]\]", text):
                raise LessonError(f"{where}a plain list, without boxes, which nobody can tick in a notebook")
