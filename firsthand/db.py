"""The database: SQLite by default, PostgreSQL by another URL.

Each room declares its own tables on `metadata`; this file opens the database, brings it to
this program's schema, and hands out transactions. One writer at a time in both: the log's next
index, a receipt and its row rest on what the writer has just read.
"""

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.exc import DatabaseError, DataError, OperationalError

from firsthand.errors import Damaged, Failed, Locked, Refused, Usage

# Step n turns schema n into n + 1, statement by statement, on SQLite and PostgreSQL alike. A list
# and one transaction do what alembic would: both databases undo half a change of schema.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        # An upload names its object, and the store's own id of it, from the start; what was half
        # sent in the old way is begun again by its device.
        "DELETE FROM upload",
        "ALTER TABLE upload ADD COLUMN object VARCHAR NOT NULL DEFAULT ''",
        "ALTER TABLE upload ADD COLUMN multipart VARCHAR NOT NULL DEFAULT ''",
    ),
    (
        # A place keeps its older rows of law, and a row says whose consent sound takes.
        "CREATE TABLE law_row (jurisdiction VARCHAR NOT NULL, as_of VARCHAR NOT NULL,"
        " audio VARCHAR NOT NULL, video VARCHAR NOT NULL, closed_places VARCHAR NOT NULL,"
        " source VARCHAR NOT NULL, reviewer VARCHAR NOT NULL, expires VARCHAR NOT NULL,"
        " PRIMARY KEY (jurisdiction, as_of))",
        "INSERT INTO law_row SELECT jurisdiction, as_of, CASE audio WHEN 'yes' THEN 'one'"
        " ELSE 'all' END, 'yes', '', source, reviewer, expires FROM recording_law",
        "DROP TABLE recording_law",
    ),
    (
        # Erasure in two steps: hidden, then destroyed. What was ordered before is due at once.
        "ALTER TABLE erasure ADD COLUMN due_ns BIGINT",
        "ALTER TABLE erasure ADD COLUMN begun_ns BIGINT",
        "ALTER TABLE erasure ADD COLUMN undone_ns BIGINT",
        "ALTER TABLE erasure ADD COLUMN segments JSON",
        "ALTER TABLE erasure ADD COLUMN release VARCHAR",
        "ALTER TABLE erasure ADD COLUMN epoch INTEGER",
        "ALTER TABLE erasure ADD COLUMN done_index BIGINT",
        "ALTER TABLE erasure ADD COLUMN outcome JSON",
    ),
    (
        # The few long segments are found without reading all others, on PostgreSQL as well.
        "DROP INDEX IF EXISTS segment_long",
        "CREATE INDEX segment_long ON segment"
        " (person, start_ns, seq, stop_ns, kind, state, id, size_bytes)"
        " WHERE stop_ns - start_ns > 3600000000000",
        # What a device has open is counted each time it begins something.
        "CREATE INDEX IF NOT EXISTS upload_by_device ON upload (device, opened_ns, size_bytes)",
    ),
    (
        # A code to enrol by says who made it; it lives for ten minutes, so older ones just end.
        "DROP TABLE IF EXISTS enrolment_code",
    ),
)
SCHEMA_VERSION = len(STEPS) + 1
BUSY_MS = 30_000  # how long one connection waits for another
TRIES = 100
# Writers of one PostgreSQL database queue for this lock; every process takes the same number.
WRITE_LOCK = int.from_bytes(b"firsthan", "big")
# SQLite's locks and shared memory don't hold across machines: two writers would tear the file.
UNFIT = re.compile("nfs|cifs|smb|9p|afs|ceph|lustre|gluster|gpfs|ocfs|gfs|sshfs|davfs|s3fs|rclone")
SYNCHRONOUS = "FULL"  # in WAL mode NORMAL loses commits at a power cut, and a receipt may not be
metadata = sa.MetaData()


class Database:
    """One database; `write()` and `read()` give connections inside a transaction."""

    def __init__(
        self,
        url: str,
        tables: sa.MetaData = metadata,
        steps: Sequence[Sequence[str]] = STEPS,
    ) -> None:
        """Opens `url`, for example sqlite:///folder/firsthand.db, and brings it up to date.

        Damaged, and nothing is changed, if a newer program made it.
        """
        self.after_write: Callable[[], None] = lambda: None
        schema = tables.tables.get("schema")
        if schema is None:
            column = sa.Column("version", sa.Integer, primary_key=True)
            schema = sa.Table("schema", tables, column)
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            self.engine = _sqlite(parsed)
        else:
            self.engine = _postgres(parsed)
        try:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "postgresql":
                    _check_postgres(connection)
                found = _bring_up(connection, tables, schema, steps)
        except DatabaseError as error:
            said = str(error.orig).partition("\n")[0]
            raise Failed(f"cannot open the database {parsed.database}: {said}", _OPEN) from error
        if found > len(steps) + 1:
            raise Damaged(
                f"database has schema {found}, this program knows {len(steps) + 1}",
                "use the version of firsthand that wrote it",
            )
        options: dict[str, Any] = {"firsthand_readonly": True}
        if self.engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = self.engine.execution_options(**options)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a transaction that commits at the end, or rolls back on an error.

        What `after_write` is set to is called after each commit of a writer that asked for it, by
        setting "after_write" in the connection's `info`.
        """
        with _explained(), self.engine.begin() as connection:
            connection.info.pop("after_write", None)
            yield connection
            asked = connection.info.pop("after_write", False)
        if asked:
            self.after_write()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads, one snapshot throughout."""
        with _explained(), self._reader.connect() as connection:
            yield connection

    def compact(self) -> None:
        """Rewrites the tables so that deleted rows are gone from free pages and write-ahead log.

        Locked if other connections keep it from that. PostgreSQL's write-ahead log is its own
        business: old segments are overwritten as they are used again.
        """
        if self.engine.dialect.name == "postgresql":
            _vacuum(self.engine)
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


def _bring_up(
    connection: Connection, tables: sa.MetaData, schema: sa.Table, steps: Sequence[Sequence[str]]
) -> int:
    """Takes the missing steps in the caller's transaction; returns the version that was found."""
    known = sa.inspect(connection).has_table(schema.name)
    found = connection.scalar(sa.select(sa.func.max(schema.c.version))) if known else None
    newest = len(steps) + 1
    if found is not None and found > newest:
        return found
    for number in range(found or newest, newest):
        for statement in steps[number - 1]:
            connection.exec_driver_sql(statement)
    tables.create_all(connection)
    if found is None:
        connection.execute(schema.insert().values(version=newest))
    elif found < newest:
        connection.execute(schema.update().values(version=newest))
    return found or newest


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
    except DataError as error:  # a NUL in a text, a number beyond 64 bits
        raise Usage("a text or a number is not one that the database can hold") from error
    except OperationalError as error:
        said = str(error.orig).partition("\n")[0]
        raise Failed(
            f"the database failed: {said}",
            "if the disk is full, make room; then run it again: nothing was half written",
        ) from error


def _parse(url: str) -> sa.URL:
    """The URL of a database that we know; Usage."""
    try:
        parsed = sa.make_url(url)
        name = parsed.get_backend_name()
    except sa.exc.ArgumentError:
        raise Usage("database_url is no URL of a database", _KNOWN) from None
    if name not in ("sqlite", "postgresql"):
        raise Usage(f"database_url names {name}, which is not known", _KNOWN)
    return parsed.set(drivername="postgresql+psycopg") if name == "postgresql" else parsed


_KNOWN = "give sqlite:////absolute/file.db or postgresql://user:password@host/database"
_OPEN = "check that it can be written and is a database, or that its server runs and lets you in"


def _sqlite(url: sa.URL) -> sa.Engine:
    """An engine over a file; Refused where SQLite can't keep what it promises."""
    if url.database and not url.database.startswith("file:"):
        folder = Path(url.database).parent
        folder.mkdir(parents=True, exist_ok=True)
        kind = file_system(folder.resolve())
        if UNFIT.search(kind):
            raise Refused(
                f"{url.database} lies on {kind}, where SQLite may lose what it has committed",
                "put it on a disk of this machine, or use PostgreSQL: database_url",
            )
    engine = sa.create_engine(url)
    event.listen(engine, "connect", _sqlite_settings)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def file_system(folder: Path, mounts: str | None = None) -> str:
    """The kind of file system that a folder lies on, or "" where the system does not say."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return ""
    found: tuple[int, str] = (-1, "")
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        # Spaces and the like stand there as \040. Of two mounts on one place the later one counts.
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4])
        if folder.is_relative_to(point) and len(point) >= found[0]:
            found = len(point), right.split(" ")[0]
    return found[1]


def _sqlite_settings(connection, _record) -> None:  # type: ignore[no-untyped-def]
    # The driver must not start transactions by itself; _sqlite_begin does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _use_wal(connection)
    for pragma in (f"synchronous={SYNCHRONOUS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    # SQLite answers what it could do, not what it was asked.
    ((mode,),) = connection.execute("PRAGMA journal_mode").fetchall()
    ((synchronous,),) = connection.execute("PRAGMA synchronous").fetchall()
    if (mode, synchronous) == ("memory", 2):  # in memory, where nobody expects it to last
        return
    if mode != "wal" or synchronous < 2:
        raise Refused(
            f"SQLite works with journal_mode {mode} and synchronous {synchronous} here,"
            " and a power cut could undo a receipt",
            "put the database on a disk of this machine, or use PostgreSQL: database_url",
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    # Of several processes that make a new file at once, SQLite turns some away without waiting.
    for attempt in range(TRIES):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if attempt == TRIES - 1:
                raise
            time.sleep(0.05)


def _sqlite_begin(connection: Connection) -> None:
    # IMMEDIATE: two writers queue here, instead of one failing halfway through.
    readonly = connection.get_execution_options().get("firsthand_readonly")
    # Past SQLAlchemy, whose own way takes longer than the statement.
    plain = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    plain.execute("BEGIN" if readonly else "BEGIN IMMEDIATE")


def _postgres(url: sa.URL) -> sa.Engine:
    """An engine over a server; connections that the server closed are opened anew."""
    try:
        engine = sa.create_engine(
            url,
            # Not REPEATABLE READ: its snapshot would date from before the wait for the lock.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args={"options": _options(url)},
        )
    except ModuleNotFoundError as error:
        raise Failed(
            "PostgreSQL needs psycopg, which is not installed",
            'run: pip install "firsthand[postgres]"',
        ) from error
    event.listen(engine, "begin", _postgres_begin)
    return engine


def _options(url: sa.URL) -> str:
    given = url.query.get("options", "")
    asked = f"-c lock_timeout={BUSY_MS} -c idle_in_transaction_session_timeout=600000"
    return f"{asked} {given if isinstance(given, str) else ' '.join(given)}"


def _check_postgres(connection: Connection) -> None:
    """Refused where a server was told to lose commits at a power cut."""
    for name in ("fsync", "synchronous_commit"):
        if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off":
            raise Refused(
                f"the PostgreSQL server runs with {name} off: a power cut could undo a receipt",
                f"set {name} = on in postgresql.conf",
            )


def _postgres_begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("firsthand_readonly"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


# Tables whose files hold more than the first page of an index. Of a small vault's tables most are
# empty, and to rewrite one takes 30 ms even so.
_FILLED = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = to_regnamespace(current_schema())
    AND (
        pg_relation_size(oid) > 0 OR pg_relation_size(reltoastrelid) > 0
        OR EXISTS (
            SELECT FROM pg_index WHERE indrelid = pg_class.oid
            AND pg_relation_size(indexrelid) > current_setting('block_size')::int
        )
    )
"""


def _vacuum(engine: sa.Engine) -> None:
    """Rewrites every table of ours that has ever held a row since the last time: a plain VACUUM
    leaves deleted bytes until they are reused."""
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT", firsthand_readonly=True)
        names = connection.exec_driver_sql(_FILLED).scalars().all()
        quote = engine.dialect.identifier_preparer.quote
        try:
            for name in names:
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {quote(name)}")
        except OperationalError as error:
            raise _in_use(engine) from error
        # Lets the server remove the old files now; who may not ask waits for its next checkpoint.
        with contextlib.suppress(DatabaseError):
            connection.exec_driver_sql("CHECKPOINT")
