"""Work in processes of their own, forked from a process that has no threads.

A fork of the process that runs the tests may hang for ever: it has threads, and what one of them
has locked at that moment stays locked in the child. This module, run as a program, imports a test's
file once and forks for each call, which takes some 10 ms. A function is named by its file, so it
stands at the top of a test's module; what it is given has to be known outside that module.
"""

import importlib.util
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

WAIT_S = 60.0  # longer than anything that a test waits for
_LENGTH = struct.Struct("q")


class Child:
    """A process that runs `function(line, *arguments)`; `line` is the other end of `self.line`."""

    def __init__(self, function: Callable[..., object], *arguments: Any) -> None:
        ours, theirs = socket.socketpair()
        job = pickle.dumps((function.__code__.co_filename, function.__name__, arguments))
        with theirs:
            self.pid: int = _ask("fork", job, theirs.fileno())
        self.line = Connection(ours.detach())

    def hear(self) -> Any:
        """What it says next; EOFError if it has ended, TimeoutError if it says nothing."""
        if not self.line.poll(WAIT_S):
            raise TimeoutError(f"process {self.pid} says nothing")
        try:
            return self.line.recv()
        except ConnectionResetError:
            raise EOFError from None

    def end(self) -> int:
        """Waits until it has ended; its exit code, or minus the signal that ended it."""
        self.line.close()
        return _ask("wait", self.pid)

    def kill(self) -> None:
        """SIGKILL. It stays unburied until `end`, as under a supervisor that is slow."""
        os.kill(self.pid, signal.SIGKILL)
        _ask("dead", self.pid)


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(*arguments)` gives in a process of its own; None if it was killed."""
    child = Child(_answer, function.__code__.co_filename, function.__name__, arguments)
    try:
        value, error = child.hear()
    except EOFError:
        value = error = None
    code = child.end()
    if error is not None:
        raise error
    assert code in (0, -signal.SIGKILL), f"the process ended with {code}"
    return value


def _answer(line: Connection, file: str, name: str, arguments: tuple[Any, ...]) -> None:
    value = error = None
    try:
        value = getattr(_module(file), name)(*arguments)
    except BaseException as raised:  # also a test's "skip"
        error = raised
    line.send((value, error))


class _Server:
    """The process that forks, seen from here; started as it is first needed."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.socket, theirs = socket.socketpair()
        # Of libraries that compute, some start threads as they are imported, unless told.
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
        path = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=os.environ | one | {"PYTHONPATH": path},
                pass_fds=[theirs.fileno()],
            )
        self.socket.settimeout(WAIT_S)


_server: _Server | None = None


def _ask(*request: Any) -> int:
    """A request to the server, with an open file if it ends with one; its answer."""
    global _server
    if _server is None or _server.owner != os.getpid() or _server.process.poll() is not None:
        _server = _Server()
    kind, what, *files = request
    data = pickle.dumps((kind, what))
    try:
        socket.send_fds(_server.socket, [_LENGTH.pack(len(data))], files)
        _server.socket.sendall(data)
        (answer,) = _LENGTH.unpack(_exactly(_server.socket, _LENGTH.size))
    except OSError:
        _server.process.kill()  # a late answer would be taken for that of the next question
        raise
    return answer


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise EOFError("the process that forks has ended")
        data += piece
    return data


def _serve(line: socket.socket) -> None:
    """Answers each request by a number, until the other side is gone."""
    while True:
        head, files, *_ = socket.recv_fds(line, _LENGTH.size, 1)
        if not head:
            return
        kind, what = pickle.loads(_exactly(line, _LENGTH.unpack(head)[0]))
        if kind == "fork":
            answer = _fork(line, what, files[0])
        else:  # "wait" buries it, "dead" doesn't
            keep = 0 if kind == "wait" else os.WNOWAIT
            ended = os.waitid(os.P_PID, what, os.WEXITED | keep)
            assert ended is not None
            answer = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        line.sendall(_LENGTH.pack(answer))


def _fork(line: socket.socket, job: bytes, file: int) -> int:
    path, name, arguments = pickle.loads(job)
    module = _module(path)
    if path == __file__:  # of `call`
        path = arguments[0]
        _module(path)
    tasks = Path("/proc/self/task")
    assert not tasks.is_dir() or len(list(tasks.iterdir())) == 1, f"{path} starts threads"
    child = os.fork()
    if child:
        os.close(file)
        return child
    code = 1
    try:
        line.close()
        getattr(module, name)(Connection(file), *arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


_modules: dict[str, ModuleType] = {}


def _module(file: str) -> ModuleType:
    """The module in a file, imported once."""
    if file == __file__:
        return sys.modules[__name__]
    if file not in _modules:
        spec = importlib.util.spec_from_file_location(Path(file).stem, file)
        assert spec is not None
        assert spec.loader is not None
        _modules[file] = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_modules[file])
    return _modules[file]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the tests do
    _serve(socket.socket(fileno=int(sys.argv[1])))
