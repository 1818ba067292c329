"""A card filled with real sealed segments, and a link to the real application inside one process.

What passes is what passes on the network: signed requests, bytes, answers. Where it goes wrong is
chosen by the test.
"""

import asyncio
import hashlib
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import event

from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import Device, create_device
from firsthand.record.home.link import Answer, Link, Unreached
from firsthand.segment import verify_receipt
from firsthand.vault import catalog
from firsthand.vault.vault import Vault
from firsthand.web.app import make_app

PORTAL = b"<html><body>Welcome. Please sign in.</body></html>"


class Died(BaseException):
    """A process ends here, as by kill -9: nothing of ours catches it."""


@dataclass
class Time(Clock):
    """Device and vault read one clock, which moves only by sleeping."""

    now_ns: int
    slept_s: float = 0.0

    def wall_ns(self) -> int:
        return self.now_ns

    def boot_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.now_ns += int(seconds * 1e9)

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Pack:
    """A wearer's device with its card, on which tests lay sealed segments."""

    wearer: Any  # tests/conftest.py
    device: Device
    card: Card
    captured: dict[str, Any] = field(default_factory=dict)  # what was sealed, by record hash

    @classmethod
    def create(cls, folder: Path, wearer: Any, url: str = "http://127.0.0.1") -> "Pack":
        vault = wearer.vault
        device = create_device(
            folder / wearer.id,
            name=wearer.id,
            person=wearer.person.id,
            vault_url=url,
            recipient=str(wearer.recipient),
            receipt_key=str(vault.keyring.log_key().public),
            key=wearer.key,
        )
        return cls(wearer, device, Card.create(folder / wearer.id / "card"))

    def capture(self, plain: dict[str, bytes] | None = None, **changes: Any) -> Any:
        """Seal the next record of the chain and lay it on the card."""
        made = self.wearer.seal(plain, **changes)
        self.lay(made)
        return made

    def lay(self, made: Any) -> None:
        """Lay a sealed segment on the card as a recorder leaves it."""
        record = made.record
        name = f"{record.seq:010d}-{record.session}"
        folder = self.card.begin(name)
        at = 0
        for part in record.parts:
            payload = made.sealed[at : at + part.size_bytes]
            (folder / f"{part.name}.sealed").write_bytes(payload)
            at += part.size_bytes
        (folder / "opening.json").write_text(json.dumps({"headers": made.headers}))
        self.card.commit(name, made.envelope)
        self.card.release(name, record)
        self.captured[record.hash()] = made

    def receipts(self) -> dict[str, dict[str, Any]]:
        """The receipts that the device believes, by record hash."""
        found = {}
        for path in sorted((self.card.path / "receipts").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                envelope = json.loads(line)
                receipt = verify_receipt(envelope, self.device.receipt_key)
                found[receipt.record_hash] = envelope
        return found

    def rows(self) -> dict[str, catalog.Segment]:
        """What the vault's catalogue holds of this device, by record hash."""
        vault = self.wearer.vault
        with vault.db.read() as connection:
            query = catalog.segments.select().where(catalog.segments.c.device == self.wearer.id)
            rows = [catalog.Segment(**row._mapping) for row in connection.execute(query)]
        return {row.record_hash: row for row in rows}

    def assert_nothing_lost(self) -> int:
        """Each record is on the card, whole, or receipted and stored with its bytes."""
        waiting = {item.record.hash(): item for item in self.card.waiting()}
        receipts, rows = self.receipts(), self.rows()
        for digest, made in self.captured.items():
            if digest in receipts:
                assert digest in rows, "a receipt without a row"
            else:
                item = waiting[digest]
                assert item.read(0, len(made.sealed)) == made.sealed
        for digest, row in rows.items():
            made = self.captured[digest]
            kept = b"".join(self.wearer.vault.store.chunks(row.object)) if row.object else b""
            assert kept == made.sealed, "a row without its bytes"
            assert digest not in receipts or receipts[digest] == row.receipt
        return len(receipts)

    def assert_home(self) -> None:
        """Everything is stored, and the card holds receipts alone."""
        assert self.assert_nothing_lost() == len(self.captured)
        assert not list((self.card.path / "ready").iterdir())
        assert len(self.rows()) == len(self.captured)


async def at_once(work: Callable[..., Any], *args: Any) -> Any:
    """In place of a thread pool: handing over takes a third of a request's time."""
    return work(*args)


class Served:
    """The application over a vault, called without a socket; it can die and come back."""

    def __init__(self, open_vault: Callable[[], Vault]) -> None:
        self._open_vault = open_vault
        self._loop = asyncio.new_event_loop()
        self.left: int | None = None  # steps of store and database until it dies
        self.dead = False
        self.vault = self._open()

    def _open(self) -> Vault:
        vault = self._open_vault()
        vault.store = _Mortal(vault.store, self._step)  # type: ignore[assignment]
        for name in ("before_cursor_execute", "commit"):
            event.listen(vault.db.engine, name, lambda *_: self._step())
        self._app = make_app(vault, access_key=None)
        self.dead, self.left = False, None
        return vault

    def _step(self) -> None:
        if self.left is not None:
            self.left -= 1
            self.dead = self.dead or self.left < 0
        if self.dead:
            raise Died

    def restart(self) -> None:
        """Begin anew on the same files, as after a kill."""
        self.left, self.dead = None, False
        self.vault.close()
        self.vault = self._open()

    def close(self) -> None:
        self.vault.close()
        self._loop.close()

    def call(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """One request's answer; None if the server died over it. The body may end early."""
        parts = urlsplit(target)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        complete = len(body) == int(headers.get("Content-Length", "0"))
        incoming = [{"type": "http.request", "body": body, "more_body": not complete}]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        try:
            self._loop.run_until_complete(self._app(scope, receive, send))  # type: ignore[arg-type]
        except Died:
            self.dead = True
            return None
        if not sent:
            return None
        found = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))


class InlineLink(Link):
    """Hands each request to the application, or does to it what `fault(method, target)` names."""

    def __init__(
        self,
        device: Device,
        clock: Clock,
        served: Served,
        fault: Callable[[str, str], str] = lambda method, target: "",
    ) -> None:
        super().__init__(device, clock)
        self._served, self._fault = served, fault
        self.requests: list[str] = []
        self.faults = self.flips = 0

    def _request(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        elsewhere = parts.netloc != urlsplit(self._device.vault_url).netloc
        self.requests.append(f"{method} {parts.path}")
        fault = self._fault(method, target)
        if fault:
            self.faults += 1
            self.flips += fault == "flipped"
        if fault == "device dies before":
            raise Died
        if fault == "down":
            raise Unreached("there is no route")
        if method == "PUT":
            b"".join(self._pace.pieces(data))
        if fault in ("portal", "empty", "502"):
            body = PORTAL if fault == "portal" else b""
            return Answer(502 if fault == "502" else 200, {"content-type": "text/html"}, body)
        if elsewhere:
            answer = self._to_store(url, data, headers, fault)
        else:
            answer = self._deliver(method, target, data, headers, fault)
        if fault == "device dies after":
            raise Died
        if answer is None or fault in ("answer lost", "cut"):
            raise Unreached("the connection was reset")
        if fault == "answer cut":
            return Answer(answer.status, answer.headers, answer.body[: len(answer.body) // 2])
        return answer

    def _deliver(
        self, method: str, target: str, data: bytes, headers: dict[str, str], fault: str
    ) -> Answer | None:
        given = headers | {"Host": "127.0.0.1", "Content-Length": str(len(data))}
        body = _changed(data, fault)
        if fault == "twice":
            self._served.call(method, target, given, body)
        answer = self._served.call(method, target, given, body)
        if self._served.dead:
            self._served.restart()
        return answer

    def _to_store(
        self, url: str, data: bytes, headers: dict[str, str], fault: str
    ) -> Answer | None:
        """Puts a part into a store, over a real connection."""
        parts = urlsplit(url)
        for _ in range(2 if fault == "twice" else 1):
            connection = http.client.HTTPConnection(parts.netloc, timeout=20)
            try:
                connection.putrequest("PUT", f"{parts.path}?{parts.query}")
                for name, value in (headers | {"Content-Length": str(len(data))}).items():
                    connection.putheader(name, value)
                connection.endheaders()
                connection.send(_changed(data, fault))
                if fault == "cut":
                    return None
                reply = connection.getresponse()
                found = {name.lower(): value for name, value in reply.getheaders()}
                answer = Answer(reply.status, found, reply.read())
            finally:
                connection.close()
        return answer


def _changed(data: bytes, fault: str) -> bytes:
    if fault == "cut":
        return data[: len(data) * 2 // 3]
    if fault == "flipped" and data:
        at = int.from_bytes(hashlib.sha256(data).digest()[:4], "big") % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    return data


class _Mortal:
    """A store each of whose calls is a step towards the end."""

    def __init__(self, store: Any, step: Callable[[], None]) -> None:
        self._store, self._step = store, step

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not callable(value):
            return value

        def call(*args: Any, **options: Any) -> Any:
            self._step()
            result = value(*args, **options)
            self._step()
            return result

        return call
