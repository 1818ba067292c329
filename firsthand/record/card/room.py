"""How much a card still takes: shares at which it warns, and what is kept back for records."""

from collections.abc import Callable
from dataclasses import dataclass

# Kept free of footage, so that a segment can be closed (a few kB) and a gap can always be told.
RESERVE_BYTES = 4 * 2**20
RESERVE_FILES = 64  # a segment has seven files, a gap three
WARN_PERCENTS = (80, 90, 95)
FULL_PERCENT = 100
# A segment is begun with room for one at 3 GB/h (50 MB), and on a small card with 2 % of it; so a
# card that is emptied bit by bit doesn't end in segments of a second.
_BEGIN_BYTES, _BEGIN_SHARE = 64 * 2**20, 50


@dataclass(frozen=True)
class Room:
    """A card's room at one moment, by its budget and by its disk."""

    used_bytes: int
    room_bytes: int

    @property
    def percent(self) -> int:
        """How full it is; 100 if nothing more may be recorded."""
        if not self.room_bytes:
            return FULL_PERCENT
        return min(FULL_PERCENT - 1, 100 * self.used_bytes // (self.used_bytes + self.room_bytes))

    @property
    def warning(self) -> int:
        """The highest of 80, 90, 95 and 100 % that is reached; 0 below."""
        reached = [mark for mark in (*WARN_PERCENTS, FULL_PERCENT) if self.percent >= mark]
        return max(reached, default=0)

    @property
    def takes_segment(self) -> bool:
        """Whether it is worth while to begin a segment."""
        total = self.used_bytes + self.room_bytes
        return self.room_bytes > 0 and self.room_bytes >= min(_BEGIN_BYTES, total // _BEGIN_SHARE)


class Warner:
    """Tells each warning once; again only after the card was emptied below it."""

    def __init__(self, event: Callable[..., None]) -> None:
        self._event = event
        self._told = 0

    def look(self, room: Room) -> None:
        """Send the event `card_filling` if the room has come to a new warning."""
        if room.warning > self._told:
            self._event("card_filling", percent=room.percent, room_bytes=room.room_bytes)
        # A card at the very edge of a warning must not tell it each minute.
        if room.warning > self._told or room.percent < self._told - 2:
            self._told = room.warning
