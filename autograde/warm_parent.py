"""A process with PyTorch imported that forks one child a submission: imports cost seconds, a fork milliseconds.

It is run by path, and imports nothing of `autograde`: a child's memory holds no reference and no other submission. Requests and
answers pass it by as file descriptors; it only starts children, puts them into their sandbox, and reports how they ended.
Commands come over the socket on descriptor 0: JSON, with the descriptors [request, answers] and, in a sandbox, [pidfd].
"""

import ctypes
import errno
import importlib
import json
import os
import platform
import resource
import socket
import struct
import sys

# The namespaces of <linux/sched.h>: mounts, host name, IPC, users, processes, network.
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
USER_NAMESPACE = 0x10000000
NO_NEW_PRIVILEGES, DUMPABLE, SECCOMP, FILTER = 38, 4, 22, 2  # prctl's
# Users who are nobody: those that systemd, too, makes up on the spot. More than one, because what the kernel keeps for a user
# is no namespace's: a submission that starts all the processes that it may must not leave another, on the next core, with none.
NOBODIES = range(61184, 65520)
# By machine: its number for seccomp; the system calls add_key, request_key, keyctl, unshare, setns, memfd_create, shmget and
# msgget; clone; clone3.
SYSTEM_CALLS = {
    "x86_64": (0xC000003E, (248, 249, 250, 272, 308, 319, 29, 68), 56, 435),
    "aarch64": (0xC00000B7, (217, 218, 219, 97, 268, 279, 194, 186), 220, 435),
}
WARM = (
    "matplotlib.pyplot",
    "ipywidgets",
    "sympy",
    "torch._dynamo",
    "torch.nn.functional",
    "vae_helpers.plots",
    "vae_helpers.pretrained",
    "vae_helpers.toy",
)

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args) -> None:
    if getattr(libc, name)(*args):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def limit(memory: int, processes: int, file_size: int, cpu_seconds: int) -> None:
    """Set this process's budgets. memory: bytes beyond what the warm parent has already."""
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    budgets = {
        resource.RLIMIT_AS: taken + memory,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in budgets.items():
        resource.setrlimit(kind, (most, most))


def drop_privileges(nobody: int) -> None:
    """Become nobody for good: no other user's rights, no capabilities, none to be had from a setuid program."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    call("capset", header, nothing)
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    call("prctl", DUMPABLE, 1, 0, 0, 0)  # so that the grader, who may be no root either, can see what memory it takes
    if platform.machine() in SYSTEM_CALLS:
        filter_system_calls(*SYSTEM_CALLS[platform.machine()])


def filter_system_calls(machine: int, denied: tuple[int, ...], clone: int, clone3: int) -> None:
    """Refuse what would reach out of the sandbox, for good.

    That is the kernel's keyrings, which are the user's and not a namespace's, so that the next submission could read them; new
    namespaces, in which a submission could mount file systems of any size; and memory that is no process's, so that none of its
    budgets counts it.
    """
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06  # of the Berkeley packet filter
    number, architecture, first_argument = 0, 4, 16  # where they are in what the filter sees
    checks = [(load, architecture), (equal, machine, None, "no"), (load, number), (at_least, 0x40000000, "no", None)]
    checks += [(equal, call, "no", None) for call in denied]
    # clone3 has its flags where no filter sees them; told that there is none, the C library uses clone.
    checks += [(equal, clone3, "missing", None), (equal, clone, None, "yes"), (load, first_argument)]
    checks += [(any_bit, NAMESPACES | USER_NAMESPACE, "no", "yes")]
    ends = {"no": 0x00050000 | errno.EPERM, "missing": 0x00050000 | errno.ENOSYS, "yes": 0x7FFF0000}
    places = {None: 0} | {name: len(checks) + i for i, name in enumerate(ends)}
    code = b""
    for i, (what, value, *jumps) in enumerate(checks):
        then, otherwise = (places[name] - i - 1 if name else 0 for name in jumps or (None, None))
        code += struct.pack("HBBI", what, then, otherwise, value)
    code += b"".join(struct.pack("HBBI", end, 0, 0, value) for value in ends.values())
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
    call("prctl", SECCOMP, FILTER, program)


def run_child(request: int, answers: int, sandbox: int | None, budgets: dict[str, int]) -> None:
    """In the forked process: enter the sandbox, if there is one, and answer the request in there. Never returns."""
    from vae_helpers.checks.child import serve

    if sandbox is not None:
        # First in the kernel's list, should memory run out all the same.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        call("setns", sandbox, NAMESPACES | (0 if os.getuid() == 0 else USER_NAMESPACE))
        os.close(sandbox)
        nobody = NOBODIES[os.getpid() % len(NOBODIES)]
        child = os.fork()  # a process enters a process namespace by being born there
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status < 0:
                os.kill(os.getpid(), -status)
            os._exit(status)
        drop_privileges(nobody)
    os.setsid()
    limit(**budgets)
    serve(request, answers)


def fill_sympys_tables() -> None:
    """SymPy builds its tables of integrals when it first integrates, which takes longer than all else that a child does."""
    import sympy

    x = sympy.Symbol("x", real=True)
    sympy.integrate(sympy.exp(-(x**2)), (x, -sympy.oo, sympy.oo))


def main() -> None:
    import torch

    torch.set_num_threads(1)
    from vae_helpers.checks import child, probes  # noqa: F401
    from vae_helpers.checks.protocol import NOT_STARTED

    probes.load_all()
    for name in WARM:
        importlib.import_module(name)
    fill_sympys_tables()
    commands = socket.socket(fileno=0)
    commands.send(b"warm")
    while True:
        text, descriptors, _, _ = socket.recv_fds(commands, 1 << 16, 3)
        if not text:
            return
        command = json.loads(text)
        pid = os.fork()
        if pid == 0:
            try:
                commands.close()
                request, answers, *sandbox = descriptors
                run_child(request, answers, sandbox[0] if sandbox else None, command["budgets"])
            except BaseException as error:
                print(f"the grader could not start a child: {error!r}", file=sys.stderr, flush=True)
            os._exit(NOT_STARTED)
        for descriptor in descriptors:
            os.close(descriptor)
        commands.send(json.dumps({"pid": pid}).encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        commands.send(json.dumps({"status": status}).encode())


if __name__ == "__main__":
    main()
