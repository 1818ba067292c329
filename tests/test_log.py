"""The log in the database: appended with its change or not at all, and no edit goes unseen."""

from multiprocessing.connection import Connection as Line
from pathlib import Path

import pytest
import sqlalchemy as sa
from children import Child
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.db import Database
from firsthand.errors import Damaged

SALT = b"s" * 32


@pytest.fixture
def db(tmp_path: Path):
    opened = Database(f"sqlite:///{tmp_path / 'log.db'}")
    yield opened
    opened.close()


def fill(db: Database, count: int = 7) -> None:
    with db.write() as connection:
        for number in range(count):
            log.append(
                connection,
                "noted",
                1000 + number,
                person="p1",
                salt=SALT,
                private={"secret": number},
                public=number,
            )


def change(db: Database, statement: str, *values: object) -> None:
    """What someone with the database in hand could do."""
    with db.write() as connection:
        connection.exec_driver_sql(statement, tuple(values))


def test_entries_are_read_back_in_order_with_their_fields(db):
    fill(db, 3)
    with db.read() as connection:
        entries = list(log.read(connection))
    assert [entry.index for entry in entries] == [0, 1, 2]
    assert [(entry.kind, entry.time_ns) for entry in entries] == [
        ("noted", 1000),
        ("noted", 1001),
        ("noted", 1002),
    ]
    assert [entry.public["public"] for entry in entries] == [0, 1, 2]
    assert entries[2].private == {"person": "p1", "secret": 2}


def test_reading_begins_at_any_entry_and_keeps_to_one_person(db):
    fill(db, 2)
    with db.write() as connection:
        log.append(connection, "noted", 5, person="p2", salt=b"t" * 32)
        log.append(connection, "made", 6, release="r1")
        assert [entry.index for entry in log.read(connection, start=2)] == [2, 3]
        assert [entry.index for entry in log.read(connection, "p1")] == [0, 1]
        assert [entry.index for entry in log.read(connection, "p2", start=1)] == [2]


def test_a_whole_log_verifies_and_its_root_is_that_of_its_entries(db):
    with db.read() as connection:
        assert (log.verify(connection), log.root(connection)) == (0, tlog.EMPTY_ROOT)
    for _ in range(3):
        fill(db, 5)
    with db.read() as connection:
        assert log.verify(connection) == log.size(connection) == 15
        raw = connection.scalars(sa.select(log.entries.c.entry).order_by(log.entries.c.index))
        leaves = [tlog.leaf_hash(entry) for entry in raw]
        while len(leaves) > 1:  # pairs up, an odd one rising: RFC 6962 in another form
            pairs = [leaves[at : at + 2] for at in range(0, len(leaves), 2)]
            leaves = [tlog.node_hash(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        assert log.root(connection) == leaves[0]


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        ('UPDATE log_entry SET entry = ? WHERE "index" = 3', (b"{}",), 3),
        ('DELETE FROM log_entry WHERE "index" = 3', (), 3),
        ('DELETE FROM log_entry WHERE "index" = 0', (), 0),
        ('UPDATE log_entry SET "index" = 99 WHERE "index" = 6', (), 6),
        ('UPDATE log_hash SET hash = ? WHERE level = 0 AND "index" = 4', (b"h" * 32,), 4),
        ('UPDATE log_hash SET hash = ? WHERE level = 2 AND "index" = 0', (b"h" * 32,), 3),
    ],
)
def test_verify_names_the_first_entry_that_was_tampered_with(db, statement, values, index):
    fill(db)
    change(db, statement, *values)
    with db.read() as connection, pytest.raises(Damaged, match=f"log entry {index} "):
        log.verify(connection)


def test_entries_that_changed_places_are_found(db):
    fill(db)
    for old, new in ((2, 99), (5, 2), (99, 5)):
        change(db, 'UPDATE log_entry SET "index" = ? WHERE "index" = ?', new, old)
    with db.read() as connection, pytest.raises(Damaged, match="log entry 2 was changed"):
        log.verify(connection)


def test_a_missing_hash_is_found(db):
    fill(db)
    change(db, 'DELETE FROM log_hash WHERE level = 1 AND "index" = 1')
    with db.read() as connection, pytest.raises(Damaged, match="lacks hash 1 of level 1"):
        log.verify(connection)


def test_a_log_whose_last_entries_were_cut_off_is_found(db):
    fill(db)
    change(db, 'DELETE FROM log_entry WHERE "index" >= 5')
    with db.read() as connection, pytest.raises(Damaged, match="cut"):
        log.verify(connection)


def test_a_log_cut_with_all_its_hashes_no_longer_meets_an_old_root(db):
    fill(db)
    with db.read() as connection:
        old_size, old_root = log.size(connection), log.root(connection)
    change(db, 'DELETE FROM log_entry WHERE "index" >= 5')
    change(db, 'DELETE FROM log_hash WHERE ("index" + 1) << level > 5')
    fill(db, 4)
    with db.read() as connection:
        assert log.verify(connection) == 9  # nothing in the database itself tells
        proof = tlog.consistency_proof(old_size, 9, log.reader(connection))
        with pytest.raises(Damaged):
            tlog.verify_consistency(old_size, 9, proof, old_root, log.root(connection))


def test_each_entry_is_proven_under_the_root_of_now(db):
    fill(db, 11)
    with db.read() as connection:
        top, read = log.root(connection), log.reader(connection)
        for row in connection.execute(sa.select(log.entries)):
            index = row._mapping["index"]
            proof = tlog.inclusion_proof(index, 11, read)
            tlog.verify_inclusion(tlog.leaf_hash(row.entry), index, 11, proof, top)


def test_the_root_of_any_earlier_size_can_still_be_had(db):
    roots = []
    for _ in range(6):
        fill(db, 1)
        with db.read() as connection:
            roots.append(log.root(connection))
    with db.read() as connection:
        assert [log.root(connection, at) for at in range(1, 7)] == roots


def test_a_log_of_more_subtrees_than_one_query_reads_has_the_right_root(db):
    fill(db, 1100)
    with db.read() as connection:
        for size in (511, 1023, 1100):  # nine, ten and four complete subtrees
            assert log.root(connection, size) == tlog.root(size, log.reader(connection))
        assert log.verify(connection) == 1100


def test_personal_fields_are_not_in_the_entry_itself(db):
    with db.write() as connection:
        log.append(connection, "noted", 1, person="p1", salt=SALT, private={"name": "Ana Example"})
        entry = connection.scalar(sa.select(log.entries.c.entry))
    assert b"Ana" not in entry
    assert b"p1" not in entry


def test_equal_personal_fields_give_unequal_commitments(db):
    with db.write() as connection:
        for _ in range(2):
            log.append(connection, "noted", 1, person="p1", salt=SALT, private={"choice": "yes"})
        first, second = (entry.public for entry in log.read(connection))
    assert first["commitment"] != second["commitment"]
    assert first["subject"] == second["subject"] == log.subject(SALT)


def test_openings_match_their_commitments(db):
    fill(db)
    with db.write() as connection:
        log.append(connection, "noted", 1, person="p2", salt=b"t" * 32, private={"x": 1})
        assert log.verify_openings(connection, {"p1": SALT}) == 7
        assert log.verify_openings(connection, {"p2": b"t" * 32}) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET opening = x'7b7d' WHERE \"index\" = 2",
        "UPDATE log_entry SET opening ="
        ' (SELECT opening FROM log_entry WHERE "index" = 3) WHERE "index" = 2',
        'UPDATE log_entry SET opening = NULL WHERE "index" = 2',
        'UPDATE log_entry SET person = NULL WHERE "index" = 2',
        "UPDATE log_entry SET person = 'p2' WHERE \"index\" = 2",
    ],
)
def test_altered_openings_are_found(db, statement):
    fill(db)
    change(db, statement)
    with db.read() as connection:
        assert log.verify(connection) == 7  # the entries themselves are as they were
        with pytest.raises(Damaged, match="log entry 2 "):
            log.verify_openings(connection, {"p1": SALT})


def test_an_entry_of_another_cannot_be_put_on_a_persons_account(db):
    fill(db, 2)
    with db.write() as connection:
        log.append(connection, "noted", 1, person="p2", salt=b"t" * 32)
    change(db, "UPDATE log_entry SET person = 'p1' WHERE \"index\" = 2")
    with db.read() as connection, pytest.raises(Damaged, match="log entry 2 "):
        log.verify_openings(connection, {"p1": SALT})


def test_after_forgetting_nothing_personal_is_left_and_every_proof_still_holds(db):
    fill(db, 3)
    with db.write() as connection:
        log.append(connection, "noted", 1, person="p2", salt=b"t" * 32, private={"x": 1})
        before = log.root(connection)
        log.forget(connection, "p1")
    with db.read() as connection:
        assert log.root(connection) == before
        assert log.verify(connection) == 4
        assert [entry.private for entry in log.read(connection)][:3] == [None, None, None]
        assert list(log.read(connection, "p1")) == []
        assert log.verify_openings(connection, {"p2": b"t" * 32}) == 1


def test_an_entry_is_undone_with_the_change_it_speaks_of(db):
    fill(db, 3)
    with db.read() as connection:
        before = log.root(connection)

    def fail(connection: Connection) -> None:
        log.append(connection, "noted", 1)
        log.append(connection, "noted", 2)
        raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError), db.write() as connection:
        fail(connection)
    with db.read() as connection:
        assert (log.size(connection), log.root(connection)) == (3, before)
        assert log.verify(connection) == 3
    fill(db, 1)
    with db.read() as connection:
        assert log.verify(connection) == 4


def test_an_entry_that_cannot_be_written_down_leaves_no_trace(db):
    with pytest.raises(Exception, match="no single form"), db.write() as connection:
        log.append(connection, "noted", 1, length_s=1.5)
    with db.read() as connection:
        assert log.size(connection) == 0


def append_many(line: Line, url: str, name: str, count: int) -> None:
    db = Database(url)
    line.send("ready")
    line.recv()
    for number in range(count):
        with db.write() as connection:
            log.append(connection, name, number, number=number)
    db.close()


def test_two_processes_that_append_at_once_leave_no_gap(tmp_path):
    url = f"sqlite:///{tmp_path / 'log.db'}"
    workers = [Child(append_many, url, name, 25) for name in ("left", "right")]
    assert [worker.hear() for worker in workers] == ["ready"] * 2
    for worker in workers:
        worker.line.send("go")
    assert [worker.end() for worker in workers] == [0, 0]
    db = Database(url)
    with db.read() as connection:
        assert log.verify(connection) == 50
        for name in ("left", "right"):
            mine = [e.public["number"] for e in log.read(connection) if e.kind == name]
            assert mine == list(range(25))
        times = [entry.time_ns for entry in log.read(connection)]
        assert times == sorted(times)
    db.close()
