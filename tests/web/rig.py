"""What the web tests stand on: a real vault, a forged device, and plain HTTP to a real server."""

import base64
import hashlib
import http.client
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from firsthand import age
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.httpsig import sign_request
from firsthand.segment import Part, Record, sign_record
from firsthand.vault.vault import Vault

START_NS = 1_793_520_000 * 10**9  # 2026-11-01 08:00:00 UTC
MINUTE_NS = 60 * 10**9


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def call(
    url: str, method: str, path: str, body: bytes | None = None, headers: dict | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlparse(url).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


class FakeDevice:
    """A device without a camera: seals given bytes as the recorder does, with real keys."""

    def __init__(self, vault: Vault, person: people.Person, name: str) -> None:
        self.vault, self.person, self.id = vault, person, name
        self.key = SigningKey.generate()
        with vault.db.write() as connection:
            people.enrol(connection, person, name, self.key.public)
        self.seq, self.prev = 0, ""

    def segment(
        self, start_ns: int, files: dict[str, bytes], length_ns: int = MINUTE_NS, **fields: Any
    ) -> tuple[dict[str, Any], bytes]:
        """(the body that opens an upload, the object) of one segment, or of a gap without files."""
        text = self.vault.keyring.ingest_recipient(self.person.id, time.time_ns())
        recipient = age.Recipient.parse(text)
        parts, joined, headers = [], b"", {}
        for name, plain in files.items():
            file_key = age.new_file_key()
            header, payload = age.seal_header(file_key, [recipient]), age.seal(file_key, plain)
            digests = hashlib.sha256(payload).hexdigest(), hashlib.sha256(header).hexdigest()
            parts.append(Part(name, len(payload), *digests, len(header)))
            joined += payload
            headers[name] = base64.b64encode(header).decode()
        boot_ns = start_ns - START_NS + 5 * 10**9
        values: dict[str, Any] = {"kind": "segment" if files else "gap"} | fields
        record = Record(
            device=self.id,
            person=self.person.id,
            session="boot1",
            seq=self.seq,
            prev=self.prev,
            boot_ns_start=boot_ns,
            boot_ns_end=boot_ns + length_ns,
            wall_ns_start=start_ns,
            wall_ns_end=start_ns + length_ns,
            wall_quality="ntp",
            parts=tuple(parts),
            object_sha256=hashlib.sha256(joined).hexdigest() if parts else "",
            object_size=len(joined),
            **values,
        )
        self.seq, self.prev = self.seq + 1, record.hash()
        return {"envelope": sign_record(record, self.key), "headers": headers}, joined

    def sign(self, method: str, path: str, body: bytes = b"", **changes: Any) -> dict[str, str]:
        """The headers of a signed request."""
        values = {"now_s": int(time.time()), "nonce": secrets.token_urlsafe(16)} | changes
        return sign_request(self.key, self.id, method, path, body, **values)

    def call(self, url: str, method: str, path: str, content: Any = None) -> Answer:
        """One signed request."""
        body = b"" if content is None else json.dumps(content).encode()
        sent = body if method in ("POST", "PUT") else None
        return call(url, method, path, sent, self.sign(method, path, body))

    def hand_in(self, url: str, content: dict[str, Any], joined: bytes) -> dict[str, Any]:
        """Uploads one segment as a device does, and returns the receipt envelope."""
        opened = self.call(url, "POST", "/api/uploads", content).json
        if "receipt" in opened:
            return opened["receipt"]
        at = 0
        for part in opened["parts"]:
            at = (part["number"] - 1) * opened["part_size"]
            call(url, "PUT", part["url"], joined[at : at + part["size"]])
        path = f"/api/uploads/{opened['upload']}/complete"
        return self.call(url, "POST", path).json["receipt"]
