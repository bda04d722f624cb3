"""A lesson's solutions, run: the references that implementations are compared with."""

import sys
from functools import cache
from types import CodeType, ModuleType
from typing import Any

from .lesson import Cell, Lesson, LessonError


@cache
def reference_namespace(lesson: Lesson) -> dict[str, Any]:
    """What the lesson's given and solution cells define: the references. Demonstrations do not run."""
    return run_cells(lesson)


def run_cells(lesson: Lesson, edit: tuple[str, str, str] | None = None) -> dict[str, Any]:
    """Run the given and solution cells in a fresh module; `edit` = (exercise, old, new) changes one solution first, and is the last.

    Raises ValueError when `old` does not stand exactly once in that solution.
    """
    module = ModuleType(f"lesson_{lesson.name}")
    # torch's and dataclasses' introspection look classes up by their module's name.
    sys.modules[module.__name__] = module
    for cell in lesson.cells:
        if not (cell.given or cell.exercise):
            continue
        source = cell.source
        if edit and cell.exercise == edit[0]:
            if source.count(edit[1]) != 1:
                raise ValueError(f"`{edit[1]}` stands {source.count(edit[1])} times in the solution, not once")
            source = source.replace(edit[1], edit[2])
        try:
            exec(_compiled(source, f"{lesson.path}:{cell.exercise or 'given'}"), module.__dict__)
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise LessonError(f"{lesson.path}:{cell.line}: the cell that begins here stops with {what}") from error
        if edit and cell.exercise == edit[0]:
            break
    return module.__dict__


@cache
def _compiled(source: str, file: str) -> CodeType:
    return compile(source, file, "exec")


def implementation_of(cell: Cell, namespace: dict[str, Any]) -> Any:
    """What the cell's check is given: the object of the exercise's name, or what its `check` expression makes of it."""
    return eval(cell.check or cell.exercise, namespace)
