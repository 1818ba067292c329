"""A gap record in a segment's place: overwritten by the wearer's choice, or damaged on the card.

It has the segment's number, times and `prev`, and names in `media` the hash of the record that it
replaces: so the chain can be followed, and the vault knows what is not to come.
"""

import contextlib
from dataclasses import replace

from firsthand.errors import Damaged
from firsthand.record.card.card import DAMAGED, OVERWRITTEN, Card
from firsthand.record.card.listing import NOTHING
from firsthand.record.card.waiting import Waiting
from firsthand.record.device import Device
from firsthand.record.sealing.chain import parse_name
from firsthand.segment import Record, sign_record


def overwrite_oldest(card: Card, device: Device) -> int:
    """Replace the oldest segment that waits; its number, or 0 if there is none."""
    for item in card.waiting():
        if item.listed.kind == "segment":
            seq, _ = parse_name(item.folder.name)
            _replace(card, device, item, OVERWRITTEN)
            return seq
    return 0


def set_damaged_aside(card: Card, device: Device, item: Waiting) -> None:
    """Keep what can't be carried home any more, and let a gap record say so in its place."""
    _replace(card, device, item, DAMAGED)


def set_unreadable_aside(card: Card, device: Device) -> None:
    """The same for what lost its record; one that can't be read just now is left alone."""
    for name in card.unreadable():
        folder = card.path / "ready" / name
        with contextlib.suppress(Damaged, OSError):
            parse_name(name)
            with contextlib.suppress(FileNotFoundError):
                (folder / "record.json").read_bytes()
            _replace(card, device, Waiting(folder, NOTHING), DAMAGED)


def stand_in(original: Record, kind: str, reason: str, replaces: str) -> Record:
    """The record without bytes that takes the original's number, not yet signed."""
    return replace(
        original,
        kind=kind,
        parts=(),
        object_sha256="",
        object_size=0,
        frames=0,
        dropped=0,
        longest_gap_ns=0,
        media={"replaces": replaces},
        reason=reason,
        cut=False,
    )


def _replace(card: Card, device: Device, item: Waiting, reason: str) -> None:
    original = _original(device, item)
    replaces = original.hash() if original.parts else ""
    row = stand_in(original, "gap", reason, replaces)
    card.replace(item, sign_record(row, device.key))


def _original(device: Device, item: Waiting) -> Record:
    """The segment's record; if that is lost too, what the folder's name tells."""
    try:
        return item.record
    except Damaged:
        seq, session = parse_name(item.folder.name)
        return Record(device.name, device.person, session, seq, "", "gap", 0, 0)
