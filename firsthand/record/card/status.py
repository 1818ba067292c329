"""What a wearer asks of the device: is it safe, is it home, how long will the card last."""

from dataclasses import dataclass

from firsthand.record.card.card import Card
from firsthand.segment import Receipt

# The essay's rate, until this card holds footage of its own to measure.
PLANNED_BYTES_PER_HOUR = 3_000_000_000


@dataclass(frozen=True)
class Status:
    """A card at one moment; hours_left is measured if `rate_measured`, else by the planned rate."""

    segments: int
    gaps: int
    open: int
    damaged: int
    waiting_bytes: int
    waiting_s: float
    used_bytes: int
    room_bytes: int
    percent: int  # how full; 100: nothing more is recorded
    warning: int  # the highest of 80, 90, 95 and 100 that is reached, else 0
    overwrites: bool  # by the wearer's choice, when it is full
    hours_left: float
    rate_measured: bool
    last_receipt: Receipt | None
    all_home: bool  # every closed segment is covered by a verified receipt, and none is open


def status(card: Card) -> Status:
    """How a card stands; raises OSError if it can't be read."""
    waiting = [item.listed for item in card.waiting()]
    segments = [row for row in waiting if row.kind == "segment"]
    size_bytes = sum(row.size_bytes for row in segments)
    duration_s = sum(row.duration_ns for row in segments) / 1e9
    measured = size_bytes > 0 and duration_s > 0
    rate = size_bytes / duration_s * 3600 if measured else PLANNED_BYTES_PER_HOUR
    opened, damaged, room = len(card.opened()), len(card.damaged()), card.room()
    return Status(
        segments=len(segments),
        gaps=len(waiting) - len(segments),
        open=opened,
        damaged=damaged,
        waiting_bytes=size_bytes,
        waiting_s=duration_s,
        used_bytes=card.used_bytes(),
        room_bytes=room.room_bytes,
        percent=room.percent,
        warning=room.warning,
        overwrites=card.overwrites,
        hours_left=room.room_bytes / rate,
        rate_measured=measured,
        last_receipt=card.last_receipt(),
        all_home=not waiting and not opened and not damaged,
    )
