"""Row U10: power is lost under the vault's whole folder: objects, journal, database and keyring.

A receipt that was given survives, and so do its row, its bytes and the key that opens them.
"""

import contextlib
import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import send_part
from faults import FULL
from lossy import Mounted, mounted

from firsthand import age, config
from firsthand.release.recover import recover
from firsthand.segment import verify_receipt
from firsthand.vault import catalog, ingest, reading
from firsthand.vault.check import check
from firsthand.vault.ingest import opening
from firsthand.vault.vault import Vault

PASSPHRASE = "correct horse"
SHORT = 8  # cuts in an ordinary run, of some 300


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Mounted]:
    with mounted(tmp_path_factory.mktemp("power") / "disk", "cached") as disk:
        yield disk


@pytest.fixture
def open_vault(disk, clock):
    """Opens the vault on the disk that forgets."""
    data = config.mark(disk.path / f"data{secrets.token_hex(4)}", "real")
    (data / "vault").mkdir(mode=0o700)
    root = age.encrypt(secrets.token_bytes(32), passphrase=PASSPHRASE, scrypt_log2=1)
    (data / "vault" / "root.age").write_bytes(root)
    sync_all(disk.path)
    opened: list[Vault] = []

    def make() -> Vault:
        opened.append(Vault(config.load(data, {}, passphrase=PASSPHRASE), clock))
        return opened[-1]

    yield make
    for vault in opened:
        vault.close()


def sync_all(folder: Path) -> None:
    """What stood there before the day of the test is on the disk."""
    for path in [folder, *folder.rglob("*")]:
        if path.name != ".power":
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)


def close(vault: Vault) -> None:
    with contextlib.suppress(Exception):  # its disk is off
        vault.close()


def assert_kept(vault, person, receipts: dict[str, dict], plain: dict[str, bytes]) -> None:
    """Each receipt that was given has its row, its object and its key, and no row lacks bytes."""
    key = vault.keyring.log_key().public
    with vault.db.read() as connection:
        rows = {row.record_hash: row for row in catalog.of_person(connection, person.id)}
    for digest, envelope in receipts.items():
        assert verify_receipt(envelope, key).kind == "stored"
        assert rows[digest].receipt == envelope
        assert reading.read_part(vault, rows[digest].id, "video", "self", "x") == plain[digest]
    assert check(vault).faults == []


@pytest.mark.files
@pytest.mark.fault("U10")
@pytest.mark.parametrize("names", ["names_go", "names_stay"])
def test_u10_a_receipt_that_was_given_survives_a_power_cut_at_any_write(
    vault, person, device, open_vault, disk, clock, names, tally
):
    receipts: dict[str, dict] = {}
    plain: dict[str, bytes] = {}
    vaults = [vault]

    def hand_in(made) -> None:
        digest = made.record.hash()
        plain[digest] = made.plain["video"]
        receipts[digest] = device.hand_in(made)

    def cut_and_reopen() -> None:
        disk.power("cut")
        close(vaults.pop())
        disk.power("on")
        vaults.append(open_vault())
        device.vault = vaults[0]
        assert_kept(vaults[0], person, receipts, plain)

    sync_all(disk.path)
    disk.power(names)
    hand_in(device.seal({"video": b"first" * 30_000}))
    cut_and_reopen()  # right after the receipt: what is durable by now has to be
    disk.power("cut_at 0")
    hand_in(device.seal({"video": b"second" * 30_000}, start_s=60))
    steps = disk.state["count"]
    assert steps > 30
    cases = list(range(1, steps + 1))
    if not FULL:
        cases = sorted(random.Random(3).sample(cases, SHORT))
    lost = 0
    for number, at in enumerate(cases):
        made = device.seal({"video": b"v" * 100_000 + bytes([number % 256])}, start_s=120 + number)
        disk.power(f"cut_at {at}")
        with contextlib.suppress(Exception):
            hand_in(made)
        lost += made.record.hash() not in receipts
        cut_and_reopen()
        hand_in(made)  # its device has it yet
        tally.add()
    assert lost >= 0.7 * len(cases)  # the cuts fell into the upload
    cut_and_reopen()
    assert len(receipts) == len(cases) + 2
    # The journal, from which all is rebuilt, is as durable as the database.
    vault = vaults.pop()
    vault.close()
    for file in (vault.settings.data / "vault").glob("firsthand.db*"):
        file.unlink()
    vault = Vault(vault.settings, clock, recovering=True)
    recover(vault)
    assert_kept(vault, person, receipts, plain)
    vault.close()
    disk.power("names_go")


@pytest.mark.files
@pytest.mark.fault("U10")
def test_u10_a_part_that_was_said_to_be_there_is_there_after_a_power_cut(
    vault, device, open_vault, disk, monkeypatch
):
    monkeypatch.setattr(opening, "PART_SIZE", 1000)
    made = device.seal({"video": bytes(2500)})
    upload = device.open(made)["upload"]
    _, need = ingest.missing_parts(vault, upload, device.id)
    for part in need[:2]:
        send_part(vault, upload, part, made.sealed[(part["number"] - 1) * 1000 :][:1000])
    disk.power("names_stay")
    disk.power("cut")
    close(vault)
    disk.power("on")
    disk.power("names_go")
    vault = device.vault = open_vault()
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert [part["number"] for part in have] == [1, 2]
    send_part(vault, upload, need[0], made.sealed[2000:])
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
