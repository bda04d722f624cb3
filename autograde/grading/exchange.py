"""nbgrader's exchange, where this course needs more of it.

What goes out is what the build made, what comes in is what is the student's own, and nobody's feedback is held up.
"""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseAssignment, ExchangeReleaseFeedback
from nbgrader.utils import find_all_files

from ..lessons.build import same_cells, write_release
from ..lessons.lesson import lesson_names, read_lesson
from .handin_files import EXCHANGE_FILES, LARGEST_FILES, read_file


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


class Collect(ExchangeCollect):
    """Takes files and folders alone: what a student's link leads to, read with the instructor's rights, is not theirs to hand in.

    What can't be copied keeps nobody else's from being collected.
    """

    def do_copy(self, src: str, dest: str, log=None) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                taken = shutil.copytree(src, Path(folder, "taken"), ignore=_no_files, copy_function=_copy)
                super().do_copy(str(taken), dest, log)
        except (OSError, RuntimeError) as error:
            self.log.error("%s was not collected: %s", src, error)


def _no_files(folder: str, names: list[str]) -> list[str]:
    """Those that are neither files nor folders: links, pipes, devices."""
    kinds = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [name for name, mode in kinds.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))]


def _copy(source: str, target: str) -> None:
    data, _ = read_file(Path(source), LARGEST_FILES)  # which follows no link, even one that has just been put there
    if data is not None:
        Path(target).write_bytes(data)


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
