"""One sealed part of a segment while it grows on the card.

Its file ends in `.part` until the last chunk is sealed and synced, then in `.sealed`; so what a
power cut leaves says by its name whether it is whole. No plain byte is ever written.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from firsthand import segment
from firsthand.age import Recipient, Sealer, new_file_key, seal_header
from firsthand.crypto import CHUNK
from firsthand.record.durable import sync_folder

# A kill or a power cut takes a byte whose 64 KiB chunk is not sealed and synced. So the file is
# synced, and the chunk filled with padding if need be, when the next chance would be later than
# this after a byte was captured; the rest of a second is for the card. With fragments of 0.25 s
# that makes two syncs a second and, from 2 Mbit/s on (0.9 GB/h), no padding at all.
SAFE_S = 0.85

OPEN, CLOSED = ".part", ".sealed"
FILE_MODE = 0o600

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has fsync only


class Secret:
    """A part's random file key with the age header that carries it to the vault's recipient."""

    def __init__(self, recipient: Recipient) -> None:
        self.file_key = new_file_key()
        self.header = seal_header(self.file_key, [recipient])


class PartWriter:
    """Streams one part through its seal; `filler(n)` gives n (or more) bytes that readers skip."""

    def __init__(
        self,
        folder: Path,
        name: str,
        secret: Secret,
        filler: Callable[[int], bytes],
        filler_min: int,
    ) -> None:
        self.name = name
        self.folder = folder
        self._secret = secret
        self._filler, self._filler_min = filler, filler_min
        self._file = _HashingFile(folder / f"{name}{OPEN}")
        self._sealer = Sealer(secret.file_key, self._file)  # type: ignore[arg-type]
        self._unsafe: deque[tuple[int, int]] = deque()  # plain size after a write, captured when
        self._synced_size = 0
        self._synced_ns = self._sync_took_ns = 0

    @property
    def plain_size(self) -> int:
        """Bytes taken in, padding included."""
        return self._sealer.plain_size

    @property
    def sealed_size(self) -> int:
        """Of these, the bytes that can be opened from the file as it stands."""
        return self._sealer.plain_size - self._sealer.pending

    @property
    def file_size(self) -> int:
        """Bytes in the file."""
        return self._sealer.written

    def write(self, pieces: Iterable[Any], time_ns: int) -> None:
        """Take in bytes, the oldest of which were captured at time_ns."""
        for piece in pieces:
            self._sealer.write(piece)
        self._unsafe.append((self.plain_size, time_ns))

    def is_due(self, now_ns: int, ahead_ns: int = 0) -> bool:
        """Whether a byte could not wait for a next chance, `ahead_ns` from now, to `secure` it.

        A card so slow that it would do nothing but sync is given half of the time to write.
        """
        if now_ns - self._synced_ns < 2 * self._sync_took_ns or not self._unsafe:
            return False
        return now_ns + ahead_ns - self._unsafe[0][1] > SAFE_S * 1e9

    def secure(self, now_ns: int, ahead_ns: int = 0) -> None:
        """Bring to the disk what is due, and what can't wait for the chance after the next."""
        sealed_size = self.sealed_size
        pending_ns = next((at_ns for size, at_ns in self._unsafe if size > sealed_size), now_ns)
        if now_ns + 2 * ahead_ns - pending_ns > SAFE_S * 1e9:
            self.pad()
        started_ns = time.monotonic_ns()
        self.sync()
        self._synced_ns, self._sync_took_ns = now_ns, time.monotonic_ns() - started_ns

    def pad(self) -> None:
        """Fill the open chunk, so that it's sealed now."""
        room = self._sealer.room
        self._sealer.write(self._filler(room if room >= self._filler_min else room + CHUNK))

    def sync(self) -> None:
        """Bring what is in the file to the disk itself, and the first time its name."""
        if self._synced_size != self._sealer.written:
            _sync(self._file.fd)
            if not self._synced_size:
                sync_folder(self.folder)
            self._synced_size = self._sealer.written
        sealed_size = self.sealed_size
        while self._unsafe and self._unsafe[0][0] <= sealed_size:
            self._unsafe.popleft()

    def close(self) -> segment.Part:
        """Seal the end, sync, give the file its final name."""
        if not self._sealer.pending:
            self._sealer.write(self._filler(self._filler_min))
        self._sealer.close()
        self.sync()
        self.abandon()
        os.rename(self.folder / f"{self.name}{OPEN}", self.folder / f"{self.name}{CLOSED}")
        return describe(self.name, self._file.sha256.hexdigest(), self.file_size, self.header)

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._file.close()

    @property
    def header(self) -> bytes:
        """The age header of this part."""
        return self._secret.header

    @property
    def payload_hash(self) -> "hashlib._Hash":
        """A running SHA-256 of the file so far."""
        return self._file.sha256.copy()


def describe(
    name: str, sha256: str, size_bytes: int, header: bytes, cut: bool = False
) -> segment.Part:
    """The line of a record on one part."""
    header_sha256 = hashlib.sha256(header).hexdigest()
    return segment.Part(name, size_bytes, sha256, header_sha256, len(header), cut)


def hash_object(paths: list[Path], first: PartWriter | None = None) -> str:
    """SHA-256 of the parts' files joined; `first` has hashed its own, the largest, already."""
    digest = first.payload_hash if first else hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class _HashingFile:
    """An unbuffered new file that hashes what goes in: nothing is left in memory at a kill."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> int:
        count = os.write(self.fd, data)
        self.sha256.update(memoryview(data)[:count])
        return count

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
