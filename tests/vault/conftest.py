"""One suite for both: every test here runs over SQLite and files, and over PostgreSQL and Ceph.

Unless it is marked `files` (it looks into those files, or copies them), or its file has a fixture
`backend` of its own.
"""

from collections.abc import Iterator

import pytest

from firsthand import age


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises whatever opens a vault by where that vault keeps things."""
    if "backend" in metafunc.fixturenames and not hasattr(metafunc.module, "backend"):
        files_only = any(metafunc.definition.iter_markers("files"))
        kinds = ["files"] if files_only else ["files", "servers"]
        metafunc.parametrize("backend", kinds, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings that say where the vault keeps things."""
    if request.param == "files":
        yield {}
        return
    with request.getfixturevalue("servers").fresh() as settings:
        yield settings


@pytest.fixture
def cheap_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seals new roots cheaply: scrypt at full cost takes 0.1 s a root."""
    monkeypatch.setattr(age.encrypt, "__defaults__", ((), None, 1))
