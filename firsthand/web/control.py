"""The wearer's controls on a person's page, for devices that are on this very computer.

A device elsewhere has its own button and command line; the vault has no say in it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from firsthand.errors import Error, NotFound, Usage
from firsthand.record.card.card import Card
from firsthand.record.device import load_device
from firsthand.record.wearer.wearer import Wearer
from firsthand.vault.vault import Vault
from firsthand.web.body import read_form
from firsthand.web.page import back_to

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
PAUSES = {"15m": 900.0, "1h": 3600.0, "until-resumed": None}
MINUTES = (5, 15, 60)


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


@router.post("/people/{person}/controls/{device}/{verb}")
def control(request: Request, person: str, device: str, verb: str, form: Form) -> Response:
    """Does what a button on the page says, on this computer's device."""
    vault: Vault = request.app.state.vault
    found = [item for item in _wearers(vault.settings.data, person) if item.device.name == device]
    if not found:
        raise NotFound(f"this computer is no device {device} of {person}")
    _do(found[0], verb, form)
    return back_to(f"/people/{person}#device")


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
