"""A vault in a temporary folder and a real server on a free port."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig import FakeDevice

from firsthand import config
from firsthand.consent import people
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

KEY = "the-access-key"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    config.mark(tmp_path / "data", "real")
    opened = Vault(config.load(tmp_path / "data", {}))
    yield opened
    opened.close()


@pytest.fixture
def server(vault: Vault) -> Iterator[Server]:
    with Server(vault, "127.0.0.1", 0, KEY).background() as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return server.url


@pytest.fixture
def ana(vault: Vault) -> people.Person:
    return vault.add_person("ana", "sim")


@pytest.fixture
def device(vault: Vault, ana: people.Person) -> FakeDevice:
    return FakeDevice(vault, ana, "d1")
