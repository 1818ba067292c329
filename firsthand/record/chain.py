"""The device's chain of signed records: each names the hash of the one before.

A number is taken, and on the disk, before anything is recorded under it, and is never used again.
The chain belongs to the device, not to a card. If chain.json is lost, the chain begins anew: the
random session keeps its numbers apart from the old ones.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace

from firsthand.errors import Damaged
from firsthand.record.card import Card, locked, read_json
from firsthand.record.device import Device
from firsthand.record.durable import write_durably
from firsthand.segment import Record, sign_record, verify_record


class Chain:
    """The end of a device's chain; get one from `open_chain`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._path = device.folder / "chain.json"
        self._taken, self._signed, self._prev = 0, 0, ""
        self._floored = False
        with contextlib.suppress(Damaged, KeyError):  # the first start, or lost
            data = read_json(self._path)
            self._taken, self._signed, self._prev = data["taken"], data["signed"], data["prev"]

    def take(self, card: Card) -> int:
        """The next number, never given before."""
        if not self._floored:  # chain.json may be lost, or restored from an old image
            self._taken, self._floored = max(self._taken, _highest(card)), True
        self._taken += 1
        self._save()
        return self._taken

    def commit(self, card: Card, name: str, record: Record) -> Record:
        """Link, sign and release a record whose folder on the card is complete."""
        record = replace(record, prev=self._prev)
        card.commit(name, sign_record(record, self.device.key))
        self._advance(record)
        card.release(name)
        return record

    def finish(self, card: Card, name: str) -> Record:
        """Release a folder whose record was signed when the power went; Damaged if it is none."""
        envelope = read_json(card.path / "open" / name / "record.json")
        record = verify_record(envelope, self.device.key.public)
        if record.seq >= self._signed:  # equal: its number may not have reached the disk
            self._advance(record)
        card.release(name)
        return record

    def _advance(self, record: Record) -> None:
        self._signed, self._prev = record.seq, record.hash()
        self._save()

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
    number, _, session = name.partition("-")
    if not number.isdigit() or not session:
        raise Damaged(f"{name!r} on the card is no segment's name", "remove it by hand")
    return int(number), session


def _highest(card: Card) -> int:
    """The highest number that the card remembers: the floor when chain.json is lost."""
    numbers = [0]
    for path in [*card.path.glob("open/*"), *card.path.glob("ready/*")]:
        with contextlib.suppress(Damaged):
            numbers.append(parse_name(path.name)[0])
    receipt = card.last_receipt()
    return max(*numbers, receipt.seq if receipt else 0)
