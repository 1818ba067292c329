"""`firsthand vault` as its reader sees it: what is named, what is mended, how it ends."""

import json
import random
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.vault import catalog
from firsthand.vault.vault import Vault

pytestmark = pytest.mark.files
PASSPHRASE = "correct horse"


@pytest.fixture
def command(vault: Vault, capsys, monkeypatch):
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", PASSPHRASE)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--data", str(vault.settings.data), "vault", *arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def segments(vault, person, device) -> list[catalog.Segment]:
    for number in range(3):
        device.hand_in(device.seal({"video": b"v%d" % number}, 60 * number))
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, person.id))


def rot(vault: Vault, segment: catalog.Segment) -> None:
    path = vault.store.folder / segment.object
    data = bytearray(path.read_bytes())
    data[random.Random(1).randrange(len(data))] ^= 1
    path.write_bytes(data)


def test_a_check_tells_what_was_read_and_what_is_due(command, segments):
    size = sum(segment.size_bytes for segment in segments)
    assert command("check")[:2] == (0, f"3 objects checked, {size} bytes\n")
    assert command("check")[:2] == (0, "0 objects checked, 0 bytes\n")
    assert command("check", "--all")[:2] == (0, f"3 objects checked, {size} bytes\n")
    assert command("check", "--budget", "10MB", "--days", "1")[0] == 0
    code, _, said = command("check", "--budget", "much")
    assert (code, "write it as 500GB or 30min" in said) == (2, True)


def test_a_bad_object_is_named_with_hours_releases_and_models(vault, command, segments):
    manifest = {
        "manifest": {
            "people": [
                {"person": "x", "shards": [{"samples": [{"record": segments[1].record_hash}]}]}
            ]
        }
    }
    with vault.db.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO release (id, run, state, began_ns, manifest) VALUES (?, ?, ?, ?, ?)",
            ("l-1", "r-1", "made", 1, json.dumps(manifest)),
        )
    for name, release in (("fine", "l-1"), ("other", "l-2")):
        folder = vault.settings.data / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"lineage": {"release": release}}))
    rot(vault, segments[1])
    code, out, said = command("check")
    assert code == 14
    assert f"object of segment {segments[1].id} of person {segments[1].person} was changed" in out
    assert "2026-11-01 08:01:00 to 2026-11-01 08:02:00 UTC" in out
    assert "in release l-1; seen by model fine\n" in out
    assert "1 object missing or changed" in said
    told = json.loads(command("check", "--json")[1])
    assert (told["faults"][0]["releases"], told["faults"][0]["models"]) == (["l-1"], ["fine"])


def test_a_repair_from_the_copy_ends_well_and_one_without_a_copy_does_not(
    vault, command, segments, tmp_path: Path, monkeypatch
):
    code, _, said = command("copy")
    assert (code, "set copy_url" in said) == (2, True)
    rot(vault, segments[0])
    code, out, _ = command("check", "--repair")
    assert (code, "not put back: no copy is named" in out) == (14, True)
    rot(vault, segments[0])  # the same bit again: it is as it was
    monkeypatch.setenv("FIRSTHAND_COPY_URL", (tmp_path / "copy").as_uri())
    assert command("copy")[:2] == (0, "3 objects copied\n")
    assert command("copy")[:2] == (0, "0 objects copied\n")
    rot(vault, segments[0])
    code, out, _ = command("check", "--repair")
    assert (code, "was changed; put back from the copy" in out) == (0, True)
    assert command("check", "--all")[0] == 0


def test_an_old_database_is_refused_until_it_is_recovered(vault, command, segments, device):
    vault.close()
    (vault.settings.data / "vault" / "firsthand.db").unlink()
    for file in (vault.settings.data / "vault").glob("firsthand.db-*"):
        file.unlink()
    code, _, said = command("check")
    assert (code, 'run "firsthand vault recover"' in said) == (14, True)
    code, out, _ = command("recover")
    assert code == 0
    assert "1 person and 3 segments are back" in out
    assert command("check", "--all")[0] == 0
