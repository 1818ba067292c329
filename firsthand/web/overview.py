"""The first page: who records, what runs wait, how long the log is. And the report, if any."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection
from starlette.responses import HTMLResponse

from firsthand import log
from firsthand.config import kind_of
from firsthand.consent import people
from firsthand.consent.runs import answers, proposals
from firsthand.consent.tables import devices
from firsthand.errors import NotFound
from firsthand.vault import catalog, fleet
from firsthand.vault.catalog import uploads
from firsthand.vault.vault import Vault
from firsthand.web.page import render

router = APIRouter(include_in_schema=False)

# The report stands alone: its style is inside it, and it may do nothing else.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
)


@dataclass(frozen=True)
class Wearer:
    """One line of the list of people."""

    person: people.Person
    footage_s: float
    days: int
    last_ns: int
    waiting: int
    waiting_bytes: int


@router.get("/")
def overview(request: Request) -> Response:
    """Everything at a glance."""
    vault: Vault = request.app.state.vault
    with vault.db.read() as connection:
        wearers = [_wearer(connection, person) for person in people.listed(connection)]
        proposed = list(reversed(proposals.listed(connection)))
        waiting = {run.id: silent(connection, run) for run in proposed[:5]}
        entries = log.size(connection)
        devices_ = fleet.members(connection, vault.now_ns())
    return render(
        "overview.html",
        wearers=wearers,
        runs=proposed[:5],
        more_runs=len(proposed) > 5,
        silent=waiting,
        entries=entries,
        devices=devices_,
        checkpoint=vault.checkpoint() if entries else "",
        kind=kind_of(vault.settings.data),
    )


@router.get("/report")
def report(request: Request) -> Response:
    """The report of the last model, or how to make one."""
    return render("report.html", found=_report_file(request).is_file())


@router.get("/report/file")
def report_file(request: Request) -> Response:
    """The report itself, a page that stands alone."""
    file = _report_file(request)
    if not file.is_file():
        raise NotFound("there is no report yet", 'make one with "firsthand demo"')
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return HTMLResponse(file.read_bytes(), headers=headers)


def silent(connection: Connection, run: proposals.Run) -> int:
    """How many active people have not answered a run, not even by a standing rule."""
    active = [each for each in people.listed(connection) if each.status == "active"]
    return sum(answers.answer(connection, run, each.id) == "silent" for each in active)


def _report_file(request: Request) -> Any:
    return request.app.state.vault.settings.data / "report.html"


def _wearer(connection: Connection, person: people.Person) -> Wearer:
    days = catalog.days(connection, person.id)
    stored = (catalog.segments.c.person == person.id) & (catalog.segments.c.state == "stored")
    last_ns = connection.scalar(sa.select(sa.func.max(catalog.segments.c.stop_ns)).where(stored))
    mine = sa.select(devices.c.id).where(devices.c.person == person.id)
    begun = connection.execute(
        sa.select(sa.func.count(), sa.func.sum(uploads.c.size_bytes)).where(
            uploads.c.device.in_(mine)
        )
    ).one()
    footage_s = sum(length_ns for _, _, length_ns in days) / 1e9
    return Wearer(person, footage_s, len(days), last_ns or 0, begun[0], int(begun[1] or 0))
