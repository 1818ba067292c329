"""Transactions, versions and what a deleted row leaves behind."""

import multiprocessing
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from firsthand import db as db_module
from firsthand.db import Database
from firsthand.errors import Damaged, Failed, Locked

TABLES = sa.MetaData()
NOTES = sa.Table(
    "note", TABLES, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String)
)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


@pytest.fixture
def db(tmp_path):
    opened = Database(url(tmp_path), TABLES)
    yield opened
    opened.close()


def put(db: Database, *texts: str) -> None:
    with db.write() as connection:
        for text in texts:
            connection.execute(NOTES.insert().values(text=text))


def texts(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(sa.select(NOTES.c.text).order_by(NOTES.c.id)))


def test_what_was_written_is_there_after_opening_again(db, tmp_path):
    put(db, "one")
    db.close()
    again = Database(url(tmp_path), TABLES)
    assert texts(again) == ["one"]
    again.close()


def test_an_error_inside_a_transaction_undoes_all_of_it(db):
    def half() -> None:
        with db.write() as connection:
            connection.execute(NOTES.insert().values(text="half"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert texts(db) == []


def test_a_reading_transaction_sees_one_moment_throughout(db):
    put(db, "one")
    with db.read() as connection:
        query = sa.select(NOTES.c.text)
        first = connection.scalars(query).all()
        put(db, "two")
        assert connection.scalars(query).all() == first
    assert texts(db) == ["one", "two"]


def test_what_is_written_in_a_reading_transaction_is_not_kept(db):
    with db.read() as connection:
        connection.execute(NOTES.insert().values(text="stray"))
    assert texts(db) == []


def test_writers_wait_for_each_other_instead_of_failing_halfway(db):
    def add() -> None:
        for _ in range(10):
            with db.write() as connection:
                count = connection.scalar(sa.select(sa.func.count()).select_from(NOTES))
                connection.execute(NOTES.insert().values(text=str(count)))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts(db) == [str(number) for number in range(30)]


def test_commits_survive_a_power_cut_and_rows_keep_their_references(db):
    with db.read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]  # 2 is FULL


def test_a_database_of_another_version_is_refused(db, tmp_path):
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE schema SET version = 999")
    with pytest.raises(Damaged, match="schema 999"):
        Database(url(tmp_path), TABLES)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    (tmp_path / "test.db").write_bytes(b"a diary\n" * 500)
    with pytest.raises(Failed, match="cannot open"):
        Database(url(tmp_path), TABLES)
    assert (tmp_path / "test.db").read_bytes() == b"a diary\n" * 500


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("test.db*")))


def test_compacting_leaves_no_deleted_row_in_any_file(db, tmp_path):
    put(db, *(f"secret {number:04d} " * 9 for number in range(200)))
    with db.write() as connection:
        connection.execute(NOTES.delete().where(NOTES.c.id != 7))
    assert b"secret 0120" in everything(tmp_path)  # deleting alone does not
    db.compact()
    assert texts(db) == ["secret 0006 " * 9]
    for number in range(200):
        assert (f"secret {number:04d}".encode() in everything(tmp_path)) == (number == 6)


def test_compacting_says_so_when_a_reader_keeps_deleted_rows_alive(tmp_path, monkeypatch):
    monkeypatch.setattr(db_module, "BUSY_MS", 50)
    db = Database(url(tmp_path), TABLES)
    put(db, "secret")
    with db.read() as connection:
        connection.execute(sa.select(NOTES)).all()
        with db.write() as writer:
            writer.execute(NOTES.delete())
        with pytest.raises(Locked, match="in use"):
            db.compact()
    db.compact()
    assert b"secret" not in everything(tmp_path)
    db.close()


def open_it(database: str, wait) -> None:  # type: ignore[no-untyped-def]
    wait()
    Database(database, TABLES).close()


def test_several_processes_make_a_new_database_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [
        context.Process(target=open_it, args=(url(tmp_path), barrier.wait)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    db = Database(url(tmp_path), TABLES)
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT version FROM schema").scalars().all() == [1]
    db.close()


def test_a_full_disk_is_an_error_with_a_hint_and_writes_nothing(db):
    put(db, "before")

    def fill() -> None:
        with db.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")  # no page more than there is
            connection.execute(NOTES.insert().values(text="x" * 100_000))

    with pytest.raises(Failed, match="full") as caught:
        fill()
    assert "make room" in caught.value.hint
    assert texts(db) == ["before"]
