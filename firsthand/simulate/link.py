"""A link that breaks: a TCP proxy on loopback that resets its first connections, then behaves.

It breaks on the way out or on the way back, after so many bytes of one connection.

It knows nothing of what passes through it.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

PIECE = 16_384  # bytes read at once
PAUSE_S = 0.1  # how often the waiting threads look whether to stop


class BreakingLink:
    """Passes bytes both ways to a port of this machine; use it in a `with`.

    Each number of `break_after` breaks one connection once that many bytes of its client have
    passed, each of `break_answers_after` once that many of its server have; one that ends earlier
    leaves its number to the next. `breaks` counts the broken ones, `passed` and `answered` the
    bytes of all clients and servers.
    """

    def __init__(
        self,
        target_port: int,
        break_after: Sequence[int] = (),
        break_answers_after: Sequence[int] = (),
    ) -> None:
        self.port = 0
        self.breaks = 0
        self.passed = self.answered = 0
        self._target = target_port
        self._limits, self._answer_limits = list(break_after), list(break_answers_after)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PAUSE_S)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        with self._lock:  # what is not in `_open` by now sees the stop and ends by itself
            self._stop.set()
            sockets, threads = list(self._open), list(self._threads)
        for each in sockets:
            _shut(each, socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def _start(self, job: Callable[..., None], *given: socket.socket) -> None:
        thread = threading.Thread(target=job, args=given, daemon=True)
        with self._lock:
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            client.settimeout(None)
            self._start(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        """Carry one connection to its end, or break it when its limit is reached."""
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            _reset(client)
            return
        with self._lock:
            stopped = self._stop.is_set()
            self._open |= {client, server}
            limit = self._limits.pop(0) if self._limits else None
            answer_limit = self._answer_limits.pop(0) if self._answer_limits else None
        if stopped:
            _shut(client, socket.SHUT_RDWR)
            _shut(server, socket.SHUT_RDWR)
        cut = threading.Event()

        def answer() -> None:
            whole, count = _pump(server, client, answer_limit)
            with self._lock:
                self.answered += count
                self._answer_limits[:0] = (
                    [] if not whole or answer_limit is None else [answer_limit]
                )
            if not whole:
                cut.set()
                _shut(client, socket.SHUT_RD)  # ends the pump below

        back = threading.Thread(target=answer, daemon=True)
        back.start()
        whole, count = _pump(client, server, limit)
        with self._lock:
            self.passed += count
            self._limits[:0] = [] if not whole or limit is None else [limit]
        if whole and not cut.is_set():
            back.join()  # a client that has said all still waits for its answer
        if not whole or cut.is_set():
            with self._lock:
                self.breaks += 1
            # A plain close would look like an orderly end; a radio that drops out does not. The
            # client goes first, or the end of `back` would half-close it in order.
            _reset(client)
            _shut(server, socket.SHUT_RD)
            back.join()
            _reset(server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()


def _pump(source: socket.socket, goal: socket.socket, limit: int | None = None) -> tuple[bool, int]:
    """Pass bytes on until the source ends: (True unless the limit was reached before, bytes)."""
    count = 0
    with contextlib.suppress(OSError):
        while True:
            if count == limit:
                return False, count
            piece = source.recv(PIECE if limit is None else min(PIECE, limit - count))
            if not piece:
                break
            goal.sendall(piece)
            count += len(piece)
    _shut(goal, socket.SHUT_WR)
    return True, count


def _shut(end: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(how)


def _reset(end: socket.socket) -> None:
    """Close so that the other side gets a reset (RST), not an end."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
