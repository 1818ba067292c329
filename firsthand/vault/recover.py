"""Recovery: an old database, or none, is brought up to what the store's journal says.

The log comes first, then people, then segments, then releases, then erasures: what was erased stays
so, as its keys are gone and its order is signed. Each step can be repeated; nothing is taken away
but by an order. release/recover.py is the door to it.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.consent import erasure, people, restore, tables
from firsthand.consent.access import tables as access
from firsthand.consent.capture import review
from firsthand.consent.capture import tables as capture
from firsthand.consent.money import ledger
from firsthand.crypto import unwrap
from firsthand.errors import Damaged, Error, NotFound
from firsthand.forgetting import verify_forgotten
from firsthand.segment import Receipt, Record, verify_receipt
from firsthand.vault import catalog, fleet, journal, place
from firsthand.vault.catalog import parts, segments, uploads
from firsthand.vault.hidden import hide_anew
from firsthand.vault.vault import Vault


@dataclass
class Recovered:
    """What came back, and what could not, each with its reason."""

    entries: int = 0
    people: int = 0
    segments: int = 0
    keys: int = 0
    erased: int = 0
    answers: int = 0  # to requests to forget, and to forked records
    requests: int = 0  # of bystanders
    releases: int = 0
    left: list[str] = field(default_factory=list)


def rebuild(
    vault: Vault,
    releases: Callable[[Recovered], None],
    carry_out: Callable[[erasure.Order], object],
    progress: Callable[[int, int], None] | None = None,
) -> Recovered:
    """Rebuilds from the store what a vault opened with `recovering=True` lacks; Damaged if the
    database and the store tell two different stories.

    `releases` puts back what is beyond this room, before `carry_out` reaches it for each order.
    """
    done = Recovered()
    with vault.db.write() as connection:
        connection.execute(uploads.delete())  # devices begin them again
        done.entries = _entries(vault, connection)
        known = _people(vault, connection, done)
        _openings(vault, connection, known)
        ledger.restore(connection)
        vault.begin_recovery()  # last: what failed until here has changed nothing
    slips, instead = list(vault.store.keys("journal/slips")), []
    for number, key in enumerate(slips, 1):
        try:
            person = key.split("/")[2]
            if vault.keyring.journal_key(person) is None:
                continue  # erased, and the erasure was cut off before it came here
            args = (key, journal.SLIP_CONTEXT, person)
            slip = journal.read_signed(vault.store, vault.keyring, *args)
            with vault.db.write() as connection:
                if _segment(vault, connection, slip, done):
                    instead.append(slip)
        except Error as error:
            done.left.append(f"{key}: {error.message}")
        if progress is not None:
            progress(number, len(slips))
    with vault.db.write() as connection:
        _arrivals(connection, place.restore(connection))
    for step in (_forgettings, _forks, _requests):
        step(vault, done)
    releases(done)
    _erasures(vault, done, carry_out)
    with vault.db.write() as connection:
        for slip in instead:
            _put_in_place(connection, slip)
        place.rebuild(connection, vault.now_ns())
        for person in {order.person for order in erasure.open_orders(connection)}:
            hide_anew(connection, person)
        fleet.greet(connection, vault.now_ns())
    with vault.db.read() as connection:
        log.verify(connection)
    vault.db.after_write = vault.follow
    vault.follow()
    return done


def _entries(vault: Vault, connection: Connection) -> int:
    """Appends the log's entries that the database lacks, and checks that they are its own."""
    start = log.size(connection)
    begun = max(0, start - 1)
    count = 0
    for index, entry, _ in journal.read_log(vault.store, begun):
        if index < start:
            held = connection.scalar(sa.select(log.entries.c.entry).where(_at(index)))
            if held != entry:
                raise Damaged(
                    f"entry {index} of the log differs between database and store",
                    "this database is of another vault, or went on without its store",
                )
            continue
        if index != start + count:
            raise Damaged(f"the store's copy of the log lacks entry {start + count}")
        row = {"index": index, "entry": entry, "person": None, "opening": None}
        connection.execute(log.entries.insert().values(**row))
        read = log.reader(connection)
        for level, number, value in tlog.new_hashes(index, tlog.leaf_hash(entry), read):
            values = {"level": level, "index": number, "hash": value}
            connection.execute(log.hashes.insert().values(**values))
        restore.apply(connection, index, json.loads(entry))
        count += 1
    return count


def _people(vault: Vault, connection: Connection, done: Recovered) -> dict[str, bytes]:
    """Everyone as the store last heard of them; returns the journal key of each."""
    keys: dict[str, bytes] = {}
    listed = [key.rpartition("/")[2] for key in vault.store.keys("journal/people")]
    for person in sorted(listed):
        key = vault.keyring.journal_key(person)
        if key is None:
            continue  # erased: their order says so below
        keys[person] = key
        found = journal.read_person(vault.store, key, person)
        if _rows_of(connection, person) == found:
            continue
        _forget_approvals(connection, person)
        for table, column in reversed(journal.OF_PERSON):
            # An older vault's page lacks newer tables: of these it says nothing.
            if table not in (tables.people, tables.devices) and table.name in found:
                connection.execute(table.delete().where(column == person))
        for table, column in journal.OF_PERSON:
            for row in found.get(table.name, ()):
                _put(connection, table, column, row)
        done.people += 1
    return keys


def _forget_approvals(connection: Connection, person: str) -> None:
    # What they opened stands in the view's own row.
    seen = sa.select(access.views.c.id).where(access.views.c.person == person)
    connection.execute(access.approvals.delete().where(access.approvals.c.view.in_(seen)))


def _put(connection: Connection, table: sa.Table, column: sa.Column, row: dict[str, Any]) -> None:
    if table in (tables.people, tables.devices):
        changed = table.update().where(table.c.id == row["id"]).values(**row)
        if connection.execute(changed).rowcount:
            return
    connection.execute(table.insert().values(**row))


def _openings(vault: Vault, connection: Connection, keys: dict[str, bytes]) -> None:
    """Gives entries back to the people they speak of, with their personal fields."""
    people_of = {}
    for each in people.listed(connection):
        if each.salt is not None:
            people_of[log.subject(each.salt)] = each.id
    for index, entry, sealed in journal.read_log(vault.store, 0):
        person = people_of.get(json.loads(entry).get("subject", ""))
        if person is None or person not in keys or not sealed:
            continue
        where = _at(index) & log.entries.c.opening.is_(None)
        opening = unwrap(keys[person], sealed, b"%d" % index)
        connection.execute(log.entries.update().where(where).values(person=person, opening=opening))


def _segment(vault: Vault, connection: Connection, slip: dict[str, Any], done: Recovered) -> bool:
    """One segment's row and keys, as its slip says; NotFound or Damaged if it can't be believed.

    Whether it stands in the place of a row that has to be erased first.
    """
    record = Record.from_json(slip["envelope"]["record"])
    held = slip["segment"]
    receipt = verify_receipt(held["receipt"], vault.keyring.log_key().public)
    _check_receipt(connection, receipt, record)
    person = people.find(connection, record.person)
    if person.status == "erased" or vault.keyring.journal_key(person.id) is None:
        return False
    known = catalog.find_record(connection, record.device, record.seq)
    listed = [catalog.StoredPart(**_part(part)) for part in slip["parts"]]
    if known is None:
        size = vault.store.size(held["object"]) if held["object"] else 0
        if size is None:
            raise NotFound(f"segment {held['id']} has lost its object")
        values = held | {"record": slip["envelope"]["record"]}
        catalog.insert(connection, catalog.Segment(**values), listed)
        done.segments += 1
    elif known.id == held["id"] and known.record_hash != held["record_hash"]:
        return bool(record.media.get("replaces") == known.record_hash)
    elif known.id == held["id"] and known.state in catalog.HELD:
        for part in listed:
            where = (parts.c.segment == part.segment) & (parts.c.name == part.name)
            older = where & (parts.c.generation < part.generation)
            values = {"file_key": part.file_key, "generation": part.generation}
            done.keys += connection.execute(parts.update().where(older).values(**values)).rowcount
    return False


def _put_in_place(connection: Connection, slip: dict[str, Any]) -> None:
    """A forgotten record takes the row of the one that it replaces, which is erased by now."""
    held = slip["segment"]
    values = held | {"record": slip["envelope"]["record"]}
    mine = parts.c.segment == held["id"]  # they stay for their day key's generation
    connection.execute(parts.update().where(mine).values(file_key=None))
    connection.execute(segments.update().where(segments.c.id == held["id"]).values(**values))


def _arrivals(connection: Connection, placed: dict[str, place.Placed]) -> None:
    """Footage that came in after its wearer's last look at the day is in review again.

    So is what was placed there since.

    What is kept of a person is not written down anew with each segment; the log's order decides.
    """
    names = ("id", "person", "start_ns", "stop_ns", "log_index", "receipt")
    columns = [segments.c[name] for name in names]
    held = (segments.c.kind == "segment") & segments.c.state.in_(catalog.HELD)
    newest: dict[str, dict[str, tuple[int, int]]] = {}
    for id_, person, *bounds, index, receipt in connection.execute(sa.select(*columns).where(held)):
        came = (index, receipt["receipt"]["time_ns"])
        if id_ in placed:
            came = max(came, (placed[id_].index, placed[id_].time_ns))
        days = newest.setdefault(person, {})
        for day in {catalog.day_of(at_ns) for at_ns in (bounds[0], bounds[1] - 1)}:
            days[day] = max(days.get(day, came), came)
    for person, days in newest.items():
        for entry in log.read(connection, person):
            if entry.kind == "days_reviewed" and entry.private:
                for day in entry.private["days"]:
                    if day in days and days[day][0] < entry.index:
                        del days[day]
        for day, (_, time_ns) in days.items():
            review.arrive(connection, person, day, time_ns)


def _check_receipt(connection: Connection, receipt: Receipt, record: Record) -> None:
    if receipt.record_hash != record.hash():
        raise Damaged("its receipt is for another record")
    if receipt.log_index >= log.size(connection):
        raise Damaged("its entry is not in the log")
    if log.root(connection, receipt.log_index + 1).hex() != receipt.log_root:
        raise Damaged("its receipt is for another log")


def _forgettings(vault: Vault, done: Recovered) -> None:
    """What devices had forgotten, with the answers that they get again."""
    public = vault.keyring.log_key().public
    for key in sorted(vault.store.keys("journal/forgettings")):
        try:
            row = json.loads(b"".join(vault.store.chunks(key)))
            if "forgotten" in row["receipt"]:
                told = verify_forgotten(row["receipt"], public)
                named = (told.device, told.id)
            else:
                refused = verify_receipt(row["receipt"], public)
                named = (refused.device, refused.record_hash)
            if named != (row["device"], row["id"]):
                raise Damaged("its receipt is for something else")
            with vault.db.write() as connection:
                if catalog.forgetting(connection, *named) is None:
                    connection.execute(catalog.forgettings.insert().values(**row))
                    done.answers += 1
        except Error as error:
            done.left.append(f"{key}: {error.message}")
        except (ValueError, KeyError, TypeError):
            done.left.append(f"{key}: cannot be read")


def _forks(vault: Vault, done: Recovered) -> None:
    """The devices that signed two records under one number, and are not trusted since."""
    table = catalog.forks
    for key in sorted(vault.store.keys("journal/forks")):
        person = key.split("/")[2]
        if vault.keyring.journal_key(person) is None:
            continue  # erased
        try:
            args = (key, journal.FORK_CONTEXT, person)
            row = journal.read_signed(vault.store, vault.keyring, *args)
            names = ("device", "seq", "record_hash")
            where = sa.and_(*(table.c[name] == row[name] for name in names))
            with vault.db.write() as connection:
                if connection.execute(sa.select(table).where(where)).first() is None:
                    connection.execute(table.insert().values(**row))
                    done.answers += 1
        except Error as error:
            done.left.append(f"{key}: {error.message}")


def _requests(vault: Vault, done: Recovered) -> None:
    """What bystanders asked; what nobody looked at yet is looked at before the next door opens."""
    table = capture.requests
    for key in sorted(vault.store.keys("journal/requests"), reverse=True):  # waiting ones first
        try:
            row = json.loads(journal.read_sealed(vault.store, vault.keyring, key))
            with vault.db.write() as connection:
                where = table.c.id == row["id"]
                held = connection.execute(sa.select(table).where(where)).first()
                if held is None:
                    connection.execute(table.insert().values(**row))
                    done.requests += 1
                elif row["settled_ns"]:  # else it says nothing that is not there
                    connection.execute(table.update().where(where).values(**row))
        except Error as error:
            done.left.append(f"{key}: {error.message}")


def _erasures(vault: Vault, done: Recovered, carry_out: Callable[[erasure.Order], object]) -> None:
    """Carries out again every order that the database has not heard of; the order wins."""
    orders = sorted(vault.store.keys("journal/orders"))
    for key in sorted(vault.store.keys("journal/intervals")):
        if vault.keyring.journal_key(key.split("/")[2]) is not None:
            orders.append(key)  # else another order erases all of that person
    for key in orders:
        sealed_for = key.split("/")[2] if key.startswith("journal/intervals") else None
        try:
            args = (key, journal.ORDER_CONTEXT, sealed_for)
            body = journal.read_signed(vault.store, vault.keyring, *args)
            listed = body.pop("segments", [])
            order = erasure.Order(**body, segments=listed or None)
            with vault.db.write() as connection:
                row = sa.select(tables.erasures).where(tables.erasures.c.id == order.id)
                held = connection.execute(row).first()
                if held is not None and held.done_ns is not None:
                    continue
                if held is None:
                    connection.execute(tables.erasures.insert().values(**vars(order)))
                else:  # the store heard of it last
                    change = tables.erasures.update().where(tables.erasures.c.id == order.id)
                    values = {"due_ns": order.due_ns, "undone_ns": order.undone_ns}
                    connection.execute(change.values(**values))
                hide_anew(connection, order.person)
            waits = order.due_ns is not None and order.due_ns > vault.now_ns()
            if waits or order.undone_ns is not None:
                continue
            carry_out(order)
            done.erased += 1
        except Error as error:
            done.left.append(f"{key}: {error.message}")
    _close_struck(vault)


def _close_struck(vault: Vault) -> None:
    """Rows whose day keys an erasure destroyed, and that no slip knows any more, are erased too."""
    with vault.db.read() as connection:
        rows = catalog.with_bytes(connection)
    for segment in rows:
        if vault.store.size(segment.object) is not None:
            continue
        if vault.store.size(journal.slip_key(segment)) is not None or _has_key(vault, segment):
            continue
        with vault.db.write() as connection:
            mine = parts.c.segment == segment.id
            connection.execute(parts.update().where(mine).values(file_key=None))
            change = segments.update().where(segments.c.id == segment.id)
            connection.execute(change.values(state="erased", object=""))


def _has_key(vault: Vault, segment: catalog.Segment) -> bool:
    with vault.db.read() as connection:
        listed = catalog.parts_of(connection, segment.id).values()
    try:
        for part in listed:
            vault.keyring.day_key(segment.person, segment.day, part.generation)
    except NotFound:
        return False
    return True


def _rows_of(connection: Connection, person: str) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for table, column in journal.OF_PERSON:
        rows = connection.execute(sa.select(table).where(column == person))
        found[table.name] = [dict(row._mapping) for row in rows]
    return found


def _part(part: dict[str, Any]) -> dict[str, Any]:
    return part | {"file_key": base64.b64decode(part["file_key"])}


def _at(index: int) -> sa.ColumnElement[bool]:
    return log.entries.c.index == index
