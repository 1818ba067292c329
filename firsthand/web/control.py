"""The wearer's controls on a person's page.

A device on this very computer obeys at once. To one elsewhere the vault can only leave word, to
pause when it is next in contact: nothing said here starts a recording. What is to be forgotten is
erased in the vault at once, and refused when it comes later.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from firsthand.consent import erasure, people
from firsthand.consent.tables import devices
from firsthand.errors import Error, NotFound, Usage
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.wearer.wearer import Wearer
from firsthand.vault import ask, erase, fleet
from firsthand.vault.hidden import hide
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.page import back_to

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
PAUSES = {"15m": 900.0, "1h": 3600.0, "until-resumed": None}
MINUTES = (5, 15, 60)
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Elsewhere:
    """A device that is not on this computer, and what it was asked to do last, if that may hold."""

    id: str
    heard_ns: int  # its last word; 0: none yet
    asked_ns: int  # 0: nothing
    taken_ns: int | None  # when the device heard of it
    pause_s: int  # 0: until resumed

    @property
    def pause(self) -> str:
        """For how long, in words."""
        return f"for {self.pause_s // 60} min" if self.pause_s else "until resumed on the device"


@dataclass(frozen=True)
class Shown:
    """A device of this computer as its part of the page shows it."""

    id: str
    words: str
    recording: bool
    paused: bool
    to_forget: int


def shown(vault: Vault, person: str) -> list[Shown]:
    """The devices of a person on this computer, as they stand now."""
    found = []
    for wearer in _wearers(vault.settings.data, person):
        standing = wearer.standing()
        words = standing.words(wearer.clock.wall_ns())
        told = (standing.recording, standing.paused, standing.to_forget)
        found.append(Shown(wearer.device.name, words, *told))
    return found


def elsewhere(
    connection: Connection, person: str, here: Iterable[str], now_ns: int
) -> list[Elsewhere]:
    """The active devices of a person that are on no folder of this computer, and what waits."""
    query = sa.select(devices.c.id).where(
        devices.c.person == person, devices.c.status == "active", devices.c.id.not_in([*here])
    )
    heard = {member.device: member.heard_ns for member in fleet.members(connection, now_ns)}
    found = []
    for device in connection.scalars(query.order_by(devices.c.added_ns)):
        asked = ask.last_asked(connection, device, now_ns)
        said = (asked.asked_ns, asked.heard_ns, asked.pause_s) if asked else (0, None, 0)
        found.append(Elsewhere(device, heard.get(device, 0), *said))
    return found


@router.post("/people/{person}/controls/{device}/{verb}")
def control(request: Request, person: str, device: str, verb: str, form: Form) -> Response:
    """Does what a button on the page says, or leaves word of it."""
    vault: Vault = request.app.state.vault
    found = [item for item in _wearers(vault.settings.data, person) if item.device.name == device]
    if found:
        _do(found[0], verb, form)
        return back_to(f"/people/{person}#device")
    _leave_word(vault, vault.person(person), device, verb, form)
    return back_to(f"/people/{person}#elsewhere")


def _leave_word(
    vault: Vault, person: people.Person, device: str, verb: str, form: dict[str, str]
) -> None:
    now_ns, minutes = vault.now_ns(), form.get("minutes", "")
    if verb == "pause" and form.get("for") in PAUSES:
        with vault.db.write() as connection:
            pause_s = int(PAUSES[form["for"]] or 0)
            ask.ask_to_pause(connection, person, device, pause_s, now_ns)
    elif verb == "forget" and minutes.isdecimal() and 0 < int(minutes) <= MINUTES[-1]:
        with vault.db.write() as connection:
            if people.find_device(connection, device).person != person.id:
                raise NotFound(
                    f"{person.name} has no device {device}", "see the devices on the person's page"
                )
            interval = (now_ns - int(minutes) * MINUTE_NS, now_ns)
            order = erasure.order(connection, person, interval, now_ns)
            hide(connection, order)  # within the transaction: nobody gets it meanwhile
        erase.carry_out(vault, order)
    else:
        raise Usage(f"no button says {verb!r} so", "go back and press one")


def _do(wearer: Wearer, verb: str, form: dict[str, str]) -> None:
    if verb == "pause" and form.get("for") in PAUSES:
        wearer.pause(PAUSES[form["for"]])
    elif verb == "resume":
        wearer.resume()
    elif verb == "bookmark":
        wearer.bookmark(form.get("label") or "bookmark")
    elif verb == "forget" and form.get("minutes", "").isdecimal():
        wearer.forget(int(form["minutes"]))
    else:
        raise Usage(f"no button says {verb!r} so", "go back and press one")


def _wearers(data: Path, person: str) -> list[Wearer]:
    wearers = []
    for path in sorted((data / "devices").glob("*/device.json")):
        with contextlib.suppress(Error):  # what can't be read is left out: the page shows the rest
            device = load_device(path.parent)
            if device.person == person:
                wearers.append(Wearer(device, Card(device.folder / "card")))
    return wearers
