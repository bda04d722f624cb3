"""What is taken from a child before student code runs in it, for good: what it may use up, whose rights it has, which system calls.

Each function acts on the process that calls it, and raises OSError where the kernel refuses.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# The namespaces of <linux/sched.h>: mounts, host name, IPC, users, processes, network.
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
USER_NAMESPACE = 0x10000000
NO_NEW_PRIVILEGES, DUMPABLE, SECCOMP, FILTER = 38, 4, 22, 2  # prctl's


@dataclass(frozen=True)
class Machine:
    """A kind of processor, to the kernel. audit: its number in <linux/audit.h>. calls: the numbers of its system calls, by name."""

    audit: int
    calls: dict[str, int]


IO_URING = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}  # the same on every machine
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        {
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "setns": 308,
            "memfd_create": 319,
            "shmget": 29,
            "msgget": 68,
            "clone": 56,
            "clone3": 435,
            "socket": 41,
            **IO_URING,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "unshare": 97,
            "setns": 268,
            "memfd_create": 279,
            "shmget": 194,
            "msgget": 186,
            "clone": 220,
            "clone3": 435,
            "socket": 198,
            **IO_URING,
        },
    ),
}
# They reach out of the sandbox, or past this filter: what is handed to io_uring does not pass it. The kernel's keyrings are the user's and not a namespace's, so that the next submission could read
# them; in new namespaces, a submission could mount file systems of any size; and this memory is no process's, so that none of its
# budgets counts it.
DENIED = ("add_key", "request_key", "keyctl", "unshare", "setns", "memfd_create", "shmget", "msgget", *IO_URING)
# Sockets of other families find nobody in the sandbox, can hold far more than these, and are the kernel's widest side.
LOCAL_SOCKETS = 1  # AF_UNIX
MOST_OPEN = 256  # files of one process: what is in a pipe or a socket is no process's memory

libc = ctypes.CDLL(None, use_errno=True)


def libc_call(name: str, *args) -> None:
    """Call a function of the C library that returns 0 where it succeeds."""
    if getattr(libc, name)(*args):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def enter_namespaces(sandbox: int) -> None:
    """Enter those of the process that the file descriptor `sandbox`, a pidfd, stands for."""
    libc_call("setns", sandbox, NAMESPACES | (0 if os.getuid() == 0 else USER_NAMESPACE))


def set_budgets(memory: int, processes: int, file_size: int, cpu_seconds: int) -> None:
    """memory: bytes beyond what the warm parent has already. processes: of this user; threads count. file_size: bytes of one file."""
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    budgets = {
        resource.RLIMIT_AS: taken + memory,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: MOST_OPEN,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for kind, most in budgets.items():
        resource.setrlimit(kind, (most, most))


def limit_files(folders: Sequence[str], most: int) -> None:
    """Let each of these file systems, which lie in memory, have so many files and folders: an empty one takes a kilobyte."""
    remount, no_setuid, no_devices = 32, 2, 4  # of <linux/mount.h>
    for folder in folders:
        libc_call("mount", None, folder.encode(), None, remount | no_setuid | no_devices, b"nr_inodes=%d" % most)


def become_nobody(nobody: int) -> None:
    """Become the user `nobody`: no other user's rights, no capabilities, none to be had from a setuid program."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
    # The header says version 3 of the interface (<linux/capability.h>), and this process; then three sets of two words, all empty.
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc_call("capset", header, nothing)
    libc_call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc_call("prctl", DUMPABLE, 1, 0, 0, 0)  # so that the grader, who may be no root either, can see what memory it takes
    if platform.machine() in MACHINES:
        filter_system_calls(MACHINES[platform.machine()])


def filter_system_calls(machine: Machine) -> None:
    """Refuse what is DENIED, and sockets that are not local, by a filter in the kernel (seccomp)."""
    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06  # of the Berkeley packet filter
    number, architecture, first_argument = 0, 4, 16  # where they are in what the filter sees
    checks = [(load, architecture), (equal, machine.audit, None, "no"), (load, number)]
    checks += [(at_least, 0x40000000, "no", None)]  # the same calls once more, under the numbers of the x32 interface
    checks += [(equal, machine.calls[name], "no", None) for name in DENIED]
    checks += [(equal, machine.calls["socket"], None, 2), (load, first_argument), (equal, LOCAL_SOCKETS, "yes", "no")]
    # clone3 has its flags where no filter sees them; told that there is none, the C library uses clone.
    checks += [(equal, machine.calls["clone3"], "missing", None), (equal, machine.calls["clone"], None, "yes")]
    checks += [(load, first_argument), (any_bit, NAMESPACES | USER_NAMESPACE, "no", "yes")]
    ends = {"no": 0x00050000 | errno.EPERM, "missing": 0x00050000 | errno.ENOSYS, "yes": 0x7FFF0000}
    # A check jumps by so many instructions beyond the next one, or to an end; None stands for the next one itself.
    places = {name: len(checks) + i for i, name in enumerate(ends)}
    code = b""
    for i, (what, value, *jumps) in enumerate(checks):
        then, otherwise = (places[to] - i - 1 if to in places else to or 0 for to in jumps or (None, None))
        code += struct.pack("HBBI", what, then, otherwise, value)
    code += b"".join(struct.pack("HBBI", end, 0, 0, value) for value in ends.values())
    buffer = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
    libc_call("prctl", SECCOMP, FILTER, program)
