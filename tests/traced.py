"""A piece of work in a fork of this process, killed at its system call number N: ptrace, by hand.

To be called in a process without threads: see children.py.

strace does the same for whole programs. Attached to a fork it hung in one case of twenty: a process
that has stopped itself may miss the SIGCONT that comes while strace attaches.
"""

import ctypes
import os
import platform
import signal
import traceback
from collections.abc import Callable

import pytest

# Numbers of the calls that tests look for; see asm/unistd.h.
NAMES = {
    "x86_64": {18: "pwrite64", 74: "fsync", 75: "fdatasync", 86: "link"},
    "aarch64": {68: "pwrite64", 82: "fsync", 83: "fdatasync", 37: "link"},
}
_TRACEME, _SYSCALL, _SETOPTIONS, _SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_EXITKILL, _SYSGOOD = 0x100000, 1
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def run(work: Callable[[], object], kill_at: int = 0) -> list[str]:
    """Does `work` in a fork, kills it as it enters its call number `kill_at`; the calls it made.

    Those of its first thread: there our code runs, and there it writes.
    """
    child = os.fork()
    if not child:
        try:
            if not _ptrace(_TRACEME, 0, 0, 0):
                os.kill(os.getpid(), signal.SIGSTOP)
                work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    names, made, entering = NAMES.get(platform.machine(), {}), [], True
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        pytest.skip("this system lets no process trace another")
    _ptrace(_SETOPTIONS, child, 0, _EXITKILL | _SYSGOOD)
    deliver = 0
    while True:
        _ptrace(_SYSCALL, child, 0, deliver)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            return made
        number = os.WSTOPSIG(status)
        deliver = 0 if number == signal.SIGTRAP | 0x80 else number
        if not deliver:
            if entering:
                made.append(names.get(_call(child), ""))
                if len(made) == kill_at:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    return made
            entering = not entering


def _call(child: int) -> int:
    """The number of the system call that a process is entering."""
    info = (ctypes.c_uint64 * 11)()  # struct ptrace_syscall_info: its third word is `nr`
    _ptrace(_SYSCALL_INFO, child, ctypes.sizeof(info), ctypes.addressof(info))
    return int(info[3])


def _ptrace(what: int, child: int, address: int, data: int) -> int:
    return _libc.ptrace(what, child, address, data)
