"""Files that are whole at any moment, whatever happens while they are written."""

import contextlib
import io
import os
import time
import zipfile
from collections.abc import Collection
from pathlib import Path


def write_whole(path: str | Path, content: bytes | str) -> Path:
    """Write bytes, or text as UTF-8, to `path`, and make the folders above it; returns the path.

    Until the new file is complete, the old one stays as it was. Raises OSError where it can't be written; of a file that failed,
    nothing stays behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")  # beside it: a rename does not cross file systems
    try:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def remove_unfinished(folder: str | Path) -> None:
    """Remove what `write_whole` has left in a folder where its process was killed, an hour ago or longer."""
    for left in Path(folder).glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()


def write_zip(path: str | Path, files: dict[str, bytes], programs: Collection[str] = ()) -> Path:
    """Write `files`, contents by their paths in it, into an archive of no date, the same every time; returns its path.

    programs: those that may be executed. Raises OSError as `write_whole` does.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in sorted(files.items()):
            about = zipfile.ZipInfo(name)
            about.external_attr = (0o755 if name in programs else 0o644) << 16
            archive.writestr(about, data, zipfile.ZIP_DEFLATED)
    return write_whole(path, packed.getvalue())
