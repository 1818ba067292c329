"""The vault as one thing: database, object store and keyring, opened from the settings."""

import hashlib
import time
from collections.abc import Callable

from firsthand import log, tlog
from firsthand.config import Settings, kind_of
from firsthand.consent import people
from firsthand.db import Database
from firsthand.errors import NotFound
from firsthand.vault import catalog
from firsthand.vault.keyring import Keyring, passphrase_of
from firsthand.vault.store import open_store


class Vault:
    """An opened vault; `now_ns` is its clock."""

    def __init__(self, settings: Settings, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Opens the vault of these settings, made if new; NotFound if the data folder is none."""
        if kind_of(settings.data) is None:
            raise NotFound(
                f"{settings.data} is no data folder of firsthand",
                'begin with "firsthand person add NAME"',
            )
        folder = settings.data / "vault"
        folder.mkdir(exist_ok=True, mode=0o700)
        self.settings = settings
        self.now_ns = now_ns
        self.db = Database(settings.database)
        self.store = open_store(settings)
        self.keyring = Keyring(folder, passphrase_of(settings.data, settings.passphrase))

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

    def add_person(self, name: str, jurisdiction: str = "") -> people.Person:
        """Enrols a person and makes their volunteer key."""
        with self.db.write() as connection:
            person = people.add(connection, name, jurisdiction, self.now_ns())
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


def file_key_aad(person: str, day: str, segment: str, part: str, payload_sha256: str) -> bytes:
    """What a wrapped file key is bound to: it opens nowhere else."""
    return f"file|{person}|{day}|{segment}|{part}|{payload_sha256}".encode()
