"""Releases in the journal, and back from it: what the database says of them, a second time.

Written within the transaction that changes them, so the journal is never behind; where it is ahead,
as a commit failed, the log decides. Why somebody is not in a release is sealed for that person, and
names them only to whoever has their key.
"""

import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.tables import erasures, people
from firsthand.crypto import unwrap, wrap
from firsthand.errors import Error
from firsthand.release.tables import names, releases
from firsthand.vault import journal
from firsthand.vault.recover import Recovered
from firsthand.vault.vault import Vault

ERASED = ("", "erased")  # whom nobody may know any more, in place of a person and a reason


def keep(vault: Vault, connection: Connection, release: str) -> None:
    """Writes down what the database says of a release, and the orders to erase all of it."""
    row = connection.execute(sa.select(releases).where(releases.c.id == release)).first()
    if row is None:
        return  # given up meanwhile
    orders = connection.execute(sa.select(erasures).where(erasures.c.release == release))
    values = dict(row._mapping)
    if values["summary"] is not None:
        sealed = [_seal(vault, release, *each) for each in values["summary"]["refused"]]
        values["summary"] = values["summary"] | {"refused": sealed}
    body = {"release": values, "orders": [dict(each._mapping) for each in orders]}
    vault.journal.put_release(release, body)


def catch_up(vault: Vault) -> None:
    """Writes down the releases of a vault that is older than this, and what was asked of it."""
    vault.journal.put_lacking_requests(vault.db)
    known = {key.rpartition("/")[2] for key in vault.store.keys("journal/releases")}
    with vault.db.read() as connection:
        lacking = set(connection.scalars(sa.select(releases.c.id))) - known
    for release in sorted(lacking):
        with vault.db.write() as connection:
            rows = connection.execute(sa.select(names).where(names.c.release == release)).all()
            for row in rows:
                vault.journal.put_name(release, row.person, row.name)
            keep(vault, connection, release)


@dataclass
class _Told:
    """What the log says of releases."""

    made: dict[str, tuple[int, str]] = field(default_factory=dict)  # entry, hash of the manifest
    ordered: set[str] = field(default_factory=set)
    undone: dict[str, int] = field(default_factory=dict)  # when
    erased: set[str] = field(default_factory=set)


def restore(vault: Vault, done: Recovered) -> None:
    """Puts back releases, orders to erase them, and the names of whoever is not erased."""
    with vault.db.read() as connection:
        told = _read(connection)
        ids = list(connection.scalars(sa.select(people.c.id)))
    keys = {id_: own for id_ in ids if (own := vault.keyring.journal_key(id_)) is not None}
    for key in sorted(vault.store.keys("journal/releases")):
        try:
            body = json.loads(journal.read_sealed(vault.store, vault.keyring, key))
            _open(keys, body["release"])
            with vault.db.write() as connection:
                done.releases += _put(connection, body, told)
        except Error as error:
            done.left.append(f"{key}: {error.message}")
    for key in sorted(vault.store.keys("journal/names")):
        _, _, person, release = key.split("/")
        if vault.keyring.journal_key(person) is None:
            continue  # erased, and the erasure was cut off before it came here
        try:
            name = journal.read_sealed(vault.store, vault.keyring, key, person).decode()
            with vault.db.write() as connection:
                _put_name(connection, release, person, name)
        except Error as error:
            done.left.append(f"{key}: {error.message}")


def _read(connection: Connection) -> _Told:
    told = _Told()
    for entry in log.read(connection):
        if entry.kind == "release_made":
            told.made[entry.public["release"]] = entry.index, entry.public["manifest"]
        elif entry.kind == "release_erasure_ordered":
            told.ordered.add(entry.public["order"])
        elif entry.kind == "erasure_undone":
            told.undone[entry.public["order"]] = entry.time_ns
        elif entry.kind == "erasure_done":
            told.erased.add(entry.public["order"])
    return told


def _seal(vault: Vault, release: str, person: str, why: str) -> list[str]:
    key = vault.keyring.journal_key(person) if person else None
    if key is None:
        return list(ERASED)
    sealed = wrap(key, why.encode(), release.encode())
    return [_mark(key, release), base64.b64encode(sealed).decode()]


def _open(keys: dict[str, bytes], row: dict[str, Any]) -> None:
    """Tells again why people were left out, as far as their keys are there."""
    if row["summary"] is None or not row["summary"]["refused"]:
        return
    marks = {_mark(key, row["id"]): id_ for id_, key in keys.items()}
    refused = [list(ERASED) for _ in row["summary"]["refused"]]
    for each, (mark, sealed) in zip(refused, row["summary"]["refused"], strict=True):
        if mark in marks:
            data = base64.b64decode(sealed)
            why = unwrap(keys[marks[mark]], data, row["id"].encode()).decode()
            each[:] = [marks[mark], why]
    row["summary"]["refused"] = refused


def _mark(key: bytes, release: str) -> str:
    """Whom a reason is about: a word that follows from their key, and tells nothing without it."""
    return hmac.digest(key, f"refused|{release}".encode(), "sha256").hex()


def _put(connection: Connection, body: dict[str, Any], told: _Told) -> bool:
    """Puts one release back as far as the log bears it out; whether it was not there."""
    row, orders = body["release"], []
    for order in body["orders"]:
        if order["id"] in told.ordered:
            undone = {"undone_ns": order["undone_ns"] or told.undone.get(order["id"])}
            open_ = {"done_ns": None, "done_index": None, "epoch": None, "outcome": None}
            orders.append(order | undone | ({} if order["id"] in told.erased else open_))
    if row["manifest"] is not None:
        index, digest = told.made.get(row["id"], (None, ""))
        if (row["log_index"], log.digest(row["manifest"]["manifest"])) != (index, digest):
            row |= {"manifest": None, "summary": None, "log_index": None, "state": "making"}
    if row["state"] != "making":
        standing = [order for order in orders if order["undone_ns"] is None]
        done = any(order["done_ns"] is not None for order in standing)
        row["state"] = "erased" if done else "hidden" if standing else "made"
    for order in orders:
        _replace(connection, erasures, order)
    return _replace(connection, releases, row)


def _put_name(connection: Connection, release: str, person: str, name: str) -> None:
    state = connection.scalar(sa.select(releases.c.state).where(releases.c.id == release))
    where = (names.c.release == release) & (names.c.person == person)
    known = connection.execute(sa.select(names).where(where)).first()
    if known is None and state not in (None, "erased"):
        connection.execute(names.insert().values(release=release, person=person, name=name))


def _replace(connection: Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Whether there was no such row."""
    values = {name: sa.null() if value is None else value for name, value in row.items()}
    change = table.update().where(table.c.id == row["id"]).values(**values)
    if connection.execute(change).rowcount:
        return False
    connection.execute(table.insert().values(**values))
    return True
