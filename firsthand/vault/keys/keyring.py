"""The keyring: file keys under day keys under volunteer keys under the root (F, D, V, R).

The root lies elsewhere (root.py), every other key wrapped in a database of its own, which is never
backed up together with the root. Destroying a key here is what erasure means; epochs.py renews
what stands over the keys, so that an old copy of this database opens nothing.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection, event

from firsthand.age import Identity
from firsthand.crypto import SigningKey, unwrap, wrap
from firsthand.db import Database
from firsthand.errors import NotFound, Unavailable
from firsthand.vault.keys.copies import Copies
from firsthand.vault.keys.root import FILE, Root, open_root

tables = sa.MetaData()
keys = sa.Table(
    "wrapped_key",
    tables,
    sa.Column(
        "kind", sa.String, primary_key=True
    ),  # volunteer | day | ingest | journal | release | log | recovery
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("public", sa.String, nullable=False, server_default=""),
    # Whose root wraps it; of what a volunteer key wraps it says nothing.
    sa.Column("epoch", sa.Integer, nullable=False, server_default="1"),
)
epochs = sa.Table(
    "epoch",
    tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("root", sa.String, nullable=False),  # as the setting named it
    sa.Column("sealed", sa.String, nullable=False),  # the root's own word; no secret
    sa.Column("began_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger),  # when its root was destroyed
    sa.Column("gone_ns", sa.BigInteger),  # when that can't be undone by anybody
    sa.Column("log_index", sa.BigInteger),  # of the entry that says so
)
STEPS = (("ALTER TABLE wrapped_key ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1",),)
UNDER_ROOT = ("volunteer", "release", "log")
UNDER_VOLUNTEER = ("day", "ingest", "journal")


@dataclass(frozen=True)
class Epoch:
    """A time in which one root stood over the keyring."""

    number: int
    root: str
    sealed: str
    began_ns: int
    ended_ns: int | None
    gone_ns: int | None
    log_index: int | None


class Keyring:
    """All keys of one vault; opens with the root that its epoch has."""

    def __init__(
        self,
        folder: Path,
        passphrase: str = "",
        root: str = FILE,
        now_ns: Callable[[], int] = time.time_ns,
        copies: Sequence[Path] = (),
    ) -> None:
        """Opens the keyring in `folder`, made with a new root if it is new; WrongKey, NotFound.

        A root that lies on this machine is opened at once, another when a key is first needed.
        Folders in `copies` hold the keyring too; where it is lost here, it comes back from there.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.root, self.now_ns = folder, root, now_ns
        self._passphrase = passphrase
        self.copies = Copies(folder, list(copies))
        if copies:
            self.copies.take_newest()
        file = folder / "keyring.db"
        # Made before the database opens it, which gives its side files the same mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self.db = Database(f"sqlite:///{quote(str(file))}", tables, steps=STEPS)
        self._lock = threading.Lock()
        self._signing: SigningKey | None = None
        self._roots: dict[int, bytes] = {}
        try:
            self._begin()
            if copies:
                event.listen(self.db.engine, "before_cursor_execute", _ask_for_copies)
                self.db.after_write = self.copies.follow
                self.copies.begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        with self.db.read() as connection:
            newest = newest_epoch(connection)
        if newest is None:
            with self.db.write() as connection:
                newest = newest_epoch(connection) or self._first_epoch(connection)
        if self.keeper(newest.root).local:
            with self.db.read() as connection:
                self.root_key(connection, newest.number)

    def _first_epoch(self, connection: Connection) -> Epoch:
        """Of a new keyring, or of one from before there were epochs: its root is in the file."""
        used = connection.scalar(sa.select(sa.func.count()).select_from(keys))
        url = FILE if used else self.root
        keeper = self.keeper(url)
        key, sealed = (keeper.open(1, ""), "") if used else keeper.make(1)
        epoch = Epoch(1, url, sealed, self.now_ns(), None, None, None)
        connection.execute(epochs.insert().values(**vars(epoch)))
        self._roots[1] = key
        return epoch

    def keeper(self, url: str) -> Root:
        """Who keeps the root keys of the epochs that name this root."""
        return open_root(url, self.folder, self._passphrase)

    def root_key(self, connection: Connection, epoch: int) -> bytes:
        """R of an epoch; NotFound once it is destroyed."""
        key = self._roots.get(epoch)
        if key is None:
            found = connection.execute(sa.select(epochs).where(epochs.c.number == epoch)).first()
            if found is None or found.ended_ns is not None:
                raise NotFound(f"the root of epoch {epoch} was destroyed when it ended")
            key = self._roots[epoch] = self.keeper(found.root).open(epoch, found.sealed)
        return key

    def newest(self, connection: Connection) -> int:
        """The epoch whose root wraps what is new; roots of epochs that ended leave the memory."""
        rows = connection.execute(sa.select(epochs.c.number, epochs.c.ended_ns)).all()
        live = [row.number for row in rows if row.ended_ns is None]
        for number in [number for number in self._roots if number not in live]:
            self._roots.pop(number, None)
        return max(live)

    def epochs(self) -> list[Epoch]:
        """Every epoch, oldest first."""
        with self.db.read() as connection:
            rows = connection.execute(sa.select(epochs).order_by(epochs.c.number))
            return [Epoch(**row._mapping) for row in rows]

    def log_key(self) -> SigningKey:
        """L: signs checkpoints, receipts, manifests and grants."""
        with self._lock:
            if self._signing is None:
                with self.db.read() as connection:
                    known = connection.scalar(_select(keys.c.kind, "log", "log"))
                with self.db.read() if known else self.db.write() as connection:
                    raw = self._under_root(connection, "log", "log", "", make=True)
                self._signing = SigningKey.from_bytes(raw)
            return self._signing

    def add_person(self, person: str) -> None:
        """Makes a person's volunteer key V."""
        with self.db.write() as connection:
            self._under_root(connection, "volunteer", person, person, make=True)

    def ingest_recipient(self, person: str, now_ns: int) -> str:
        """I: the public half of the key that this person's devices seal to in this month."""
        month = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y-%m")
        name = f"{person}|{month}"
        with self.db.write() as connection:
            public = connection.scalar(_select(keys.c.public, "ingest", name))
            if public is None:
                identity = Identity.generate()
                public = str(identity.recipient)
                sealed = wrap(
                    self._volunteer(connection, person),
                    str(identity).encode(),
                    aad_of("ingest", name),
                )
                row = {
                    "kind": "ingest",
                    "name": name,
                    "person": person,
                    "wrapped": sealed,
                    "epoch": 0,
                }
                connection.execute(keys.insert().values(**row, public=public))
        return public

    def ingest_identities(self, person: str) -> list[Identity]:
        """The private halves of all of a person's ingest keys that still exist, newest first."""
        with self.db.read() as connection:
            volunteer = self._volunteer(connection, person)
            rows = connection.execute(_INGEST, {"of": person}).all()
            texts = [unwrap(volunteer, row.wrapped, aad_of("ingest", row.name)) for row in rows]
            return [Identity.parse(text.decode()) for text in texts]

    def day_key(self, person: str, day: str, generation: int, make: bool = False) -> bytes:
        """D: the key over one person's file keys of one day; NotFound once it is destroyed.

        Erasing a segment moves the day's others to the next generation, then destroys this one.
        """
        with self.db.write() if make else self.db.read() as connection:
            volunteer = self._volunteer(connection, person)
            name = f"{person}|{day}|{generation}"
            return self._key(connection, "day", name, person, volunteer, make)

    def day_generation(self, person: str, day: str) -> int | None:
        """The newest generation of D that there is of a day, or None if there is none."""
        start = f"{person}|{day}|"
        with self.db.read() as connection:
            found = connection.scalars(_DAYS, {"since": start, "until": start + ":"}).all()
        return max((int(name.removeprefix(start)) for name in found), default=None)

    def destroy_day_keys(self, person: str, day: str, before: int) -> int:
        """Destroys the generations of D below `before`; returns how many there were."""
        names = [f"{person}|{day}|{generation}" for generation in range(before)]
        return self._destroy((keys.c.kind == "day") & keys.c.name.in_(names))

    def journal_key(self, person: str) -> bytes | None:
        """The key over what the journal says of a person; None once they are erased."""
        for make in (False, True):
            with self.db.write() if make else self.db.read() as connection:
                try:
                    volunteer = self._volunteer(connection, person)
                except NotFound:
                    return None
                with contextlib.suppress(NotFound):
                    return self._key(connection, "journal", person, person, volunteer, make)
        return None

    def release_key(self, release: str, person: str, make: bool = False) -> bytes:
        """X: one person's key of one release; NotFound once it is destroyed."""
        with self.db.write() if make else self.db.read() as connection:
            name = f"{release}|{person}"
            return self._under_root(connection, "release", name, person, make)

    def destroy_person(self, person: str) -> int:
        """Destroys every key of a person: V, all D, all I, all X; returns how many."""
        return self._destroy(keys.c.person == person)

    def destroy_release_key(self, release: str, person: str) -> int:
        """Destroys X of one person in one release; returns how many keys that was."""
        return self._destroy((keys.c.kind == "release") & (keys.c.name == f"{release}|{person}"))

    def close(self) -> None:
        """Closes the database."""
        self.db.close()

    def _volunteer(self, connection: Connection, person: str) -> bytes:
        return self._under_root(connection, "volunteer", person, person, make=False)

    def _under_root(
        self, connection: Connection, kind: str, name: str, person: str, make: bool
    ) -> bytes:
        epoch = connection.scalar(_EPOCH, {"of_kind": kind, "named": name})
        if epoch is None and make:
            epoch = self.newest(connection)
        under = b"" if epoch is None else self.root_key(connection, epoch)
        return self._key(connection, kind, name, person, under, make, epoch or 0)

    def _key(
        self,
        connection: Connection,
        kind: str,
        name: str,
        person: str,
        under: bytes,
        make: bool,
        epoch: int = 0,
    ) -> bytes:
        wrapped = connection.scalar(_WRAPPED, {"of_kind": kind, "named": name})
        if wrapped is not None:
            return unwrap(under, wrapped, aad_of(kind, name))
        if not make:
            raise NotFound(f"the {kind} key of {name} does not exist or was destroyed")
        if self.copies.alone:
            raise Unavailable(
                "no copy of the keyring can be reached, so no new key is made",
                f"bring one back: {', '.join(self.copies.failed)}; reading goes on",
            )
        fresh = secrets.token_bytes(32)
        row = {"kind": kind, "name": name, "person": person, "epoch": epoch}
        sealed = wrap(under, fresh, aad_of(kind, name))
        connection.execute(keys.insert().values(**row, wrapped=sealed))
        return fresh

    def _destroy(self, where: sa.ColumnElement[bool]) -> int:
        with self.db.write() as connection:
            count = connection.execute(keys.delete().where(where)).rowcount
        self.db.compact()
        return count


def _ask_for_copies(connection, _cursor, statement, *_):  # type: ignore[no-untyped-def]
    if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
        connection.info["after_write"] = True


def newest_epoch(connection: Connection) -> Epoch | None:
    """The last epoch that began; None of a keyring that has none yet."""
    row = connection.execute(sa.select(epochs).order_by(epochs.c.number.desc())).first()
    return Epoch(**row._mapping) if row else None


def _select(column: sa.Column, kind: str, name: str) -> sa.Select:
    return sa.select(column).where(keys.c.kind == kind, keys.c.name == name)


# Built once, as building takes three times as long as sending.
_NAMED = (keys.c.kind == sa.bindparam("of_kind")) & (keys.c.name == sa.bindparam("named"))
_WRAPPED = sa.select(keys.c.wrapped).where(_NAMED)
_EPOCH = sa.select(keys.c.epoch).where(_NAMED)
_INGEST = (
    sa.select(keys.c.name, keys.c.wrapped)
    .where(keys.c.kind == "ingest", keys.c.person == sa.bindparam("of"))
    .order_by(keys.c.name.desc())
)
_DAYS = sa.select(keys.c.name).where(
    keys.c.kind == "day",
    keys.c.name >= sa.bindparam("since"),
    keys.c.name < sa.bindparam("until"),
)


def aad_of(kind: str, name: str) -> bytes:
    """What a wrapped key is bound to: it opens in no other place."""
    return f"{kind}|{name}".encode()
