"""Enrolling a device: where it says hello with its code, and the page that shows the code.

What makes the two believe each other is in enrolment.py; which codes hold, in vault/enrol.py.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import segno
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from firsthand import enrolment
from firsthand.consent import people
from firsthand.consent.access.askers import Asker
from firsthand.consent.tables import devices
from firsthand.crypto import VerifyKey
from firsthand.errors import Error, NotFound, Refused
from firsthand.vault import enrol, fleet
from firsthand.vault.vault import Vault
from firsthand.web.body import parse_object, read_body
from firsthand.web.page import asker_of, back_to, render
from firsthand.web.signed import Busy

router = APIRouter(include_in_schema=False)
MAX_HELLO = 4 << 10
# A person setting up devices fails now and then; a guesser, all the time.
FAILURES, WINDOW_S = 30, 60.0


class Patience:
    """Counts failed enrolments of the last minute; beyond the limit nobody is heard for a while."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._failed: deque[float] = deque()
        self._clock_s = clock_s
        self._lock = threading.Lock()

    def require(self) -> None:
        """Busy if too many failed of late."""
        with self._lock:
            while self._failed and self._failed[0] <= self._clock_s() - WINDOW_S:
                self._failed.popleft()
            if len(self._failed) >= FAILURES:
                raise Busy("too many enrolments failed just now", "try again in a minute")

    def failed(self) -> None:
        """One more failed."""
        with self._lock:
            self._failed.append(self._clock_s())


@router.post("/api/enrol")
async def hello(request: Request) -> dict[str, Any]:
    """Takes a device's hello and welcomes it, if it knows a code that holds."""
    state = request.app.state
    state.patience.require()
    body = await read_body(request, MAX_HELLO)
    try:
        return await run_in_threadpool(enrol.accept, state.vault, parse_object(body))
    except Error:
        state.patience.failed()
        raise


@router.get("/people/{person}/devices")
def devices_page(request: Request, person: str) -> Response:
    """A person's devices with their fingerprints and last words."""
    return _page(request, person, None)


@router.post("/people/{person}/devices/code")
def new_code(request: Request, person: str) -> Response:
    """Shows a new code, once: it is on no other page, and kept nowhere."""
    vault: Vault = request.app.state.vault
    with vault.db.read() as connection:
        found = people.find(connection, person)
    return _page(request, person, enrol.offer(vault, found, asker_of(request)))


def _may_enrol(connection: Connection, asker: Asker, person: people.Person) -> bool:
    try:
        enrol.require_enrols(connection, asker, person)
    except Refused:
        return False
    return person.status == "active"


@router.post("/people/{person}/devices/{device}/revoke")
def revoke(request: Request, person: str, device: str) -> Response:
    """Takes nothing more from a device."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        if people.find_device(connection, device).person != people.find(connection, person).id:
            raise NotFound(
                f"{person} has no device {device}", "see the devices on the person's page"
            )
        people.revoke(connection, device, vault.now_ns())
    return back_to(f"/people/{person}/devices")


def _page(request: Request, person: str, offered: enrol.Offer | None) -> Response:
    vault: Vault = request.app.state.vault
    receipt_key = vault.keyring.log_key().public
    with vault.db.read() as connection:
        found = people.find(connection, person)
        may_enrol = _may_enrol(connection, asker_of(request), found)
        heard = {item.device: item for item in fleet.members(connection, vault.now_ns())}
        query = devices.select().where(devices.c.person == found.id).order_by(devices.c.added_ns)
        listed = [
            {
                "id": row.id,
                "status": row.status,
                "added_ns": row.added_ns,
                "fingerprint": enrolment.fingerprint(VerifyKey.from_text(row.key), receipt_key),
                "word": heard.get(row.id),
            }
            for row in connection.execute(query)
        ]
    values: dict[str, Any] = {"offered": offered, "qr": "", "may_enrol": may_enrol}
    if offered:
        values["qr"] = qr_svg(offered.link)
    return render("devices.html", person=found, devices=listed, **values)


def qr_svg(text: str) -> str:
    """A QR code as an SVG element, black on white in any colour scheme."""
    code = segno.make(text, error="m", micro=False)
    return code.svg_inline(scale=6, border=4, dark="black", light="white", title="QR code")
