"""A database with two people in it; this room needs no vault."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.db import Database

NOW_NS = 1_793_520_000 * 10**9


@pytest.fixture
def db() -> Iterator[Database]:
    opened = Database("sqlite://")  # in memory
    yield opened
    opened.close()


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    with db.write() as opened:
        yield opened


@pytest.fixture
def ana(connection: Connection) -> people.Person:
    return people.add(connection, "ana", "sim", NOW_NS)


@pytest.fixture
def ben(connection: Connection) -> people.Person:
    return people.add(connection, "ben", "sim", NOW_NS)


@pytest.fixture
def now_ns() -> int:
    return NOW_NS
