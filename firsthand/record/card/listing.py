"""What lies closed on a card, known without opening each of its folders; none ever changes.

    index.jsonl    a line for each closed folder: what its record says, in short

Three weeks that were not carried home are 30,000 folders: reading their records takes seconds on
a small computer, reading their names and this file does not. It is a memory only: a line that is
missing or torn is made again from its folder, so it is never synced.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from firsthand.errors import Damaged
from firsthand.record.durable import FILE_MODE
from firsthand.segment import Record

REPLACED = ".gap"  # the end of a folder's name whose record stands in a segment's place
_SLACK = 1000  # lines of folders that are gone may pile up so far before the file is made anew
_SETTLED_NS = 50_000_000  # a folder's time stamp moves in steps of up to 10 ms


@dataclass(frozen=True, slots=True)
class Listed:
    """A closed folder of the card in short."""

    name: str
    kind: str
    reason: str
    size_bytes: int  # of its object
    disk_bytes: int  # of all its files
    duration_ns: int
    wall_ns_start: int  # 0: unknown
    wall_ns_end: int
    frames: int
    dropped: int


NOTHING = Listed("", "", "", 0, 0, 0, 0, 0, 0, 0)  # of a folder without a readable record


class Listing:
    """The closed folders of one card; keeps in memory what it has seen."""

    def __init__(self, card: Path) -> None:
        self._ready, self._index = card / "ready", card / "index.jsonl"
        self._known: dict[str, Listed] = {}
        self._unreadable: list[str] = []
        self._stamp_ns, self._lines = 0, 0
        self._is_read = False

    def add(self, name: str, record: Record) -> None:
        """Remember a folder that was just closed."""
        row = self._known[name] = _listed(self._ready / name, record)
        self._append([row])

    def read(self) -> list[Listed]:
        """All closed folders whose record can be read, oldest first."""
        stamp_ns = self._ready.stat().st_mtime_ns
        with os.scandir(self._ready) as entries:
            names = {entry.name for entry in entries if entry.is_dir()}
        names -= {name.removesuffix(REPLACED) for name in names if name.endswith(REPLACED)}
        if not self._is_read:
            self._load()
        found, self._unreadable = [], []
        for name in sorted(names - self._known.keys()):
            try:
                found.append(_look(self._ready / name))
            except FileNotFoundError:
                continue  # carried home meanwhile
            except Damaged:
                self._unreadable.append(name)
        self._known = {name: row for name, row in self._known.items() if name in names}
        self._known |= {row.name: row for row in found}
        self._append(found)
        if self._lines > 2 * len(self._known) + _SLACK:
            self._rewrite()
        self._stamp_ns = stamp_ns if time.time_ns() - stamp_ns > _SETTLED_NS else 0
        return [self._known[name] for name in sorted(self._known)]

    def unreadable(self) -> list[str]:
        """Names of closed folders whose record cannot be read."""
        self.read()
        return self._unreadable

    def disk_bytes(self) -> int:
        """Bytes of all closed folders; asks for no names while none came or went."""
        if not self._is_read or self._ready.stat().st_mtime_ns != self._stamp_ns:
            self.read()
        return sum(row.disk_bytes for row in self._known.values())

    def _load(self) -> None:
        self._is_read = True
        try:
            lines = self._index.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):  # torn, or of another version
                row = Listed(*json.loads(line))
                if [type(value) for value in astuple(row)] == _KINDS:
                    self._known.setdefault(row.name, row)
        self._lines = len(lines)

    def _append(self, rows: Iterable[Listed]) -> None:
        if text := _lines(rows):
            with contextlib.suppress(OSError):  # a full or failing card: it is only a memory
                handle = os.open(self._index, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
                with os.fdopen(handle, "wb", buffering=0) as file:
                    file.write(b"\n" + text)  # a line that a cut tore ends here

    def _rewrite(self) -> None:
        draft = self._index.with_name(self._index.name + ".new")
        with contextlib.suppress(OSError):
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
            with os.fdopen(handle, "wb", buffering=0) as file:
                file.write(_lines(self._known.values()))
            os.replace(draft, self._index)
            self._lines = len(self._known)


_KINDS = [str, str, str, int, int, int, int, int, int, int]


def _lines(rows: Iterable[Listed]) -> bytes:
    return b"".join(json.dumps(astuple(row)).encode() + b"\n" for row in rows)


def _look(folder: Path) -> Listed:
    """A folder in short, from its record; raises Damaged, and FileNotFoundError if it went away."""
    try:
        data = json.loads((folder / "record.json").read_bytes())
        return _listed(folder, Record.from_json(data["record"]))
    except FileNotFoundError as error:
        if not folder.exists():
            raise
        raise Damaged(f"{folder} has no record") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"the record in {folder} cannot be read") from error


def _listed(folder: Path, record: Record) -> Listed:
    with os.scandir(folder) as entries:
        disk_bytes = sum(entry.stat().st_size for entry in entries)
    return Listed(
        name=folder.name,
        kind=record.kind,
        reason=record.reason,
        size_bytes=record.object_size,
        disk_bytes=disk_bytes,
        duration_ns=record.boot_ns_end - record.boot_ns_start,
        wall_ns_start=record.wall_ns_start,
        wall_ns_end=record.wall_ns_end,
        frames=record.frames,
        dropped=record.dropped,
    )
