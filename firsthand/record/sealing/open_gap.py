"""A gap while it lasts: a folder on the card, so that a power cut doesn't lose when and why."""

import os
from dataclasses import replace

from firsthand.crypto import canonical
from firsthand.record.card.card import Card
from firsthand.record.durable import FILE_MODE, write_durably
from firsthand.record.sealing.chain import Chain, folder_name
from firsthand.record.sealing.opening import Opening, mark
from firsthand.segment import Record

NOTE_S = 10.0  # how often it is written down how far a gap reaches


class OpenGap:
    """A gap that lasts; what is left of it after a cut, salvage closes. Raises OSError."""

    def __init__(self, card: Card, opening: Opening, reason: str) -> None:
        self._card, self._opening, self._reason = card, opening, reason
        self._name = folder_name(opening.seq, opening.session)
        self._folder = card.path / "open" / self._name
        self._noted_ns: int | None = None

    def reach(self, now_ns: int) -> None:
        """It lasts until now at least."""
        if self._noted_ns is None:
            if not self._folder.exists():
                self._card.begin(self._name)
            data = vars(self._opening) | {"v": 1, "headers": {}, "reason": self._reason}
            write_durably(self._folder / "opening.json", canonical(data))
        elif now_ns - self._noted_ns < NOTE_S * 1e9:
            return
        reached = mark(max(now_ns, self._opening.boot_ns_start), 0, 0)
        # In place: a full disk takes that, and a torn one is told by its checksum.
        handle = os.open(self._folder / "mark", os.O_WRONLY | os.O_CREAT, FILE_MODE)
        try:
            os.pwrite(handle, reached, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        self._noted_ns = now_ns

    def close(self, chain: Chain, stop_ns: int) -> Record:
        """Sign and release it; may be tried again."""
        stop_ns = max(stop_ns, self._opening.boot_ns_start)
        self.reach(stop_ns)
        record = replace(self._opening.record("gap", stop_ns), reason=self._reason)
        return chain.commit(self._card, self._name, record)
