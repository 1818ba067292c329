"""Time in which the card takes nothing, because it is full or fails: a gap, never the end.

The gap is an open folder on the card from the first moment on, in the reserve that footage never
uses, with its reason and how far it reaches: a power cut doesn't lose it. A card that fails is
tried again, each time a little later, until it takes the gap and then footage.
"""

import contextlib
import errno
import os
from collections.abc import Callable

from firsthand.errors import Error
from firsthand.record.card.card import FULL_ERRORS, Card
from firsthand.record.card.replace import overwrite_oldest
from firsthand.record.card.room import Warner
from firsthand.record.card.salvage import salvage_all
from firsthand.record.sealing.chain import Chain
from firsthand.record.sealing.open_gap import OpenGap
from firsthand.record.sealing.opening import Opening
from firsthand.segment import Record

FULL, FAILING = "full", "card"  # the reasons that its gaps give
# What comes before the try that succeeds is lost, so the longest wait is short; a try is one small
# write.
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 5.0
LOOK_S = 1.0  # how often a card is asked for its room while a segment grows
_CALM_S = 60.0  # a failure after so long is a new one


class Outage:
    """Keeps a recorder off a card that takes nothing; `opening` gives what a gap begins with."""

    def __init__(
        self,
        card: Card,
        chain: Chain,
        session: str,
        opening: Callable[[int], Opening],
        event: Callable[..., None],
    ) -> None:
        self.reason = ""  # empty while the card takes footage
        self._card, self._chain, self._session = card, chain, session
        self._opening, self._event = opening, event
        self._warner = Warner(event)
        self._gap: OpenGap | None = None
        self._start_ns = self._retry_ns = self._looked_ns = 0
        self._ended_ns: int | None = None
        self._wait_s = 0.0

    def prepare(self) -> None:
        """Before a segment is begun: see that the card has room; OSError if it is full.

        By the wearer's choice the oldest segments give way.
        """
        while not (room := self._card.room()).takes_segment:
            device = self._chain.device
            replaced = overwrite_oldest(self._card, device) if self._card.overwrites else 0
            if not replaced:
                self._warner.look(room)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._card.path))
            self._event("segment_overwritten", seq=replaced)
        self._warner.look(room)

    def must_close(self, now_ns: int) -> bool:
        """Whether the segment that grows must be closed for want of room; looks once a second."""
        if 0 <= now_ns - self._looked_ns < LOOK_S * 1e9:
            return False
        self._looked_ns = now_ns
        room = self._card.room()
        self._warner.look(room)
        return not room.room_bytes

    def begin(self, error: OSError, start_ns: int, now_ns: int) -> None:
        """The card took nothing from start_ns on; what was open has been let go of."""
        self.reason = FULL if error.errno in FULL_ERRORS else FAILING
        self._start_ns = start_ns
        if self._ended_ns is None or now_ns - self._ended_ns > _CALM_S * 1e9:
            self._wait_s = 0.0
        self._retry_ns = now_ns + round(self._wait_s * 1e9)
        self._event("recording_stopped", reason=self.reason, error=error.strerror or str(error))
        self._note(now_ns)

    def lasts(self, now_ns: int) -> bool:
        """Whether nothing can be recorded yet; the moment it can, the gap is on the card."""
        if not self.reason:
            return False
        if is_due := now_ns >= self._retry_ns:
            self._wait_s = min(RETRY_MAX_S, max(RETRY_FIRST_S, 2 * self._wait_s))
            self._retry_ns = now_ns + round(self._wait_s * 1e9)
            with contextlib.suppress(OSError, Error):
                if self._takes_footage():
                    reason = self.reason
                    self.end(now_ns)
                    self._event("recording_resumed", after=reason)
                    return False
        if is_due or self._gap:
            self._note(now_ns)
        return True

    def end(self, now_ns: int) -> Record | None:
        """Close the gap; raises OSError, Error while the card takes not even that."""
        if not self.reason:
            return None
        record = self._open_gap().close(self._chain, now_ns)
        self._gap, self.reason, self._ended_ns = None, "", now_ns
        return record

    def _takes_footage(self) -> bool:
        if self._card.room().takes_segment:
            return True
        return self._card.overwrites and any(
            item.listed.kind == "segment" for item in self._card.waiting()
        )

    def _note(self, now_ns: int) -> None:
        """Let the gap on the card reach to now, if the card takes that much."""
        with contextlib.suppress(OSError, Error):
            self._open_gap().reach(now_ns)

    def _open_gap(self) -> OpenGap:
        if self._gap is None:
            for record in salvage_all(self._card, self._chain):
                if record.session == self._session and record.boot_ns_end:
                    self._start_ns = record.boot_ns_end  # so far what was let go of is safe
            self._gap = OpenGap(self._card, self._opening(self._start_ns), self.reason)
        return self._gap
