"""A vault in a temporary folder and a real server on a free port."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import scene
from backends import data_folder
from rig import Answer, FakeDevice, call

from firsthand import config
from firsthand.consent import people
from firsthand.vault import catalog
from firsthand.vault.vault import Vault
from firsthand.web.server import Server

KEY = "the-access-key"


@dataclass(frozen=True)
class Home:
    """A served vault with a household in it."""

    vault: Vault
    server: Server
    ana: people.Person
    bo: people.Person
    run: Any
    consent: Any
    kept: Any

    def get(self, path: str, **headers: str) -> Answer:
        """A page, asked for with the key's cookie."""
        return call(self.server.url, "GET", path, None, self.cookie() | headers)

    def post(self, path: str, form: dict[str, str], **changes: str) -> Answer:
        """A form sent by our own page, unless changed."""
        headers = self.cookie() | {
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = urlencode(form).encode()
        return call(self.server.url, "POST", path, body, headers | changes)

    def cookie(self) -> dict[str, str]:
        """The cookie that the access key is exchanged for."""
        answer = call(self.server.url, "GET", f"/?key={KEY}")
        return {"Cookie": answer.headers["set-cookie"].split(";")[0]}

    def footage(self) -> list[catalog.Segment]:
        """Ana's stored segments, oldest first."""
        with self.vault.db.read() as connection:
            return list(catalog.of_person(connection, self.ana.id))


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings that say where the vault keeps things: files, but for a test marked `both`."""
    if getattr(request, "param", "files") == "files":
        yield {}
        return
    with request.getfixturevalue("servers").fresh() as settings:
        yield settings


@pytest.fixture
def vault(tmp_path: Path, backend: dict[str, str]) -> Iterator[Vault]:
    opened = Vault(config.load(data_folder(tmp_path / "data"), {}, **backend))
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


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A household with footage, consents and a run, served for all tests of one file."""
    folder = tmp_path_factory.mktemp("home")
    opened = Vault(config.load(data_folder(folder / "data"), {}))
    ids = scene.household(opened)
    with Server(opened, "127.0.0.1", 0, KEY).background() as running:
        yield Home(opened, running, **ids)
    opened.close()
