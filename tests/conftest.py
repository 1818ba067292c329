"""A real vault in a temporary folder, a person in it, and a device that seals what it is given."""

import asyncio
import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import backends
import pytest
import uvicorn.server
from wearer import PASSPHRASE, Clock, Made, Wearer

from firsthand import age, config
from firsthand.consent import people
from firsthand.vault.vault import Vault

pytest_plugins = ["faults"]

# Begun in the background by a shell, a process and its children ignore interrupts; tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test needs what it wrote to outlive the machine, and a disk makes every vault wait for its
# syncs: folders of tests lie in memory, where 4 GiB of it are free.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK | os.X_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    free = os.statvfs(MEMORY).f_bavail * os.statvfs(MEMORY).f_frsize
    if free > 4 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what takes long, so that it doesn't come last, alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def _servers_end_at_once() -> Iterator[None]:
    """uvicorn looks every 0.1 s whether it is to end, which adds 0.3 s to each test of a server."""
    often = SimpleNamespace(**vars(asyncio))
    often.sleep = lambda seconds: asyncio.sleep(min(seconds, 0.01))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", often)
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[backends.Servers]:
    """A running PostgreSQL and a running S3 store; the test is skipped without."""
    with backends.servers() as found:
        yield found


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
            people.enrol(connection, person, name, wearer.key.public, vault.now_ns())
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
