"""The vault killed at each system call of an upload: receipt, row and object agree after it."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import children
import pytest
import traced
from faults import FULL, Tally
from wearer import Clock, Made, Wearer

from firsthand import config
from firsthand.consent import people
from firsthand.crypto import SigningKey
from firsthand.segment import verify_receipt
from firsthand.vault import catalog, ingest, reading
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

pytestmark = pytest.mark.files
SHORT = 8  # cases in an ordinary run


@pytest.mark.fault("B1")
@pytest.mark.parametrize("stage", ["complete", "open and put"])
def test_b1_killed_at_each_system_call_of_an_upload_receipt_row_and_object_agree(
    stage, vault, person, device, clock, tmp_path, tally: Tally
):
    device.hand_in(device.seal({"video": b"before"}))
    made = device.seal({"video": b"v" * 200_000, "events": b"{}\n"}, start_s=60)
    if stage == "complete":
        device.put(made, device.open(made)["upload"])
    settings, key = vault.settings, vault.keyring.log_key().public
    vault.close()
    ready, told = tmp_path / "ready", tmp_path / "told.json"
    shutil.copytree(settings.data, ready)

    def start_anew() -> None:
        told.unlink(missing_ok=True)
        shutil.rmtree(settings.data)
        shutil.copytree(ready, settings.data)

    given = stage, settings, clock, person, device.id, device.key, made, told
    calls = children.call(traced_work, 0, *given)
    wanted = {"complete": {"fsync", "link"}, "open and put": {"fdatasync"}}[stage]
    assert {"pwrite64"} | wanted <= set(calls)
    assert told.exists()
    cases = list(range(1, len(calls) + 1))
    if not FULL:
        cases = random.Random(8).sample(cases, SHORT // 2)
    killed = 0
    for number in cases:
        start_anew()
        children.call(traced_work, number, *given)
        before = json.loads(told.read_text()) if told.exists() and told.read_text() else None
        killed += not told.exists()
        _agree(Vault(settings, clock), person, device, made, key, before)
        tally.add()
    assert killed >= len(cases) * (
        0.9 if FULL else 0.5
    )  # the sweep is one: nearly all were cut off before the end


def traced_work(kill_at: int, *given: Any) -> list[str]:
    """The calls that `work` makes, up to the one at which it is killed."""
    return traced.run(lambda: work(*given), kill_at)


def work(
    stage: str,
    settings: config.Settings,
    clock: Clock,
    person: people.Person,
    name: str,
    key: SigningKey,
    made: Made,
    told: Path,
) -> None:
    """What the server does, from its start on."""
    device = Wearer(Vault(settings, clock), person, name, key)
    if stage == "complete":
        told.write_text(json.dumps(ingest.complete(device.vault, _id(made), device.id)))
    else:
        device.put(made, device.open(made)["upload"])
        told.write_text("null")


def _id(made) -> str:  # type: ignore[no-untyped-def]
    return f"{made.record.seq}-{made.record.hash()}"


def _agree(vault, person, device, made, key, before) -> None:  # type: ignore[no-untyped-def]
    try:
        with vault.db.read() as connection:
            rows = list(catalog.of_person(connection, person.id))
        found = check(vault)
        assert found.faults == []  # no row without its object
        assert [item for item in found.orphans if item.key.startswith("segments/")] == []
        assert before is None or len(rows) == 2  # no receipt without a row
        device.vault = vault
        receipt = device.hand_in(made)
        assert before is None or receipt == before
        assert len(rows) == 1 or rows[1].receipt == receipt  # and no row but with the same
        assert verify_receipt(receipt, key).kind == "stored"
        with vault.db.read() as connection:
            rows = list(catalog.of_person(connection, person.id))
        assert len(rows) == 2
        assert len(list(vault.store.keys("segments"))) == 2
        plain = reading.read_part(vault, rows[1].id, "video", "self", "x")
        assert plain == made.plain["video"]
        assert check(vault).faults == []
    finally:
        vault.close()
