"""Your own copy of the lessons, to write in: `python -m vae_helpers`, in the course's folder. And what to hand in of one."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .files import write_whole

MINE = "my_notebooks"
RECORD = ".copied.json"  # what each notebook's cells were when it was copied


def copy_lessons(notebooks: Path, mine: Path) -> list[str]:
    """Copy the lessons that are not in `mine` yet, and bring those up to date that nobody has written in; returns what to say.

    A notebook that somebody has written in stays as it is. Where its lesson has changed since, the new one is put beside it.
    Raises OSError where `notebooks` holds no lesson, or nothing can be written.
    """
    lessons = sorted(path for path in notebooks.glob("*/*.ipynb") if path.stem == path.parent.name)
    if not lessons:
        raise FileNotFoundError(f"there are no lessons in {notebooks.resolve()}: run this in the course's folder")
    record_file = mine / RECORD
    record = json.loads(record_file.read_text(encoding="utf-8")) if record_file.exists() else {}
    said = []
    for lesson in lessons:
        now = cells_of(lesson)
        for name in (lesson.name, f"{lesson.stem} (new).ipynb"):
            copy = mine / lesson.stem / name
            key = copy.relative_to(mine).as_posix()
            if copy.exists() and record.get(key) == now:
                break  # it was copied from this very version
            if copy.exists() and cells_of(copy) not in (record.get(key), now):
                continue  # somebody has written in it
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(copy, lesson.read_bytes())
            record[key] = now
            if name != lesson.name:
                said.append(f"{lesson.stem} has changed: yours stays as it is, and the new one lies beside it, {copy}")
            break
        else:
            said.append(f"{lesson.stem} has changed again: both of yours stay as they are, and the new one is {lesson}")
    write_whole(record_file, json.dumps(record, indent=1))
    return said


def cells_of(path: Path) -> str:
    """A digest of what is written in a notebook's cells; opening, running and saving it leave it as it is."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return "no notebook"
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def main(argv: Sequence[str] = ()) -> int:
    """Copy the lessons, or hand one in; returns the exit status: 0, or 1 after a line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="python -m vae_helpers", description="Your own copy of the lessons, to write in.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser("hand_in", help="what of a lesson would count, and one file to hand in")
    command.add_argument("lesson", help='its name or number, as "03"')
    command.add_argument("notebook", nargs="?", help="its file; by default the one in this folder, or in my_notebooks")
    args = parser.parse_args(argv)
    if args.command:
        return _hand_in(args.lesson, args.notebook)
    try:
        said = copy_lessons(Path("notebooks"), Path(MINE))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join([*said, f"Your lessons are in {MINE}/."]))
    return 0


def _hand_in(lesson: str, notebook: str | None) -> int:
    from .submissions.handing_in import CannotHandIn, pack

    if hasattr(sys.stdout, "reconfigure"):  # a Windows console may not have every character that a verdict has
        sys.stdout.reconfigure(errors="replace")
    try:
        return 0 if pack(lesson, notebook) else 1
    except CannotHandIn as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
