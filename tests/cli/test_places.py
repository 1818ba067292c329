"""Places, review, bystanders, keys and viewings, as one types them."""

import json
from pathlib import Path

import pytest

from firsthand import config
from firsthand.cli import main
from firsthand.cli.place import week_of
from firsthand.errors import Usage

DAY = "2026-11-01T"


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys):
    """Runs a command line and returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("FIRSTHAND_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("FIRSTHAND_MY_KEY", raising=False)
    config.mark(tmp_path / "data", "demo")  # where people are simulated and take no quiz

    def call(*words: str):
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    code, _, wrong = call("person", "add", "ana", "--place", "sim")
    assert code == 0, wrong
    return call


def key_in(said: str) -> str:
    return said.split("key=")[1].split()[0]


def test_a_place_is_said_listed_asked_and_ended(run):
    said = ("place", "say", "ana", "work", "--label", "Bakery", "--week", "mon-fri 9-17")
    code, out, _ = run(*said, "--from", DAY + "00:00")
    assert (code, "pictures yes, with an employer's permission" in out) == (0, True)
    place = out.split("(")[1].split(")")[0]
    monday = "2026-11-02T10:00:00"
    code, out, _ = run("place", "may", "ana", "--at", monday, "--json")
    told = json.loads(out)
    assert (told["video"], told["reasons"][0]) == (False, "work: no employer's permission")
    assert round(told["share_of_week"]["video"] * 168, 2) == 128 - 0.17  # borders of a minute each
    permit = ("place", "permit", "ana", "Bakery", "--employer", "Bread Ltd", "--document", "a" * 64)
    assert run(*permit, "--signed-by", "ana", "--until", "2099-01-01")[0] == 13
    assert run(*permit, "--signed-by", "B. Aker", "--until", "2020-01-01")[0] == 13
    code, out, _ = run(*permit, "--signed-by", "B. Aker", "--until", "2099-01-01")
    assert code == 0
    later = "2098-11-03T10:00:00"  # a Monday within it
    assert json.loads(run("place", "may", "ana", "--at", later, "--json")[1])["video"]
    listed = json.loads(run("place", "list", "ana", "--json")[1])
    assert [each["label"] for each in listed["places"] + listed["permissions"]] == ["Bakery"] * 2
    assert "taken back" in run("place", "end", "ana", place)[1]
    assert run("place", "end", "ana", place)[0] == 10
    assert run("place", "say", "ana", "moon")[0] == 2


@pytest.mark.parametrize(
    ("text", "days", "hours"),
    [
        ("mon fri 9:00-17:30", "mon fri", (540, 1050)),
        ("sat-mon 22-6", "sat sun mon", (1320, 360)),
        ("Tue 0-24", "tue", (0, 1440)),
    ],
)
def test_a_week_is_read_as_one_writes_it(text, days, hours):
    assert week_of(text) == (days, *hours)


@pytest.mark.parametrize("text", ["", "mon", "9-17", "someday 9-17", "mon-someday 9-17", "mon 9"])
def test_what_is_no_week_is_said(text):
    with pytest.raises(Usage):
        week_of(text)


def test_keys_viewings_and_broken_glass(run):
    keys = {}
    for name in ("dr", "eve", "fred"):
        code, out, _ = run("access", "give", name, "--role", "reviewer")
        assert code == 0
        keys[name] = key_in(out)
    assert run("access", "give", "dr", "--role", "reviewer")[0] == 2
    span = (DAY + "08:00", DAY + "09:00")
    ask = ("view", "ask", "ana", *span, "--why", "a fall in the kitchen")
    assert run(*ask)[0] == 2
    assert run(*ask, "--key", "wrong")[0] == 12
    code, out, _ = run(*ask, "--key", keys["dr"])
    assert (code, "waits for 2 approvals and the wearer's yes" in out) == (0, True)
    view = out.split()[1]
    assert run("view", "approve", view, "--key", keys["dr"])[0] == 13
    for name in ("eve", "fred"):
        assert run("view", "approve", view, "--key", keys[name])[0] == 0
    assert run("view", "open", view, "--out", "x", "--key", keys["dr"])[0] == 13
    assert "is granted, but closed: " in run("view", "answer", view, "yes")[1]  # no consent to it
    told = json.loads(run("view", "list", "--json")[1])
    assert [each["state"] for each in told] == ["granted, but closed"]  # and not why
    assert run("consent", "give", "ana", "human-view")[0] == 0
    out = run("view", "open", view, "--out", "x", "--key", keys["dr"])[1]
    assert out == "0 parts opened into x, 0 segments closed\n"
    mine = run("access", "give", "ana's", "--role", "wearer", "--person", "ana")
    assert run("view", "answer", view, "no")[0] == 13  # she has a key now
    assert run("view", "answer", view, "no", "--key", key_in(mine[1]))[0] == 0
    glass = ("view", "break-glass", "ana", *span, "--why", "she does not answer the door")
    assert "ana is told" in run(*glass, "--key", keys["eve"])[1]
    states = [each["state"] for each in json.loads(run("view", "list", "--json")[1])]
    assert states == ["open", "refused by the wearer"]
    assert "broke the glass" not in run("audit", "list", "--person", "ana")[1]
    assert "glass_broken" in run("audit", "list", "--person", "ana")[1]
    assert run("access", "revoke", "eve")[0] == 0
    assert run("view", "approve", view, "--key", keys["eve"])[0] == 12


def test_review_coverage_and_a_badge(run):
    assert run("consent", "review-window", "ana", "0")[0] == 2
    assert "14 days" in run("consent", "review-window", "ana", "14")[1]
    assert run("consent", "reviewed", "ana")[1] == "ana has looked at 0 days\n"
    assert run("consent", "reviewed", "ana", "2026-11-01")[0] == 10
    told = json.loads(run("consent", "coverage", "ana", "2026-11-01", "--json")[1])
    assert told == [{"day": "2026-11-01", "ns": {"unknown": 86_400 * 10**9}}]
    code, out, _ = run("bystander", "code", "ana")
    shown, link = out.split()
    assert (code, len(shown), link.endswith(f"/seen?code={shown}")) == (0, 8, True)
    assert json.loads(run("bystander", "list", "--json")[1]) == []
    assert run("bystander", "decide", "ana", "h-0", "keep")[0] == 10
