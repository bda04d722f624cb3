"""What will be marked, before handing in: `hand_in("03_kl_divergence")` in a notebook, `python -m vae_helpers hand_in 03` elsewhere."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..checks import PUBLIC_SEED, answer_key
from ..checks.observation import Observation
from ..checks.verdict import Verdict, compare
from ..files import write_zip
from .outcomes import outcome
from .protocol import NO_HAND_IN
from .released import Asked, Release, released
from .steps import SECONDS, STEP_SECONDS, Returned
from .submission import assemble
from .syntax import defined, imported, says_the_same, used
from .which_notebook import LARGEST_NOTEBOOK, Handin, Unreadable, is_notebook, read_cells, source_of, too_large
from .without_sandbox import NotStarted, observe_apart


class CannotHandIn(Exception):
    """There is nothing to hand in, or it can't be looked at; the message is one sentence that says what to do."""


def hand_in(lesson: str, notebook: str | Path | None = None) -> None:
    """Run the saved notebook as grading will, print what would count, and pack the one file to hand in.

    lesson: its name or number, as "03_kl_divergence" or "03". notebook: where its file is; found by itself where it is open here,
    or lies in the folder that this runs in. It says no more than the checks do, and changes nothing but the zip beside the notebook.
    """
    try:
        pack(lesson, notebook)
    except CannotHandIn as reason:
        print(f"Nothing was packed: {reason}")


def pack(
    lesson: str, notebook: str | Path | None = None, step_seconds: float = STEP_SECONDS, seconds: float = SECONDS
) -> bool:
    """What `hand_in` does; returns whether every point would count. Raises CannotHandIn."""
    try:
        release = released(lesson)
    except ValueError as error:
        raise CannotHandIn(str(error)) from None
    if os.environ.get(NO_HAND_IN):
        print("hand_in: skipped, since these cells are being run for something else.")
        return True
    path = find_notebook(release, notebook)
    try:
        files = read_files(path, release)
        submission = assemble(Handin(files), release.name)
    except (Unreadable, OSError) as reason:
        raise CannotHandIn(f"{path}: {reason}") from None
    saved = time.strftime("%H:%M", time.localtime(path.stat().st_mtime))
    print(f"{path.name} as it was saved at {saved}, run from top to bottom as it will be graded:", flush=True)
    warning = unsaved(_history(), [source_of(cell) for cell in read_cells(files[f"{release.name}.ipynb"])], release)
    for remark in [*submission.remarks, *([warning] if warning else [])]:
        print(f"! {remark}", flush=True)

    told: dict[str, float] = {}

    def tell(returned: Returned, exercise: str) -> None:
        if exercise not in told:
            verdict, _ = outcome(exercise, submission, returned, judge)
            asked = release.exercises[exercise]
            told[exercise] = asked.points * verdict.passed
            print(line(verdict, asked), flush=True)

    probed = {
        name: {"name": name, "check": asked.check, "seed": PUBLIC_SEED}
        for name, asked in release.exercises.items()
        if name not in submission.absent
    }
    try:
        returned = observe_apart(submission.steps(probed), submission.files, tell, step_seconds, seconds)
    except NotStarted as reason:
        raise CannotHandIn(f"Python did not start here ({reason}): restart the kernel, and try again") from None
    for exercise in release.exercises:
        tell(returned, exercise)

    most = sum(asked.points for asked in release.exercises.values())
    print(f"{sum(told.values()):g} of {most} points would count.")
    for name in release.weights:
        if name not in files:
            print(f"! {name} is not beside the notebook: run the cell that trains and saves the model, then this again.")
    made = path.with_name(f"{release.name}.zip")
    try:
        write_zip(made, files)
    except OSError as error:
        raise CannotHandIn(f"{made} can't be written ({error.strerror})") from None
    print(f"Hand in {made.name}, which lies beside the notebook, with {_listed(sorted(files))} in it: {made}")
    if warning:
        print(f"! {warning}")
    return sum(told.values()) == most


def judge(exercise: str, seen: Observation) -> Verdict:
    """The verdict by the key that ships with the course: what the exercise's check says."""
    return compare(exercise, seen, *answer_key(exercise))


def line(verdict: Verdict, asked: Asked) -> str:
    """A verdict as a line, or several, with its points."""
    mark = "✓" if verdict.passed else "✗" if verdict.written else "·"
    points = f"{asked.points * verdict.passed} of {asked.points}" if asked.points else "no points"
    return f"{mark} {verdict.exercise} ({points}): " + verdict.message.replace("\n", "\n    ")


def find_notebook(release: Release, given: str | Path | None) -> Path:
    """The lesson's notebook: the one that is given, that is open here, or that lies in this folder or in `my_notebooks`.

    Raises CannotHandIn where there is none.
    """
    name, here = f"{release.name}.ipynb", Path.cwd()
    if given is not None:
        path = Path(given).expanduser().resolve()
        path = path / name if path.is_dir() else path
        if not path.is_file():
            raise CannotHandIn(f"there is no file {path}")
        return path
    near = [here / name, here / release.name / name, here / "my_notebooks" / release.name / name]
    renamed = sorted(path for path in here.glob("*.ipynb*") if release.name in path.name and is_notebook(path.name))
    for path in [*_open_here(), *near, *(renamed if len(renamed) == 1 else [])]:
        if path.is_file():
            return path.resolve()
    colab = "google.colab" in sys.modules
    first = "choose File, Download, Download .ipynb, and upload that by the folder symbol on the left; or " if colab else ""
    raise CannotHandIn(
        f"there is no {name} in {here}: {first}say where it is, as "
        f'hand_in("{release.name}", "FOLDER/{name}"), or python -m vae_helpers hand_in {release.name[:2]} FOLDER/{name}'
    )


def _open_here() -> list[Path]:
    """The notebook that this kernel belongs to, where VS Code or Jupyter says so."""
    shell = _shell()
    told = (shell.user_ns.get("__vsc_ipynb_file__") if shell else None, os.environ.get("JPY_SESSION_NAME"))
    return [Path(path) for path in told if isinstance(path, str) and is_notebook(path)]


def _shell():
    """IPython's shell, where a notebook runs this."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def _history() -> list[str]:
    """The cells that this kernel has run, as they were written, in order."""
    shell = _shell()
    return list(shell.history_manager.input_hist_raw) if shell else []


def unsaved(history: Sequence[str], cells: Sequence[str], release: Release) -> str | None:
    """The warning where answers that were run are not what the file has: each as it was defined last."""
    last = {name: source for source in history for name in defined(source)}
    asked = [name for name in (a.name_in(exercise) for exercise, a in release.exercises.items()) if name in last]
    there = {name: [cell for cell in cells if name in defined(cell)] for name in last}
    lost = [name for name in asked if not any(says_the_same(last[name], cell) for cell in there[name])]
    needed = set().union(*(used(last[name]) for name in asked)) - set(asked)
    lost += sorted(name for name in needed & last.keys() if not there[name])
    if not lost:
        return None
    return (
        f"{_listed(lost)}: what you ran last is not what the file has. "
        "Save the notebook first (Ctrl+S; on a Mac ⌘S), then run this cell again."
    )


def read_files(path: Path, release: Release) -> dict[str, bytes]:
    """What is handed in, by its names in the zip: the notebook, the lesson's weights, and modules that lie beside and are imported.

    Raises Unreadable where the notebook is too large, and OSError where it can't be read.
    """
    size = path.stat().st_size
    if size > LARGEST_NOTEBOOK:
        raise Unreadable(f"it {too_large(path.name, size, LARGEST_NOTEBOOK)}")
    files = {f"{release.name}.ipynb": path.read_bytes()}
    beside = list(release.weights)
    try:
        sources = [source_of(cell) for cell in read_cells(files[f"{release.name}.ipynb"])]
        beside += sorted(f"{module}.py" for module in set().union(*map(imported, sources)))
    except ValueError:  # said by whoever reads it next
        pass
    return files | {name: (path.parent / name).read_bytes() for name in beside if (path.parent / name).is_file()}


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
