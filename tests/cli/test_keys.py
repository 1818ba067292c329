"""The commands of keys and erasure, as they are typed, over one small vault."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firsthand import age
from firsthand.cli import main
from firsthand.vault import catalog


@pytest.fixture
def ids(vault, device, monkeypatch) -> list[str]:  # type: ignore[no-untyped-def]
    """Ana's three segments; commands use her vault."""
    monkeypatch.setattr(age.encrypt, "__defaults__", ((), None, 1))
    for minute in range(3):
        device.hand_in(device.seal({"video": b"v" * 1000, "events": b"\n"}, 60 * minute))
    with vault.db.read() as connection:
        found = [each.id for each in catalog.of_person(connection, device.person.id)]
    vault.close()
    monkeypatch.setenv("FIRSTHAND_DATA", str(vault.settings.data))
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", vault.settings.passphrase)
    return found


@pytest.fixture
def call(ids, capsys):  # type: ignore[no-untyped-def]
    """Runs a command that must end with this exit code; returns what it printed, all of it."""

    def run(*words: str, code: int = 0) -> str:
        ended = main(words)
        said = capsys.readouterr()
        assert ended == code, said
        return said.out if "--json" in words else said.out + said.err

    return run


def day(vault) -> str:  # type: ignore[no-untyped-def]
    return datetime.fromtimestamp(vault.now_ns() / 1e9, UTC).strftime("%Y-%m-%d")


def test_erasing_tells_hides_comes_back_and_destroys(call, ids, vault, tmp_path: Path):
    told = call("person", "erase", "ana", "--segment", ids[0], code=13)
    assert "1 segment on 1 day, 1 min 0 s" in told
    assert "nothing was erased of ana yet" in told
    assert "no erasure" not in call("person", "erasures")
    hidden = call("person", "erase", "ana", "--segment", ids[0], "--yes")
    (order,) = re.findall(r"unerase (e-\w+)", hidden)
    assert json.loads(call("status", "--json"))["people"][0]["segments"] == 2
    call("person", "receipt", order, code=13)
    assert "nothing is due" in call("vault", "sweep")
    call("person", "unerase", order)
    call("person", "unerase", order, code=13)
    assert json.loads(call("status", "--json"))["people"][0]["segments"] == 3
    done = call("person", "erase", "ana", "--day", day(vault), "--now", "--yes")
    assert "erased: 3 segments" in done
    assert "gone from every backup" in done
    (order,) = re.findall(r"receipt (e-\w+)", done)
    kept = tmp_path / "receipt.json"
    kept.write_text(call("person", "receipt", order))
    assert "the receipt holds" in call("person", "receipt", order, "--check", str(kept))
    kept.write_text(kept.read_text().replace('"segments": 3', '"segments": 2'))
    call("person", "receipt", order, "--check", str(kept), code=14)
    states = {
        row["erasure"]: row["state"] for row in json.loads(call("person", "erasures", "--json"))
    }
    assert sorted(states.values()) == ["erased", "undone"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--from", "2026-11-01T08:00:00"), 2),
        (("--day", "2026-11-01", "--segment", "s-1"), 2),
        (("--day", "yesterday"), 2),
        (("--segment", "s-nobodys"), 10),
        (("--from", "2026-11-01T08:00:00", "--to", "2026-11-01T07:00:00", "--yes"), 2),
    ],
)
def test_an_erasure_that_can_not_be_meant_changes_nothing(call, words, code):
    call("person", "erase", "ana", *words, code=code)
    assert json.loads(call("status", "--json"))["people"][0]["segments"] == 3


def test_epochs_passphrase_and_shares_from_the_command_line(call, vault, monkeypatch, tmp_path):
    folder = vault.settings.data / "vault"
    assert "epoch 1 is over" in call("key", "rotate")
    assert "firsthand key rotate --now" in call("key", "rotate", code=13)
    assert json.loads(call("key", "list", "--json"))["overdue"] is False
    monkeypatch.setenv("FIRSTHAND_NEW_PASSPHRASE", "short")
    call("key", "passphrase", code=2)
    monkeypatch.setenv("FIRSTHAND_NEW_PASSPHRASE", "quite a long one")
    call("key", "passphrase")
    call("key", "list", code=12)
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", "quite a long one")
    made = json.loads(call("key", "split", "--json"))["shares"]
    files = []
    for number, words in enumerate(made):
        files.append(tmp_path / f"share{number}")
        files[-1].write_text(words + "\n")
    for file in folder.glob("root*.age"):
        file.unlink()
    call("key", "list", code=10)
    monkeypatch.setenv("FIRSTHAND_NEW_PASSPHRASE", "from the shares")
    call("key", "restore", "--share", str(files[0]), code=12)
    call("key", "restore", "--share", str(files[0]), "--share", str(files[2]))
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", "from the shares")
    assert "epoch 2 is over" in call("key", "rotate", "--now")
    assert json.loads(call("vault", "check", "--all", "--json"))["faults"] == []


def test_a_wearer_gets_their_footage_sealed_to_their_own_key(call, ids, tmp_path):
    mine = age.Identity.generate()
    call("export", "ana", "--to", "me", "--out", str(tmp_path / "out"), code=10)
    call("person", "key", "ana", "age1pq1nonsense", code=2)
    assert mine.recipient.key_id in call("person", "key", "ana", str(mine.recipient))
    call("export", "ana", "--to", "me", "--out", str(tmp_path / "out"))
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert len(files) == 7
    assert {path.suffix for path in files} == {".age"}
    videos = [path for path in files if path.name.endswith(".mp4.age")]
    assert [age.decrypt(path.read_bytes(), [mine]) for path in videos] == [b"v" * 1000] * 3
    about = json.loads(age.decrypt((tmp_path / "out" / "about.json.age").read_bytes(), [mine]))
    given = [entry for entry in about["log"] if entry["kind"] == "file_keys_given"]
    assert [entry["private"]["segment"] for entry in given] == ids
