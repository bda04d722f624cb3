"""nbgrader's exchange, where this course needs more of it: what goes out is what the build made, and nobody's feedback is held up."""

import tempfile
from pathlib import Path

import nbformat
from nbgrader.exchange.default import ExchangeReleaseAssignment, ExchangeReleaseFeedback
from nbgrader.utils import find_all_files

from .build import write_release
from .lesson import lesson_names, read_lesson
from .reading import EXCHANGE_FILES


class ReleaseAssignment(ExchangeReleaseAssignment):
    """Sends a lesson as the build makes it, and no other file that lies beside it, such as the weights of a model trained there.

    Refuses where notebooks/ holds other cells than the build makes: the grader reads submissions by that notebook.
    """

    def start(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.built = Path(folder)
            super().start()

    def init_src(self) -> None:
        super().init_src()
        name = self.coursedir.assignment_id
        if name not in lesson_names():  # an assignment of the instructor's own
            return
        released, made = Path(self.src_path), write_release(read_lesson(name), self.built)
        if not same_cells(released / made.name, made):
            self.fail(
                f"{released / made.name} is not what the build makes of the lesson: has somebody written in it, or was the lesson "
                f"changed since? Keep what you need of it elsewhere, then run `python -m autograde build {name}`."
            )
        others = sorted(set(find_all_files(str(released), self.coursedir.ignore)) - {str(released / made.name)})
        for path in others:
            self.log.warning("Not released, since the build has not made it: %s", path)
        self.src_path = str(made.parent)


def same_cells(released: Path, made: Path) -> bool:
    """Whether two notebooks have the same cells, whatever their outputs."""
    try:
        theirs, ours = (nbformat.read(path, as_version=4).cells for path in (released, made))
    except Exception:  # whatever it is, it is not what the build made
        return False
    return [(c.cell_type, c.source, c.metadata.get("nbgrader")) for c in theirs] == [
        (c.cell_type, c.source, c.metadata.get("nbgrader")) for c in ours
    ]


class ReleaseFeedback(ExchangeReleaseFeedback):
    """Passes over who did not hand in through the exchange: nbgrader's own would stop there, before the others' turn."""

    def init_src(self) -> None:
        super().init_src()
        coursedir = self.coursedir
        folders = Path(coursedir.format_path(coursedir.feedback_directory, ".", ".")).resolve().glob("*")
        elsewhere = [
            folder.name
            for folder in folders
            if (folder / coursedir.assignment_id).is_dir()
            and not all((folder / coursedir.assignment_id / n).is_file() for n in EXCHANGE_FILES)
        ]
        if elsewhere:
            self.log.warning(
                "Not handed in through the exchange, so no feedback is sent there: %s", ", ".join(sorted(elsewhere))
            )
            coursedir.student_id_exclude = ",".join(filter(None, [coursedir.student_id_exclude, *elsewhere]))
