"""Enrolling a device by a one-time code: bound to a person, used once, gone after ten minutes.

What the two sides say to each other stands in enrolment.py at the package's root.
"""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import enrolment, serving
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.access.askers import Asker
from firsthand.db import metadata
from firsthand.errors import Error, NotFound, Refused
from firsthand.vault import catalog, fleet
from firsthand.vault.vault import Vault

MAX_TRIES = 5  # wrong proofs by which a code dies

codes = sa.Table(
    "enrolment_code",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("person", sa.String, sa.ForeignKey("person.id"), nullable=False),
    sa.Column("proof_key", sa.LargeBinary, nullable=False),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("asker", sa.String, nullable=False),  # who made it on a page; empty: at the vault
    sa.Column("device", sa.String, nullable=False),  # that used it; empty until then
    sa.Column("device_key", sa.String, nullable=False),
)


@dataclass(frozen=True)
class Offer:
    """A code to be shown to whoever sets up the device, now; it is kept nowhere."""

    code: str = field(repr=False)
    id: str
    url: str
    expires_ns: int

    @property
    def link(self) -> str:
        """Address and code in one line: what the QR holds."""
        return f"{self.url}#{self.code}"


def offer(vault: Vault, person: people.Person, asker: Asker | None = None) -> Offer:
    """A new code for one more device of a person; Refused unless they take part.

    `asker` is who makes it on a page, and is asked again when it is used; without one it is made at
    the vault itself.
    """
    code, now_ns = enrolment.new_code(), vault.now_ns()
    known = enrolment.read_code(code)
    expires_ns = now_ns + enrolment.LIFETIME_S * 10**9
    with vault.db.write() as connection:
        people.require_active(connection, person)
        if asker is not None:
            require_enrols(connection, asker, person)
        connection.execute(codes.delete().where(codes.c.expires_ns <= now_ns))
        connection.execute(
            codes.insert().values(
                id=known.id,
                person=person.id,
                proof_key=known.key,
                expires_ns=expires_ns,
                tries=0,
                asker=asker.id if asker else "",
                device="",
                device_key="",
            )
        )
    return Offer(code, known.id, serving.address(vault.settings), expires_ns)


def accept(vault: Vault, envelope: dict[str, Any]) -> dict[str, Any]:
    """Enrols the device that says hello, and welcomes it; Refused in the same words whatever fails.

    The same device may ask again, as after an answer that was lost; no other one can.
    """
    code = enrolment.code_id(envelope)
    with vault.db.read() as connection:
        row = connection.execute(sa.select(codes).where(codes.c.id == code)).first()
    if row is None or row.expires_ns <= vault.now_ns():
        raise _refused()
    try:
        key = enrolment.verify_hello(envelope, row.proof_key)
    except Error as error:
        _count_try(vault, code)
        raise _refused() from error
    with vault.db.write() as connection:
        person = people.find(connection, row.person)
        # Whoever changes the row first has used the code; a second one finds it changed.
        unused = (codes.c.id == code) & (codes.c.device == "")
        name = people.new_id("d")
        claim = codes.update().where(unused).values(device=name, device_key=str(key))
        if connection.execute(claim).rowcount:
            _require_still(connection, row.asker, person)
            people.enrol(connection, person, name, key, vault.now_ns())
            fleet.hear(connection, name, vault.now_ns(), {})
        used = connection.execute(sa.select(codes).where(codes.c.id == code)).first()
        if used is None or used.device_key != str(key):
            raise _refused()
    return enrolment.welcome(
        envelope,
        row.proof_key,
        device=used.device,
        person=person.id,
        recipient=vault.keyring.ingest_recipient(person.id, vault.now_ns()),
        receipt_key=str(vault.keyring.log_key().public),
    )


def require_enrols(connection: Connection, asker: Asker, person: people.Person) -> None:
    """Refused unless this asker may enrol a device for a person: whoever acts for them, and the
    organisation that sets them up, until they have a key or anything was recorded of them.

    A device speaks in its wearer's name: it can hand in footage, and have 24 hours of it erased.
    """
    if asker.role == "organisation" and not (
        askers.has_key(connection, person.id) or catalog.has_records(connection, person.id)
    ):
        return
    askers.require_acts_for(connection, asker, person.id)


def _require_still(connection: Connection, asker: str, person: people.Person) -> None:
    """Refused, in the words of `accept`, if whoever made the code may not make one any more."""
    if not asker:
        return
    try:
        found = askers.KEEPER if asker == askers.KEEPER.id else askers.holding(connection, asker)
        require_enrols(connection, found, person)
    except (NotFound, Refused) as error:
        raise _refused() from error


def user_of(connection: Connection, code_id: str) -> str:
    """The device that used a code; empty if none did yet."""
    return connection.scalar(sa.select(codes.c.device).where(codes.c.id == code_id)) or ""


def forget(connection: Connection, person: str) -> None:
    """Takes a person's codes away."""
    connection.execute(codes.delete().where(codes.c.person == person))


def _count_try(vault: Vault, code: str) -> None:
    with vault.db.write() as connection:
        connection.execute(codes.update().where(codes.c.id == code).values(tries=codes.c.tries + 1))
        dead = (codes.c.id == code) & (codes.c.tries >= MAX_TRIES) & (codes.c.device == "")
        connection.execute(codes.delete().where(dead))


def _refused() -> Refused:
    return Refused(
        "this code is wrong, was used, or has ended",
        'get a new one at the vault: "firsthand person enrol-code NAME"',
    )
