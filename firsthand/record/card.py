"""The card: sealed segments on their way home, in a marked folder.

    card.json                 the mark; without it nothing is recorded (an unmounted card's mount
                              point is an ordinary empty folder)
    recorder.lock carrier.lock   one recorder and one carrier at a time
    open/SEQ-SESSION/         a segment that grows
        opening.json          when it began, and the age header of every part, synced before any
                              sealed byte: whatever is found later can be opened at home
        mark                  how far the sealed video reaches (salvage.py)
        video.part ...        age payloads without their headers; `.sealed` once whole
    ready/SEQ-SESSION/        a segment, or a gap, with its signed record in record.json
    receipts/YYYY-MM.jsonl    the vault's signed receipts, one a line
    forget/                   what the wearer wants forgotten (forget.py)

Every step is synced before the next, and a folder moves from open to ready in one rename. Only a
verified receipt clears one (upload.py).
"""

import base64
import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand.errors import Damaged, Error, Failed, Locked, NotFound
from firsthand.record.durable import append_durably, sync_folder, write_durably
from firsthand.record.part import CLOSED, OPEN
from firsthand.segment import Receipt, Record

VERSION = 1
# Below this the next segment is not begun: closing one needs a few kB even when all went well.
RESERVE_BYTES = 4 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Waiting:
    """A closed segment or gap on the card, which has not been receipted."""

    folder: Path
    envelope: dict[str, Any]
    record: Record

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


class Card:
    """The card in a folder that `create` has marked."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise NotFound(f"there is no card at {self.path}", "insert or mount it")
        if not (self.path / "card.json").exists():
            raise NotFound(f"{self.path} is not marked as a card", "mount the card, or prepare one")
        data = read_json(self.path / "card.json")
        if data.get("v") != VERSION:
            raise Damaged(
                f"the card at {self.path} has version {data.get('v')}", "update firsthand"
            )
        self.id: str = data["id"]
        self.budget_bytes: int = data["budget_bytes"]

    @classmethod
    def create(cls, path: Path, budget_bytes: int = 0) -> "Card":
        """Prepare a folder as card; 0 means: as much as the disk holds. Leaves a card as it is."""
        path = Path(path)
        if (path / "card.json").exists():
            return cls(path)
        if path.is_dir() and any(path.iterdir()):
            raise Failed(f"{path} is not empty and is no card", "choose an empty or new folder")
        mark = {"firsthand": "card", "v": VERSION, "id": secrets.token_hex(8)}
        mark["budget_bytes"] = budget_bytes
        try:
            for name in ("open", "ready", "receipts"):
                (path / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(path / "card.json", json.dumps(mark).encode() + b"\n")
        except OSError as error:
            raise card_error(path, error) from error
        return cls(path)

    @contextlib.contextmanager
    def lock(self, role: str) -> Iterator[None]:
        """Be the only recorder or carrier of this card; Locked if there is another."""
        with locked(self.path / f"{role}.lock", f"another {role} uses the card at {self.path}"):
            yield

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Wait for one's turn to change what lies in ready: a carrier clears, a wearer forgets."""
        handle = os.open(self.path / "ready", os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def holds(self, item: Waiting) -> bool:
        """Whether this very record still lies on the card."""
        found = _waiting(item.folder)
        return isinstance(found, Waiting) and found.record == item.record

    def begin(self, name: str) -> Path:
        """A new empty folder for a segment that opens."""
        folder = self.path / "open" / name
        folder.mkdir(mode=0o700)
        return folder

    def commit(self, name: str, envelope: dict[str, Any]) -> None:
        """Put the signed record beside the sealed parts; then `release` it."""
        write_durably(self.path / "open" / name / "record.json", json.dumps(envelope).encode())

    def release(self, name: str) -> None:
        """Move a folder with its record from open to ready."""
        (self.path / "open" / name / "mark").unlink(missing_ok=True)
        os.rename(self.path / "open" / name, self.path / "ready" / name)
        sync_folder(self.path / "ready")
        sync_folder(self.path / "open")

    def opened(self) -> list[Path]:
        """Folders of segments that were begun and not released, oldest first."""
        return sorted(path for path in (self.path / "open").iterdir() if path.is_dir())

    def waiting(self) -> list[Waiting]:
        """What waits to be carried home, oldest first; what cannot be read is in `damaged`."""
        return [item for item in map(_waiting, self._ready()) if isinstance(item, Waiting)]

    def damaged(self) -> list[str]:
        """Names of ready folders whose record cannot be read."""
        return [item for item in map(_waiting, self._ready()) if isinstance(item, str)]

    def clear(self, item: Waiting, receipt: dict[str, Any], time_ns: int) -> None:
        """Keep a verified receipt, then delete what it covers; safe to cut and repeat.

        What was forgotten meanwhile is another record, and stays until that is receipted.
        """
        with self.changing():
            self._clear(item, receipt, time_ns)

    def _clear(self, item: Waiting, receipt: dict[str, Any], time_ns: int) -> None:
        month = time.strftime("%Y-%m", time.gmtime(time_ns // 10**9))
        journal = self.path / "receipts" / f"{month}.jsonl"
        line = json.dumps(receipt, separators=(",", ":")).encode()
        try:
            append_durably(journal, line)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if self.holds(item):
                _empty(item.folder)  # the receipt holds: a full card must not block its relief
            append_durably(journal, line)
        if not self.holds(item):
            return
        _empty(item.folder)
        (item.folder / "record.json").unlink()
        item.folder.rmdir()
        sync_folder(self.path / "ready")

    def last_receipt(self) -> Receipt | None:
        """The newest receipt kept on this card; it was verified when it came."""
        for path in sorted((self.path / "receipts").glob("*.jsonl"), reverse=True):
            for line in reversed(_tail(path).splitlines()):
                try:
                    return Receipt(**json.loads(line)["receipt"])
                except (ValueError, TypeError, KeyError):
                    continue  # torn by a power cut; the segment was then asked for again
        return None

    def used_bytes(self) -> int:
        """Bytes of all segments on the card."""
        total = 0
        for root in ("open", "ready"):
            for folder, _, names in os.walk(self.path / root):
                for name in names:
                    # A carrier may clear a segment while we count.
                    with contextlib.suppress(FileNotFoundError):
                        total += os.stat(os.path.join(folder, name)).st_size
        return total

    def room_bytes(self) -> int:
        """Bytes that can still be recorded, by the budget and by the disk."""
        free = shutil.disk_usage(self.path).free - RESERVE_BYTES
        if self.budget_bytes:
            free = min(free, self.budget_bytes - self.used_bytes())
        return max(0, free)

    def require_room(self) -> None:
        """Failed if nothing more should be recorded."""
        if not self.room_bytes():
            raise Failed(f"the card at {self.path} is full", FULL_HINT)

    def _ready(self) -> list[Path]:
        return sorted(path for path in (self.path / "ready").iterdir() if path.is_dir())


FULL_HINT = "carry home what is on it, or use a larger card; what is recorded is safe"


def headers_json(headers: dict[str, bytes]) -> dict[str, str]:
    """Age headers as they stand in opening.json and in an upload."""
    return {name: base64.b64encode(header).decode() for name, header in headers.items()}


def card_error(path: Path, error: OSError) -> Error:
    """What an OSError from the card means to its wearer."""
    if error.errno in _FULL:
        return Failed(f"the card at {path} is full", FULL_HINT)
    reason = error.strerror or str(error)
    return Failed(f"the card at {path} failed: {reason}", "check that it is mounted and writable")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from the card; Damaged if there is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise Damaged(f"{path} holds no object")
    return data


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold an exclusive lock on a file as long as this process lives; Locked if it's taken."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise card_error(path.parent, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise Locked(message, "stop the other one first") from error
    try:
        yield
    finally:
        os.close(handle)


def shred(folder: Path, keep: tuple[str, ...] = ("record.json",)) -> None:
    """Remove what lies in a segment's folder, its keys first; safe to repeat."""
    keys = folder / "opening.json"
    # Overwritten where it lies: a flash card may still keep the old block until it's trimmed, but
    # no file system gives it back.
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(keys, os.O_WRONLY)
        try:
            os.pwrite(handle, bytes(os.fstat(handle).st_size), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
    found = [name for name in sorted(os.listdir(folder)) if name not in keep]
    for name in sorted(found, key=lambda name: name != "opening.json"):
        os.unlink(folder / name)
    if found:
        sync_folder(folder)


def _empty(folder: Path) -> None:
    # The record stays to the end: as long as it is there, the vault can be asked again.
    for path in folder.iterdir():
        if path.name != "record.json":
            path.unlink()


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))  # a receipt takes less than 1 kB
        return file.read()


def _waiting(folder: Path) -> Waiting | str:
    try:
        envelope = read_json(folder / "record.json")
        return Waiting(folder, envelope, Record.from_json(envelope["record"]))
    except (Damaged, KeyError):
        return folder.name
