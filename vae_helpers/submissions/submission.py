"""What a student handed in, put into the lesson as it was released: what runs, and what is probed when."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .protocol import OWN, cell_step, plain
from .released import Release, check_id, released
from .syntax import Addition, additions, defined, is_answer, says_the_same, used
from .which_notebook import Handin, cell_id, choose_notebook, grade_id, source_of


@dataclass(frozen=True)
class Placed:
    """A cell of the notebook that is graded. id: the released cell's; of a student's own, one that begins with "own-"; "" of what
    was added to a released cell, and stands in no cell of its own.
    """

    id: str
    source: str


@dataclass(frozen=True)
class Submission:
    """A submission as it is graded.

    cells: the released lesson's, in order, with the student's in it. plan: (name, cell) of what runs, in order; an exercise is probed
    where its own name stands, with no cell. absent: the exercises that no cell answers. files: what lies beside the notebook.
    remarks: what the student should know about how it was read.
    """

    cells: list[Placed]
    plan: list[tuple[str, Placed | None]]
    absent: set[str]
    files: dict[str, bytes]
    remarks: list[str]

    def steps(self, probed: dict[str, dict]) -> list[dict]:
        """What a child is asked to do (see `protocol`). probed: the steps of those exercises that it probes, by name."""
        cells = {name: {"name": name, "source": cell.source} for name, cell in self.plan if cell is not None}
        return [(cells | probed)[name] for name, _ in self.plan if name in cells or name in probed]


def assemble(handin: Handin, lesson_name: str) -> Submission:
    """Put the student's solutions and own cells into the lesson as it was released; everything else in it stays as released.

    A solution is found by its cell's grade_id, else as the cell that defines the name that the exercise asks for.
    Raises Unreadable where there is no notebook, and Missing where there is nothing at all.
    """
    lesson = released(lesson_name)
    path, cells, remarks = choose_notebook(handin, lesson)
    theirs = _Sorting(cells, lesson)
    theirs.match()
    theirs.find_answers()
    theirs.take_the_rest()

    plan: list[tuple[str, Placed | None]] = []
    # Exercises whose answer stands in another's cell, which is still to come: probed after that one.
    waiting: dict[str, list[str]] = {}
    checks = {check_id(exercise): exercise for exercise in lesson.exercises}
    made = _place(theirs.own.get(None, []), plan)
    for cell in lesson.cells:
        placed = Placed(cell.id, theirs.found.get(cell.name, cell.source))
        made.append(placed)
        if cell.name and cell.name not in checks:
            plan.append((cell_step(cell.name), placed))
        for addition in theirs.added.get(cell.id, []):
            plan.append((f"{OWN}: line {addition.line} of {cell.id}", Placed("", addition.source)))
        if exercise := checks.get(cell.name):
            host = theirs.hosts.get(exercise)
            if host is None or cell_step(host) in dict(plan):
                plan.append((exercise, None))
            else:
                waiting.setdefault(host, []).append(exercise)
        made += _place(theirs.own.get(cell.id, []), plan)
        plan += [(exercise, None) for exercise in waiting.get(cell.name, [])]
    absent = set(lesson.exercises) - set(theirs.found)
    files = _beside(handin.files, path)
    return Submission(made, plan, absent, files, [*handin.remarks, *remarks, *theirs.remarks])


def _place(sources: list[str], plan: list[tuple[str, Placed | None]]) -> list[Placed]:
    """Cells for the student's own code, entered into the plan."""
    made = []
    for source in sources:
        number = 1 + sum(cell is not None and cell.id.startswith("own-") for _, cell in plan)
        cell = Placed(f"own-{number}", source)
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
    lesson: Release
    found: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    own: dict[str | None, list[str]] = field(default_factory=dict)
    added: dict[str, list[Addition]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.by_id = {cell.name or cell.id: cell.id for cell in self.lesson.cells}
        self.released = {cell.id: cell for cell in self.lesson.cells}
        self.stubs = self.lesson.stubs
        self.wanted = {name: asked.name_in(name) for name, asked in self.lesson.exercises.items()}
        self.sources = [source_of(cell) for cell in self.cells]
        self.place_of: dict[int, str] = {}  # position in the submission -> id in the release
        self.copies: dict[str, list[int]] = {}  # of each solution cell
        self.left_out: set[int] = set()

    def _answers(self, name: str, source: str) -> bool:
        return is_answer(source, self.stubs[name], self.wanted[name])

    def _is_changed(self, position: int) -> bool:
        """Whether the code of a released cell is another now. What the lesson's text was is not known here."""
        cell, released = self.cells[position], self.released[self.place_of[position]]
        return "code" in (released.kind, cell.get("cell_type")) and self.sources[position] != released.source

    def match(self) -> None:
        """Which cell was handed out as which: by nbgrader's name, by its id, or by its text."""
        by_source = {cell.source.strip(): cell.id for cell in reversed(self.lesson.cells) if cell.kind == "code"}
        for position, cell in enumerate(self.cells):
            names = (grade_id(cell), cell_id(cell))
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
            if position not in self.place_of or self._is_changed(position)
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
                if place not in self.lesson.exercises and released.kind == "code":
                    is_demonstration = released.name is None
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
                if self.released[place].name is not None:
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


def _given_names(lesson: Release) -> set[str]:
    """What the lesson itself defines, in given cells and in exercises."""
    return set().union(*(defined(cell.source) for cell in lesson.cells if cell.name))
