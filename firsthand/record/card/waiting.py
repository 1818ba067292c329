"""What is closed and waits on the card: its record, its bytes, and whether they still agree."""

import base64
import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand.crypto import VerifyKey
from firsthand.errors import Damaged
from firsthand.record.card.listing import Listed
from firsthand.record.sealing.part import CLOSED, OPEN
from firsthand.segment import Record, verify_record


@dataclass(frozen=True)
class Waiting:
    """A closed segment or gap on the card, which has not been receipted."""

    folder: Path
    listed: Listed

    @property
    def envelope(self) -> dict[str, Any]:
        """Its record with the signature; Damaged if it can't be read any more."""
        return record_in(self.folder)[0]

    @property
    def record(self) -> Record:
        """Its record; Damaged if it can't be read any more."""
        return record_in(self.folder)[1]

    def verify(self, key: VerifyKey) -> None:
        """Damaged unless its bytes on the card are still those that this key's record names."""
        record = verify_record(record_in.__wrapped__(self.folder)[0], key)  # as it is now
        headers = self.headers()
        for part in record.parts:
            path = self._file(part.name, part.cut)
            try:
                header = base64.b64decode(headers[part.name])
                found = {hash_file(path)}
                if part.payload_sha256 not in found:
                    found.add(hash_file(path, from_disk=True))  # the memory may be at fault
            except (FileNotFoundError, ValueError) as error:
                raise Damaged(f"{self.folder.name} on the card lost its {part.name}") from error
            same_header = hashlib.sha256(header).hexdigest() == part.header_sha256
            if part.payload_sha256 not in found or not same_header:
                raise Damaged(f"{self.folder.name} on the card changed in its {part.name}")

    def headers(self) -> dict[str, str]:
        """The age header of each part, in base64; Damaged if they cannot be read."""
        if not self.record.parts:
            return {}
        headers = read_json(self.folder / "opening.json").get("headers", {})
        lost = [part.name for part in self.record.parts if part.name not in headers]
        if lost:
            raise Damaged(f"{self.folder.name} on the card lost the header of its {lost[0]}")
        return {part.name: headers[part.name] for part in self.record.parts}

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the object (all payloads, one after the other); Damaged if some are missing."""
        pieces = []
        for part in self.record.parts:
            if start < part.size_bytes and size > 0:
                with open(self._file(part.name, part.cut), "rb", buffering=0) as file:
                    file.seek(start)
                    piece = file.read(min(size, part.size_bytes - start)) or b""
                pieces.append(piece)
                size -= len(piece)
            start = max(0, start - part.size_bytes)
        if size > 0:
            raise Damaged(f"{self.folder.name} on the card is {size} bytes short of its record")
        return b"".join(pieces)

    def _file(self, name: str, cut: bool) -> Path:
        return self.folder / f"{name}{OPEN if cut else CLOSED}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from the card; Damaged if there is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise Damaged(f"{path} holds no object")
    return data


def hash_file(path: Path, from_disk: bool = False) -> str:
    """SHA-256 of a file, in hexadecimal; `from_disk`: not from what the system still remembers."""
    with open(path, "rb") as file:
        if from_disk and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").hexdigest()


# Records of one card can be 200 MB in memory, where a wearer's computer has 512 in all.
@functools.lru_cache(maxsize=64)
def record_in(folder: Path) -> tuple[dict[str, Any], Record]:
    """The envelope and the record in a folder of the card; Damaged."""
    envelope = read_json(folder / "record.json")
    try:
        return envelope, Record.from_json(envelope["record"])
    except KeyError as error:
        raise Damaged(f"{folder} holds no record") from error
