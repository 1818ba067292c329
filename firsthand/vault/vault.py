"""The vault as one thing: database, object store and keyring, opened from the settings."""

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from firsthand import log, tlog
from firsthand.config import Settings, kind_of
from firsthand.consent import people
from firsthand.consent.liability import safety
from firsthand.consent.runs import approvals
from firsthand.db import Database
from firsthand.errors import Damaged, Error, Locked, NotFound
from firsthand.vault import catalog
from firsthand.vault.journal import TILE, Journal, newest_tile
from firsthand.vault.keys.keyring import Keyring
from firsthand.vault.keys.passphrase import passphrase_of
from firsthand.vault.keys.root import FILE
from firsthand.vault.store import Store, open_store


class Vault:
    """An opened vault; `now_ns` is its clock."""

    def __init__(
        self,
        settings: Settings,
        now_ns: Callable[[], int] = time.time_ns,
        recovering: bool = False,
    ) -> None:
        """Opens the vault of these settings, made if new; NotFound if the data folder is none.

        Damaged if the database is older than the store, or a recovery was cut off, unless it is
        opened to be recovered. Locked while it is recovered.
        """
        if kind_of(settings.data) is None:
            raise NotFound(
                f"{settings.data} is no data folder of firsthand",
                'begin with "firsthand person add NAME"',
            )
        _know_tables()
        folder = settings.data / "vault"
        folder.mkdir(exist_ok=True, mode=0o700)
        self._lock = open(folder / "open.lock", "ab")  # noqa: SIM115  # as long as it is opened
        self._unfinished = folder / "recovering"
        self.settings = settings
        self.now_ns = now_ns
        with ExitStack() as opened:
            opened.callback(self._lock.close)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                hint = "wait until that is done"
                raise Locked("the vault is recovered just now", hint) from None
            if self._unfinished.exists() and not recovering:
                raise Damaged(
                    "a recovery of this vault was cut off: not all is back",
                    'run "firsthand vault recover" again; until then nothing is read or written',
                )
            self._open(folder, opened)
            if not recovering:
                self._check_age()
                self.db.after_write = self.follow
            opened.pop_all()

    def _open(self, folder: Path, opened: ExitStack) -> None:
        settings = self.settings
        self.db = Database(settings.database)
        opened.callback(self.db.close)
        self.store = open_store(settings)
        words = passphrase_of(settings.data, settings.passphrase, needed=settings.root == FILE)
        copies = [Path(each) for each in settings.keyring_copies.split(os.pathsep) if each]
        self.keyring = Keyring(folder, words, settings.root, self.now_ns, copies)
        opened.callback(self.keyring.close)
        self.copy: Store | None = None
        if settings.copy_url:
            self.copy = open_store(replace(settings, store_url=settings.copy_url))
        self.journal = Journal(self.store, self.keyring)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else has the vault open meanwhile; Locked if somebody has."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # a try that fails has let go of it
            raise Locked(
                "another process has this vault open", "stop the server and its workers first"
            ) from None
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def begin_recovery(self) -> None:
        """From here on, through any crash, the vault opens only to be recovered."""
        handle = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT, 0o600)
        os.fsync(handle)
        os.close(handle)
        self._sync_folder()

    def end_recovery(self) -> None:
        """All is back: the vault opens again."""
        self._unfinished.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        handle = os.open(self._unfinished.parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    def follow(self) -> None:
        """Brings the journal in the store up to what the log says."""
        try:
            with self.db.read() as connection:
                self.journal.follow(connection)
        except Error as error:
            # What was committed stays so; the next commit copies this too.
            logging.getLogger("firsthand.vault").warning("journal_behind: %s", error.message)

    def _check_age(self) -> None:
        with self.db.read() as connection:
            newest = newest_tile(self.store, max(0, log.size(connection) - 1) // TILE)
        with self.db.read() as connection:  # read after the store: others may be writing
            behind = newest[1] - log.size(connection) if newest else 0
        if behind > 0:
            raise Damaged(
                f"the database is older than the store: it lacks {behind} entries of the log",
                'run "firsthand vault recover"; until then nothing is read or written',
            )

    @property
    def origin(self) -> str:
        """The log's name, which holds its key: two vaults never share one."""
        return tlog.log_name(self.keyring.log_key().public)

    def url_key(self) -> bytes:
        """The secret under which this vault gives out part URLs."""
        return hashlib.sha256(b"firsthand/url/v1" + self.keyring.log_key().to_bytes()).digest()

    def checkpoint(self) -> str:
        """The log's signed checkpoint now (C2SP tlog-checkpoint)."""
        with self.db.read() as connection:
            state = tlog.Checkpoint(self.origin, log.size(connection), log.root(connection))
        return state.sign(self.keyring.log_key())

    def add_person(self, name: str, jurisdiction: str = "", approval: str = "") -> people.Person:
        """Enrols a person and makes their volunteer key.

        Refused under an ethics approval that does not hold.
        """
        with self.db.write() as connection:
            under = {}
            if approval:
                approvals.require(connection, approval, (), self.now_ns())
                safety.require_running(connection, approval)
                under = {"approval": approval}
            person = people.add(connection, name, jurisdiction, self.now_ns(), **under)
            self.keyring.add_person(person.id)
        return person

    def person(self, name_or_id: str) -> people.Person:
        """The person of this name or id; NotFound."""
        with self.db.read() as connection:
            return people.find(connection, name_or_id)

    def people(self) -> list[people.Person]:
        """Everyone ever enrolled."""
        with self.db.read() as connection:
            return list(people.listed(connection))

    def segment(self, segment: str) -> catalog.Segment:
        """The segment of this id; NotFound."""
        with self.db.read() as connection:
            return catalog.find(connection, segment)

    def close(self) -> None:
        """Closes the databases."""
        self.db.close()
        self.keyring.close()
        self._lock.close()


def _know_tables() -> None:
    """A table is made as the database is opened, if its module is loaded by then: all are."""
    from firsthand.consent.access import tables as _access  # noqa: F401
    from firsthand.consent.capture import tables as _capture  # noqa: F401
    from firsthand.consent.estate import tables as _estate  # noqa: F401
    from firsthand.consent.figures import tables as _figures  # noqa: F401
    from firsthand.consent.money import tables as _money  # noqa: F401
    from firsthand.vault import ask, enrol, fleet, forged, place  # noqa: F401
    from firsthand.vault.keys import personal  # noqa: F401


def file_key_aad(person: str, day: str, segment: str, part: str, payload_sha256: str) -> bytes:
    """What a wrapped file key is bound to: it opens nowhere else."""
    return f"file|{person}|{day}|{segment}|{part}|{payload_sha256}".encode()
