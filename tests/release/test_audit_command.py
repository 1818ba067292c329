"""`firsthand audit` as people call it: verify, list, prove, release, export, check."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from programme import Programme, begin
from wearer import PASSPHRASE

from firsthand import log
from firsthand.cli import main
from firsthand.release import make


@pytest.fixture
def made(monkeypatch) -> Iterator[Programme]:
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", PASSPHRASE)
    programme = begin()
    yield programme
    programme.close()


@pytest.fixture
def released(made) -> make.Release:
    release = made.release(made.run)
    made.vault.close()
    return release


def run(made: Programme, *words: str) -> int:
    return main(["--data", str(made.folder / "data"), "audit", *words])


def test_verify_says_that_all_is_whole_and_keeps_the_checkpoint(made, released, tmp_path, capsys):
    kept = str(tmp_path / "kept.txt")
    assert run(made, "verify", "--keep", kept) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("the log is whole: ")
    assert "statements in the vault and 0 kept apart\nfirsthand/" in shown
    assert run(made, "verify", "--against", kept, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["whole"], told["fault"], told["kept"]) == (True, None, 1)


@pytest.mark.fault("C4")
def test_c4_verify_exits_14_and_names_the_fault_and_its_place(made, released, tmp_path, capsys):
    kept = str(tmp_path / "kept.txt")
    assert run(made, "verify", "--keep", kept) == 0
    made.reopen()
    with made.vault.db.write() as connection:
        size = log.size(connection)
        connection.execute(log.entries.delete().where(log.entries.c.index == size - 1))
    made.vault.close()
    capsys.readouterr()
    assert run(made, "verify", "--json") == 14
    answer = capsys.readouterr()
    told = json.loads(answer.out)
    assert not told["whole"]
    assert (told["fault"]["kind"], told["fault"]["first"]) == ("truncation", size - 1)
    assert answer.err.startswith("firsthand: error: truncation: it was cut")
    assert "firsthand: hint: " in answer.err


def test_a_person_lists_what_was_done_with_theirs_with_proofs_that_need_no_vault(
    made, released, tmp_path, capsys
):
    assert run(made, "list", "--person", "ana", "--proofs", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    kinds = [entry["kind"] for entry in listed]
    assert {"consent_given", "segment_stored", "read"} <= set(kinds)
    read = next(entry for entry in listed if entry["kind"] == "read")
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(read["proof"]))
    key = read["proof"]["key"]
    assert main(["audit", "check", str(file), "--key", key, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["index"], told["kind"]) == (read["index"], "read")
    assert told["personal"]["who"] == f"run {made.run}"
    other = key[:-3] + ("A" if key[-3] != "A" else "B") + key[-2:]
    assert main(["audit", "check", str(file), "--key", other]) == 12
    changed = read["proof"] | {"opening": read["proof"]["opening"] | {"said": "{}"}}
    file.write_text(json.dumps(changed))
    assert main(["audit", "check", str(file)]) == 14
    assert "does not fit" in capsys.readouterr().err


def test_a_proof_can_leave_the_personal_fields_out(made, released, tmp_path, capsys):
    assert run(made, "prove", "0", "--closed") == 0
    text = capsys.readouterr().out
    assert json.loads(text)["opening"] is None
    (tmp_path / "proof.json").write_text(text)
    assert main(["audit", "check", str(tmp_path / "proof.json")]) == 0
    assert "personal" not in capsys.readouterr().out
    assert run(made, "prove", "99999") == 10


def test_an_outsider_checks_a_release_with_files_alone(made, released, tmp_path, capsys):
    bundle, tiles = str(tmp_path / "bundle.json"), str(tmp_path / "tiles")
    assert run(made, "release", released.id, "--out", bundle) == 0
    assert run(made, "export", tiles) == 0
    assert run(made, "export", tiles) == 0  # nothing is written twice
    capsys.readouterr()
    assert main(["audit", "check", bundle, "--log", tiles, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["holds"], told["release"], told["samples"]) == (True, released.id, 4)
    less = json.loads((tmp_path / "bundle.json").read_text())
    del less["openings"][next(iter(less["openings"]))]
    (tmp_path / "less.json").write_text(json.dumps(less))
    assert main(["audit", "check", str(tmp_path / "less.json"), "--log", tiles]) == 13
    assert "breach: w" in capsys.readouterr().out
    assert main(["audit", "check", bundle]) == 2
    assert run(made, "release", "l-none") == 10


def test_checking_needs_no_database(tmp_path):
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from firsthand.cli import main\n"
        "sys.exit(main(['audit', 'check', 'nothing.json']))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "firsthand: error: there is no file nothing.json",
    )
    assert done.stderr.splitlines()[1].startswith("firsthand: hint: name what ")


@pytest.mark.parametrize("words", ["", "{", "[]", "3", "null"])
def test_what_is_no_proof_is_named_with_a_hint(tmp_path, capsys, words):
    file = tmp_path / "proof.json"
    file.write_text(words)
    for path, told in ((file, "is no proof and no bundle"), (tmp_path, "is a folder")):
        assert main(["audit", "check", str(path)]) == 2
        error, hint = capsys.readouterr().err.splitlines()
        assert f"{path} {told}" in error
        assert "firsthand audit prove" in hint
