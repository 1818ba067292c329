"""A device, its card, and the vault's secret keys, all in a temporary folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from firsthand.age import Identity
from firsthand.crypto import SigningKey
from firsthand.record.card.card import Card
from firsthand.record.device import Device, create_device


@dataclass(frozen=True)
class VaultKeys:
    """What only the vault has."""

    ingest: Identity
    receipt: SigningKey


@pytest.fixture(scope="session")
def keys() -> VaultKeys:
    return VaultKeys(Identity.generate(), SigningKey.generate())


@pytest.fixture(scope="session")
def make_device(keys: VaultKeys) -> Callable[[Path], Device]:
    def make(folder: Path) -> Device:
        return create_device(
            folder,
            name="d-1",
            person="p-1",
            vault_url="http://127.0.0.1:9",
            recipient=str(keys.ingest.recipient),
            receipt_key=str(keys.receipt.public),
            policy="policy-1",
        )

    return make


@pytest.fixture
def device(tmp_path: Path, make_device: Callable[[Path], Device]) -> Device:
    return make_device(tmp_path / "device")


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card.create(tmp_path / "card")


@pytest.fixture
def test_data() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("FIRSTHAND_TEST_DATA") or default)
    if not folder.is_dir():
        pytest.skip("the folder of real clips is not here")
    return folder
