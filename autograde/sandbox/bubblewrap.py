"""The sandbox: bubblewrap's namespaces, made for one submission and gone with it.

What is in it: the system and this Python, read-only; `vae_helpers`; an empty folder of limited size. Nothing else: no course, no
home, no network, no process but the submission's own.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import vae_helpers

from ..lessons.lesson import PACKAGE, ROOT, CourseError

FOLDER = "/submission"
FOLDERS = (FOLDER, "/tmp", "/dev/shm")  # in which student code may write
HELPERS = Path(vae_helpers.__file__).resolve().parent


class SandboxMissing(CourseError):
    """There is no sandbox to grade in; the message says how to get one."""


def require_sandbox() -> None:
    """Raise SandboxMissing where bubblewrap is not installed, or does not work."""
    how = "install it (Debian, Ubuntu: sudo apt install bubblewrap), or grade trusted work with --no-sandbox"
    if sys.platform != "linux":
        raise SandboxMissing("grading needs Linux: on macOS and Windows, run it in a container (see the README)")
    if shutil.which("bwrap") is None:
        raise SandboxMissing(f"bubblewrap is missing, the sandbox that student code runs in: {how}")
    try:
        with Sandbox(1 << 20):
            pass
    except (OSError, ValueError) as error:
        raise SandboxMissing(
            f"bubblewrap can't make a sandbox here ({error}). In a container, allow it to make namespaces: see the README"
        ) from None


class Sandbox:
    """Namespaces with nothing in them yet, for processes to enter through `pidfd`. Leaving the context ends all of them.

    first: the process id of their first process, to which those are left whose parents have ended.
    disk: bytes that may be written, in memory, into each of the submission's folder, /tmp and /dev/shm.
    hidden: folders of `vae_helpers` to leave out.
    Raises OSError or ValueError where bubblewrap does not come up.
    """

    def __init__(self, disk: int, hidden: Sequence[Path] = ()):
        self.disk, self.hidden = disk, hidden

    def __enter__(self) -> "Sandbox":
        reading, told = os.pipe()
        with os.fdopen(reading, "rb", buffering=0) as info:
            try:
                self.bwrap = subprocess.Popen(
                    [*_arguments(self.disk, self.hidden), "--info-fd", str(told), "--", *_WAIT],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[told],
                    start_new_session=True,  # it ends with the grader, and not by what is typed at the grader's terminal
                )
            finally:
                os.close(told)
            try:
                if not self.bwrap.stdout.readline():
                    raise OSError(self.bwrap.stderr.read().decode(errors="replace").strip() or "it ended without a word")
                self.first = json.loads(info.read(4096))["child-pid"]
                self.pidfd = os.pidfd_open(self.first)
            except BaseException:
                self._kill_bwrap()
                raise
        return self

    def kill(self) -> None:
        """End everything that runs in the sandbox; the kernel ends a process namespace with its first process."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _kill_bwrap(self) -> None:
        self.bwrap.kill()
        self.bwrap.wait()
        self.bwrap.stdout.close()
        self.bwrap.stderr.close()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        os.close(self.pidfd)
        self._kill_bwrap()


# Says that all is set up, then holds the namespaces open.
_WAIT = ("/bin/sh", "-c", "echo ready; exec sleep infinity")


def _arguments(disk: int, hidden: Sequence[Path] = ()) -> list[str]:
    arguments = ["bwrap", "--die-with-parent", "--as-pid-1", "--clearenv", "--new-session"]
    arguments += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    if os.getuid() != 0:  # root makes the others without, and its children become nobody by themselves
        arguments += ["--unshare-user", "--uid", "65534", "--gid", "65534"]

    visible = [Path("/usr")]
    arguments += ["--ro-bind", "/usr", "/usr"]
    for folder in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if folder.is_symlink():
            arguments += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.exists():
            arguments += ["--ro-bind", str(folder), str(folder)]
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
        arguments += [*_parents(Path(path)), "--ro-bind-try", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    # Before what follows, which may lie below /tmp: a later mount covers an earlier one.
    for folder in FOLDERS:
        arguments += ["--perms", "1777", "--size", str(disk), "--tmpfs", folder]
    for prefix in {Path(sys.prefix), Path(sys.base_prefix)}:
        if not any(prefix.is_relative_to(folder) for folder in visible):
            visible.append(prefix)
            arguments += [*_parents(prefix), "--ro-bind", str(prefix), str(prefix)]

    # The course itself, wherever it lies, is covered up; then `vae_helpers` alone is put back.
    for covered in (ROOT, PACKAGE):
        if any(covered.is_relative_to(folder) for folder in visible):
            arguments += ["--tmpfs", str(covered)]
    arguments += [*_parents(HELPERS), "--ro-bind", str(HELPERS), str(HELPERS)]
    for folder in hidden:
        arguments += ["--perms", "0755", "--tmpfs", str(folder), "--remount-ro", str(folder)]
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", FOLDER]


def _parents(path: Path) -> list[str]:
    """Make the folders above `path` such that everybody may pass through them; bubblewrap's own are for their owner alone."""
    return [word for parent in reversed(path.parents[:-1]) for word in ("--perms", "0755", "--dir", str(parent))]
