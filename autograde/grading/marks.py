"""What grading leaves: the marks of a submission."""

import json
from dataclasses import asdict, dataclass, field, replace

from vae_helpers.submissions.outcomes import State
from vae_helpers.versions import course_version


@dataclass(frozen=True)
class Mark:
    """One exercise's outcome. mistake: the catalogue's name of it, or None. seed: of its inputs.

    written: False where there is no answer yet, but the line that the cell was handed out with.
    """

    exercise: str
    state: State
    points: float
    max_points: float
    message: str
    mistake: str | None
    seed: int
    written: bool = True


@dataclass(frozen=True)
class Marks:
    """A submission's outcome. state: GRADED, MISSING, UNREADABLE or GRADER_ERROR. remarks: sentences for the student.

    notebook: the graded notebook, as nbformat JSON. digest: of the submission and of the lesson; where it is the same, so are
    the marks. version: of the course that gave them; None in files from before it was written down. doubt: why a human must look
    at marks that were kept, though grading failed after them.
    """

    lesson: str
    state: State
    remarks: list[str]
    exercises: list[Mark]
    sandboxed: bool
    digest: str
    notebook: str = field(repr=False)
    version: str | None = field(default_factory=course_version)
    doubt: str | None = None

    @property
    def points(self) -> float:
        """The sum of what the exercises got."""
        return sum(mark.points for mark in self.exercises)

    @property
    def max_points(self) -> float:
        """The sum of what they could have got."""
        return sum(mark.max_points for mark in self.exercises)

    @property
    def needs_a_human(self) -> bool:
        """Whether the submission, or an exercise in it, does."""
        states = (self.state, *(mark.state for mark in self.exercises))
        return self.doubt is not None or any(state.needs_a_human for state in states)

    def after(self, earlier: "Marks | None") -> "Marks":
        """The marks that count where `earlier` ones are on file: those, in doubt, where the machine failed this time or nothing is there.

        A submission that can't be graded by its own fault, and one that nobody has marks of, has what it gets now.
        """
        if earlier is None or earlier.state not in (State.GRADED, State.UNREADABLE):
            return self
        if self.state == State.GRADER_ERROR:
            why = f"marks of before are kept: {' '.join(self.remarks)}"
        elif self.state == State.MISSING:
            why = "marks of before are kept: what was handed in is not there any more."
        else:
            return self
        return replace(earlier, doubt=why)

    def to_json(self) -> str:
        """Everything but the notebook."""
        content = asdict(self)
        del content["notebook"]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Marks":
        """The inverse of `to_json`, of files without a version, too. Raises ValueError, TypeError or KeyError for another text."""
        content = json.loads(text)
        exercises = [Mark(**mark | {"state": State(mark["state"])}) for mark in content.pop("exercises")]
        content = {"version": None} | content | {"state": State(content["state"])}
        return cls(**content, exercises=exercises, notebook="")
