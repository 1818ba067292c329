"""The commands of consent and runs as a wearer and an organisation type them, in one sitting."""

import json
from pathlib import Path

from firsthand import config
from firsthand.consent import people
from firsthand.consent.terms import consents, text
from firsthand.vault.vault import Vault


def rights() -> str:
    return ",".join(str(question["right"] + 1) for question in text.read_text().questions)


def test_a_wearers_consent_from_the_quiz_to_leaving(call, tmp_path):
    assert call("person", "add", "ana", "--place", "sim")[0] == 13
    assert call("person", "add", "ana", "--place", "NL")[0] == 0
    assert call("consent", "give", "ana", "human-view")[0] == 13
    assert call("consent", "quiz", "ana", "--answers", rights())[0] == 13  # not of age
    me = ("consent", "quiz", "ana", "--of-age", "--own-hand", "--answers")
    code, said = call(*me, "1,1,1,1,1")
    assert (code, "1 of 5 are right, which is not enough" in said) == (13, True)
    assert call(*me, "1,1")[0] == 2
    assert call(*me, rights()) == (0, "5 of 5 are right: ana may consent to text 2\n")
    assert call("consent", "give", "ana", "human-view", "--by", "bea")[0] == 13
    assert call("consent", "give", "ana", "all")[0] == 2  # no word says everything
    narrow = ("--modifier", "GS=NL", "--modifier", "DUO:0000046")
    assert call("consent", "give", "ana", "human-view", *narrow)[0] == 0
    (held,) = json.loads(call("consent", "list", "ana", "--json")[1])
    assert held["modifiers"] == ["DUO:0000022=NL", "DUO:0000046"]
    file = str(tmp_path / "receipt.json")
    assert call("consent", "receipt", "ana", held["id"], "--out", file)[0] == 0
    code, said = call("consent", "check-receipt", file)
    assert (code, f"consent {held['id']} to fh:human-view" in said) == (0, True)
    (tmp_path / "forged.json").write_text(Path(file).read_text().replace("NL", "US"))
    assert call("consent", "check-receipt", str(tmp_path / "forged.json"))[0] == 14
    assert call("consent", "confirm", "ana", held["id"])[0] == 0
    assert call("consent", "confirm", "ana", held["id"])[0] == 13
    code, said = call("person", "withdraw", "ana")
    assert (code, "--yes" in said) == (13, True)
    code, said = call("person", "withdraw", "ana", "--yes")
    assert (code, "1 consent ended" in said) == (0, True)
    assert call("consent", "give", "ana", "human-view")[0] == 13


def test_a_text_of_ones_own_is_adopted_and_asks_anew(call, tmp_path):
    call("person", "add", "ana")
    (tmp_path / "own.md").write_text("I agree to nothing in particular.\n")
    (tmp_path / "own.json").write_text('{"material": true, "older": {"effect": "end"}}')
    own = ("--words", str(tmp_path / "own.md"), "--data")
    assert call("consent", "adopt", "3", *own[:2])[0] == 0
    assert call("consent", "text")[1] == "I agree to nothing in particular.\n"
    code, said = call("consent", "adopt", "4", *own, str(tmp_path / "own.json"))
    assert (code, "consents to older texts end" in said) == (0, True)
    assert call("consent", "text", "--version", "1")[1].startswith("# Consent")
    assert call("consent", "adopt", "9")[0] == 10
    (tmp_path / "own.json").write_text('{"required": ["human-view"]}')
    assert call("consent", "adopt", "5", *own, str(tmp_path / "own.json"))[0] == 13
    (tmp_path / "own.json").write_text("nothing")
    assert call("consent", "adopt", "5", *own, str(tmp_path / "own.json"))[0] == 2


def test_a_run_under_an_approval_its_snapshot_and_its_end(call):
    call("person", "add", "ana")
    approval = ("run", "add-approval", "IRB-7", "--for", "human-view", "--by", "the board")
    assert call(*approval, "--until", "2020-01-01")[0] == 2
    assert call(*approval, "--until", "2099-01-01")[0] == 0
    assert call("person", "add", "bea", "--approval", "IRB-7")[0] == 0
    assert call("person", "add", "cem", "--approval", "IRB-8")[0] == 10
    propose = ("run", "propose", "look", "--for", "human-view", "--stream", "motion")
    assert call(*propose, "--ethics-approval", "IRB-9")[0] == 10
    assert call(*propose, "--stream", "smell")[0] == 2
    offers = ("--offer", "GS=NL", "--bonus", "500", "--ethics-approval", "IRB-7")
    run = call(*propose, *offers)[1].split()[1]
    shown = json.loads(call("run", "show", run, "--json")[1])
    assert shown["proposal"]["streams"] == ["motion"]
    assert shown["proposal"]["offers"] == ["DUO:0000022=NL"]
    code, said = call("run", "snapshot", run)
    assert (code, "0 people" in said) == (0, True)
    assert call("release", "make", run, "--snapshot", "1")[0] == 10
    assert call("run", "end-approval", "IRB-7")[0] == 0
    (row,) = json.loads(call("run", "approvals", "--json")[1])
    assert (row["id"], row["holds"]) == ("IRB-7", False)
    assert call("person", "add", "cem", "--approval", "IRB-7")[0] == 13
    assert call(*propose, *offers)[0] == 13


def test_what_was_said_no_to_is_listed_and_the_same_again_is_told(call, tmp_path):
    assert call("person", "add", "ana", "--place", "NL")[0] == 0
    me = ("consent", "quiz", "ana", "--of-age", "--own-hand", "--answers")
    assert call(*me, rights())[0] == 0
    vault = Vault(config.load(tmp_path / "firsthand-data", passphrase="correct horse"))
    with vault.db.write() as connection:
        ana = people.find(connection, "ana")
        consents.choose(connection, ana, {"fh:human-view": True, "fh:publish-clips": False})
    vault.close()
    assert "fh:publish-clips" in call("consent", "refusals", "ana")[1]
    (told,) = json.loads(call("consent", "refusals", "ana", "--json")[1])
    assert [each["@id"] for each in told["dpv:hasPurpose"]] == ["fh:publish-clips"]
    code, said = call("consent", "give", "ana", "human-view")
    assert (code, "consents already to fh:human-view" in said) == (0, True)
    span = ("2026-01-05T08:30:00", "2026-01-05T08:40:00")
    assert "ana withholds 2026" in call("consent", "withhold", "ana", *span)[1]
    assert "ana withholds already 2026" in call("consent", "withhold", "ana", *span)[1]
