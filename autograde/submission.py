"""What a student handed in, put into the lesson as it was released: what runs, and what is probed when."""

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.utils import is_grade

from vae_helpers.checks.protocol import OWN, cell_step, plain

from .build import NOTEBOOKS, check_id
from .choosing import asked_name, choose_notebook, grade_id, source_of, stubs_of
from .lesson import Lesson
from .reading import Handin
from .syntax import Addition, additions, defined, is_answer, says_the_same, used


@dataclass(frozen=True)
class Submission:
    """A submission as it is graded.

    notebook: the released lesson with the student's cells in it. plan: (name, cell) of what runs, in order; an exercise is probed
    where its own name stands, with no cell. absent: the exercises that no cell answers. files: what lies beside the notebook.
    remarks: what the student should know about how it was read.
    """

    notebook: NotebookNode
    plan: list[tuple[str, NotebookNode | None]]
    absent: set[str]
    files: dict[str, bytes]
    remarks: list[str]


def release_of(lesson: Lesson) -> NotebookNode:
    """The lesson's notebook as it is handed out: a copy of your own."""
    return deepcopy(_read_release(lesson))


@cache
def _read_release(lesson: Lesson) -> NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.name / f"{lesson.name}.ipynb", as_version=4)


def assemble(handin: Handin, lesson: Lesson) -> Submission:
    """Put the student's solutions and own cells into the released notebook; everything else in it stays as released.

    A solution is found by its cell's grade_id, else as the cell that defines the name that the exercise asks for.
    Raises Unreadable where there is no notebook, and Missing where there is nothing at all.
    """
    path, cells, remarks = choose_notebook(handin, lesson)
    release = release_of(lesson)
    theirs = _Sorting(cells, release, lesson)
    theirs.match()
    theirs.find_answers()
    theirs.take_the_rest()

    plan: list[tuple[str, NotebookNode | None]] = []
    # Exercises whose answer stands in another's cell, which is still to come: probed after that one.
    waiting: dict[str, list[str]] = {}
    made = _place(theirs.own.get(None, []), plan)
    for cell in release.cells:
        name = grade_id(cell)
        if name in lesson.exercises:
            cell.source = theirs.found.get(name, cell.source)
        made.append(cell)
        if name and not is_grade(cell):
            plan.append((cell_step(name), cell))
        for addition in theirs.added.get(cell.id, []):
            plan.append((f"{OWN}: line {addition.line} of {cell.id}", new_code_cell(addition.source)))
        for exercise in lesson.exercises:
            if name == check_id(exercise):
                host = theirs.hosts.get(exercise)
                if host is None or cell_step(host) in dict(plan):
                    plan.append((exercise, None))
                else:
                    waiting.setdefault(host, []).append(exercise)
        made += _place(theirs.own.get(cell.id, []), plan)
        plan += [(exercise, None) for exercise in waiting.get(name, [])]
    release.cells = made
    absent = set(lesson.exercises) - set(theirs.found)
    files = _beside(handin.files, path)
    return Submission(release, plan, absent, files, [*handin.remarks, *remarks, *theirs.remarks])


def _place(sources: list[str], plan: list[tuple[str, NotebookNode | None]]) -> list[NotebookNode]:
    """Cells for the student's own code, entered into the plan."""
    made = []
    for source in sources:
        number = 1 + sum(cell is not None and cell.id.startswith("own-") for _, cell in plan)
        cell = new_code_cell(source, id=f"own-{number}")
        plan.append((f"{OWN} {number}", cell))
        made.append(cell)
    return made


def _beside(files: dict[str, bytes], notebook: str) -> dict[str, bytes]:
    """The other files, by their paths as the notebook sees them: those in its own folder come first."""
    folder = PurePosixPath(notebook).parent
    seen = {}
    for path, data in files.items():
        if path != notebook and PurePosixPath(path).is_relative_to(folder):
            seen[PurePosixPath(path).relative_to(folder).as_posix()] = data
    return {path: data for path, data in files.items() if path != notebook} | seen


@dataclass
class _Sorting:
    """A submission's cells, sorted in three steps.

    found: solutions by exercise. hosts: the exercise in whose cell another's answer stands, by that other. own: the student's own
    code by the id of the released cell before it. added: what has been added to a released cell, by its id.
    """

    cells: list[dict]
    release: NotebookNode
    lesson: Lesson
    found: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    own: dict[str | None, list[str]] = field(default_factory=dict)
    added: dict[str, list[Addition]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.by_id = {grade_id(cell) or cell.id: cell.id for cell in self.release.cells}
        self.released = {cell.id: cell for cell in self.release.cells}
        self.stubs = stubs_of(self.lesson)
        self.wanted = {name: asked_name(cell) for name, cell in self.lesson.exercises.items()}
        self.sources = [source_of(cell) for cell in self.cells]
        self.place_of: dict[int, str] = {}  # position in the submission -> id in the release
        self.copies: dict[str, list[int]] = {}  # of each solution cell
        self.left_out: set[int] = set()

    def _answers(self, name: str, source: str) -> bool:
        return is_answer(source, self.stubs[name], self.wanted[name])

    def match(self) -> None:
        """Which cell was handed out as which: by nbgrader's name, by its id, or by its text."""
        by_source = {cell.source.strip(): cell.id for cell in reversed(self.release.cells)}
        for position, cell in enumerate(self.cells):
            names = (grade_id(cell), cell.get("id") if isinstance(cell.get("id"), str) else None)
            name = next((n for n in names if n in self.by_id), None) or by_source.get(self.sources[position].strip())
            if name in self.lesson.exercises:
                self.copies.setdefault(name, []).append(position)
            elif name is not None:
                self.place_of[position] = self.by_id[name]

    def find_answers(self) -> None:
        """Each exercise's solution: in its own cell, or in any other that defines what is asked for, an edited check included."""
        for name, positions in self.copies.items():
            # Of several copies, such as the parts of a cell that was split, the last that defines what is asked for; else the last
            # with an answer. The others run as the student's own.
            answers = [p for p in positions if self._answers(name, self.sources[p])]
            defining = [p for p in answers if self.wanted[name] in defined(self.sources[p])]
            chosen = (defining or answers or positions)[-1]
            self._take(name, chosen)
            self.left_out.update(set(positions) - set(answers))
        elsewhere = {
            position: defined(source)
            for position, source in enumerate(self.sources)
            if position not in self.place_of or source != self.released[self.place_of[position]].source
        }
        for name in self.lesson.exercises:
            if self._answers(name, self.found.get(name, self.stubs[name])):
                continue
            taken = [p for p, place in self.place_of.items() if place in self.lesson.exercises]
            position = next((p for p in reversed(elsewhere) if self.wanted[name] in elsewhere[p] and p not in taken), None)
            if position is not None:
                self._give_back(name)
                self._take(name, position)
                continue
            host = next((h for h, text in self.found.items() if h != name and self.wanted[name] in defined(text)), None)
            if host is not None:
                self._give_back(name)
                self.found[name], self.hosts[name] = f"# {name} stands in another exercise's cell", host

    def _take(self, name: str, position: int) -> None:
        self.found[name], self.place_of[position] = self.sources[position], self.by_id[name]

    def _give_back(self, name: str) -> None:
        """The cell that was no answer: what is in it beside the stub runs as the student's own."""
        for position in [p for p, place in self.place_of.items() if place == self.by_id[name]]:
            if says_the_same(self.sources[position], self.stubs[name]) or not self.sources[position].strip():
                continue
            del self.place_of[position]

    def take_the_rest(self) -> None:
        """The student's own cells, and what was added to the released ones."""
        place = None
        candidates: list[tuple[str, Addition]] = []
        for position, cell in enumerate(self.cells):
            if position in self.place_of:
                place = self.place_of[position]
                released = self.released[place]
                if place not in self.lesson.exercises and released.cell_type == "code":
                    is_demonstration = grade_id(released) is None
                    if is_demonstration or self.sources[position] != released.source:
                        found = additions(self.sources[position], released.source, is_demonstration=is_demonstration)
                        candidates += [(place, addition) for addition in found]
            elif position not in self.left_out and cell.get("cell_type") == "code" and self.sources[position].strip():
                self.own.setdefault(place, []).append(self.sources[position])
        given = _given_names(self.lesson)
        for place, addition in candidates:
            if addition.runs and given.isdisjoint(addition.names - _imported(addition)):
                self.added.setdefault(place, []).append(addition)
        texts = [*self.found.values(), *(text for several in self.own.values() for text in several)]
        texts += [addition.source for several in self.added.values() for addition in several]
        needed = set().union(*map(used, texts)) - set().union(*map(defined, texts))
        for place, addition in candidates:
            if addition in self.added.get(place, []):
                continue
            lost = sorted(addition.names & needed)
            if clash := sorted(addition.names & given):
                if grade_id(self.released[place]) is not None:
                    self.remarks.append(f"{self._told(place, addition)} was left out: the lesson gives {', '.join(clash)}.")
            elif lost:
                self.remarks.append(
                    f"{self._told(place, addition)} was left out, for it trains, draws or loops, so there is no {', '.join(lost)}. "
                    "Define what an answer needs in a cell of your own."
                )

    def _told(self, place: str, addition: Addition) -> str:
        begins = self.released[place].source.lstrip().splitlines()[0]
        return f"line {addition.line} of the cell that begins with {plain(begins, 60)!r}, {plain(addition.source.strip(), 60)!r},"


def _imported(addition: Addition) -> frozenset[str]:
    """What an import binds: it may bind again what the lesson has imported."""
    return addition.names if addition.source.lstrip().startswith(("import ", "from ")) else frozenset()


@cache
def _given_names(lesson: Lesson) -> set[str]:
    """What the lesson itself defines, in given cells and in exercises."""
    return set().union(*(defined(cell.source) for cell in _read_release(lesson).cells if grade_id(cell)))
