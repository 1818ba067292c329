"""Transactions, versions and what a deleted row leaves behind."""

import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import sqlalchemy as sa
from children import Child
from sqlalchemy.exc import InternalError

from firsthand import db as db_module
from firsthand.db import Database, file_system
from firsthand.errors import Damaged, Failed, Locked, Refused, Usage

TABLES = sa.MetaData()
NOTES = sa.Table(
    "note", TABLES, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String)
)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield file_url(tmp_path)
        return
    with request.getfixturevalue("servers").database() as fresh:
        yield fresh


def file_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


@pytest.fixture
def db(url):
    opened = Database(url, TABLES)
    yield opened
    opened.close()


@pytest.fixture
def file_db(tmp_path):
    opened = Database(file_url(tmp_path), TABLES)
    yield opened
    opened.close()


def put(db: Database, *texts: str) -> None:
    with db.write() as connection:
        for text in texts:
            connection.execute(NOTES.insert().values(text=text))


def texts(db: Database) -> list[str]:
    with db.read() as connection:
        return list(connection.scalars(sa.select(NOTES.c.text).order_by(NOTES.c.id)))


def test_what_was_written_is_there_after_opening_again(db, url):
    put(db, "one")
    db.close()
    again = Database(url, TABLES)
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
    with suppress(InternalError), db.read() as connection:  # PostgreSQL says so
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


def test_commits_survive_a_power_cut_and_rows_keep_their_references(file_db):
    with file_db.read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]  # 2 is FULL


def test_a_database_of_another_version_is_refused(db, url):
    with db.write() as connection:
        connection.exec_driver_sql("UPDATE schema SET version = 999")
    with pytest.raises(Damaged, match="schema 999"):
        Database(url, TABLES)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    (tmp_path / "test.db").write_bytes(b"a diary\n" * 500)
    with pytest.raises(Failed, match="cannot open"):
        Database(file_url(tmp_path), TABLES)
    assert (tmp_path / "test.db").read_bytes() == b"a diary\n" * 500


def everything(db: Database) -> bytes:
    """Every byte of the database's files; of PostgreSQL's without its write-ahead log."""
    if db.engine.dialect.name == "sqlite":
        return b"".join(
            path.read_bytes()
            for path in sorted(Path(db.engine.url.database).parent.glob("test.db*"))
        )
    with db.engine.connect() as connection:
        connection.exec_driver_sql("CHECKPOINT")
        folder = connection.exec_driver_sql("SHOW data_directory").scalar()
        oid = "SELECT oid FROM pg_database WHERE datname = current_database()"
        name = connection.exec_driver_sql(oid).scalar()
    files = (Path(folder) / "base" / str(name)).iterdir()
    return b"".join(path.read_bytes() for path in files)


def test_compacting_leaves_no_deleted_row_in_any_file(db):
    put(db, *(f"secret {number:04d} " * 9 for number in range(200)))
    with db.write() as connection:
        connection.execute(NOTES.delete().where(NOTES.c.id != 7))
    assert b"secret 0120" in everything(db)  # deleting alone does not
    db.compact()
    assert texts(db) == ["secret 0006 " * 9]
    left = everything(db)
    for number in range(200):
        assert (f"secret {number:04d}".encode() in left) == (number == 6)


def test_compacting_says_so_when_a_reader_keeps_deleted_rows_alive(url, monkeypatch):
    monkeypatch.setattr(db_module, "BUSY_MS", 50)
    db = Database(url, TABLES)
    put(db, "secret")
    with db.read() as connection:
        connection.execute(sa.select(NOTES)).all()
        with db.write() as writer:
            writer.execute(NOTES.delete())
        with pytest.raises(Locked, match="in use"):
            db.compact()
    db.compact()
    assert b"secret" not in everything(db)
    db.close()


def open_it(line: Connection, database: str) -> None:
    line.send("ready")
    line.recv()
    Database(database, TABLES).close()


def test_several_processes_make_a_new_database_at_once(url):
    workers = [Child(open_it, url) for _ in range(3)]
    assert [worker.hear() for worker in workers] == ["ready"] * 3
    for worker in workers:
        worker.line.send("go")
    assert [worker.end() for worker in workers] == [0, 0, 0]
    db = Database(url, TABLES)
    with db.read() as connection:
        assert connection.exec_driver_sql("SELECT version FROM schema").scalars().all() == [
            db_module.SCHEMA_VERSION
        ]
    db.close()


def test_a_full_disk_is_an_error_with_a_hint_and_writes_nothing(file_db):
    db = file_db
    put(db, "before")

    def fill() -> None:
        with db.write() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")  # no page more than there is
            connection.execute(NOTES.insert().values(text="x" * 100_000))

    with pytest.raises(Failed, match="full") as caught:
        fill()
    assert "make room" in caught.value.hint
    assert texts(db) == ["before"]


# --- where a database may not lie


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/my\040files rw - nfs4 host:/export rw,vers=4.2
31 22 0:41 / /mnt/plain rw master:2 - xfs /dev/sdb rw
32 31 0:42 / /mnt/plain/share rw - cifs //host/share rw
33 22 0:43 / /mnt/ssh rw - fuse.sshfs me@host: rw
34 22 0:44 / /run rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/me", "ext4"),
        ("/mnt/my files/data", "nfs4"),
        ("/mnt/my", "ext4"),
        ("/mnt/plain", "xfs"),
        ("/mnt/plainer", "ext4"),
        ("/mnt/plain/share/x", "cifs"),
        ("/mnt/ssh", "fuse.sshfs"),
        ("/run/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(folder, kind):
    assert file_system(Path(folder), MOUNTS) == kind


@pytest.mark.fault("B4")
@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre"])
def test_b4_sqlite_on_a_network_file_system_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(db_module, "file_system", lambda folder: kind)
    with pytest.raises(Refused, match=kind) as caught:
        Database(file_url(tmp_path), TABLES)
    assert "PostgreSQL" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("B4")
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "apfs", "overlay", "tmpfs", "zfs", ""])
def test_b4_sqlite_on_a_disk_of_this_machine_is_not(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(db_module, "file_system", lambda folder: kind)
    Database(file_url(tmp_path), TABLES).close()


@pytest.mark.fault("B4")
def test_b4_sqlite_where_no_write_ahead_log_works_is_refused(tmp_path):
    # SQLite's own locking by files, made for shares: it knows no shared memory.
    url = f"sqlite:///file:{tmp_path}/test.db?vfs=unix-dotfile&uri=true"
    with pytest.raises(Refused, match="journal_mode delete"):
        Database(url, TABLES)


@pytest.mark.fault("B4")
@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
def test_b4_sqlite_that_would_lose_commits_at_a_power_cut_is_refused(tmp_path, monkeypatch, level):
    monkeypatch.setattr(db_module, "SYNCHRONOUS", level)
    with pytest.raises(Refused, match="power cut could undo a receipt"):
        Database(file_url(tmp_path), TABLES)


@pytest.mark.fault("B4")
def test_b4_a_server_that_would_lose_commits_at_a_power_cut_is_refused(servers):
    with servers.database() as url, pytest.raises(Refused, match="synchronous_commit off"):
        Database(f"{url}%20-c%20synchronous_commit%3Doff", TABLES)


def test_a_value_that_a_server_cannot_hold_is_wrong_use(db):
    held = ["a\0b"] if db.engine.dialect.name == "sqlite" else []
    with suppress(Usage):
        put(db, "a\0b")
    assert texts(db) == held


@pytest.mark.parametrize("url", ["mysql://host/x", "nonsense", "", "oracle://x"])
def test_a_database_of_an_unknown_kind_is_wrong_use(url):
    with pytest.raises(Usage, match="database_url"):
        Database(url, TABLES)


def test_a_server_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(Failed, match="cannot open the database f") as caught:
        Database("postgresql://me:hunter2@127.0.0.1:1/f", TABLES)
    assert "hunter2" not in caught.value.message + caught.value.hint
