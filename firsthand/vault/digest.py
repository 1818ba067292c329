"""The hashes of a segment's bytes: of the whole, and of each of its parts, in one pass."""

import hashlib
import threading
from collections.abc import Sequence


class Digest:
    """SHA-256 of all bytes, and of each stretch of these sizes.

    The first stretch begins where the whole does, so one hash serves both: it is nearly all of a
    segment, and hashing is what costs most here.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = list(sizes)
        self._whole, self._own = hashlib.sha256(), hashlib.sha256()
        self._found: list[str] = []
        self._left = self._sizes[0] if sizes else 0

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        rest = memoryview(data)
        while rest:
            among = len(self._found) < len(self._sizes)
            piece = rest[: self._left] if among else rest
            rest = rest[len(piece) :]
            self._whole.update(piece)
            if self._found:
                self._own.update(piece)
            self._left -= len(piece)
            if among and not self._left:
                ended = self._own if self._found else self._whole
                self._found.append(ended.copy().hexdigest())
                self._own = hashlib.sha256()
                self._left = [*self._sizes, 0][len(self._found)]

    def result(self) -> tuple[str, list[str]]:
        """(the whole, each stretch that has ended)."""
        return self._whole.hexdigest(), list(self._found)


class Running:
    """Hashes what is written while it comes in order, so that it need not be read for that."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._digest = Digest(sizes)
        self._next = 0
        self._broken = False
        self._lock = threading.Lock()

    def writes(self, at: int, data: bytes | memoryview) -> None:
        """These bytes are about to stand at `at`; if that fails they come again, out of order."""
        with self._lock:
            if at == 0:  # from the beginning, perhaps again
                self._digest, self._next, self._broken = Digest(self._sizes), 0, False
            if at != self._next:
                self._broken = True
            if not self._broken:
                self._digest.update(data)
                self._next += len(data)

    def result(self, size: int) -> tuple[str, list[str]] | None:
        """The hashes if all bytes came in order, else None: then they must be read."""
        with self._lock:
            return None if self._broken or self._next != size else self._digest.result()
