"""What erasure means for releases: a person's shards go, the others stay as they are.

A shard can't lose a minute and stay the one that was signed. So whoever erases an interval leaves
each release that holds some of it, with all their shards; making a release of the run anew has the
rest of them again. Copies that were pulled, and models, are out of reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import erasure, people
from firsthand.consent.tables import erasures
from firsthand.errors import NotFound, Refused
from firsthand.release.journal import ERASED, catch_up, keep
from firsthand.release.tables import looked, names, pictures, releases
from firsthand.release.trace import records_in
from firsthand.vault import erase, ingest
from firsthand.vault.catalog import segments
from firsthand.vault.hidden import named
from firsthand.vault.vault import Vault


@dataclass(frozen=True)
class Plan:
    """What an erasure would destroy."""

    segments: int
    days: int
    footage_ns: int
    size_bytes: int
    releases: list[str]
    runs: list[str]


def plan(
    connection: Connection,
    person: people.Person,
    interval: tuple[int, int] | None = None,
    listed: Sequence[str] = (),
) -> Plan:
    """What erasing this of a person would destroy; nothing is changed."""
    asked = erase.draft(person, interval, listed)
    columns = (segments.c.stop_ns - segments.c.start_ns, segments.c.size_bytes)
    added = [sa.func.coalesce(sa.func.sum(column), 0) for column in columns]
    days = sa.func.count(sa.distinct(segments.c.day))
    query = sa.select(sa.func.count(), days, *added).where(erase.standing(asked))
    used = _told(_rows(connection, asked))
    sums = [int(each) for each in connection.execute(query).one()]
    return Plan(sums[0], sums[1], sums[2], sums[3], used["releases"], used["runs"])


def carry_out(vault: Vault, order: erasure.Order) -> erasure.Order:
    """Carries an order out, in the releases first; returns it with what it came to."""
    if order.scope == "release":
        return _erase_release(vault, order)
    with vault.db.write() as connection:
        erasure.begin(connection, order, vault.now_ns())
        rows = _rows(connection, order)
        _unsee(connection, order)
    _leave(vault, order.person, rows)
    if order.scope == "person":
        _forget_reasons(vault, order.person)
    erase.carry_out(vault, order, told=_told(rows))
    with vault.db.read() as connection:
        return erasure.find(connection, order.id)


def place_release(vault: Vault, release: str, wait_ns: int = erasure.REVIEW_NS) -> erasure.Order:
    """Orders the erasure of a whole release; nobody can pull it from now on. Refused, NotFound."""
    with vault.db.write() as connection:
        query = sa.select(releases.c.state).where(releases.c.id == release)
        state = connection.scalar(query)
        if state is None:
            raise NotFound(f"there is no release {release!r}", 'see "firsthand release list"')
        if state not in ("made", "hidden"):
            raise Refused(f"release {release} is {state}", "only one that is made can be erased")
        order = erasure.order_release(connection, release, vault.now_ns(), wait_ns)
        _set_state(connection, release, "hidden")
        keep(vault, connection, release)
    return order


def undo(vault: Vault, order: str) -> erasure.Order:
    """Brings back what an order hides; Refused once it is due, NotFound."""
    undone = erase.undo(vault, order)
    if undone.release is not None:
        with vault.db.write() as connection:
            _set_state(connection, undone.release, "made")
            keep(vault, connection, undone.release)
    return undone


def sweep(vault: Vault) -> list[erasure.Order]:
    """Carries out every order whose time has come or that was cut off; returns them, done."""
    with vault.db.read() as connection:
        due = erasure.due(connection, vault.now_ns())
    done = [carry_out(vault, order) for order in due]
    settle(vault)
    catch_up(vault)
    ingest.sweep(vault)
    return done


def forget(vault: Vault, person: str) -> dict[str, list[str]]:
    """Removes all of a person's shards; returns {"releases", "runs"} that had used them."""
    with vault.db.read() as connection:
        rows = _in_releases(connection, person)
    _leave(vault, person, rows)
    with vault.db.write() as connection:
        for table in (looked, pictures):
            connection.execute(table.delete().where(table.c.person == person))
    return _told(rows)


def settle(vault: Vault) -> None:
    """Reaches the releases for what was erased without them: by a device, or long ago."""
    with vault.db.read() as connection:
        orders = [
            each
            for each in erasure.listed(connection)
            if each.done_ns is not None and "releases" not in (each.outcome or {})
        ]
    for order in orders:
        with vault.db.write() as connection:
            rows = _rows(connection, order)
            _unsee(connection, order)
        _leave(vault, order.person, rows)
        if order.scope == "person":
            _forget_reasons(vault, order.person)
        with vault.db.write() as connection:
            change = erasures.update().where(erasures.c.id == order.id)
            connection.execute(change.values(outcome=(order.outcome or {}) | _told(rows)))


def _leave(vault: Vault, person: str, rows: Sequence[sa.Row]) -> None:
    """Takes a person out of releases: their keys X first, then the shards, the names last."""
    for row in rows:
        vault.keyring.destroy_release_key(row.release, person)
        _delete_shards(vault, row.release, f"{row.name}.")
    with vault.db.write() as connection:
        for row in rows:
            where = (names.c.release == row.release) & (names.c.person == person)
            connection.execute(names.delete().where(where))
            vault.journal.drop_names(row.release, [person])


def _forget_reasons(vault: Vault, person: str) -> None:
    """Takes away why a person was left out of releases; how many were left out stays."""
    with vault.db.write() as connection:
        rows = connection.execute(sa.select(releases.c.id, releases.c.summary)).all()
        for row in rows:
            refused = (row.summary or {}).get("refused", [])
            if any(one == person for one, _ in refused):
                left = [list(ERASED) if one == person else [one, why] for one, why in refused]
                change = releases.update().where(releases.c.id == row.id)
                connection.execute(change.values(summary=row.summary | {"refused": left}))
                keep(vault, connection, row.id)


def _unsee(connection: Connection, order: erasure.Order) -> None:
    """Takes away what is remembered of the pictures that are erased."""
    for table in (looked, pictures):
        mine = table.c.person == order.person
        if order.scope != "person":
            ids = sa.select(segments.c.id).where(named(order, order.segments or ()))
            mine &= table.c.segment.in_(ids)
        connection.execute(table.delete().where(mine))


def _erase_release(vault: Vault, order: erasure.Order) -> erasure.Order:
    release = order.release or ""
    with vault.db.write() as connection:
        erasure.begin(connection, order, vault.now_ns())
        _set_state(connection, release, "hidden")
        query = sa.select(names.c.person).where(names.c.release == release)
        listed = list(connection.scalars(query))
        run = connection.scalar(sa.select(releases.c.run).where(releases.c.id == release))
    for person in listed:
        vault.keyring.destroy_release_key(release, person)
    size = _delete_shards(vault, release)
    outcome = {"segments": 0, "bytes": size, "releases": [release], "runs": [run]}
    epoch = vault.keyring.epochs()[-1].number
    with vault.db.write() as connection:
        connection.execute(names.delete().where(names.c.release == release))
        _set_state(connection, release, "erased")
        erasure.done(connection, order, vault.now_ns(), epoch, outcome)
        vault.journal.drop_names(release, listed)
        keep(vault, connection, release)
        return erasure.find(connection, order.id)


def _delete_shards(vault: Vault, release: str, start: str = "") -> int:
    size = 0
    for key in list(vault.store.keys(f"releases/{release}")):
        if key.rsplit("/", 1)[1].startswith(start):
            size += vault.store.size(key) or 0
            vault.store.delete(key)
    return size


def _rows(connection: Connection, order: erasure.Order) -> list[sa.Row]:
    """(release, name, run) of each release that an order takes its person out of."""
    rows = _in_releases(connection, order.person)
    if order.scope == "person" or not rows:
        return rows
    records: set[str] = set()
    query = sa.select(segments.c.record_hash, segments.c.record)
    for row in connection.execute(query.where(named(order, order.segments or ()))):
        # Where a device had it forgotten, another record stands in its place and names it.
        replaced = row.record.get("media", {}).get("replaces")
        records.update(each for each in (row.record_hash, replaced) if isinstance(each, str))
    return [row for row in rows if row.manifest and records & records_in(row.manifest, row.name)]


def _in_releases(connection: Connection, person: str) -> list[sa.Row]:
    query = sa.select(names.c.release, names.c.name, releases.c.run, releases.c.manifest)
    query = query.join(releases, releases.c.id == names.c.release)
    return list(connection.execute(query.where(names.c.person == person)).all())


def _told(rows: Sequence[sa.Row]) -> dict[str, Any]:
    return {
        "releases": sorted({row.release for row in rows if row.manifest}),
        "runs": sorted({row.run for row in rows if row.manifest}),
    }


def _set_state(connection: Connection, release: str, state: str) -> None:
    connection.execute(releases.update().where(releases.c.id == release).values(state=state))
