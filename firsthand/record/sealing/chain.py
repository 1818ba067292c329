"""The device's chain of signed records: each names the hash of the one before.

A number is taken, and on the disk, before anything is recorded under it, and is never used again.
The chain belongs to the device, not to a card. If chain.json is lost, or older than what the card
remembers (restored from an image, say), nobody knows which numbers other cards hold: the chain
begins anew, far above all that is known, with an empty `prev`.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from firsthand.errors import Damaged
from firsthand.record.card.card import Card, locked, read_json
from firsthand.record.card.listing import REPLACED
from firsthand.record.device import Device
from firsthand.record.durable import write_durably
from firsthand.segment import Record, sign_record, verify_record

# More records than a device makes in three years: a lost number is not taken again.
JUMP = 1_000_000


class Chain:
    """The end of a device's chain; get one from `open_chain`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._path = device.folder / "chain.json"
        self._taken, self._signed, self._prev = 0, 0, ""
        self._given = 0  # by this process
        self._checked = False
        self._is_lost = True
        with contextlib.suppress(Damaged, KeyError):
            data = read_json(self._path)
            self._taken, self._signed, self._prev = data["taken"], data["signed"], data["prev"]
            self._is_lost = False

    def take(self, card: Card) -> int:
        """The next number, never given before."""
        self._check(card)
        if self._is_lost:
            self._taken += JUMP
            self._prev, self._is_lost = "", False
        if not (self._given == self._taken > self._signed and self._is_unused(card)):
            self._taken += 1
            self._save()
        self._given = self._taken
        return self._taken

    def _is_unused(self, card: Card) -> bool:
        """Whether the card failed before anything was begun under the number just taken."""
        mine = f"{self._taken:010d}-"
        return not any(name.startswith(mine) for name in os.listdir(card.path / "open"))

    def _check(self, card: Card) -> None:
        """Whether the chain is older than what the card remembers of this device."""
        if not self._checked:
            highest = max(_numbers_above(card, self._taken, self.device.name), default=0)
            if highest > self._taken:
                self._taken, self._prev, self._is_lost = highest, "", True
            self._checked = True

    def commit(self, card: Card, name: str, record: Record) -> Record:
        """Link, sign and release a record whose folder on the card is complete."""
        self._check(card)
        if record.seq <= self._signed:
            self._prev = ""  # the card lost what was signed under this number
        record = replace(record, prev=self._prev)
        card.commit(name, sign_record(record, self.device.key))
        self._release(card, name, record)
        return record

    def finish(self, card: Card, name: str) -> Record:
        """Release a folder whose record was signed when the power went; Damaged if it is none."""
        envelope = read_json(card.path / "open" / name / "record.json")
        record = verify_record(envelope, self.device.key.public)
        self._check(card)
        self._release(card, name, record)
        return record

    def _release(self, card: Card, name: str, record: Record) -> None:
        if record.seq >= self._signed:
            self._signed, self._prev = record.seq, record.hash()
            self._save()
        card.release(name, record)

    def _save(self) -> None:
        data = {"taken": self._taken, "signed": self._signed, "prev": self._prev}
        write_durably(self._path, json.dumps(data).encode() + b"\n")


@contextlib.contextmanager
def open_chain(device: Device) -> Iterator[Chain]:
    """The device's chain, held alone; Locked if another recorder of this device runs."""
    with locked(device.folder / "chain.lock", f"another recorder runs as {device.name}"):
        yield Chain(device)


def folder_name(seq: int, session: str) -> str:
    """The name under which a segment lies on the card; names sort by age."""
    return f"{seq:010d}-{session}"


def parse_name(name: str) -> tuple[int, str]:
    """The number and session in such a name; Damaged if it is none."""
    number, _, session = name.removesuffix(REPLACED).partition("-")
    if not number.isdigit() or not session:
        raise Damaged(f"{name!r} on the card is no segment's name", "remove it by hand")
    return int(number), session


def _numbers_above(card: Card, taken: int, device: str) -> Iterator[int]:
    """Numbers on the card that this device took, and that are above the last it remembers."""
    receipt = card.last_receipt()
    if receipt and receipt.device == device:
        yield receipt.seq
    for place, file in (("open", "opening"), ("ready", "record"), ("damaged", "record")):
        folder = card.path / place
        for name in os.listdir(folder) if folder.exists() else ():
            with contextlib.suppress(Damaged):
                number, _ = parse_name(name)
                if number > taken and owner(folder / name / f"{file}.json") in (device, ""):
                    yield number


def owner(path: Path) -> str:
    """The device that an opening.json or a record.json names; empty if it can't be read."""
    try:
        data = read_json(path)
        return str(data.get("record", data)["device"])
    except (Damaged, KeyError, TypeError, AttributeError):
        return ""  # nobody knows: it may be our own
