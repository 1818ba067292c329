"""Migrations: wholly or not at all, whatever fails or is killed; newer databases are refused."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import children
import pytest
import sqlalchemy as sa
from faults import FULL

from firsthand.consent.capture import law
from firsthand.db import Database
from firsthand.errors import Damaged, Failed
from firsthand.vault import catalog

TABLES = sa.MetaData()
NOTES = sa.Table(
    "note", TABLES, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String)
)
STEPS = (
    ("ALTER TABLE note ADD COLUMN mood VARCHAR NOT NULL DEFAULT 'calm'",),
    ("CREATE TABLE extra (id INTEGER)", "UPDATE note SET text = text || '!'"),
)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


def put(db: Database, *texts: str) -> None:
    with db.write() as connection:
        for text in texts:
            connection.execute(NOTES.insert().values(text=text))


def texts(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(sa.select(NOTES.c.text).order_by(NOTES.c.id)))


def columns(db: Database) -> set[str]:
    return {column["name"] for column in sa.inspect(db.engine).get_columns("note")}


def dump(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "test.db")) as connection:
        return list(connection.iterdump())


@pytest.mark.fault("B3")
def test_b3_an_old_database_is_brought_up_and_keeps_what_it_holds(tmp_path):
    old = Database(url(tmp_path), TABLES, steps=())
    put(old, "one")
    old.close()
    fresh = Database(url(tmp_path), TABLES, steps=STEPS)
    assert (texts(fresh), columns(fresh)) == (["one!"], {"id", "text", "mood"})
    fresh.close()
    again = Database(url(tmp_path), TABLES, steps=STEPS)  # once is enough
    assert texts(again) == ["one!"]
    again.close()


@pytest.mark.fault("B3")
def test_b3_old_code_refuses_a_newer_database_and_changes_nothing(tmp_path):
    Database(url(tmp_path), TABLES, steps=STEPS).close()
    before = dump(tmp_path)
    assert any("VALUES(3)" in line for line in before)
    with pytest.raises(Damaged, match="schema 3, this program knows 2"):
        Database(url(tmp_path), TABLES, steps=STEPS[:1])
    assert dump(tmp_path) == before


@pytest.mark.fault("B3")
@pytest.mark.parametrize("after", range(3))
def test_b3_a_step_that_fails_undoes_all_and_the_next_start_takes_it(tmp_path, after):
    old = Database(url(tmp_path), TABLES, steps=())
    put(old, "one")
    old.close()
    wrong = [list(step) for step in STEPS]
    wrong[after > 0].insert(after % 2, "UPDATE nothing SET x = 1")
    with pytest.raises(Failed):
        Database(url(tmp_path), TABLES, steps=wrong)
    kept = Database(url(tmp_path), TABLES, steps=())  # still the old one, whole
    assert (texts(kept), columns(kept)) == (["one"], {"id", "text"})
    kept.close()
    fresh = Database(url(tmp_path), TABLES, steps=STEPS)
    assert texts(fresh) == ["one!"]
    fresh.close()


@pytest.mark.fault("B3")
def test_b3_killed_in_a_migration_the_next_start_takes_it_from_the_beginning(tmp_path, tally):
    base = tmp_path / "base"
    base.mkdir()
    old = Database(url(base), TABLES, steps=())
    put(old, *(f"{number}" for number in range(500)))
    old.close()
    survived = 0
    for number in range(1, 200 if FULL else 12):
        folder = tmp_path / str(number)
        shutil.copytree(base, folder)
        survived = children.call(migrate_and_die, url(folder), number) == "done"
        fresh = Database(url(folder), TABLES, steps=STEPS)
        assert sorted(texts(fresh)) == sorted(f"{number}!" for number in range(500))
        assert columns(fresh) == {"id", "text", "mood"}
        fresh.close()
        shutil.rmtree(folder)
        tally.add()
        if survived:
            break  # it went through all statements
    assert number > 5
    assert survived or not FULL


def migrate_and_die(database: str, number: int) -> str:
    """A process that is killed before the statement of this number."""
    left = iter(range(1, number))

    def count(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    sa.event.listen(sa.Engine, "commit", count)
    Database(database, TABLES, steps=STEPS).close()
    return "done"


def test_a_vault_of_the_first_schema_opens_and_keeps_its_people(tmp_path):
    """What the first version wrote, statement by statement of its own."""
    with closing(sqlite3.connect(tmp_path / "test.db")) as old:
        old.execute("CREATE TABLE schema (version INTEGER PRIMARY KEY)")
        old.execute("INSERT INTO schema VALUES (1)")
        old.execute(
            "CREATE TABLE upload (id VARCHAR NOT NULL PRIMARY KEY, device VARCHAR NOT NULL,"
            " envelope JSON NOT NULL, headers JSON NOT NULL, size_bytes BIGINT NOT NULL,"
            " part_size BIGINT NOT NULL, opened_ns BIGINT NOT NULL)"
        )
        old.execute(
            "CREATE TABLE segment (id VARCHAR NOT NULL PRIMARY KEY, person VARCHAR, seq BIGINT,"
            " kind VARCHAR, state VARCHAR, size_bytes BIGINT, start_ns BIGINT, stop_ns BIGINT)"
        )
        old.execute("INSERT INTO upload VALUES ('1-a', 'd1', '{}', '{}', 5, 5, 1)")
        old.execute(
            "CREATE TABLE recording_law (jurisdiction VARCHAR NOT NULL PRIMARY KEY, audio VARCHAR"
            " NOT NULL, source VARCHAR NOT NULL, as_of VARCHAR NOT NULL, reviewer VARCHAR NOT NULL,"
            " expires VARCHAR NOT NULL)"
        )
        for place, audio in (("NL", "yes"), ("DE", "no")):
            row = (place, audio, "a statute", "2026-11-01", "a lawyer", "2027-11-01")
            old.execute("INSERT INTO recording_law VALUES (?, ?, ?, ?, ?, ?)", row)
        old.execute(
            "CREATE TABLE erasure (id VARCHAR NOT NULL PRIMARY KEY, person VARCHAR NOT NULL,"
            " scope VARCHAR NOT NULL, start_ns BIGINT, stop_ns BIGINT, ordered_ns BIGINT NOT NULL,"
            " done_ns BIGINT, log_index BIGINT NOT NULL)"
        )
        old.commit()
    opened = Database(url(tmp_path))
    with opened.read() as connection:
        assert connection.execute(sa.select(catalog.uploads)).all() == []
        names = {column["name"] for column in sa.inspect(connection).get_columns("upload")}
        now_ns = 1_793_520_000 * 10**9
        heard = [law.sound_permitted(connection, place, now_ns) for place in ("NL", "DE")]
    assert {column.name for column in catalog.uploads.columns} == names
    assert heard == [True, False]
    opened.close()
