"""The journal: what the catalogue says, a second time, in the store, for the day it is lost.

Beside the bytes lie a signed slip for each segment, the orders of erasure, what devices had
forgotten, the forks of their chains, releases with their names, bystanders' requests, and the log
with the people that it speaks of. Personal fields are sealed under a key of their person, so
whatever erases a person erases them here; releases and requests, which belong to nobody alone,
under a key of the vault. Reading it back is recover.py's business.

Not here: what devices say of their own state, as they say it again within minutes; codes to enrol,
which end after ten; what was asked of devices, which their wearers can ask again.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, tables
from firsthand.consent.access import tables as access
from firsthand.consent.capture import tables as capture
from firsthand.consent.estate import tables as estate
from firsthand.consent.figures import tables as figures
from firsthand.consent.liability import tables as liability
from firsthand.crypto import canonical, unwrap, wrap
from firsthand.db import Database
from firsthand.errors import Damaged, Error, NotFound, WrongKey
from firsthand.vault import catalog
from firsthand.vault.keys.keyring import Keyring
from firsthand.vault.keys.personal import personal
from firsthand.vault.store import Store

SLIP_CONTEXT = "firsthand/slip/v1"
ORDER_CONTEXT = "firsthand/order/v1"
FORK_CONTEXT = "firsthand/fork/v1"
# A tile is written again with each entry: at 128 entries that comes to 30 kB a time.
TILE = 128
# Every table whose rows belong to one person, the person's own row first.
OF_PERSON = (
    (tables.people, tables.people.c.id),
    (tables.devices, tables.devices.c.person),
    (tables.consents, tables.consents.c.person),
    (tables.rules, tables.rules.c.person),
    (tables.ballots, tables.ballots.c.person),
    (tables.withholds, tables.withholds.c.person),
    (tables.coolings, tables.coolings.c.person),
    (tables.attestations, tables.attestations.c.person),
    (tables.attempts, tables.attempts.c.person),
    (capture.zones, capture.zones.c.person),
    (capture.permits, capture.permits.c.person),
    (capture.windows, capture.windows.c.person),
    (capture.reviews, capture.reviews.c.person),
    (capture.holds, capture.holds.c.person),
    (access.keys, access.keys.c.person),
    (access.views, access.views.c.person),
    (figures.traits, figures.traits.c.person),
    (estate.directives, estate.directives.c.person),
    (estate.attestations, estate.attestations.c.person),
    (estate.stops, estate.stops.c.person),
    (liability.agreements, liability.agreements.c.person),
    (liability.freed, liability.freed.c.person),
    (liability.incidents, liability.incidents.c.person),
    (personal, personal.c.person),
)
# Entries that leave a person's own rows as they were; recovery finds by the log what footage that
# came, or was placed anew, did to the review of its days.
_QUIET = ("read", "emulated", "session_placed")


class Journal:
    """Writes the journal of one vault; `follow` is called after each commit."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store, self._keyring = store, keyring
        self._followed = -1
        self._lines: list[bytes] = []  # of the last tile, while it is not full
        self._tile = ""  # its key
        self._lock = threading.Lock()

    def put_slip(
        self,
        held: catalog.Segment,
        parts: Iterable[catalog.StoredPart],
        envelope: dict[str, Any] | None = None,
    ) -> None:
        """Writes, or writes anew, all that the catalogue knows of one segment."""
        key = slip_key(held)
        if envelope is None:  # of an older vault, or a part moved under a new day key
            envelope = self._envelope_of(key, held.person) or {"record": held.record}
        body = {
            "v": 1,
            "segment": {name: value for name, value in vars(held).items() if name != "record"},
            "envelope": envelope,
            "parts": [
                vars(part) | {"file_key": base64.b64encode(part.file_key or b"").decode()}
                for part in parts
            ],
        }
        self._put_signed(key, body, SLIP_CONTEXT, held.person)

    def drop_slips(self, segments: Sequence[catalog.Segment]) -> None:
        """Removes the slips of erased segments."""
        for segment in segments:
            self._store.delete(slip_key(segment))

    def drop_person(self, person: str) -> None:
        """Removes all of a person but the order that erases them as a whole."""
        self._store.delete(f"journal/people/{person}")
        for kind in ("slips", "intervals", "forks", "names"):
            for key in list(self._store.keys(f"journal/{kind}/{person}")):
                self._store.delete(key)

    def put_order(self, order: erasure.Order, segments: Iterable[str] = ()) -> None:
        """Writes an order of erasure, before anything is destroyed by it, or that it was undone."""
        listed = sorted(segments or order.segments or ())
        body = vars(order) | {"done_ns": None, "begun_ns": None, "segments": listed}
        if order.scope != "person":
            key = f"journal/intervals/{order.person}/{order.id}"
            self._put_signed(key, body, ORDER_CONTEXT, order.person)
        else:  # must be read when the person's keys are gone, and names nothing but the person
            self._put_signed(f"journal/orders/{order.person}/{order.id}", body, ORDER_CONTEXT)

    def put_forgetting(self, row: dict[str, Any]) -> None:
        """Writes what a device's request or record was answered; it names no person."""
        self._store.replace(f"journal/forgettings/{row['device']}/{row['id']}", canonical(row))

    def put_fork(self, person: str, row: dict[str, Any]) -> None:
        """Writes that a device signed another record under a number that is held."""
        key = f"journal/forks/{person}/{row['device']}-{row['seq']}-{row['record_hash']}"
        self._put_signed(key, row, FORK_CONTEXT, person)

    def put_release(self, release: str, body: dict[str, Any]) -> None:
        """Writes what is known of a release but who is who in it."""
        key = f"journal/releases/{release}"
        self._store.replace(key, wrap(vault_key(self._keyring), canonical(body), key.encode()))

    def put_name(self, release: str, person: str, name: str) -> None:
        """Writes under which name a person is in a release."""
        key, sealing = f"journal/names/{person}/{release}", self._keyring.journal_key(person)
        if sealing is not None:
            self._store.replace(key, wrap(sealing, name.encode(), key.encode()))

    def drop_names(self, release: str, listed: Iterable[str]) -> None:
        """Removes the names of these people in a release."""
        for person in listed:
            self._store.delete(f"journal/names/{person}/{release}")

    def drop_release(self, release: str) -> None:
        """Removes what is known of a release that was given up."""
        self._store.delete(f"journal/releases/{release}")

    def follow(self, connection: Connection) -> None:
        """Copies what the log says that the store does not know yet, and whom it speaks of."""
        with self._lock:
            size = log.size(connection)
            if self._followed < 0:
                newest = newest_tile(self._store, max(0, size - 1) // TILE)
                self._tile, self._followed = newest or ("", 0)
            if size > self._followed:
                self._copy(connection, size)

    def _copy(self, connection: Connection, size: int) -> None:
        keys: dict[str, bytes | None] = {}
        touched, asked = set(), _Asked()
        # Only the tile that is being filled is remembered; of any other all rows are read.
        start = self._followed - len(self._lines)
        if start % TILE:
            start, self._lines = self._followed - self._followed % TILE, []
        column = log.entries.c.index
        query = sa.select(log.entries).where(column >= start + len(self._lines), column < size)
        for row in connection.execute(query.order_by(column)):
            index, person = row._mapping["index"], row.person
            if person and person not in keys:
                keys[person] = self._keyring.journal_key(person)
            self._lines.append(_line(row, keys.get(person or "")))
            if index >= self._followed:
                kind = asked.hear(row)
                if person and _changes(kind):
                    touched.add(person)
            if (index + 1) % TILE == 0 or index + 1 == size:
                self._put_tile(index // TILE, index + 1, self._lines)
            if (index + 1) % TILE == 0:
                self._lines = []
        for person in sorted(touched):
            self._put_person(connection, person, keys[person])
        self._put_requests(connection, asked)
        self._followed = size

    def _put_tile(self, number: int, stop: int, lines: list[bytes]) -> None:
        key = f"journal/log/{number:09d}.{stop:012d}"
        self._store.replace(key, b"\n".join(lines))
        # The shorter one that it replaces is known; those of other processes are looked for once a
        # tile, as a store of files lists all of them, 100,000 in a large vault, to find a few.
        before = [self._tile]
        if stop % TILE == 0:
            before += self._store.keys("journal/log", f"journal/log/{number:09d}.")
        for each in before:
            if f"journal/log/{number:09d}." < each < key:
                self._store.delete(each)
        self._tile = key

    def _put_person(self, connection: Connection, person: str, key: bytes | None) -> None:
        if key is None:
            return
        found: dict[str, list[dict[str, Any]]] = {}
        for table, column in OF_PERSON:
            rows = connection.execute(sa.select(table).where(column == person))
            found[table.name] = [
                {name: _text(value) for name, value in row._mapping.items()} for row in rows
            ]
        sealed = wrap(key, json.dumps(found).encode(), person.encode())
        self._store.replace(f"journal/people/{person}", sealed)

    def _put_requests(self, connection: Connection, asked: "_Asked") -> None:
        """Writes the requests that entries speak of, anew where one was settled or decided."""
        waiting, table = "journal/requests/waiting", capture.requests
        if asked.settled:  # all that waited: no entry may tell which
            asked.ids |= {key.rpartition("/")[2] for key in self._store.keys(waiting)}
        if not (asked.ids or asked.holds or asked.erased):
            return
        held = sa.select(capture.holds.c.request).where(capture.holds.c.id.in_(asked.holds))
        where = sa.or_(table.c.id.in_(asked.ids), table.c.id.in_(held))
        if asked.erased:  # codes and words went with a person
            where = sa.or_(where, table.c.settled_ns > 0)
        self._put_asked(connection.execute(sa.select(table).where(where)))

    def put_lacking_requests(self, database: Database) -> None:
        """Writes what bystanders asked before the journal spoke of it."""
        known = {key.rpartition("/")[2] for key in self._store.keys("journal/requests")}
        with database.read() as connection:
            lacking = set(connection.scalars(sa.select(capture.requests.c.id))) - known
        for request in sorted(lacking):
            with database.write() as connection:  # nobody settles it meanwhile
                where = capture.requests.c.id == request
                self._put_asked(connection.execute(sa.select(capture.requests).where(where)))

    def _put_asked(self, rows: Iterable[sa.Row]) -> None:
        sealing, waiting = vault_key(self._keyring), "journal/requests/waiting"
        for row in rows:
            state = "settled" if row.settled_ns else "waiting"
            key = f"journal/requests/{state}/{row.id}"
            self._store.replace(key, wrap(sealing, canonical(dict(row._mapping)), key.encode()))
            if row.settled_ns:
                self._store.delete(f"{waiting}/{row.id}")

    def _put_signed(
        self, key: str, body: dict[str, Any], context: str, person: str | None = None
    ) -> None:
        """Writes what is signed, sealed for its person if one is named."""
        name = context.split("/")[1]
        signature = self._keyring.log_key().sign(context, canonical(body))
        data = canonical({name: body, "signature": base64.b64encode(signature).decode()})
        if person is not None:
            sealing = self._keyring.journal_key(person)
            if sealing is None:
                return  # erased just now
            data = wrap(sealing, data, key.encode())
        self._store.replace(key, data)

    def _envelope_of(self, key: str, person: str) -> dict[str, Any] | None:
        try:
            return read_signed(self._store, self._keyring, key, SLIP_CONTEXT, person)["envelope"]
        except Error:
            return None


@dataclass
class _Asked:
    """Which requests of bystanders some entries of the log are about."""

    ids: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    settled: bool = False
    erased: bool = False

    def hear(self, row: sa.Row) -> str:
        """One more entry; returns its kind."""
        body = json.loads(row.entry)
        kind: str = body["kind"]
        if kind == "bystander_asked":
            self.ids.add(body["request"])
        elif kind in ("bystander_settled", "bystander_hold"):
            self.settled = True
        elif kind == "bystander_decided" and row.opening:
            self.holds.add(json.loads(row.opening)["hold"])
        elif kind == "erasure_done" and body["scope"] == "person":
            self.erased = True
        return kind


def vault_key(keyring: Keyring) -> bytes:
    """What seals of the journal what belongs to no person alone."""
    return hashlib.sha256(b"firsthand/journal/v1" + keyring.log_key().to_bytes()).digest()


def slip_key(segment: catalog.Segment) -> str:
    """Where the slip of a segment lies: one place for each record, whatever was tried."""
    return f"journal/slips/{segment.person}/{segment.record_hash}"


def newest_tile(store: Store, number: int) -> tuple[str, int] | None:
    """The last tile of the log from tile `number` on: its key, and where it stops."""
    keys = sorted(store.keys("journal/log", f"journal/log/{number:09d}."))
    return (keys[-1], int(keys[-1].rpartition(".")[2])) if keys else None


def read_signed(
    store: Store, keyring: Keyring, key: str, context: str, person: str | None = None
) -> dict[str, Any]:
    """The body of a slip or an order; Damaged unless this vault signed and sealed it.

    NotFound once its person is erased.
    """
    name = context.split("/")[1]
    sealed = person is not None
    data = read_sealed(store, keyring, key, person) if sealed else b"".join(store.chunks(key))
    try:
        envelope = json.loads(data)
        body, signature = envelope[name], base64.b64decode(envelope["signature"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{key} of the journal cannot be read") from error
    keyring.log_key().public.verify(context, canonical(body), signature)
    return body


def read_sealed(store: Store, keyring: Keyring, key: str, person: str | None = None) -> bytes:
    """What lies under a key, sealed for its person if one is named, else for the vault; Damaged.

    NotFound once its person is erased.
    """
    sealing = vault_key(keyring) if person is None else keyring.journal_key(person)
    if sealing is None:
        raise NotFound(f"the key to {key} was destroyed")
    try:
        return unwrap(sealing, b"".join(store.chunks(key)), key.encode())
    except WrongKey as error:
        raise Damaged(f"{key} of the journal cannot be opened") from error


def read_log(store: Store, start: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(index, entry, sealed opening) of the store's copy of the log from `start` on."""
    best: dict[int, str] = {}
    for key in sorted(store.keys("journal/log")):
        best[int(key.split("/")[-1].split(".")[0])] = key  # the longest of a tile comes last
    for number in sorted(best):
        if (number + 1) * TILE <= start:
            continue
        for place, line in enumerate(b"".join(store.chunks(best[number])).split(b"\n")):
            entry, sealed = json.loads(line)
            if number * TILE + place >= start:
                yield number * TILE + place, base64.b64decode(entry), base64.b64decode(sealed)


def read_person(store: Store, key: bytes, person: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of one person as the store last heard of them."""
    sealed = b"".join(store.chunks(f"journal/people/{person}"))
    found = json.loads(unwrap(key, sealed, person.encode()))
    return {
        name: [{column: _value(value) for column, value in row.items()} for row in rows]
        for name, rows in found.items()
    }


def _changes(kind: str) -> bool:
    """Whether an entry may have changed its person's own rows; most only add footage."""
    return kind not in _QUIET and not kind.endswith("_stored")


def _line(row: sa.Row, key: bytes | None) -> bytes:
    sealed = b""
    if row.opening and key is not None:
        sealed = wrap(key, row.opening, b"%d" % row._mapping["index"])
    return canonical([base64.b64encode(field).decode() for field in (row.entry, sealed)])


def _text(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _value(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return base64.b64decode(value["base64"])
    return value
