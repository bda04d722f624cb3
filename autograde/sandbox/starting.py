"""The warm parent, seen from the grader: it is started, and told to fork a child for each submission."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import vae_helpers

from ..lessons.lesson import CourseError
from .warm_parent.same_code import digest_of

PROGRAM = Path(__file__).with_name("warm_parent")


class GraderError(CourseError):
    """The grader, or its machine, failed, not the submission."""


class OtherHelpers(CourseError):
    """Children would probe with another `vae_helpers` than the judge's."""


class WarmParent:
    """The process that the children are forked from. Making one waits until it is up; raises GraderError where it ends instead,
    and OtherHelpers where it would not run the judge's own `vae_helpers`.
    """

    def __init__(self):
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/tmp",
            "MPLCONFIGDIR": "/tmp",
            "MPLBACKEND": "Agg",
            "LANG": "C.UTF-8",
        }
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        environment["TORCH_COMPILE_DISABLE"] = "1"  # a compiler takes a minute, and there is none in the sandbox
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(PROGRAM)],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,  # what is typed at the grader's terminal is the grader's
        )
        theirs.close()
        self.socket = ours
        try:
            said = ours.recv(64).decode()
            if said and said != helpers_digest():
                raise OtherHelpers(
                    f"the vae_helpers installed for {sys.executable} are not those in {Path(vae_helpers.__file__).parent}, "
                    'which judge: run pip install -e ".[grading]" in the course that you grade with'
                )
            if not said or not ours.recv(16):
                raise GraderError("the process that student code is started from did not come up")
        except BaseException:
            self.process.kill()
            raise

    def fork(self, request: int, answers: int, others: dict[str, int], **command: Any) -> int:
        """Start a child that reads and writes these file descriptors; its process id.

        others: descriptors of a "sandbox" and a "group" to enter first. command: its `budgets`, and how many `files` each of the
        sandbox's `folders` may hold.
        """
        said = json.dumps({**command, "others": list(others)}).encode()
        socket.send_fds(self.socket, [said], [request, answers, *others.values()])
        return self._hear()["pid"]

    def status(self) -> int:
        """How the child ended: its exit status, or minus the signal that ended it. Waits for that."""
        return self._hear()["status"]

    def _hear(self) -> dict[str, int]:
        self.socket.settimeout(60)
        said = self.socket.recv(1 << 12)
        if not said:
            raise GraderError("the process that student code is started from has ended")
        return json.loads(said)


@cache  # what this process has imported does not change any more
def helpers_digest() -> str:
    """Of the `vae_helpers` that this process runs."""
    return digest_of(vae_helpers)


_parents: dict[int, WarmParent] = {}  # by process: one that was forked off has none yet


@contextlib.contextmanager
def warm_parent():
    """This process's warm parent, started when first asked for; one that failed is not used again."""
    here = os.getpid()
    try:
        if here not in _parents:
            _parents[here] = WarmParent()
        yield _parents[here]
    except BaseException:
        if here in _parents:
            _parents.pop(here).process.kill()
        raise
