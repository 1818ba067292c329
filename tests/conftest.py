"""A real vault in a temporary folder, a person in it, and a device that seals what it is given."""

import base64
import hashlib
import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import backends
import pytest

from firsthand import age, config
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.segment import Part, Record, sign_record
from firsthand.vault import ingest
from firsthand.vault.ingest import opening
from firsthand.vault.vault import Vault

pytest_plugins = ["faults"]

# Begun in the background by a shell, a process and its children ignore interrupts; tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NOW_NS = 1_793_520_000 * 10**9  # 2026-11-01 08:00:00 UTC, when the vault's clock stands
SECOND_NS = 10**9
PASSPHRASE = "correct horse"


@dataclass
class Clock:
    """A clock that moves only when told."""

    now_ns: int = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


@dataclass(frozen=True)
class Made:
    """A sealed and signed segment, on its way to the vault."""

    record: Record
    envelope: dict[str, Any]
    headers: dict[str, str]
    sealed: bytes
    plain: dict[str, bytes]
    file_keys: dict[str, bytes]


@dataclass
class Wearer:
    """A person's device: its key, where its chain stands, and how it hands segments in."""

    vault: Vault
    person: people.Person
    id: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    seq: int = 1
    prev: str = ""

    @property
    def enrolled(self) -> people.Device:
        return people.Device(self.id, self.person.id, self.key.public, "active")

    @cached_property
    def recipient(self) -> age.Recipient:
        text = self.vault.keyring.ingest_recipient(self.person.id, NOW_NS)
        return age.Recipient.parse(text)

    def seal(
        self,
        plain: dict[str, bytes] | None = None,
        start_s: float = 0,
        length_s: float = 60,
        **changes: Any,
    ) -> Made:
        """The next segment of this device's chain; `changes` replace fields of its record."""
        plain = {"video": b"video" * 20, "events": b"\n"} if plain is None else plain
        parts, headers, file_keys, sealed = [], {}, {}, b""
        for name, content in plain.items():
            file_keys[name] = age.new_file_key()
            header = age.seal_header(file_keys[name], [self.recipient])
            payload = age.seal(file_keys[name], content)
            hashes = hashlib.sha256(payload).hexdigest(), hashlib.sha256(header).hexdigest()
            parts.append(Part(name, len(payload), *hashes, len(header)))
            headers[name] = base64.b64encode(header).decode()
            sealed += payload
        boot_ns, length_ns = int((start_s + 5) * SECOND_NS), int(length_s * SECOND_NS)
        values: dict[str, Any] = {
            "device": self.id,
            "person": self.person.id,
            "session": "boot1",
            "seq": self.seq,
            "prev": self.prev,
            "kind": "segment" if plain else "gap",
            "boot_ns_start": boot_ns,
            "boot_ns_end": boot_ns + length_ns,
            "wall_ns_start": NOW_NS + int(start_s * SECOND_NS),
            "wall_ns_end": NOW_NS + int(start_s * SECOND_NS) + length_ns,
            "wall_quality": "ntp",
            "parts": tuple(parts),
            "object_sha256": hashlib.sha256(sealed).hexdigest() if plain else "",
            "object_size": len(sealed),
        }
        record = Record(**(values | changes))
        self.seq, self.prev = record.seq + 1, record.hash()
        return Made(record, sign_record(record, self.key), headers, sealed, plain, file_keys)

    def open(self, made: Made) -> dict[str, Any]:
        return ingest.open_upload(self.vault, self.enrolled, made.envelope, made.headers)

    def put(self, made: Made, upload: str, sealed: bytes | None = None) -> None:
        """Sends all parts that the vault lacks, or as many bytes of something else."""
        data = made.sealed if sealed is None else sealed
        _, need = ingest.missing_parts(self.vault, upload, self.id)
        for part in need:
            start = (part["number"] - 1) * opening.PART_SIZE
            backends.send_part(self.vault, upload, part, data[start : start + part["size"]])

    def hand_in(self, made: Made) -> dict[str, Any]:
        """The receipt's envelope for a segment, sent as far as the vault wants it."""
        opened = self.open(made)
        if "receipt" in opened:
            return opened["receipt"]
        self.put(made, opened["upload"])
        return ingest.complete(self.vault, opened["upload"], self.id)


@pytest.fixture(scope="session")
def servers() -> backends.Servers:
    """A running PostgreSQL and a running S3 store; the test is skipped without."""
    return backends.servers()


@pytest.fixture
def backend() -> dict[str, str]:
    """Settings that say where the vault keeps things; none: in the data folder."""
    return {}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_vault(
    tmp_path: Path, clock: Clock, backend: dict[str, str]
) -> Iterator[Callable[[], Vault]]:
    """Opens the vault in one folder, as often as called: each time as another process would."""
    data = config.mark(tmp_path / "data", "real")
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in backend.items()]
    if lines:  # in the file, so that other processes find it too
        (data / "firsthand.toml").write_text("".join(lines))
    (data / "vault").mkdir(mode=0o700)
    # A cheap seal over the root: scrypt at full cost takes 0.1 s a vault.
    root = age.encrypt(secrets.token_bytes(32), passphrase=PASSPHRASE, scrypt_log2=1)
    (data / "vault" / "root.age").write_bytes(root)
    opened: list[Vault] = []

    def make() -> Vault:
        opened.append(Vault(config.load(data, {}, passphrase=PASSPHRASE), clock))
        return opened[-1]

    yield make
    for vault in opened:
        vault.close()


@pytest.fixture
def vault(open_vault: Callable[[], Vault]) -> Vault:
    return open_vault()


@pytest.fixture
def person(vault: Vault) -> people.Person:
    return vault.add_person("ana", "sim")


@pytest.fixture
def make_device(vault: Vault) -> Callable[[people.Person, str], Wearer]:
    """Enrols one more device of a person."""

    def make(person: people.Person, name: str) -> Wearer:
        wearer = Wearer(vault, person, name)
        with vault.db.write() as connection:
            people.enrol(connection, person, name, wearer.key.public)
        return wearer

    return make


@pytest.fixture
def device(make_device: Callable[..., Wearer], person: people.Person) -> Wearer:
    return make_device(person, "d1")


@pytest.fixture
def make_segment(device: Wearer) -> Callable[..., Made]:
    """Seals the next segment of the device; see Wearer.seal."""
    return device.seal


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real clips and action streams; a test that asks for it is skipped without."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("FIRSTHAND_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("the folder of real clips is not here: set FIRSTHAND_TEST_DATA")
    return folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says what was left out, and why; and where a test stood still that then passed."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.write_line(f"stood still at first: {report.nodeid}\n{report.longreprtext}")
    reasons = Counter(str(each.longrepr[2]) for each in terminalreporter.stats.get("skipped", ()))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"left out: {count} tests: {reason.removeprefix('Skipped: ')}")
