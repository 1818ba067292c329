"""What only a server can show: that what was erased is in none of its tables' files."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import wearers

from firsthand.consent import erasure, people
from firsthand.consent.terms import consents
from firsthand.vault import catalog, erase
from firsthand.vault.vault import Vault


@pytest.fixture
def backend(servers) -> Iterator[dict[str, str]]:
    """PostgreSQL, and files."""
    with servers.database() as url:
        yield {"database_url": url}


def tables(vault: Vault) -> bytes:
    """Every byte of the server's files for this database; its write-ahead log is another matter."""
    with vault.db.engine.connect() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        folder = connection.scalar(sa.text("SHOW data_directory"))
        query = "SELECT oid FROM pg_database WHERE datname = current_database()"
        name = connection.scalar(sa.text(query))
    found = b""
    for path in (Path(folder) / "base" / str(name)).iterdir():
        with contextlib.suppress(FileNotFoundError):  # the server's own, gone meanwhile
            found += path.read_bytes()
    return found


def test_an_erased_person_is_in_no_table_any_more(vault, device, clock):
    bearer = vault.add_person("Wilhelmina Unmistakable", "XX-PLACE")
    device.person, device.id = bearer, "unmistakable-dev"
    with vault.db.write() as connection:
        people.enrol(connection, bearer, device.id, device.key.public)
        wearers.prepare(connection, bearer)
        consents.give(connection, bearer, ["fh:human-view"])
    made = [device.seal(start_s=60 * number) for number in range(2)]
    for each in made:
        device.hand_in(each)
    with vault.db.read() as connection:
        kept = catalog.of_person(connection, bearer.id)
    secrets = [bearer.salt or b"", b"Wilhelmina", b"XX-PLACE"]
    secrets += [each.id.encode() for each in kept]
    secrets += [each.record.hash()[:40].encode() for each in made]
    found = tables(vault)
    assert [secret for secret in secrets[:5] if secret not in found] == []
    with vault.db.write() as connection:
        order = erasure.order(connection, bearer)
    erase.carry_out(vault, order)
    found = tables(vault)
    for _ in range(60):  # another test's open transaction keeps old rows of the whole database
        if any(secret in found for secret in secrets[:5]):
            time.sleep(0.5)
            vault.db.compact()
            found = tables(vault)
    # Public in the log for good: which record was stored. Not whose it was.
    assert [secret for secret in secrets[:5] if secret in found] == []
