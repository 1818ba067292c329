"""Personal keys (P): the wearer's own X-Wing recipient, to which what is handed over is sealed.

The secret half is never here: the wearer made it, in a browser or with any age tool.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import age
from firsthand.consent import people
from firsthand.db import metadata
from firsthand.errors import NotFound

personal = sa.Table(
    "personal_key",
    metadata,
    sa.Column("person", sa.String, primary_key=True),
    sa.Column("recipient", sa.String, nullable=False),
    sa.Column("added_ns", sa.BigInteger, nullable=False),
)


def register(
    connection: Connection, person: people.Person, recipient: age.Recipient, now_ns: int
) -> None:
    """From now on this is the person's key, in place of any before; Refused once erased."""
    private = {"key_id": recipient.key_id}
    people.note(connection, "personal_key_set", person, now_ns, private=private)
    forget(connection, person.id)
    row = {"person": person.id, "recipient": str(recipient), "added_ns": now_ns}
    connection.execute(personal.insert().values(**row))


def of(connection: Connection, person: people.Person) -> age.Recipient:
    """The person's key; NotFound if they registered none."""
    query = sa.select(personal.c.recipient).where(personal.c.person == person.id)
    text = connection.scalar(query)
    if text is None:
        raise NotFound(
            f"{person.name} has no personal key here",
            f"register one: firsthand person key {person.name} age1pq1...",
        )
    return age.Recipient.parse(text)


def forget(connection: Connection, person: str) -> None:
    """Takes a person's key away."""
    connection.execute(personal.delete().where(personal.c.person == person))
