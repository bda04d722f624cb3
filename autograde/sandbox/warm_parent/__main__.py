"""A process with PyTorch imported that forks one child a submission: imports cost seconds, a fork milliseconds.

It is run by its folder's path, and imports nothing of `autograde` but what lies beside it: a child's memory holds no
reference and no other submission. Requests and answers pass it by as file descriptors; it only starts children, puts them into their sandbox, and reports how they ended.
Commands come over the socket on descriptor 0: JSON, with the descriptors of request and answers, and of the sandbox (a pidfd) and the
control group that the command names.
"""

import contextlib
import importlib
import json
import os
import socket
import sys

from confinement import become_nobody, enter_namespaces, limit_files, set_budgets
from same_code import digest_of

# Users who are nobody: those that systemd, too, makes up on the spot. More than one, because what the kernel keeps for a user
# is no namespace's: a submission that starts all the processes that it may must not leave another, on the next core, with none.
NOBODIES = range(61184, 65520)
WARM = (
    "matplotlib.pyplot",
    "ipywidgets",
    "nbformat",
    "sympy",
    "torch._dynamo",
    "torch.nn.functional",
    "vae_helpers.plots",
    "vae_helpers.pretrained",
    "vae_helpers.toy",
)


def run_child(request: int, answers: int, command: dict, sandbox: int | None = None, group: int | None = None) -> None:
    """In the forked process: enter the control group and the sandbox, if there are any, and answer the request in there.

    Never returns. command: as `WarmParent.fork` sends it.
    """
    from vae_helpers.submissions.child import serve

    if group is not None:
        os.write(group, b"0")  # to the kernel, the process that writes
        os.close(group)
    if sandbox is not None:
        # First in the kernel's list, should memory run out all the same.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        enter_namespaces(sandbox)
        os.close(sandbox)
        limit_files(command["folders"], command["files"])
        nobody = NOBODIES[os.getpid() % len(NOBODIES)]
        child = os.fork()  # a process enters a process namespace by being born there
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status < 0:
                os.kill(os.getpid(), -status)
            os._exit(status)
        become_nobody(nobody)
    os.setsid()
    set_budgets(**command["budgets"])
    serve(request, answers)


def fill_sympys_tables() -> None:
    """SymPy builds its tables of integrals when it first integrates, which takes longer than all else that a child does."""
    import sympy

    x = sympy.Symbol("x", real=True)
    sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo))


def main() -> None:
    """Say which `vae_helpers` this is, import what submissions may need, say "warm", then fork a child at each command until nobody is left to give one."""
    import torch

    import vae_helpers

    commands = socket.socket(fileno=0)
    commands.send(digest_of(vae_helpers).encode())
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # no student's `import` is to find what lies here
    torch.set_num_threads(1)
    sys.modules.setdefault("rfc3987_syntax", None)  # builds a parser for seconds, for a check that no notebook needs
    from vae_helpers.checks import probes
    from vae_helpers.submissions import child  # noqa: F401
    from vae_helpers.submissions.ipython import shell
    from vae_helpers.submissions.protocol import NOT_STARTED

    probes.load_all()
    for name in WARM:
        importlib.import_module(name)
    fill_sympys_tables()
    shell()
    commands.send(b"warm")
    while True:
        text, descriptors, _, _ = socket.recv_fds(commands, 1 << 16, 4)
        if not text:
            return
        command = json.loads(text)
        pid = os.fork()
        if pid == 0:
            try:
                commands.close()
                request, answers, *others = descriptors
                run_child(request, answers, command, **dict(zip(command["others"], others, strict=True)))
            except BaseException as error:
                print(f"the grader could not start a child: {error!r}", file=sys.stderr, flush=True)
            os._exit(NOT_STARTED)
        for descriptor in descriptors:
            os.close(descriptor)
        commands.send(json.dumps({"pid": pid}).encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        commands.send(json.dumps({"status": status}).encode())


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):  # the grader was killed
        main()
