"""What students chose in predictions, from their marks."""

import ast
import re
from functools import cache

from ..catalogue import find_exercise
from ..grading.marks import Mark, State
from ..lessons.lesson import Cell, Lesson

# What a check says of a prediction that is not judged before it is revealed.
NOTED = re.compile(r"\bnoted: [\"']?(\w)\b")


@cache
def right_options(lesson: Lesson) -> dict[str, str]:
    """The right letter of each prediction of the lesson that is a choice, in their order."""
    found = {name: _letter(name, cell) for name, cell in lesson.exercises.items()}
    return {name: letter for name, letter in found.items() if letter}


def _letter(exercise: str, cell: Cell) -> str | None:
    """The letter that the cell's last line assigns to what the exercise asks for; None where it is no choice."""
    last = ast.parse(cell.source).body[-1]
    if (
        not isinstance(last, ast.Assign)
        or not isinstance(last.targets[0], ast.Name)
        or not isinstance(last.value, ast.Constant)
    ):
        return None
    value = last.value.value
    asked = last.targets[0].id == (cell.check or exercise)
    return value if asked and isinstance(value, str) and len(value) == 1 and value.isalpha() else None


@cache
def misconceptions(exercise: str) -> dict[str, str]:
    """A prediction's wrong letters, and what each is called in the catalogue."""
    return {make(): name for name, (_, make) in find_exercise(exercise).mistakes.items()}


def chosen(mark: Mark, right: str) -> str | None:
    """The letter that a student chose, where the mark tells; None where there is no answer, or none of the options.

    right: the right one. A prediction that is noted passes whatever it is; one that is judged tells by the mistake's name.
    """
    if noted := NOTED.search(mark.message):
        return noted[1]
    if mark.state == State.PASSED:
        return right
    return next((letter for letter, name in misconceptions(mark.exercise).items() if name == mark.mistake), None)


def mistake_in(mark: Mark, lesson: Lesson) -> str | None:
    """The catalogue's name of what is wrong with an answer, that of a prediction which was noted and is wrong included."""
    right = right_options(lesson).get(mark.exercise) if not mark.mistake else None
    return mark.mistake or (misconceptions(mark.exercise).get(chosen(mark, right)) if right else None)
