"""Fresh inputs for every student and exercise that can be drawn again: a keyed hash of their names."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from ..lessons.lesson import CourseError


def course_secret(path: Path, shared: bool = False) -> bytes:
    """The course's secret, from a file that only its owner can read; made where there is none yet. Raises CourseError.

    shared: the file's group can read it, too: all who grade the course need the same one.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        made.touch(mode=0o600)
        made.write_text(secrets.token_hex(32))
        made.chmod(0o640 if shared else 0o600)  # whatever the umask
        try:
            os.link(made, path)  # unlike a rename, this never replaces the secret that another grader has just made
        except FileExistsError:
            pass
        finally:
            made.unlink()
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) < 32:
        raise CourseError(
            f"{path} holds no secret (64 hexadecimal digits): put the old one back, or remove it for a new one, and all inputs change"
        )
    return secret


def seeds_of(secret: bytes, student: str, exercises: Iterable[str]) -> dict[str, int]:
    """A seed for each exercise, in [0, 2⁴⁸): nobody who lacks the secret can tell it beforehand."""
    return {
        exercise: int.from_bytes(hmac.digest(secret, f"{student}/{exercise}".encode(), hashlib.sha256)[:6], "little")
        for exercise in exercises
    }
