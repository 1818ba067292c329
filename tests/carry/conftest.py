"""The way home with its real parts: a card, the carrier, the application and its vault."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from way import Pack, Served, Time, at_once

from firsthand.vault.ingest import opening
from firsthand.vault.vault import Vault
from firsthand.web import ingest as device_api

START_NS = 1_793_520_000 * 10**9  # 2026-11-01 08:00:00 UTC


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings that say where the vault keeps things: in files, or as backends.both says."""
    if getattr(request, "param", "files") == "files":
        yield {}
        return
    with request.getfixturevalue("servers").fresh() as settings:
        yield settings


@pytest.fixture
def clock() -> Time:
    return Time(START_NS)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts of 1000 bytes, so that a small segment has several."""
    monkeypatch.setattr(opening, "PART_SIZE", 1000)
    monkeypatch.setattr(opening, "PART_MAX", 1000)
    return 1000


@pytest.fixture
def make_pack(
    tmp_path: Path, make_device: Callable[..., Any], person: Any
) -> Callable[[str], Pack]:
    """One more device of the wearer, with a card."""
    return lambda name: Pack.create(tmp_path / "packs", make_device(person, name))


@pytest.fixture
def pack(make_pack: Callable[[str], Pack]) -> Pack:
    return make_pack("d1")


@pytest.fixture
def served(open_vault: Callable[[], Vault], monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The application, in this process, over a vault of its own on the same files."""
    monkeypatch.setattr(device_api, "run_in_threadpool", at_once)
    served = Served(open_vault)
    yield served
    served.close()
