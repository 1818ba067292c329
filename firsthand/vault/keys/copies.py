"""Copies of the keyring in other folders, best on other disks, kept in step with each commit.

Losing the keyring loses all footage. A copy that can't be reached is an alarm and is brought up
when it is there again; where the keyring itself is lost or older, the newest copy takes its place.
What is destroyed in the keyring is overwritten in its copies.
"""

import contextlib
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

NAME = "keyring.db"
# Which rows changed, in order; a copy says up to where it knows them.
_TABLES = {"wrapped_key": ("kind", "name"), "epoch": ("number",)}
_MOST = 100_000  # changes that are remembered for a copy that is away; beyond, it is copied whole


class Copies:
    """Keeps copies of one keyring's database."""

    def __init__(self, folder: Path, folders: list[Path]) -> None:
        self._file = folder / NAME
        self._files = [each / NAME for each in folders]
        self.failed: dict[str, str] = {}  # folder -> what is wrong with it
        self._lock = threading.Lock()

    @property
    def alone(self) -> bool:
        """Whether several copies are asked for and the keyring is the only one left."""
        return len(self._files) > 1 and len(self.failed) == len(self._files)

    def take_newest(self) -> bool:
        """Before the keyring is opened: puts the newest copy in its place if that is newer."""
        here = _stand(self._file)
        newest = max(self._files, key=_stand, default=self._file)
        if _stand(newest) <= max(here, 0):
            return False
        fresh = self._file.with_name(f"{NAME}.new")
        fresh.unlink(missing_ok=True)
        shutil.copyfile(newest, fresh)
        os.chmod(fresh, 0o600)
        for side in ("-wal", "-shm"):
            self._file.with_name(NAME + side).unlink(missing_ok=True)
        fresh.replace(self._file)
        logging.getLogger("firsthand.vault").warning("keyring_restored: from %s", newest.parent)
        return True

    def begin(self) -> None:
        """Has the keyring note what changes in it, and brings every copy up."""
        with _opened(self._file) as here, here:
            here.execute(
                "CREATE TABLE IF NOT EXISTS change"
                " (seq INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT, keys TEXT)"
            )
            for table, columns in _TABLES.items():
                for act, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
                    named = ", ".join(f"{row}.{column}" for column in columns)
                    here.execute(
                        f"CREATE TRIGGER IF NOT EXISTS note_{table}_{act} AFTER {act} ON {table}"
                        f" BEGIN INSERT INTO change (place, keys)"
                        f" VALUES ('{table}', json_array({named})); END"
                    )
        self.follow()

    def follow(self) -> None:
        """Brings every copy up to the keyring; one that can't be is named in `failed`."""
        with self._lock:
            for file in self._files:
                try:
                    self._bring_up(file)
                    self.failed.pop(str(file.parent), None)
                except (OSError, sqlite3.Error) as error:
                    if str(file.parent) not in self.failed:
                        log = logging.getLogger("firsthand.vault")
                        log.warning("keyring_copy_failed: %s: %s", file.parent, error)
                    self.failed[str(file.parent)] = str(error)

    def _bring_up(self, file: Path) -> None:
        if not file.parent.is_dir():  # a disk that is not mounted; never made here
            raise OSError("the folder is not there")
        with _opened(self._file) as here:
            ((oldest, newest),) = here.execute("SELECT min(seq), max(seq) FROM change").fetchall()
            stand = _stand(file)
            if stand < 0 or (oldest or 0) > stand + 1:
                _copy_whole(here, file)
                return
            if stand >= (newest or 0):
                return
            with _opened(file) as there, there:
                there.execute("PRAGMA secure_delete=ON")
                there.execute("BEGIN IMMEDIATE")
                ((stand,),) = there.execute("SELECT max(seq) FROM change").fetchall()
                query = "SELECT seq, place, keys FROM change WHERE seq > ? ORDER BY seq"
                rows = here.execute(query, (stand or 0,)).fetchall()
                _apply(here, there, rows)
            if newest - (oldest or 0) > _MOST:
                with here:
                    here.execute("DELETE FROM change WHERE seq < ?", (newest - _MOST // 2,))


def _apply(
    here: sqlite3.Connection, there: sqlite3.Connection, rows: list[tuple[int, str, str]]
) -> None:
    """The rows that changed, as they are now; whoever comes later finds them changed already."""
    for place, keys in {(place, keys) for _, place, keys in rows}:
        columns = _TABLES[place]
        where = " AND ".join(
            f"{name} = json_extract(?, '$[{n}]')" for n, name in enumerate(columns)
        )
        given = (keys,) * len(columns)
        found = here.execute(f"SELECT * FROM {place} WHERE {where}", given).fetchone()
        there.execute(f"DELETE FROM {place} WHERE {where}", given)
        if found is not None:
            marks = ", ".join("?" for _ in found)
            there.execute(f"INSERT INTO {place} VALUES ({marks})", found)
    # Its own triggers noted these too; what counts are the keyring's numbers.
    there.execute("DELETE FROM change")
    if rows:
        there.execute("INSERT INTO change VALUES (?, '', '')", (rows[-1][0],))


def _copy_whole(here: sqlite3.Connection, file: Path) -> None:
    fresh = file.with_name(f"{NAME}.new")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(fresh)) as there:
        os.chmod(fresh, 0o600)
        here.backup(there)
        there.execute("PRAGMA journal_mode=DELETE")
        with there:
            ((newest,),) = there.execute("SELECT coalesce(max(seq), 0) FROM change").fetchall()
            there.execute("DELETE FROM change")
            there.execute("INSERT INTO change VALUES (?, '', '')", (newest,))
        there.execute("VACUUM")
    fresh.replace(file)
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _stand(file: Path) -> int:
    """Up to which change a keyring or a copy goes; -1 if it is none."""
    if not file.is_file() or not file.stat().st_size:
        return -1
    try:
        with _opened(file) as there:
            ((seq,),) = there.execute("SELECT coalesce(max(seq), 0) FROM change").fetchall()
            return seq
    except sqlite3.Error:
        return -1


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        yield connection
    finally:
        connection.close()
