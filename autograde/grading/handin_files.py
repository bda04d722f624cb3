"""Read what a student handed in, from the disk: files within limits, links not followed."""

import errno
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vae_helpers.submissions.protocol import plain
from vae_helpers.submissions.which_notebook import LARGEST_NOTEBOOK, Handin, Missing, is_notebook, too_large

LARGEST_FILES = 64 << 20  # bytes, all files together
MOST_FILES = 200
MOST_NAMES = 20_000  # files and folders that are looked at
DEEPEST_ARCHIVE = 3  # an archive in an archive in an archive
EXCHANGE_FILES = ("timestamp.txt", "submission_secret.txt")  # by which nbgrader's exchange finds when, and whose
CHECKPOINTS = ".ipynb_checkpoints"
# A file system that is gone, a machine that has no more to give: no submission's doing.
MACHINES_OWN = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENFILE, errno.ENOSPC)


def read_folder(folder: Path) -> Handin:
    """The files of a submission's folder, and of zip archives in it. Links are not followed, and nothing above the limits is read.

    Raises Missing.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise Missing("nothing was handed in: there is no such folder.")
    taken = _Taken()
    found = list(_walk(folder, taken))
    # Notebooks first, and what is small: so the limits keep out what matters least.
    found.sort(key=lambda entry: (not is_notebook(entry[1].name), entry[0], entry[1]))
    for _, path in found[:MOST_FILES]:
        name = path.relative_to(folder).as_posix()
        data, remark = read_file(path, taken.room_for(name))
        if data is not None and _is_archive(name, data):
            taken.unpack(name, data)
        else:
            taken.add(name, data, remark)
    if len(found) > MOST_FILES:
        taken.remarks.append(f"{len(found)} files were handed in; the {MOST_FILES} smallest, notebooks first, were read.")
    if taken.checkpoints and not found:
        taken.remarks.append(
            f"there is only {CHECKPOINTS}, where Jupyter keeps earlier versions: hand in the notebook itself."
        )
    return Handin(taken.files, taken.remarks[:20])


def _walk(folder: Path, taken: "_Taken") -> Iterator[tuple[int, Path]]:
    """(size, path) of the files below a folder. What can't be looked at, such as a path that is too long, is left out."""
    seen = 0

    def left_out(error: OSError) -> None:
        taken.remarks.append(f"{plain(Path(error.filename).name, 60)} can't be looked into ({error.strerror}).")

    try:
        for base, folders, names in os.walk(folder, onerror=left_out):
            taken.checkpoints |= CHECKPOINTS in folders
            folders[:] = [f for f in folders if not f.startswith((".", "__pycache__", "__MACOSX"))]
            seen += len(folders) + len(names)
            if seen > MOST_NAMES:
                taken.remarks.append(f"of more than {MOST_NAMES:,} files and folders, the rest was not looked at.")
                return
            for name in names:
                if name.startswith(".") or (base == str(folder) and name in EXCHANGE_FILES):
                    continue
                try:
                    yield os.lstat(os.path.join(base, name)).st_size, Path(base, name)
                except OSError as error:
                    taken.remarks.append(f"{plain(name, 60)} can't be read ({error.strerror}).")
    except RecursionError:
        taken.remarks.append("the folders are nested too deeply: those further down were not looked at.")


class _Taken:
    """What has been read so far, within the limits."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.remarks: list[str] = []
        self.room = LARGEST_FILES
        self.checkpoints = False

    def room_for(self, name: str) -> int:
        return min(self.room, LARGEST_NOTEBOOK) if is_notebook(name) else self.room

    def add(self, name: str, data: bytes | None, remark: str | None) -> None:
        inside = plain(name)
        if is_notebook(name):
            while inside in self.files:  # two names that differ in what can't be shown
                inside = f"another {inside}"
        elif inside != name:
            self.remarks.append(f"{inside} was left out: its name has characters in it that can't be shown.")
            return
        if data is not None:
            self.files[inside] = data
            self.room -= len(data)
        self.remarks += [f"{inside} {remark}"] if remark else []

    def unpack(self, name: str, data: bytes, depth: int = 1) -> None:
        """Add what an archive holds, as if it lay in the archive's place. So with archives in it, down to the deepest that are opened."""
        place = PurePosixPath(name).parent
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {_path_in(m.filename): m for m in archive.infolist() if not m.is_dir()}
                wanted = [path for path in members if _is_plain_path(path)]
                wanted.sort(key=lambda path: (not is_notebook(path), members[path].file_size))
                for path in wanted[: max(0, MOST_FILES - len(self.files))]:
                    member, inside = members[path], (place / path).as_posix()
                    most = self.room_for(inside)
                    with archive.open(member) as file:
                        content = file.read(most + 1)  # what the archive says of its size is its own affair
                    if len(content) > most:
                        self.add(inside, None, too_large(inside, member.file_size, most))
                    elif depth < DEEPEST_ARCHIVE and _is_archive(inside, content):
                        self.unpack(inside, content, depth + 1)
                    else:
                        self.add(inside, content, None)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zipfile.zlib.error):
            self.remarks.append(f"{plain(name)} is damaged, or locked with a password: it can't be unpacked.")


def _is_archive(name: str, data: bytes) -> bool:
    """Whether a file is a zip archive by its name; or, called a notebook, by its content."""
    return name.lower().endswith(".zip") or is_notebook(name) and data.startswith(b"PK\x03\x04")


def _path_in(name: str) -> str:
    """A member's path. Windows' own programs write backslashes, against the format's rule."""
    return name.replace("\\", "/")


def _is_plain_path(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return (
        not name.endswith("/")
        and not name.startswith("/")
        and not any(part.startswith(".") or part == "__MACOSX" for part in parts)
    )


def read_file(path: Path, most: int) -> tuple[bytes | None, str | None]:
    """A student's file, of at most so many bytes; or None, and why it was not read. Links are not followed, pipes not waited for."""
    try:
        # A link may lead to anybody's file, and a pipe may never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in MACHINES_OWN:
            raise
        return None, "is a link, and links are not followed." if path.is_symlink() else f"can't be read ({error.strerror})."
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None, "is no ordinary file."
        if about.st_size > most:
            return None, too_large(path.name, about.st_size, most)
        return file.read(most), None
