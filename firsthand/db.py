"""The database: SQLite by default, PostgreSQL by another URL.

Each room declares its own tables on `metadata`; this file opens the database, makes missing
tables, and hands out transactions.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.exc import DatabaseError, OperationalError

from firsthand.errors import Damaged, Failed, Locked

SCHEMA_VERSION = 1
BUSY_MS = 30_000  # how long one connection waits for another
metadata = sa.MetaData()


class Database:
    """One database; `write()` and `read()` give connections inside a transaction."""

    def __init__(self, url: str, tables: sa.MetaData = metadata) -> None:
        """Opens `url`, for example sqlite:///folder/firsthand.db; makes tables that are missing."""
        schema = tables.tables.get("schema")
        if schema is None:
            column = sa.Column("version", sa.Integer, primary_key=True)
            schema = sa.Table("schema", tables, column)
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = sa.create_engine(parsed)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _sqlite_settings)
            event.listen(self.engine, "begin", _sqlite_begin)
        try:
            with self.engine.begin() as connection:
                tables.create_all(connection)
                versions = connection.scalars(sa.select(schema.c.version)).all()
                if not versions:
                    connection.execute(schema.insert().values(version=SCHEMA_VERSION))
        except DatabaseError as error:
            raise Failed(
                f"cannot open the database {parsed.database}: {error.orig}",
                "check that the folder can be written and that the file is a database",
            ) from error
        if versions and versions[0] != SCHEMA_VERSION:
            raise Damaged(
                f"database has schema {versions[0]}, this program knows {SCHEMA_VERSION}",
                "use the version of firsthand that wrote it",
            )

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that commits at the end, or rolls back on an error."""
        with _explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads, one snapshot throughout."""
        reading = self.engine.connect().execution_options(firsthand_readonly=True)
        with _explained(), reading as connection:
            yield connection

    def compact(self) -> None:
        """Rewrites the file so that deleted rows are gone from free pages and write-ahead log.

        Locked if other connections keep it from that.
        """
        if self.engine.dialect.name != "sqlite":
            return
        raw = self.engine.raw_connection()
        try:
            raw.execute("VACUUM")
            ((busy, _, _),) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            raise _in_use(self.engine) from error
        finally:
            raw.close()
        if busy:
            raise _in_use(self.engine)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def _in_use(engine: sa.Engine) -> Locked:
    return Locked(
        f"{engine.url.database} is in use, so deleted rows may still lie in it",
        "stop what reads it, then try again",
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what the database cannot do (a full disk, a long lock) into an error with a hint."""
    try:
        yield
    except OperationalError as error:
        raise Failed(
            f"the database failed: {error.orig}",
            "if the disk is full, make room; then run it again: nothing was half written",
        ) from error


def _sqlite_settings(connection, _record) -> None:  # type: ignore[no-untyped-def]
    # The driver must not start transactions by itself; _sqlite_begin does.
    connection.isolation_level = None
    # FULL: in WAL mode NORMAL loses commits at a power cut, and a receipt may not be lost.
    settings = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
    for pragma in (f"busy_timeout={BUSY_MS}", *settings):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    # IMMEDIATE: two writers queue here, instead of one failing halfway through.
    readonly = connection.get_execution_options().get("firsthand_readonly")
    connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")
