"""The card: sealed segments on their way home, in a marked folder.

    card.json                 the mark; without it nothing is recorded (an unmounted card's mount
                              point is an ordinary empty folder)
    recorder.lock carrier.lock   one recorder and one carrier at a time
    open/SEQ-SESSION/         a segment, or a gap, that grows
        opening.json          when it began, and the age header of every part, synced before any
                              sealed byte: whatever is found later can be opened at home
        mark                  how far the sealed video reaches (salvage.py)
        video.part ...        age payloads without their headers; `.sealed` once whole
    ready/SEQ-SESSION/        a segment, or a gap, with its signed record in record.json
    ready/SEQ-SESSION.gap/    a gap record in a segment's place (replace.py)
    damaged/SEQ-SESSION/      a segment whose bytes are no longer those of its record; kept
    done/                     what is being deleted, or made
    receipts/YYYY-MM.jsonl    the vault's signed receipts, one a line
    forget/                   what the wearer wants forgotten (forget.py)
    index.jsonl               what lies in ready, in short (listing.py)

Every step is synced before the next, and a folder moves in one rename. Only a verified receipt
clears one (upload.py), or the wearer's choice that new footage replaces the oldest.
"""

import base64
import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firsthand.errors import Damaged, Error, Failed, Locked, NotFound
from firsthand.record.card.listing import REPLACED, Listing
from firsthand.record.card.room import RESERVE_BYTES, RESERVE_FILES, Room
from firsthand.record.card.waiting import Waiting, read_json
from firsthand.record.durable import append_durably, sync_folder, write_durably
from firsthand.segment import Receipt, Record

VERSION = 1
OVERWRITTEN, DAMAGED = "overwritten", "damaged"  # why a gap record replaces a segment
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        # The wearer's choice: when it is full, new footage replaces the oldest (replace.py).
        self.overwrites: bool = data.get("overwrites", False)
        self._listing = Listing(self.path)
        self._mine = threading.local()  # how deep this thread is in `changing`

    @classmethod
    def create(cls, path: Path, budget_bytes: int = 0, overwrites: bool = False) -> "Card":
        """Prepare a folder as card; 0 means: as much as the disk holds. Leaves a card as it is."""
        path = Path(path)
        if (path / "card.json").exists():
            return cls(path)
        if path.is_dir() and any(path.iterdir()):
            raise Failed(f"{path} is not empty and is no card", "choose an empty or new folder")
        try:
            for name in ("open", "ready", "receipts"):
                (path / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_mark(path, secrets.token_hex(8), budget_bytes, overwrites)
        except OSError as error:
            raise card_error(path, error) from error
        return cls(path)

    def choose(self, budget_bytes: int | None = None, overwrites: bool | None = None) -> None:
        """Change the budget, or whether new footage may replace the oldest; at the next start."""
        budget = self.budget_bytes if budget_bytes is None else budget_bytes
        overwrites = self.overwrites if overwrites is None else overwrites
        try:
            _write_mark(self.path, self.id, budget, overwrites)
        except OSError as error:
            raise card_error(self.path, error) from error
        self.budget_bytes, self.overwrites = budget, overwrites

    @contextlib.contextmanager
    def lock(self, role: str) -> Iterator[None]:
        """Be the only recorder or carrier of this card; Locked if there is another."""
        with locked(self.path / f"{role}.lock", f"another {role} uses the card at {self.path}"):
            yield

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Wait for one's turn to change what lies in ready: clear, replace, forget."""
        depth = getattr(self._mine, "depth", 0)
        handle = -1
        try:
            if not depth:
                handle = os.open(self.path / "ready", os.O_RDONLY)
                fcntl.flock(handle, fcntl.LOCK_EX)
            self._mine.depth = depth + 1
            yield
        finally:
            self._mine.depth = depth
            if handle >= 0:
                os.close(handle)

    def holds(self, item: Waiting) -> bool:
        """Whether this very record still lies on the card, and nothing in its place."""
        folder = item.folder
        return folder.is_dir() and not folder.with_name(folder.name + REPLACED).exists()

    def begin(self, name: str) -> Path:
        """A new empty folder, on the disk, for a segment or gap that opens."""
        folder = self.path / "open" / name
        folder.mkdir(mode=0o700)
        sync_folder(self.path / "open")
        return folder

    def commit(self, name: str, envelope: dict[str, Any]) -> None:
        """Put the signed record beside the sealed parts; then `release` it."""
        write_durably(self.path / "open" / name / "record.json", json.dumps(envelope).encode())

    def release(self, name: str, record: Record) -> None:
        """Move a folder with its record from open to ready."""
        (self.path / "open" / name / "mark").unlink(missing_ok=True)
        os.rename(self.path / "open" / name, self.path / "ready" / name)
        sync_folder(self.path / "ready")
        sync_folder(self.path / "open")
        self._listing.add(name, record)

    def opened(self) -> list[Path]:
        """Folders of segments that were begun and not released, oldest first."""
        return sorted(path for path in (self.path / "open").iterdir() if path.is_dir())

    def waiting(self) -> list[Waiting]:
        """What waits to be carried home, oldest first; what cannot be read is in `damaged`."""
        ready = self.path / "ready"
        return [Waiting(ready / row.name, row) for row in self._listing.read()]

    def damaged(self) -> list[str]:
        """Names of what can't be carried home: its record can't be read, or its bytes changed."""
        aside = self.path / "damaged"
        names = [path.name for path in aside.iterdir()] if aside.exists() else []
        return sorted([*self.unreadable(), *names])

    def unreadable(self) -> list[str]:
        """Names of closed folders whose record can't be read."""
        return self._listing.unreadable()

    def clear(self, item: Waiting, receipt: dict[str, Any], time_ns: int) -> None:
        """Keep a verified receipt, then delete what it covers; safe to cut and repeat.

        What was forgotten or overwritten meanwhile is another record, and stays until that is
        receipted.
        """
        month = time.strftime("%Y-%m", time.gmtime(time_ns // 10**9))
        journal = self.path / "receipts" / f"{month}.jsonl"
        line = json.dumps(receipt, separators=(",", ":")).encode()
        with self.changing():
            try:
                append_durably(journal, line)
            except OSError as error:
                if error.errno not in FULL_ERRORS:
                    raise
                self._drop(item.folder)  # the receipt holds: a full card must not block its relief
                append_durably(journal, line)
            self._drop(item.folder)

    def replace(self, item: Waiting, envelope: dict[str, Any]) -> None:
        """Put a signed record in the place of a segment, which goes; a damaged one is kept aside.

        The new folder has a name of its own, so that a folder never changes what it holds. The
        moment that it is in ready, the old one no longer waits.
        """
        ready, name = self.path / "ready", item.folder.name + REPLACED
        record = Record.from_json(envelope["record"])
        with self.changing():
            if not item.folder.is_dir():
                return  # carried home meanwhile
            draft = self._done() / name
            draft.mkdir(mode=0o700)
            write_durably(draft / "record.json", json.dumps(envelope).encode())
            os.rename(draft, ready / name)
            sync_folder(ready)
            self._listing.add(name, record)
            self._remove(item.folder, record.kind, record.reason)

    def finish_replacing(self) -> None:
        """Remove what was replaced when the power went."""
        ready = self.path / "ready"
        with self.changing():
            for item in self.waiting():
                old = ready / item.folder.name.removesuffix(REPLACED)
                if old != item.folder and old.exists():
                    self._remove(old, item.listed.kind, item.listed.reason)

    def _remove(self, folder: Path, kind: str, reason: str) -> None:
        if reason != DAMAGED:
            if kind == "forgotten":
                shred(folder)
            self._drop(folder)
            return
        aside = self.path / "damaged"
        aside.mkdir(mode=0o700, exist_ok=True)
        os.rename(folder, aside / folder.name)
        for place in (aside, folder.parent, self.path):
            sync_folder(place)

    def _drop(self, folder: Path) -> None:
        """Delete a closed folder; a cut leaves it whole, or out of the way."""
        done = self._done()
        with contextlib.suppress(FileNotFoundError):  # dropped before
            os.rename(folder, done / folder.name)
            sync_folder(folder.parent)
        self._done()

    def _done(self) -> Path:
        """The folder for what is being deleted or made, emptied."""
        done = self.path / "done"
        done.mkdir(mode=0o700, exist_ok=True)
        for path in done.iterdir():
            shutil.rmtree(path)
        return done

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
        """Bytes of all that lies on the card and waits."""
        total = self._listing.disk_bytes()
        for root in ("open", "damaged"):
            for folder, _, names in os.walk(self.path / root):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):  # released while we count
                        total += os.stat(os.path.join(folder, name)).st_size
        return total

    def room(self) -> Room:
        """What the budget and the disk still take; quick enough to be asked each second."""
        disk = os.statvfs(self.path)
        free = disk.f_bavail * disk.f_frsize - RESERVE_BYTES
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        if disk.f_files and disk.f_favail < RESERVE_FILES:
            free = 0
        if self.budget_bytes:
            used = self.used_bytes()
            free = min(free, self.budget_bytes - used)
        return Room(used, max(0, free))


FULL_HINT = "carry home what is on it, or use a larger card; what is recorded is safe"


def headers_json(headers: dict[str, bytes]) -> dict[str, str]:
    """Age headers as they stand in opening.json and in an upload."""
    return {name: base64.b64encode(header).decode() for name, header in headers.items()}


def card_error(path: Path, error: OSError) -> Error:
    """What an OSError from the card means to its wearer."""
    if error.errno in FULL_ERRORS:
        return Failed(f"the card at {path} is full", FULL_HINT)
    reason = error.strerror or str(error)
    return Failed(f"the card at {path} failed: {reason}", "check that it is mounted and writable")


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold an exclusive lock on a file as long as this process lives; Locked if it's taken."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise card_error(path.parent, error) from error
    with _flocked(handle, message):
        yield


@contextlib.contextmanager
def _flocked(handle: int, message: str) -> Iterator[None]:
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(message, "stop the other one first") from error
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


def _write_mark(path: Path, id_: str, budget_bytes: int, overwrites: bool) -> None:
    mark = {"firsthand": "card", "v": VERSION, "id": id_}
    mark |= {"budget_bytes": budget_bytes, "overwrites": overwrites}
    write_durably(path / "card.json", json.dumps(mark).encode() + b"\n")


def _tail(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 16384))  # a receipt takes less than 1 kB
        return file.read()
