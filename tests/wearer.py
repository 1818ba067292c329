"""A clock that moves only when told, and a device that seals what it is given."""

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import backends

from firsthand import age
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.segment import Part, Record, sign_record
from firsthand.vault import ingest
from firsthand.vault.ingest import opening
from firsthand.vault.vault import Vault

NOW_NS = 1_793_520_000 * 10**9  # 2026-11-01 08:00:00 UTC, when the vault's clock stands
SECOND_NS = 10**9
PASSPHRASE = "correct horse"


@dataclass
class Clock:
    """A clock that moves only when told."""

    now_ns: int = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


@dataclass(frozen=True)
class Made:
    """A sealed and signed segment, on its way to the vault."""

    record: Record
    envelope: dict[str, Any]
    headers: dict[str, str]
    sealed: bytes
    plain: dict[str, bytes]
    file_keys: dict[str, bytes]


@dataclass
class Wearer:
    """A person's device: its key, where its chain stands, and how it hands segments in."""

    vault: Vault
    person: people.Person
    id: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    seq: int = 1
    prev: str = ""

    @property
    def enrolled(self) -> people.Device:
        return people.Device(self.id, self.person.id, self.key.public, "active")

    @cached_property
    def recipient(self) -> age.Recipient:
        text = self.vault.keyring.ingest_recipient(self.person.id, NOW_NS)
        return age.Recipient.parse(text)

    def seal(
        self,
        plain: dict[str, bytes] | None = None,
        start_s: float = 0,
        length_s: float = 60,
        **changes: Any,
    ) -> Made:
        """The next segment of this device's chain; `changes` replace fields of its record."""
        plain = {"video": b"video" * 20, "events": b"\n"} if plain is None else plain
        parts, headers, file_keys, sealed = [], {}, {}, b""
        for name, content in plain.items():
            file_keys[name] = age.new_file_key()
            header = age.seal_header(file_keys[name], [self.recipient])
            payload = age.seal(file_keys[name], content)
            hashes = hashlib.sha256(payload).hexdigest(), hashlib.sha256(header).hexdigest()
            parts.append(Part(name, len(payload), *hashes, len(header)))
            headers[name] = base64.b64encode(header).decode()
            sealed += payload
        boot_ns, length_ns = int((start_s + 5) * SECOND_NS), int(length_s * SECOND_NS)
        values: dict[str, Any] = {
            "device": self.id,
            "person": self.person.id,
            "session": "boot1",
            "seq": self.seq,
            "prev": self.prev,
            "kind": "segment" if plain else "gap",
            "boot_ns_start": boot_ns,
            "boot_ns_end": boot_ns + length_ns,
            "wall_ns_start": NOW_NS + int(start_s * SECOND_NS),
            "wall_ns_end": NOW_NS + int(start_s * SECOND_NS) + length_ns,
            "wall_quality": "ntp",
            "parts": tuple(parts),
            "object_sha256": hashlib.sha256(sealed).hexdigest() if plain else "",
            "object_size": len(sealed),
        }
        record = Record(**(values | changes))
        self.seq, self.prev = record.seq + 1, record.hash()
        return Made(record, sign_record(record, self.key), headers, sealed, plain, file_keys)

    def open(self, made: Made) -> dict[str, Any]:
        return ingest.open_upload(self.vault, self.enrolled, made.envelope, made.headers)

    def put(self, made: Made, upload: str, sealed: bytes | None = None) -> None:
        """Sends all parts that the vault lacks, or as many bytes of something else."""
        data = made.sealed if sealed is None else sealed
        _, need = ingest.missing_parts(self.vault, upload, self.id)
        for part in need:
            start = (part["number"] - 1) * opening.PART_SIZE
            backends.send_part(self.vault, upload, part, data[start : start + part["size"]])

    def hand_in(self, made: Made) -> dict[str, Any]:
        """The receipt's envelope for a segment, sent as far as the vault wants it."""
        opened = self.open(made)
        if "receipt" in opened:
            return opened["receipt"]
        self.put(made, opened["upload"])
        return ingest.complete(self.vault, opened["upload"], self.id)
