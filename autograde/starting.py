"""The warm parent, seen from the grader: it is started, and told to fork a child for each submission."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path(__file__).with_name("warm_parent")


class GraderError(Exception):
    """The grader failed, not the submission."""


class WarmParent:
    """The process that the children are forked from. Making one waits until it is up; raises GraderError where it ends instead."""

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
            [sys.executable, "-I", str(PROGRAM)], stdin=theirs, stdout=subprocess.DEVNULL, env=environment, cwd="/"
        )
        theirs.close()
        self.socket = ours
        try:
            if not ours.recv(16):
                raise GraderError("the process that student code is started from did not come up")
        except BaseException:
            self.process.kill()
            raise

    def fork(self, descriptors: Sequence[int], budgets: dict[str, int]) -> int:
        """Start a child that reads descriptors[0] and answers on descriptors[1], in the sandbox descriptors[2]; its process id."""
        socket.send_fds(self.socket, [json.dumps({"budgets": budgets}).encode()], list(descriptors))
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
