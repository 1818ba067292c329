"""A small real HTTP server that speaks the device's upload protocol, with faults on demand."""

import base64
import email.utils
import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Error
from firsthand.httpsig import verify_request
from firsthand.segment import Receipt, Record, sign_receipt, verify_record
from firsthand.tlog import EMPTY_ROOT, Checkpoint, log_name

PORTAL = b"<html><body>Welcome to Hotel WiFi. Please sign in.</body></html>"


@dataclass
class Vault:
    """What the server knows; `fault(method, path)` names what goes wrong with a request."""

    device_key: VerifyKey
    receipt_key: SigningKey
    now_s: int = 1_800_000_000
    part_size: int = 2000
    fault: Callable[[str, str], str] = lambda method, path: ""
    refused: bool = False  # the wearer withdrew
    wanted: list[list[int]] = field(default_factory=list)  # what it asks for first, wall-clock ns
    uploads: dict[str, tuple[Record, dict[int, bytes]]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # by record hash, in order of arrival
    records: dict[str, Record] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    taken_bytes: int = 0
    nonces: set[str] = field(default_factory=set)

    def device_state(self) -> dict[str, Any]:
        checkpoint = Checkpoint(log_name(self.receipt_key.public), 0, EMPTY_ROOT)
        return {"checkpoint": checkpoint.sign(self.receipt_key), "wanted": self.wanted}

    def open(self, asked: dict[str, Any]) -> dict[str, Any]:
        record = verify_record(asked["envelope"], self.device_key)
        digest = record.hash()
        if digest in self.objects or self.refused:
            return {"receipt": self.receipt(record)}
        for part in record.parts:
            header = base64.b64decode(asked["headers"][part.name])
            assert hashlib.sha256(header).hexdigest() == part.header_sha256
        if not record.object_size:
            self.keep(record, b"")
            return {"receipt": self.receipt(record)}
        upload = digest[:32]
        self.uploads.setdefault(upload, (record, {}))
        return {"upload": upload, "part_size": self.part_size} | self.state(upload)

    def state(self, upload: str) -> dict[str, Any]:
        record, held = self.uploads[upload]
        have, parts = [], []
        for at in range(0, record.object_size, self.part_size):
            number = at // self.part_size + 1
            row = {"number": number, "size": min(self.part_size, record.object_size - at)}
            if number in held:
                have.append(row)
            else:
                parts.append(row | {"url": f"/parts/{upload}/{number}?mac=1"})
        return {"have": have, "parts": parts}

    def complete(self, upload: str) -> dict[str, Any]:
        record, held = self.uploads[upload]
        data = b"".join(held[number] for number in sorted(held))
        if hashlib.sha256(data).hexdigest() != record.object_sha256:
            raise ValueError("the bytes are not what the record names")
        del self.uploads[upload]
        self.keep(record, data)
        return {"receipt": self.receipt(record)}

    def keep(self, record: Record, data: bytes) -> None:
        assert record.hash() not in self.objects, "stored twice"
        self.objects[record.hash()] = data
        self.records[record.hash()] = record

    def receipt(self, record: Record, key: SigningKey | None = None, **changes: Any) -> dict:
        receipt = Receipt(
            kind="refused" if self.refused else "stored",
            record_hash=record.hash(),
            device=record.device,
            session=record.session,
            seq=record.seq,
            object_sha256=record.object_sha256,
            object_size=record.object_size,
            log_index=len(self.objects),
            log_root="00" * 32,
            time_ns=self.now_s * 10**9,
        )
        return sign_receipt(replace(receipt, **changes), key or self.receipt_key)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vault: Vault

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        vault, path = self.vault, self.path
        vault.requests.append((self.command, path.split("?")[0]))
        fault = vault.fault(self.command, path)
        size = int(self.headers.get("Content-Length") or 0)
        if fault == "drop":
            self._drop()
            return
        if fault == "drop in the middle":
            vault.taken_bytes += len(self.rfile.read(size // 2))
            self._drop()
            return
        body = self.rfile.read(size)
        if fault.isdigit():
            self._answer(int(fault), {"title": "on purpose"})
        elif fault in ("portal", "empty"):
            self._send(200, PORTAL if fault == "portal" else b"", "text/html")
        else:
            self._work(path, body, fault)

    def _work(self, path: str, body: bytes, fault: str) -> None:
        vault = self.vault
        if self.command == "PUT":
            vault.taken_bytes += len(body)
            digest = base64.b64encode(hashlib.md5(body).digest()).decode()
            assert digest == self.headers.get("Content-MD5", digest)
            _, _, upload, number = path.split("?")[0].split("/")
            vault.uploads[upload][1][int(number)] = body
            self._finish(fault, 200, b"", {} if fault == "no etag" else {"ETag": '"opaque"'})
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            args = (self.command, path, body, headers, vault.now_s)
            _, nonce = verify_request(lambda keyid: vault.device_key, *args)
            assert nonce not in vault.nonces
            vault.nonces.add(nonce)
            answer = self._api(path, body)
        except Error as error:
            self._answer(error.http_status, {"detail": error.message})
            return
        except KeyError:
            self._answer(404, {"detail": "no such upload"})
            return
        except ValueError as error:
            self._answer(422, {"detail": str(error)})
            return
        if "receipt" in answer and fault:
            answer = self._forge(answer, fault)
        self._finish(fault, 200, json.dumps(answer).encode(), {})

    def _api(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/api/device":
            return self.vault.device_state()
        if path == "/api/uploads":
            return self.vault.open(json.loads(body))
        upload = path.split("/")[3]
        if self.command == "GET":
            return self.vault.state(upload)
        if self.command == "DELETE":
            self.vault.uploads.pop(upload)
            return {}
        return self.vault.complete(upload)

    def _forge(self, answer: dict[str, Any], fault: str) -> dict[str, Any]:
        record = self.vault.records[answer["receipt"]["receipt"]["record_hash"]]
        make = self.vault.receipt
        forged = {
            "other key": lambda: make(record, SigningKey.generate()),
            "other record": lambda: make(record, record_hash="00" * 32),
            "other bytes": lambda: make(record, object_sha256="00" * 32),
            "other size": lambda: make(record, object_size=record.object_size + 1),
            "other seq": lambda: make(record, seq=record.seq + 1),
            "unknown kind": lambda: make(record, kind="maybe"),
            "no receipt": lambda: None,
            "text": lambda: "stored, honestly",
        }
        return {"receipt": forged[fault]()} if fault in forged else answer

    def _finish(self, fault: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        if fault == "drop the answer":
            self._drop()
        else:
            self._send(status, body, "application/json", headers)

    def _answer(self, status: int, problem: dict[str, str]) -> None:
        self._send(status, json.dumps(problem).encode(), "application/problem+json")

    def _send(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(self.vault.now_s, usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@contextmanager
def serving(vault: Vault) -> Iterator[str]:
    """Serve on a free port; gives the URL."""

    class Handler(_Handler):
        pass

    Handler.vault = vault
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
