"""Forget the last minutes: gone from the card at once, and from the vault by its signed receipt.

    forget/ID.json         in the card's folder: the signed request, until both are done
    forget/receipts.jsonl  the vault's receipts, one a line

The request is on the disk before anything else happens; from then on none of what it touches is
sent. Each segment on the card is replaced by a `forgotten` record under its own number, which names
the hash of the record that it replaces: so the chain can be followed, and a vault that has the old
one erases it. Its age headers, which hold the only copy of its keys, are overwritten and removed
with its bytes. Every step can be repeated.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from firsthand.errors import Damaged, Failed, Locked, Usage
from firsthand.forgetting import (
    LONGEST_NS,
    REASON,
    Forget,
    Forgotten,
    sign_forget,
    touched,
    verify_forgotten,
)
from firsthand.record.card.card import FULL_ERRORS, Card, Waiting, card_error, shred
from firsthand.record.card.replace import stand_in
from firsthand.record.card.salvage import salvage_all
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.durable import append_durably, sync_folder, write_durably
from firsthand.record.sealing.chain import open_chain, parse_name
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.heartbeat import last_beat
from firsthand.segment import sign_record


class Gone(Exception):
    """What was about to be sent is forgotten."""


class Asking(Protocol):
    """The line to the vault, as far as it is needed here."""

    def ask(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A signed request and its answer."""
        ...


@dataclass(frozen=True)
class Wish:
    """A request to forget on its way: these numbers are to go, here and in the vault."""

    request: dict[str, Any]
    numbers: tuple[int, ...]
    here: bool = False  # gone from the card
    receipt: dict[str, Any] | None = None  # gone from the vault

    @property
    def id(self) -> str:
        """The request's id."""
        return str(self.request["forget"]["id"])


def forget(
    card: Card,
    device: Device,
    minutes: float,
    *,
    clock: Clock | None = None,
    wait_s: float = 5.0,
) -> Wish:
    """Forget the last minutes on the card; what the vault has goes with the next `settle`.

    A running recorder drops what it has open by itself; `here` says whether it did within wait_s.
    """
    clock = clock or Clock()
    wish = ask(card, device, minutes, clock)
    try:
        with card.lock("recorder"), open_chain(device) as chain:
            carry_out(card, device, [record.seq for record in salvage_all(card, chain)], here=True)
    except Locked:
        Control(device.folder, clock).call_to_forget()
        carry_out(card, device)
        while wait_s > 0 and not _load(card, wish.id, wish).here:
            clock.sleep(0.1)
            wait_s -= 0.1
    return _load(card, wish.id, wish)


def ask(card: Card, device: Device, minutes: float, clock: Clock) -> Wish:
    """Put the request on the card; nothing that it touches is sent any more."""
    length_ns = round(minutes * 60e9)
    if not 0 < length_ns <= LONGEST_NS:
        raise Usage(f"{minutes:g} minutes cannot be forgotten", "name up to 1440, which is a day")
    known = [item.record for item in card.waiting()]
    opened = [parse_name(path.name) for path in card.opened()]
    last = card.last_receipt()
    top = max([r.seq for r in known] + [seq for seq, _ in opened] + [last.seq if last else 0])
    session, boot_ns = _now(device, clock)
    wall_ns = clock.wall_ns() if clock.wall_quality() in ("rtc", "ntp", "gps") else 0
    request = Forget(
        id=f"f-{secrets.token_hex(8)}",
        device=device.name,
        person=device.person,
        length_ns=length_ns,
        top=top,
        session=session,
        boot_ns=boot_ns,
        wall_ns_start=wall_ns - length_ns if wall_ns else 0,
        wall_ns_stop=wall_ns,
    )
    numbers = touched(known, request) | {seq for seq, _ in opened}
    wish = Wish(sign_forget(request, device.key), tuple(sorted(numbers)))
    try:
        _save(card, wish)
    except Failed:
        # A full card has no room for a wish: what is to go goes first, one segment.
        doomed = [i for i in card.waiting() if i.record.seq in numbers and i.record.parts]
        if not doomed:
            raise
        with card.changing():
            shred(doomed[0].folder)
        _save(card, wish)
    return wish


def carry_out(card: Card, device: Device, also: Iterable[int] = (), here: bool = False) -> int:
    """Replace what the requests on the card touch, and these; returns how many records.

    `here` says that nothing of it is open any more: then the card has done its part.
    """
    done = 0
    with card.changing():
        for wish in wishes(card):
            if not wish.here:
                wish = replace(wish, numbers=tuple(sorted({*wish.numbers, *also})), here=here)
                for item in card.waiting():
                    if item.record.seq in wish.numbers and item.record.parts:
                        _replace(card, item, device)
                        done += 1
                _save(card, wish)
        card.finish_replacing()
        _drop_done(card)
    return done


def settle(card: Card, device: Device, link: Asking) -> list[Forgotten]:
    """Ask the vault for what is still to be forgotten there; its receipts, verified and kept.

    Raises what the link raises; the request then stays on the card, to be sent first next time.
    """
    receipts = []
    for wish in wishes(card):
        if wish.receipt is None:
            answer = link.ask("POST", "/api/forget", wish.request).get("receipt")
            receipts.append(check_forgotten(answer, wish, device))
            with card.changing():
                append_durably(_folder(card) / "receipts.jsonl", json.dumps(answer).encode())
                _save(card, replace(_load(card, wish.id, wish), receipt=answer))
                _drop_done(card)
    return receipts


def check_forgotten(answer: Any, wish: Wish, device: Device) -> Forgotten:
    """The vault's receipt for this request; Damaged if it is for another, or not signed by it."""
    receipt = verify_forgotten(answer, device.receipt_key)
    if (receipt.id, receipt.device) != (wish.id, device.name):
        raise Damaged("the vault's receipt is for another request to forget")
    return receipt


def check(card: Card, item: Waiting) -> None:
    """Gone if this may not be sent any more, because it's forgotten."""
    if item.record.parts:
        doomed = {number for wish in wishes(card) for number in wish.numbers}
        if item.record.seq in doomed or not card.holds(item):
            raise Gone


def wishes(card: Card) -> list[Wish]:
    """The requests that are not done, here or in the vault, oldest first."""
    try:
        names = [name for name in os.listdir(_folder(card)) if re.fullmatch(r"f-\w+\.json", name)]
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):  # done meanwhile
            found.append((os.stat(_folder(card) / name).st_mtime_ns, _read(_folder(card) / name)))
    return [wish for _, wish in sorted(found, key=lambda row: row[0])]


def unsettled(card: Card) -> bool:
    """Whether the vault is still to be asked to forget something."""
    return any(wish.receipt is None for wish in wishes(card))


def _replace(card: Card, item: Waiting, device: Device) -> None:
    old = item.record
    new = stand_in(old, "forgotten", REASON, old.hash())
    envelope = sign_record(new, device.key)
    try:
        try:
            card.replace(item, envelope)
        except OSError as error:
            if error.errno not in FULL_ERRORS:
                raise
            shred(item.folder)  # so that a full card has room for the new record
            card.replace(item, envelope)
    except OSError as error:
        raise card_error(card.path, error) from error


def _now(device: Device, clock: Clock) -> tuple[str, int]:
    """The last recording's session and where its own clock would stand now; empty if unknown."""
    beat = last_beat(device.folder)
    if beat is None or beat.boot_id != clock.boot_id():
        return "", 0
    return beat.session, beat.time_ns + max(0, clock.boot_ns() - beat.boot_ns)


def _folder(card: Card) -> Path:
    return card.path / "forget"


def _save(card: Card, wish: Wish) -> None:
    folder = _folder(card)
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(card.path)
        write_durably(folder / f"{wish.id}.json", json.dumps(asdict(wish)).encode() + b"\n")
    except OSError as error:
        raise card_error(card.path, error) from error


def _load(card: Card, wish_id: str, default: Wish) -> Wish:
    """How a request stands; one that is done has left the card."""
    path = _folder(card) / f"{wish_id}.json"
    try:
        return _read(path)
    except FileNotFoundError:
        return replace(default, here=True, receipt=_receipt_of(card, wish_id))


def _read(path: Path) -> Wish:
    data = json.loads(path.read_bytes())
    return Wish(data["request"], tuple(data["numbers"]), data["here"], data["receipt"])


def _receipt_of(card: Card, wish_id: str) -> dict[str, Any] | None:
    with contextlib.suppress(OSError):
        for line in reversed((_folder(card) / "receipts.jsonl").read_bytes().splitlines()):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                envelope = json.loads(line)
                if envelope["forgotten"]["id"] == wish_id:
                    return envelope
    return None


def _drop_done(card: Card) -> None:
    for wish in wishes(card):
        if wish.here and wish.receipt is not None:
            (_folder(card) / f"{wish.id}.json").unlink(missing_ok=True)
            sync_folder(_folder(card))
