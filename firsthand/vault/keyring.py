"""The keyring: file keys under day keys under volunteer keys under the root (F, D, V, R).

The root lies in a passphrase-sealed age file, every other key wrapped in a database of its own,
which is never backed up together with the root. Destroying a key here is what erasure means.
"""

import contextlib
import os
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import age
from firsthand.age import Identity
from firsthand.crypto import SigningKey, unwrap, wrap
from firsthand.db import Database
from firsthand.errors import Failed, NotFound, WrongKey

tables = sa.MetaData()
keys = sa.Table(
    "wrapped_key",
    tables,
    sa.Column(
        "kind", sa.String, primary_key=True
    ),  # volunteer | day | ingest | journal | release | log
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("person", sa.String, nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("public", sa.String, nullable=False, server_default=""),
)


class Keyring:
    """All keys of one vault; opens with the passphrase of its root."""

    def __init__(self, folder: Path, passphrase: str) -> None:
        """Opens the keyring in `folder`, made with a new root if it is new; WrongKey."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = _open_root(folder, passphrase)
        file = folder / "keyring.db"
        # Made before the database opens it, which gives its side files the same mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = Database(f"sqlite:///{quote(str(file))}", tables, steps=())
        self._lock = threading.Lock()
        self._signing: SigningKey | None = None

    def log_key(self) -> SigningKey:
        """L: signs checkpoints, receipts, manifests and grants."""
        with self._lock:
            if self._signing is None:
                raw = self._get_or_make("log", "log", "", self._root)
                self._signing = SigningKey.from_bytes(raw)
            return self._signing

    def add_person(self, person: str) -> None:
        """Makes a person's volunteer key V."""
        self._get_or_make("volunteer", person, person, self._root)

    def ingest_recipient(self, person: str, now_ns: int) -> str:
        """I: the public half of the key that this person's devices seal to in this month."""
        month = datetime.fromtimestamp(now_ns / 1e9, UTC).strftime("%Y-%m")
        name = f"{person}|{month}"
        with self._db.write() as connection:
            public = connection.scalar(_select(keys.c.public, "ingest", name))
            if public is None:
                identity = Identity.generate()
                public = str(identity.recipient)
                sealed = wrap(
                    self._volunteer(connection, person),
                    str(identity).encode(),
                    _aad("ingest", name),
                )
                row = {"kind": "ingest", "name": name, "person": person, "wrapped": sealed}
                connection.execute(keys.insert().values(**row, public=public))
        return public

    def ingest_identities(self, person: str) -> list[Identity]:
        """The private halves of all of a person's ingest keys that still exist."""
        with self._db.read() as connection:
            volunteer = self._volunteer(connection, person)
            where = (keys.c.kind == "ingest") & (keys.c.person == person)
            rows = connection.execute(sa.select(keys).where(where)).all()
            texts = [unwrap(volunteer, row.wrapped, _aad("ingest", row.name)) for row in rows]
            return [Identity.parse(text.decode()) for text in texts]

    def day_key(self, person: str, day: str, generation: int, make: bool = False) -> bytes:
        """D: the key over one person's file keys of one day; NotFound once it is destroyed.

        Erasing a segment moves the day's others to the next generation, then destroys this one.
        """
        with self._db.write() if make else self._db.read() as connection:
            volunteer = self._volunteer(connection, person)
            name = f"{person}|{day}|{generation}"
            return self._key(connection, "day", name, person, volunteer, make)

    def destroy_day_keys(self, person: str, day: str, before: int) -> int:
        """Destroys the generations of D below `before`; returns how many there were."""
        names = [f"{person}|{day}|{generation}" for generation in range(before)]
        return self._destroy((keys.c.kind == "day") & keys.c.name.in_(names))

    def journal_key(self, person: str) -> bytes | None:
        """The key over what the journal says of a person; None once they are erased."""
        for make in (False, True):
            with self._db.write() if make else self._db.read() as connection:
                try:
                    volunteer = self._volunteer(connection, person)
                except NotFound:
                    return None
                with contextlib.suppress(NotFound):
                    return self._key(connection, "journal", person, person, volunteer, make)
        return None

    def release_key(self, release: str, person: str, make: bool = False) -> bytes:
        """X: one person's key of one release; NotFound once it is destroyed."""
        with self._db.write() if make else self._db.read() as connection:
            name = f"{release}|{person}"
            return self._key(connection, "release", name, person, self._root, make)

    def destroy_person(self, person: str) -> int:
        """Destroys every key of a person: V, all D, all I, all X; returns how many."""
        return self._destroy(keys.c.person == person)

    def destroy_release_key(self, release: str, person: str) -> int:
        """Destroys X of one person in one release; returns how many keys that was."""
        return self._destroy((keys.c.kind == "release") & (keys.c.name == f"{release}|{person}"))

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _volunteer(self, connection: Connection, person: str) -> bytes:
        return self._key(connection, "volunteer", person, person, self._root, make=False)

    def _get_or_make(self, kind: str, name: str, person: str, under: bytes) -> bytes:
        with self._db.write() as connection:
            return self._key(connection, kind, name, person, under, make=True)

    def _key(
        self, connection: Connection, kind: str, name: str, person: str, under: bytes, make: bool
    ) -> bytes:
        wrapped = connection.scalar(_select(keys.c.wrapped, kind, name))
        if wrapped is not None:
            return unwrap(under, wrapped, _aad(kind, name))
        if not make:
            raise NotFound(f"the {kind} key of {name} does not exist or was destroyed")
        fresh = secrets.token_bytes(32)
        row = {"kind": kind, "name": name, "person": person}
        sealed = wrap(under, fresh, _aad(kind, name))
        connection.execute(keys.insert().values(**row, wrapped=sealed))
        return fresh

    def _destroy(self, where: sa.ColumnElement[bool]) -> int:
        with self._db.write() as connection:
            count = connection.execute(keys.delete().where(where)).rowcount
        self._db.compact()
        return count


def passphrase_of(data: Path, given: str) -> str:
    """The root's passphrase: the one given, else one kept in the data folder, made for a new vault.

    WrongKey if neither is there and the root is sealed already.
    """
    if given:
        return given
    file = data / "root.passphrase"
    # Asked first, as another process may just be making both, the passphrase before the root.
    sealed = (data / "vault" / "root.age").exists()
    if not file.exists():
        if sealed:
            raise WrongKey(
                f"the root of {data} is sealed by a passphrase that was not given",
                "set FIRSTHAND_PASSPHRASE",
            )
        _write_private(file, secrets.token_urlsafe(24).encode() + b"\n")
    if file.stat().st_mode & 0o077:
        raise Failed(f"{file} can be read by others", f"run: chmod 600 {file}")
    return file.read_text().strip()


def _open_root(folder: Path, passphrase: str) -> bytes:
    file = folder / "root.age"
    # Asked in this order, as another process may just be making both, the root first.
    used = (folder / "keyring.db").exists()
    if not file.exists():
        if used:
            raise NotFound(
                f"{file} is missing, and without it no footage opens",
                "put back the copy of root.age that you keep apart from the keyring",
            )
        _write_private(file, age.encrypt(secrets.token_bytes(32), passphrase=passphrase))
    try:
        return age.decrypt(file.read_bytes(), passphrase=passphrase)
    except WrongKey as error:
        raise WrongKey(
            f"the passphrase does not open {file}", "set FIRSTHAND_PASSPHRASE to the right one"
        ) from error


def _write_private(file: Path, data: bytes) -> None:
    """Writes a file for its owner's eyes, whole and durable; one that is there already stays."""
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    with contextlib.suppress(FileExistsError):  # another process was faster: its file counts
        os.link(fresh, file)
    fresh.unlink()
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _select(column: sa.Column, kind: str, name: str) -> sa.Select:
    return sa.select(column).where(keys.c.kind == kind, keys.c.name == name)


def _aad(kind: str, name: str) -> bytes:
    return f"{kind}|{name}".encode()
