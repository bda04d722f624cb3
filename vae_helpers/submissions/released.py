"""The lessons as they are handed out: what is told of each when a submission is put in its place. Data, made by the build."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

LESSONS = Path(__file__).parent / "lessons"


@dataclass(frozen=True)
class ReleasedCell:
    """A cell as it is handed out. name: nbgrader's name of it, if it has one. source: of code; text is left out."""

    id: str
    name: str | None
    kind: str  # "markdown" or "code"
    source: str


@dataclass(frozen=True)
class Asked:
    """What an exercise asks for. check: what its check is given, a name or an expression. points: 0 for a challenge."""

    check: str
    points: int

    def name_in(self, exercise: str) -> str:
        """The name that the student is to define for it."""
        return self.check if self.check.isidentifier() else exercise


@dataclass(frozen=True)
class Release:
    """A lesson as it is handed out. exercises: in the order of the notebook. weights: files that it saves, and that are handed in."""

    name: str
    weights: list[str]
    exercises: dict[str, Asked]
    cells: list[ReleasedCell]

    @property
    def stubs(self) -> dict[str, str]:
        """The exercises' cells, by exercise."""
        return {cell.name: cell.source for cell in self.cells if cell.name in self.exercises}

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Release":
        content = json.loads(text)
        exercises = {name: Asked(**asked) for name, asked in content["exercises"].items()}
        cells = [ReleasedCell(**cell) for cell in content["cells"]]
        return cls(content["name"], content["weights"], exercises, cells)


def check_id(exercise: str) -> str:
    """nbgrader's name of an exercise's check cell."""
    return f"{exercise}-check"


def released_names() -> list[str]:
    """The names of all lessons that are handed out, in order."""
    return sorted(path.stem for path in LESSONS.glob("*.json"))


@cache
def released(name: str) -> Release:
    """A lesson by its name, as "03_kl_divergence", or its number. Raises ValueError for an unknown one."""
    known = released_names()
    found = next((n for n in known if name in (n, n.split("_")[0])), None)
    if found is None:
        raise ValueError(f"no lesson is called {name!r}: give its number or its name, as {', '.join(known[:3]) or 'none'}")
    return Release.from_json((LESSONS / f"{found}.json").read_text(encoding="utf-8"))
