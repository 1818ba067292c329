"""What people chose to say of themselves, sealed apart from all else; only counted, never joined.

A trait is one of a closed list, so that tables are fixed in advance. Its key is derived from one of
the person's own, which erasure destroys.
"""

import csv
import hmac
import time
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.figures.tables import traits
from firsthand.crypto import unwrap, wrap
from firsthand.errors import Error, Usage

UNSAID = "not said"


@cache
def dimensions() -> dict[str, tuple[str, ...]]:
    """Each dimension and the values that it may have."""
    found: dict[str, list[str]] = {}
    with (files("firsthand.consent.figures") / "data" / "traits.csv").open() as rows:
        for row in csv.DictReader(rows):
            found.setdefault(row["dimension"], []).append(row["value"])
    return {name: tuple(values) for name, values in found.items()}


def say(
    connection: Connection,
    person: people.Person,
    dimension: str,
    value: str,
    key: bytes,
    now_ns: int | None = None,
) -> None:
    """Keeps what a person says of themselves, or forgets it (value ""); Usage, Refused."""
    people.require_active(connection, person)
    known = dimensions().get(dimension)
    if known is None:
        raise Usage(f"{dimension!r} is nothing that is asked", f"use {', '.join(dimensions())}")
    if value and value not in known:
        raise Usage(f"{value!r} is no answer to {dimension}", f"use {', '.join(known)}")
    at_ns = now_ns or time.time_ns()
    kind = "trait_said" if value else "trait_taken_back"
    people.note(connection, kind, person, at_ns, private={"dimension": dimension})
    where = (traits.c.person == person.id) & (traits.c.dimension == dimension)
    connection.execute(traits.delete().where(where))
    if value:
        # Padded: the length of what is sealed would say which answer it is.
        sealed = wrap(_derive(key), value.encode().ljust(32), _aad(person.id, dimension))
        row = {"person": person.id, "dimension": dimension, "sealed": sealed, "given_ns": at_ns}
        connection.execute(traits.insert().values(**row))


def cells(
    connection: Connection, dimension: str, among: set[str], key: Callable[[str], bytes | None]
) -> dict[str, set[str]]:
    """Who is in each cell of a dimension, those who said nothing in a cell of their own."""
    found: dict[str, set[str]] = {value: set() for value in dimensions()[dimension]}
    query = sa.select(traits).where(traits.c.dimension == dimension)
    for row in connection.execute(query):
        secret = key(row.person) if row.person in among else None
        if secret is not None:
            found[_open(row, secret)].add(row.person)
    found[UNSAID] = among - set().union(*found.values())
    return found


def masked(who: set[str], figure: str, key: Callable[[str], bytes | None]) -> set[str]:
    """The same people under names for one figure, which tell nobody who they are.

    Each comes from the person's own key: whoever has the tables alone can't tell what a cell says
    of whom, and after an erasure nobody can.
    """
    found = set()
    for person in who:
        secret = key(person)
        named = f"member|{figure}|{person}".encode()
        found.add(hmac.digest(_derive(secret), named, "sha256").hex() if secret else person)
    return found


def _open(row: sa.Row, key: bytes) -> str:
    try:
        return unwrap(_derive(key), row.sealed, _aad(row.person, row.dimension)).decode().rstrip()
    except Error:
        return UNSAID  # altered, or of a key that is gone


def _derive(key: bytes) -> bytes:
    return hmac.digest(key, b"firsthand/trait/v1", "sha256")


def _aad(person: str, dimension: str) -> bytes:
    return f"trait|{person}|{dimension}".encode()
