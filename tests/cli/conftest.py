"""The program as a person calls it, in a folder of its own."""

import secrets
from pathlib import Path

import pytest

from firsthand import age, config
from firsthand.cli import main


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Calls the program in an empty folder; returns the exit code and all that it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIRSTHAND_PASSPHRASE", "correct horse")
    (config.mark(tmp_path / "firsthand-data", "real") / "vault").mkdir(mode=0o700)
    # A cheap seal over the root: scrypt at full cost would be paid at each of forty calls.
    root = age.encrypt(secrets.token_bytes(32), passphrase="correct horse", scrypt_log2=1)
    (tmp_path / "firsthand-data" / "vault" / "root.age").write_bytes(root)

    def call(*words: str) -> tuple[int, str]:
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    return call
