"""The known mistakes and correct variants of every exercise, a module a lesson.

gaussian_kl = Exercise("gaussian_kl")

@gaussian_kl.mistake("You left out the ½ …")          # the hint that the student reads
def forgot_half(mu, logvar): ...                        # the mistake's name, and what such a student writes

# The reference with a text that stands in it once replaced by another; as many as there are, one below the other.
gaussian_kl.edits('''
variance_squared: `logvar.exp()` → `(2 * logvar).exp()`
    You read `logvar` as log σ …
''')

gaussian_kl.recurring(in_bits, detached)                # what many exercises share: recurring.py

@gaussian_kl.variant                                    # right, and written in another way
def by_distributions(mu, logvar): ...
"""

import ast
import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from autograde.lessons.lesson import Cell, CourseError, Lesson, lesson_of, module_of
from autograde.lessons.solutions import implementation_of, reference_namespace, run_cells

from .recurring import HINTS, Recurring

CATALOGUE: dict[str, "Exercise"] = {}
# A line "name: what it is", and below it, indented, the hint; without one, the hint that HINTS has for the name.
LISTED = re.compile(r"^(\w+): (`[^`]*` → `[^`]*`|[^`\n]+)\n((?: {4}.+\n)*)", re.M)


@dataclass
class Exercise:
    """One exercise's mistakes (name → (hint, maker of the implementation)) and variants (name → implementation).

    edited_texts: (old, new) of those mistakes that are the reference with something replaced.
    made: those mistakes that are made of the reference.
    stand_in: makes what is observed in the reference's place, where the reference needs a trained model: only the limits
        of one-sided facts are taken from it.
    symbolic: it asks for a SymPy expression, which may take the reference a second, and is the same for every student.
    """

    name: str
    stand_in: Callable[[], Any] | None = None
    symbolic: bool = False
    mistakes: dict[str, tuple[str, Callable[[], Any]]] = field(default_factory=dict)
    variants: dict[str, Any] = field(default_factory=dict)
    edited_texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    made: dict[str, Recurring] = field(default_factory=dict)

    def __post_init__(self):
        if self.name in CATALOGUE:
            raise ValueError(f"autograde/catalogue has two entries called {self.name!r}: give one another name")
        CATALOGUE[self.name] = self

    def mistake(self, hint: str) -> Callable:
        """Register the decorated implementation as a known mistake, under its own name."""

        def register(implementation):
            self._add(implementation.__name__, hint, lambda: implementation)
            return implementation

        return register

    def wrong_choice(self, name: str, answer: Any, hint: str) -> None:
        """Register a wrong answer to a prediction."""
        self._add(name, hint, lambda: answer)

    def wrong_choices(self, text: str) -> None:
        """Register wrong answers to a prediction, one below the other: "name: letter or number", and indented, the hint."""
        for name, answer, hint in _listed(text):
            self.wrong_choice(name, answer if answer.isalpha() else ast.literal_eval(answer), hint)

    def edits(self, text: str) -> None:
        """Register several edits of the reference, one below the other: "name: `old` → `new`", and indented, the hint."""
        for name, edit, hint in _listed(text):
            self.edited(name, *edit[1:-1].split("` → `"), hint)

    def recurring(self, *mistakes: Recurring, hint: str | None = None) -> None:
        """Register mistakes that many exercises share, under their own names. hint: in place of theirs."""
        for mistake in mistakes:
            self.made[mistake.name] = mistake
            self._add(mistake.name, hint or mistake.hint, lambda mistake=mistake: mistake.make(self.reference))

    def edited(self, name: str, old: str, new: str, hint: str) -> None:
        """Register the reference with `old`, which must stand in its source once, replaced by `new`."""
        self.edited_texts[name] = (old, new)
        self._add(name, hint, lambda: implementation_of(self.cell, run_cells(self.lesson, (self.name, old, new))))

    def _add(self, name: str, hint: str, make: Callable[[], Any]) -> None:
        if name in self.mistakes:
            raise ValueError(f"{self.name} has two mistakes called {name!r}")
        self.mistakes[name] = (hint, cache(lambda: self._made(name, make)))

    def _made(self, name: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (CourseError, ValueError) as error:
            raise ValueError(f"the mistake {name!r} in {module_of(self.lesson, 'catalogue')}: {error}") from error

    def variant(self, implementation):
        """Register the decorated implementation as a correct variant."""
        self.variants[implementation.__name__] = implementation
        return implementation

    @cached_property
    def lesson(self) -> Lesson:
        """The lesson that the exercise stands in."""
        return lesson_of(self.name)

    @property
    def cell(self) -> Cell:
        """The exercise's cell there, with its solution."""
        return self.lesson.exercises[self.name]

    @property
    def reference(self) -> Any:
        """The solution, from the lesson."""
        return self.stand_in() if self.stand_in else self._solution

    @cached_property
    def _solution(self) -> Any:
        solution = implementation_of(self.cell, reference_namespace(self.lesson))
        return cache(solution) if self.symbolic else solution


def _listed(text: str) -> list[tuple[str, str, str]]:
    """(name, what it is, hint) of each mistake in a list. Raises ValueError for the first line that is none."""
    text = text.lstrip("\n").rstrip() + "\n"
    if rest := LISTED.sub("", text).strip():
        raise ValueError(
            f"a list of mistakes has the line {rest.splitlines()[0]!r}: write name: `old` → `new`, and the hint indented"
        )
    found = [(name, what, " ".join(hint.split())) for name, what, hint in LISTED.findall(text)]
    if unknown := [name for name, _, hint in found if not hint and name not in HINTS]:
        raise ValueError(f"a list of mistakes has no hint for {unknown[0]!r}, and HINTS in recurring.py knows none")
    return [(name, what, hint or HINTS[name]) for name, what, hint in found]


def reference(name: str) -> Any:
    """The solution of another exercise, for mistakes and variants that build on it."""
    return find_exercise(name).reference


def find_exercise(name: str) -> Exercise:
    """The catalogue's entry: by its name, or by that of the function it asks for, with its lesson before a "/" where several do.

    Raises ValueError where there is none, or more than one.
    """
    load_all()
    if name in CATALOGUE:
        return CATALOGUE[name]
    lesson, _, function = name.rpartition("/")
    asking = [e for e in CATALOGUE.values() if function in (e.name, e.cell.check) and e.lesson.name.startswith(lesson)]
    if not asking:
        near = difflib.get_close_matches(name, CATALOGUE)
        raise ValueError(f"no exercise is called {name!r}" + f" (near it: {', '.join(near)})" * bool(near))
    if len(asking) > 1:
        ways = " or ".join(repr(f"{e.lesson.name.split('_')[0]}/{function}") for e in asking)
        raise ValueError(f"more than one exercise asks for {name!r}: say {ways}")
    return asking[0]


@cache
def load_all() -> dict[str, Exercise]:
    """Import every lesson's module; returns the catalogue by exercise name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CATALOGUE
