"""`firsthand figures worth` over a vault: for governance alone, of five units or more."""

import re
from collections.abc import Iterator
from functools import partial

import pytest
from programme import Programme, begin
from wearer import PASSPHRASE

from firsthand import log
from firsthand.cli import main
from firsthand.learn import worth
from firsthand.shard import ReleaseReader
from firsthand.vault.vault import Vault


@pytest.fixture
def made() -> Iterator[Programme]:
    programme = begin()
    yield programme
    programme.close()


def test_it_takes_a_key_of_governance_and_five_units(made, monkeypatch, capsys):
    release = made.release(made.run).id
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", PASSPHRASE)
    later = Vault.__init__.__defaults__[1:]
    monkeypatch.setattr(Vault.__init__, "__defaults__", (made.clock, *later))
    opened = partial(ReleaseReader, now=lambda: made.clock() / 1e9)  # by which the grant ends
    monkeypatch.setattr(worth, "open_release", opened)

    def call(*words: str) -> tuple[int, str]:
        code = main(["--data", str(made.folder / "data"), *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    ask = ("figures", "worth", release)
    assert call(*ask)[0] == 2
    for role, why in (("organisation", "may not know"), ("governance", "of 2 units")):
        said = call("access", "give", f"the {role}", "--role", role)[1]
        key = re.search(r"key(?:=|: )(\S+)", said)[1]
        code, said = call(*ask, "--key", key)
        assert (code, why in said) == (13, True), said
    left = {each.name for each in (made.folder / "data").iterdir()}
    assert not [name for name in left if name == "pulled" or name.startswith("worth-")]
    with made.vault.db.read() as connection:
        kinds = [entry.kind for entry in log.read(connection)]
    assert kinds.count("valuation_begun") == 1
    assert kinds.count("data_valued") == 2
