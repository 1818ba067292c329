"""What devices send most, taken off the wire without the framework: parts, and calls about them.

uvicorn hands a body over in 64 KiB pieces, each through h11 and a queue. Here the socket is read
into one buffer, which is written to where the part belongs. A call to open or complete an upload
costs a fifth of what it does through the framework. What is unusual about a request (head.py says
what) goes the long way, to web/ingest.py, and comes to the same.
"""

import asyncio
import email.utils
import json
import logging
import mmap
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from firsthand.errors import Error, Failed
from firsthand.vault import ingest, parts
from firsthand.vault.vault import Vault
from firsthand.web import ingest as api
from firsthand.web.body import IDLE_S, LEAST_BYTES_PER_S
from firsthand.web.head import STARTS, Head, parse
from firsthand.web.signed import Nonces

# Of 512 KiB to 2 MiB the best: each is written straight to the disk, which likes them large.
BUFFER = 1 << 20
# Each holds one buffer, so 128 MiB at most; more go the long way.
MAX_BODIES = 128
THREADS = 9  # they wait for the disk; with those of app.py as many as there are connections
# A head has some hundred bytes. Who sends it byte by byte holds one of few connections.
HEAD_S = 20.0

_log = logging.getLogger("firsthand.web")


def protocol(vault: Vault, nonces: Nonces) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with parts and calls for this vault taken out of it."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="parts")
    under_way: set[_Exchange] = set()

    class Protocol(H11Protocol):
        body: _Exchange | None = None
        head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.await_head()

        def connection_lost(self, error: Exception | None) -> None:
            self.head_came()
            super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            if data.startswith(STARTS) and _between_requests(self) and len(under_way) < MAX_BODIES:
                head = parse(data)
                if head is not None and head.part:
                    self.body = _Part(self, vault, pool, under_way, head)
                elif head is not None and head.call is not None:
                    self.body = _Call(self, vault, pool, under_way, head)
                    self.body.nonces = nonces
                if self.body is not None:
                    self.head_came()
                    self._unset_keepalive_if_required()
                    self.body.begin()
                    return
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self.await_head()
            else:
                self.head_came()

        def await_head(self) -> None:
            """A whole head has to come by a time that more bytes of it don't put off."""
            if self.head_timer is None:
                self.head_timer = self.loop.call_later(HEAD_S, self.transport.close)

        def head_came(self) -> None:
            if self.head_timer is not None:
                self.head_timer.cancel()
                self.head_timer = None

        def shutdown(self) -> None:
            if self.body is None:
                super().shutdown()
            else:
                self.body.last = True  # it may end, and then the connection does

        def take_over(self, last: bool) -> None:
            """The next request is uvicorn's again."""
            self.body = None
            if last or self.transport.is_closing():
                self.transport.close()
                return
            self.transport.set_protocol(self)
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    return Protocol


def _between_requests(host: H11Protocol) -> bool:
    """Whether a request may begin here; what looks like one inside a body is none."""
    states = (host.conn.our_state, host.conn.their_state)
    idle = states == (h11.IDLE, h11.IDLE) and not host.conn.trailing_data[0]
    return idle and (host.cycle is None or host.cycle.response_complete)


class _Exchange(asyncio.BufferedProtocol):
    """One request past the framework; gives the connection back after its answer."""

    _room = BUFFER

    def __init__(
        self,
        host: Any,
        vault: Vault,
        pool: ThreadPoolExecutor,
        under_way: set["_Exchange"],
        head: Head,
    ) -> None:
        self._host, self._vault, self._pool, self._head = host, vault, pool, head
        self._under_way = under_way
        self._transport = cast(asyncio.Transport, host.transport)
        self._loop = asyncio.get_running_loop()
        self._writer: parts.Writer | None = None
        self._buffer = memoryview(b"")
        self._filled, self._left = 0, head.size
        self._failed = self._busy = self._lost = False
        self._heard_s = self._began_s = self._loop.time()
        self._timer = self._loop.call_later(IDLE_S, self._look)
        self.last = head.last

    def begin(self) -> None:
        """The connection is ours from here on."""
        self._under_way.add(self)
        self._transport.pause_reading()
        self._transport.set_protocol(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._filled : self._filled + self._left]

    def eof_received(self) -> None:
        return None  # which closes the connection

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._timer.cancel()
        self._under_way.discard(self)
        if not self._busy:
            self._close()
        self._host.body = None
        self._host.connection_lost(error)

    def _take(self) -> None:
        """Goes on with what came along with the head."""
        rest = self._head.rest[: self._head.size]
        # Pages, not a bytearray: only whole pages can be written past the page cache.
        self._buffer = memoryview(mmap.mmap(-1, max(self._room, len(rest))))
        if len(self._head.rest) > self._head.size:
            self.last = True  # a request sent ahead of its turn is not read
        self._buffer[: len(rest)] = rest
        self._transport.resume_reading()
        if rest:
            self.buffer_updated(len(rest))

    def _work(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Does what may wait for the disk elsewhere; other connections go on."""
        self._busy = True
        future = self._pool.submit(job)
        future.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(self._worked, done, then)
        )

    def _worked(self, done: Future, then: Callable[[Any], None]) -> None:
        self._busy = False
        self._heard_s = self._loop.time()
        error = done.exception()
        if error is None:
            then(done.result())
        elif self._lost:
            self._close()
        else:
            self._refuse(error)

    def _refuse(self, error: BaseException) -> None:
        """Says why, then lets the rest of the body pass by: else the answer might be lost."""
        self._explain(error, {"Connection": "close"})
        self._failed = self.last = True
        began = self._writer is not None
        self._close()
        if began:
            self._filled = 0
            if self._left:
                self._transport.resume_reading()
            else:
                self._end()
        else:
            self._take()

    def _explain(self, error: BaseException, headers: dict[str, str]) -> None:
        """Answers with what went wrong, as guard.py does."""
        if not isinstance(error, Error):
            _log.error("unexpected error", exc_info=error)
            error = Failed("something went wrong here", "the server's own output says what")
        kind, status = type(error).__name__, error.http_status
        problem: dict[str, Any] = {"type": "about:blank", "title": kind, "status": status}
        problem |= {"detail": error.message, "hint": error.hint}
        said = {"Content-Type": "application/problem+json"} | headers
        self._answer(f"{status} {kind}", said, json.dumps(problem).encode())

    def _answer(self, status: str, headers: dict[str, str], body: bytes) -> None:
        fields = {
            "Date": email.utils.formatdate(self._vault.now_ns() / 1e9, usegmt=True),
            "Cache-Control": "no-store",
        }
        fields |= headers | {"Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._transport.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body)

    def _end(self) -> None:
        self._timer.cancel()
        self._under_way.discard(self)
        self._close()
        self._host.take_over(self.last)
        self._transport.resume_reading()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _look(self) -> None:
        """A client that sends nothing for so long is gone; its buffer is wanted by others.

        Nor may it send a byte now and then for ever.
        """
        now_s = self._loop.time()
        quiet_s = now_s - self._heard_s
        late = now_s - self._began_s >= IDLE_S + self._head.size / LEAST_BYTES_PER_S
        if (quiet_s >= IDLE_S or late) and not self._busy:
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(max(1.0, IDLE_S - quiet_s), self._look)


class _Part(_Exchange):
    """The bytes of a part on their way into the store."""

    def begin(self) -> None:
        """Looks whether the part is wanted, before any of it is kept."""
        super().begin()
        assert self._head.part is not None
        self._place = self._head.part
        args = (*self._place, self._head.size)
        self._work(lambda: ingest.open_part(self._vault, *args), self._opened)

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        self._filled += nbytes
        self._left -= nbytes
        if self._failed:
            self._filled = 0
            if not self._left:
                self._end()
        elif not self._left:
            self._transport.pause_reading()
            self._work(self._write, self._written)
        elif self._filled == len(self._buffer):
            # Here and not in a thread: it takes a millisecond to hash and write while the bytes
            # are in this core's cache, and handing them over costs a fifth more CPU. The disk is
            # waited for in a thread, at the end of each part.
            try:
                self._write()
            except Exception as error:
                self._refuse(error)
            else:
                self._filled = 0

    def _opened(self, writer: parts.Writer) -> None:
        self._writer = writer
        if self._lost:
            self._close()
            return
        self._take()

    def _write(self) -> None:
        if self._writer is None:
            raise Failed("a part is written before it is opened", "begin the part anew")
        self._writer.write(self._buffer[: self._filled])
        if not self._left:
            self._writer.finish()

    def _written(self, _: None) -> None:
        if self._lost:
            self._close()
            return
        self._filled = 0
        if self._left:
            self._transport.resume_reading()
            return
        tag = ingest.etag(*self._place[:2])
        self._answer("200 OK", {"ETag": tag}, b"")
        self._end()


class _Call(_Exchange):
    """A signed request to open or to complete an upload."""

    nonces: Nonces

    def begin(self) -> None:
        """Reads the body first: its signature covers it."""
        super().begin()
        self._room = max(1, self._head.size)
        self._take()
        if not self._head.size:
            self.buffer_updated(0)

    def buffer_updated(self, nbytes: int) -> None:
        self._heard_s = self._loop.time()
        self._filled += nbytes
        self._left -= nbytes
        if not self._left:
            self._transport.pause_reading()
            self._work(self._do, self._done)

    def _do(self) -> bytes:
        head, body = self._head, bytes(self._buffer[: self._filled])
        asked = (head.method, head.path, body, head.headers)
        work = api.call_of(head.call or "")
        return json.dumps(api.answer(self._vault, self.nonces, *asked, work)).encode()

    def _done(self, answer: bytes) -> None:
        self._answer("200 OK", {"Content-Type": "application/json"}, answer)
        self._end()

    def _refuse(self, error: BaseException) -> None:
        """Says why; the body was read, so the connection stays."""
        self._explain(error, {})
        self._end()
