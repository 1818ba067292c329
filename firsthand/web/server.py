"""Serving: binds the port, runs the application, and stops cleanly."""

import email.utils
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from firsthand import serving
from firsthand.config import Settings
from firsthand.errors import Failed, Usage
from firsthand.vault.vault import Vault
from firsthand.web.app import make_app
from firsthand.web.wire import protocol

MIN_KEY = 16  # characters of an access key that somebody chose
STOP_S = 5  # how long requests under way may take to end


class Server:
    """A server over an opened vault, listening from the start on; `url` is its true address."""

    def __init__(self, vault: Vault, host: str, port: int, access_key: str | None = None) -> None:
        """Binds `port` (0: a free one) on `host`; Failed if it cannot."""
        self._socket = bind(host, port)
        self.host, self.port = host, self._socket.getsockname()[1]
        self.access_key = access_key
        self._data = vault.settings.data
        app = make_app(vault, access_key=access_key)
        config = uvicorn.Config(
            _dated(app, vault),
            date_header=False,
            http=protocol(vault, app.state.nonces),
            log_config=None,
            # Its lines would hold people's ids and the access key.
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = _Uvicorn(config)

    @property
    def url(self) -> str:
        """Where devices reach it."""
        name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}"

    @property
    def page_url(self) -> str:
        """Where people open it: with the access key, if there is one."""
        return self.url + (f"/?key={self.access_key}" if self.access_key else "/")

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM; only in the main thread."""

        def stop(_number: int, _frame: object) -> None:
            # A second time means: now.
            self._server.force_exit = self._server.should_exit
            self._server.should_exit = True

        before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            with serving.announced(self._data, self.url):
                self._server.run(sockets=[self._socket])
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            self._socket.close()

    @contextmanager
    def background(self) -> Iterator["Server"]:
        """Serves from a thread while the block runs."""
        thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="server", daemon=True
        )
        thread.start()
        try:
            with serving.announced(self._data, self.url):
                yield self
        finally:
            self._server.should_exit = True
            thread.join(2 * STOP_S)
            self._socket.close()


def serve(
    settings: Settings, *, access_key: str | None = None, announce: Callable[[Server], None]
) -> None:
    """Opens the vault of these settings and serves it; `announce` is called once it listens.

    The pages need `access_key`: the one given, that of the settings, or a random one. Ends on
    Ctrl-C and SIGTERM alike, after requests under way and the vault are closed: it was told to.
    """
    vault = Vault(settings)
    try:
        key = access_key or settings.access_key or secrets.token_urlsafe(24)
        if len(key) < MIN_KEY:
            raise Usage(f"the access key is shorter than {MIN_KEY} characters", "use a random one")
        server = Server(vault, settings.host, settings.port, key)
        announce(server)
        server.run()
    finally:
        vault.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; Failed, with a hint, if the port is in use or the host not ours."""
    if not 0 <= port < 65536:
        raise Failed(f"cannot listen on port {port}", "a port is a number from 0 to 65535")
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # With its protocol named asyncio sets TCP_NODELAY; else each answer, which goes out in two
        # pieces, waits 40 ms for the other side's delayed acknowledgement.
        bound = socket.socket(family, kind, number)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(256)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise Failed(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            "another program may use the port: choose one with --port (0 takes any free one)",
        ) from error
    return bound


def _dated(app: Any, vault: Vault) -> Any:
    """The application, each answer dated by the vault's clock: a device that booted without the
    time learns from it what the vault will take its signatures by."""

    async def dated(scope: Any, receive: Any, send: Any) -> None:
        async def send_dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                date = email.utils.formatdate(vault.now_ns() / 1e9, usegmt=True)
                message["headers"] = [*message["headers"], (b"date", date.encode())]
            await send(message)

        await app(scope, receive, send_dated)

    return dated


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Server.run has its own; uvicorn's would end the process by the signal before the vault
        # is closed.
        yield
