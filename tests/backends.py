"""Where a test's vault keeps things: SQLite and files, or PostgreSQL and a bucket of Ceph.

The servers are real ones, started by tests/servers/; where they don't run, the tests that need them
are skipped, and fail if FIRSTHAND_TEST_SERVERS is set.
"""

import itertools
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import psycopg
import pytest

from firsthand import age, config
from firsthand.db import SCHEMA_VERSION, metadata
from firsthand.errors import Damaged, NotFound, Refused
from firsthand.vault import ingest
from firsthand.vault.s3 import Key, _request, sign_url
from firsthand.vault.vault import Vault

# A test that runs over SQLite and files, and over PostgreSQL and Ceph.
both = pytest.mark.parametrize("backend", ["files", "servers"], indirect=True)
SERVERS = Path(__file__).parent / "servers"
BUCKET = "firsthand-tests"
LEFT_OUT = "needs PostgreSQL and Ceph: make servers"


@dataclass
class Servers:
    """A running PostgreSQL, with a database of this process's own, and an S3 store with a bucket.

    Of its own, because all writers of one database queue for one lock, whatever their schemas. It
    stays for the next run: to drop a database is to write all of them to the disk.
    """

    postgres: str
    s3: dict[str, str]
    _spare: list[str] = field(default_factory=list)  # schemas with our tables, all empty

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database: a schema of its own, without any table."""
        name = self._make()
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    @contextmanager
    def fresh(self) -> Iterator[dict[str, str]]:
        """Settings of an empty database and an empty store.

        The next test gets its tables, emptied: to make all of them anew takes 0.2 s.
        """
        name = self._spare.pop() if self._spare else self._make()
        try:
            yield {
                "database_url": self._url(name),
                "store_url": f"s3://{BUCKET}/t{secrets.token_hex(8)}",
                **self.s3,
            }
        finally:
            with psycopg.connect(self.postgres) as connection:
                emptied = _empty(connection, name)
            self._spare.append(name) if emptied else self._drop(name)

    def sweep(self) -> None:
        """Drops every schema of a test; some are left where a process was killed."""
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            sql = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^t[0-9a-f]{16}$'"
            for (name,) in connection.execute(sql).fetchall():
                self._drop(name)

    def _url(self, schema: str) -> str:
        return f"{self.postgres}?options=-csearch_path%3D{schema}"

    def _make(self) -> str:
        name = f"t{secrets.token_hex(8)}"
        _run(self.postgres, f"CREATE SCHEMA {name}")
        return name

    def _drop(self, name: str) -> None:
        _run(self.postgres, f"DROP SCHEMA {name} CASCADE")


def _empty(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Empties a schema's tables; False, and nothing is done, if they aren't as we make them."""
    sql: Any = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    names = {name for (name,) in connection.execute(sql, [schema])}
    if "schema" not in names or not names <= set(metadata.tables):
        return False
    sql = f"SELECT version FROM {schema}.schema"
    if connection.execute(sql).fetchall() != [(SCHEMA_VERSION,)]:
        return False
    # TRUNCATE takes 0.3 s for what a test fills, DELETE 0.02 s; as a replica it heeds no reference.
    connection.execute("SET session_replication_role = replica")
    sql = [f"SELECT '{n}' WHERE EXISTS (SELECT FROM {schema}.{n})" for n in names - {"schema"}]
    filled = connection.execute(" UNION ALL ".join(sql)).fetchall()
    for (name,) in filled:
        sql = f"DELETE FROM {schema}.{name}"
        connection.execute(sql)
    sql = "SELECT setval(format('%%I.%%I', schemaname, sequencename), 1, false) FROM pg_sequences"
    connection.execute(f"{sql} WHERE schemaname = %s", [schema])
    return True


def data_folder(folder: Path) -> Path:
    """A new data folder whose root is sealed cheaply: at full cost a vault opens 0.1 s later."""
    data = config.mark(folder, "real")
    (data / "vault").mkdir(mode=0o700)
    said = secrets.token_hex(8)
    (data / "root.passphrase").touch(0o600)
    (data / "root.passphrase").write_text(said)
    root = age.encrypt(secrets.token_bytes(32), passphrase=said, scrypt_log2=1)
    (data / "vault" / "root.age").write_bytes(root)
    return data


def find() -> Servers | None:
    """The servers, if both run."""
    url = _told("postgres", "url")
    lines = dict(line.split("=", 1) for line in _told("ceph-rgw", "env").splitlines())
    s3 = {name.removeprefix("FIRSTHAND_").lower(): value for name, value in lines.items()}
    if not (_answers(url) and _answers(s3.get("s3_endpoint", ""))):
        return None
    _make_bucket(s3)
    return Servers(url, s3)


@contextmanager
def servers() -> Iterator[Servers]:
    """The servers; skips the test without them, or fails it where they have to be."""
    found = find()
    if found is None:
        if os.environ.get("FIRSTHAND_TEST_SERVERS"):
            pytest.fail("FIRSTHAND_TEST_SERVERS is set, and PostgreSQL or Ceph does not answer")
        pytest.skip(LEFT_OUT)
    with psycopg.connect(found.postgres, autocommit=True) as claim:  # held until the end
        lock: Any = "SELECT pg_try_advisory_lock(%s)"
        free = (n for n in itertools.count() if claim.execute(lock, [n]).fetchone() == (True,))
        name = f"firsthand_tests_{next(free)}"
        if not claim.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            _run(found.postgres, f"CREATE DATABASE {name}")
        own = Servers(urlunsplit(urlsplit(found.postgres)._replace(path=f"/{name}")), found.s3)
        own.sweep()
        yield own
        own.sweep()


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def _told(script: str, verb: str) -> str:
    done = subprocess.run([SERVERS / script, verb], capture_output=True, text=True)
    return done.stdout.strip()


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), 2).close()
    except OSError:
        return False
    return True


def _make_bucket(s3: dict[str, str]) -> None:
    key = Key(s3["s3_access_key"], s3["s3_secret_key"], s3["s3_region"])
    url = sign_url(key, "PUT", f"{s3['s3_endpoint']}/{BUCKET}", {}, {}, time.time(), 60)
    status, said = _request("PUT", url, b"")
    assert status in (200, 409), said


def send_part(vault: Vault, upload: str, part: dict[str, Any], data: bytes, md5: str = "") -> None:
    """Sends a part to its URL: to the vault itself, or over HTTP to the store."""
    url = urlsplit(part["url"])
    if not url.netloc:
        asked = dict(parse_qsl(url.query))
        expires, mac = int(asked["expires"]), asked["mac"]
        ingest.put_part(vault, upload, part["number"], expires, mac, data, md5)
        return
    request = Request(part["url"], data, method="PUT")
    request.add_header("Content-Type", "application/octet-stream")
    if md5:
        request.add_header("Content-MD5", md5)
    try:
        with urlopen(request, timeout=30) as answer:
            assert answer.headers["ETag"]
    except HTTPError as error:
        kind = {403: Refused, 404: NotFound}.get(error.code, Damaged)
        raise kind(f"the store said {error.code}") from error
