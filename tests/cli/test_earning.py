"""`firsthand ledger`, `estate` and `figures` as people call them."""

import json
from contextlib import closing
from dataclasses import replace

import pytest

from firsthand import config
from firsthand.cli import main
from firsthand.cli.locally import enrol_here
from firsthand.consent import people
from firsthand.consent.runs import answers, proposals
from firsthand.record.card.card import Card
from firsthand.record.home.upload import carry_home
from firsthand.record.recorder import record
from firsthand.simulate.camera import open_sim
from firsthand.vault.vault import Vault
from firsthand.web.server import Server


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a command in one data folder; returns what it said (JSON where asked)."""

    def call(*words, code=0):
        assert main(["--data", str(tmp_path / "data"), *words]) == code
        shown = capsys.readouterr()
        if code:
            return shown.err
        return json.loads(shown.out) if "--json" in words else shown.out

    call("person", "add", "ada")
    return call


def wear(folder, seconds):
    """A second device of ada's records this long, and carries it home."""
    vault = Vault(config.load(folder, {}))
    server = Server(vault, "127.0.0.1", 0)
    vault.settings = config.load(folder, {}, vault_url=server.url)
    with server.background():
        device = enrol_here(vault, vault.person("ada"))
        card = Card(device.folder / "card")
        record(open_sim(f"sim:1?seed=3&day=0&seconds={seconds}"), card, device)
        assert carry_home(card, device).left == 0
    vault.close()
    return device


def test_a_day_of_wear_is_looked_at_credited_and_told_to_the_cent(run, tmp_path):
    assert "formula 2 pays 300 cents" in run(
        "ledger", "publish", "--begins", "2999-01-01", "--cents", "300", "--units", "1000"
    )
    wear(tmp_path / "data", seconds=90)
    found = run("ledger", "credit", "--json")
    assert found["looked_at"] == 2
    assert 60 / 3.6 < found["units"] <= 90 / 3.6
    assert run("ledger", "credit", "--json")["credited"] == 0
    told = run("ledger", "statement", "ada", "--json")
    assert told["units"] == found["units"]
    assert sum(line["units"] for line in told["lines"]) == told["units"]
    assert run("ledger", "verify", "--json")["transactions"] == 1
    (holder,) = run("ledger", "shares", "--json")
    assert holder["share"] == 1.0
    assert "has earned 0 cents" in run("ledger", "pay", "ada", "5", "--reference", "x", code=13)


def test_a_no_earns_the_same_bonus_as_a_yes_and_silence_none(run, tmp_path):
    for name in ("bea", "cem"):
        run("person", "add", name)
    with (
        closing(Vault(config.load(tmp_path / "data", {}))) as vault,
        vault.db.write() as connection,
    ):
        proposal = proposals.Proposal(
            "x", ("fh:train-general-model",), "m", "nobody", 30, bonus_cents=50
        )
        made = proposals.propose(connection, proposal)
        for name, choice in (("ada", "yes"), ("bea", "no")):
            answers.vote(connection, made, people.find(connection, name), choice)
    assert run("ledger", "credit", "--json")["cents"] == 100
    assert run("ledger", "credit", "--json")["cents"] == 0
    owed = [
        run("ledger", "statement", name, "--json")["owed_cents"] for name in ("ada", "bea", "cem")
    ]
    assert owed == [50, 50, 0]
    run("ledger", "pay", "bea", "50", "--reference", "SEPA 1")
    assert run("ledger", "statement", "bea", "--json")["owed_cents"] == 0


def test_a_formula_that_reaches_back_is_refused(run):
    said = run(
        *("ledger", "publish", "--begins", "2021-01-01", "--cents", "9", "--units", "9"), code=2
    )
    assert "would change what hours were already worth" in said


def test_a_death_is_attested_by_two_and_denied_by_the_living(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    run("estate", "set", "ada", "--run", "bea", "--years", "2")
    assert "one more is needed" in run(
        *("estate", "attest", "ada", "--by", "dr lu", "--household", "Elm 1"),
        *("--document", str(tmp_path / "a")),
    )
    second = ("estate", "attest", "ada", "--by", "bea", "--document", str(tmp_path / "b"))
    assert "lives with" in run(*second, "--household", "Elm 1", code=13)
    assert "in force from" in run(*second, "--household", "Oak 2")
    assert run("estate", "show", "ada", "--json")["status"] == "deceased"
    assert "wait for a denial" in run("estate", "stop", "ada", "--by", "bea", code=13)
    run("estate", "deny", "ada", "--why", "she called")
    assert run("estate", "show", "ada", "--json")["status"] == "active"
    assert run("estate", "due", "--json") == []


def test_a_figure_is_told_of_ten_people_and_not_of_nine(run):
    for number in range(8):
        run("person", "add", f"p{number}")
    run("figures", "trait", "ada", "age", "30-44")
    assert run("figures", "show", "--json")["attrition"] is None
    run("person", "add", "p9")
    found = run("figures", "show", "--json")
    assert found["attrition"]["people"] == 10
    assert found["everyone"]["all"]["people"] == 10
    assert found["age"]["30-44"] is None
    assert "is no answer" in run("figures", "trait", "ada", "age", "old", code=2)
    run("person", "add", "p10")
    assert run("figures", "show", "--json") == found


def test_a_death_that_is_denied_leaves_footage_and_device_as_they_were(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    device = wear(tmp_path / "data", seconds=6)
    for name, house, file in (("dora", "A", "a"), ("gus", "C", "b")):
        said = ("--by", name, "--household", house, "--document", str(tmp_path / file))
        run("estate", "attest", "ada", *said)
    with closing(Vault(config.load(tmp_path / "data", {}))) as vault:
        server = Server(vault, "127.0.0.1", 0)
        vault.settings = config.load(tmp_path / "data", {}, vault_url=server.url)
        card, here = Card(device.folder / "card"), replace(device, vault_url=server.url)
        with server.background():
            record(open_sim("sim:1?seed=3&day=0&seconds=6"), card, here)
            done = carry_home(card, here, patience_s=0.1)
            assert (done.refused, done.stored, done.left) == (0, 0, 1)
            run("estate", "deny", "ada", "--why", "she called")
            record(open_sim("sim:1?seed=3&day=0&seconds=6"), card, here)
            assert carry_home(card, here, patience_s=30).stored == 2
    run("estate", "set", "ada", code=2)
    (tmp_path / "empty").touch()
    no = ("--by", "x", "--household", "y", "--document", str(tmp_path / "empty"))
    assert "is empty" in run("estate", "attest", "ada", *no, code=2)
