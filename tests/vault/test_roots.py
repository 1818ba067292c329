"""One suite for every keeper of the root: a file, Transit (a stand-in), AWS KMS (moto)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from firsthand import age, config
from firsthand.errors import Error, NotFound, Unavailable, Usage, WrongKey
from firsthand.vault import reading
from firsthand.vault.keys import epochs, transit
from firsthand.vault.keys.keyring import Keyring
from firsthand.vault.keys.root import Root, open_root
from firsthand.vault.vault import Vault

WORDS = "correct horse"
DAY_NS = 86_400 * 10**9
AWS = "aws-kms:arn:aws:kms:eu-central-1:123456789012:alias/firsthand"


@dataclass
class Kept:
    """A keeper of roots under test, and how its service is hurt."""

    url: str
    folder: Path
    service: Any = None
    hurt: Any = field(default=None)

    def root(self) -> Root:
        return open_root(self.url, self.folder, WORDS)

    def keyring(self) -> Keyring:
        return Keyring(self.folder, WORDS, self.url)


@pytest.fixture(params=["file", "transit", "aws-kms"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> Iterator[Kept]:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(age.encrypt, "__defaults__", ((), None, 1))
    if request.param == "file":
        yield Kept("file:", tmp_path)
    elif request.param == "transit":
        pytest.importorskip("hvac")
        from transit_server import TOKEN, Server

        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        server = Server()
        yield Kept(f"transit:{server.url}/firsthand", tmp_path, server.engine)
        server.close()
    else:
        moto = pytest.importorskip("moto")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        with moto.mock_aws():
            yield Kept(AWS, tmp_path)


def test_what_was_made_opens_again_and_each_epoch_has_its_own(kept):
    root = kept.root()
    first, word = root.make(1)
    second, other = root.make(2)
    assert (len(first), len(second)) == (32, 32)
    assert first != second
    again = kept.root()
    assert (again.open(1, word), again.open(2, other)) == (first, second)
    assert first.hex() not in word
    assert first not in word.encode()


def test_a_destroyed_root_never_opens_again_and_the_others_do(kept):
    root = kept.root()
    made = {epoch: root.make(epoch) for epoch in (1, 2, 3)}
    gone_ns = root.destroy(1, made[1][1], 5)
    assert gone_ns >= 5
    assert root.destroy(1, made[1][1], 5) == gone_ns or kept.url == "file:"
    for keeper in (root, kept.root()):
        with pytest.raises(NotFound):
            keeper.open(1, made[1][1])
        for epoch in (2, 3):
            assert keeper.open(epoch, made[epoch][1]) == made[epoch][0]


def test_a_keyring_lives_through_epochs(kept):
    keyring = kept.keyring()
    keyring.add_person("ana")
    key = keyring.day_key("ana", "2026-11-01", 0, make=True)
    for number in (1, 2, 3):
        (ended,) = epochs.rotate(keyring)
        assert ended.number == number
        assert ended.gone_ns >= ended.ended_ns + keyring.keeper(kept.url).lag_ns - 10**10
        assert keyring.day_key("ana", "2026-11-01", 0) == key
    keyring.close()
    again = kept.keyring()
    assert again.day_key("ana", "2026-11-01", 0) == key
    again.close()


def test_a_vault_moves_from_a_file_to_any_keeper_and_back(kept):
    keyring = Keyring(kept.folder, WORDS)
    keyring.add_person("ana")
    key = keyring.day_key("ana", "2026-11-01", 0, make=True)
    keyring.close()
    for url in (kept.url, "file:"):
        keyring = Keyring(kept.folder, WORDS, url)
        assert keyring.day_key("ana", "2026-11-01", 0) == key
        epochs.rotate(keyring)
        assert keyring.epochs()[-1].root == url
        assert keyring.day_key("ana", "2026-11-01", 0) == key
        assert len(list(kept.folder.glob("root*.age"))) == (url == "file:")
        keyring.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "file", "file:/a", "nothing:", "transit:", "aws-kms:", "transit:ftp://x/k"),
        *("transit:https://host:8200", "aws-kms:arn:aws:kms:eu-1:1:key/abc", "aws-kms:alias/x"),
    ],
)
def test_a_setting_that_names_no_root_is_refused_with_how_to_write_it(url, tmp_path):
    with pytest.raises(Usage) as caught:
        open_root(url, tmp_path, WORDS)
    assert caught.value.hint


# --- the service fails (K3)


def _broken(kept: Kept, kind: str, monkeypatch) -> type[Error]:  # type: ignore[no-untyped-def]
    """Hurts the service; returns what is told of it."""
    if kept.url.startswith("transit"):
        engine = kept.service
        if kind == "slow":
            monkeypatch.setattr(transit, "TIMEOUT_S", 0.1)
            monkeypatch.setattr(engine, "delay_s", 0.3)
        else:
            status = {"down": 503, "throttled": 429, "denied": 403}[kind]
            monkeypatch.setattr(engine, "status", status)
    else:
        from botocore.client import BaseClient
        from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

        def fail(_client, operation: str, _given: object) -> None:  # type: ignore[no-untyped-def]
            code = {"throttled": "ThrottlingException", "denied": "AccessDeniedException"}
            if kind in code:
                raise ClientError({"Error": {"Code": code[kind], "Message": "no"}}, operation)
            wrong = EndpointConnectionError if kind == "down" else ReadTimeoutError
            raise wrong(endpoint_url="https://kms")

        monkeypatch.setattr(BaseClient, "_make_api_call", fail)
    return WrongKey if kind == "denied" else Unavailable


@pytest.mark.fault("K3")
@pytest.mark.parametrize("kind", ["down", "slow", "throttled", "denied"])
@pytest.mark.parametrize("kept", ["transit", "aws-kms"], indirect=True)
def test_k3_while_the_service_fails_a_running_vault_goes_on_and_nothing_is_destroyed(
    kept, kind, tmp_path, make_sealed, monkeypatch
):
    data = config.mark(tmp_path / "mine", "real")
    settings = config.load(data, {}, root=kept.url)
    vault = Vault(settings)
    device = make_sealed(vault)
    device.hand_in(device.seal({"video": b"before"}))
    with monkeypatch.context() as patch:
        told = _broken(kept, kind, patch)
        # Ingest and reading go on: the root is in memory, devices seal by public keys alone.
        receipt = device.hand_in(device.seal({"video": b"meanwhile"}, 60))["receipt"]
        assert receipt["kind"] == "stored"
        assert _read(vault) == [b"before", b"meanwhile"]
        with pytest.raises(told):
            epochs.rotate(vault.keyring)
        assert not epochs.state(vault.keyring).rotating
        # One that starts meanwhile opens, and says of each key that it has to wait.
        late = Vault(settings)
        with pytest.raises(told):
            late.keyring.log_key()
        late.close()
    assert len(epochs.rotate(vault.keyring)) == 1
    late = Vault(settings)
    assert _read(late) == [b"before", b"meanwhile"]
    late.close()
    vault.close()


@pytest.mark.fault("K3")
@pytest.mark.parametrize("kept", ["transit", "aws-kms"], indirect=True)
def test_k3_a_service_that_fails_at_the_end_of_an_epoch_leaves_both_roots_and_it_ends_later(
    kept, monkeypatch
):
    keyring = kept.keyring()
    keyring.add_person("ana")
    key = keyring.day_key("ana", "2026-11-01", 0, make=True)
    with monkeypatch.context() as patch:
        verify = epochs.verify
        patch.setattr(epochs, "verify", lambda ring: (verify(ring), _broken(kept, "down", patch)))
        with pytest.raises(Unavailable):
            epochs.rotate(keyring)
    assert epochs.state(keyring).rotating
    assert keyring.day_key("ana", "2026-11-01", 0) == key
    assert [each.number for each in epochs.rotate(keyring)] == [1]
    assert not epochs.state(keyring).rotating
    keyring.close()


@pytest.mark.fault("K3")
@pytest.mark.parametrize("kept", ["transit"], indirect=True)
def test_k3_a_transit_key_of_the_wrong_version_is_told_and_nothing_is_trimmed(kept):
    keyring = kept.keyring()
    keyring.add_person("ana")
    epochs.rotate(keyring)
    keyring.close()
    engine = kept.service
    held = engine.keys["firsthand"]
    engine.keys["firsthand"] = {  # put back from a backup of the first epoch
        **held, "versions": {1: held["versions"][2]}, "min_decryption_version": 1,
        "min_available_version": 0,
    }  # fmt: skip
    again = kept.keyring()
    with pytest.raises(WrongKey, match="no version 2"):
        again.log_key()
    with pytest.raises(Error):
        epochs.rotate(again)
    again.close()
    del engine.keys["firsthand"]
    again = kept.keyring()
    with pytest.raises(NotFound, match="no key firsthand"):
        again.log_key()
    again.close()
    engine.keys["firsthand"] = held
    again = kept.keyring()
    assert again.log_key()
    again.close()


def _read(vault: Vault) -> list[bytes]:
    from firsthand.vault import catalog

    with vault.db.read() as connection:
        found = [each.id for each in catalog.stored(connection)]
        order = {each: catalog.find(connection, each).start_ns for each in found}
    ids = sorted(found, key=lambda each: order[each])
    return [reading.read_part(vault, each, "video", "self", "x") for each in ids]


@pytest.fixture
def backend() -> dict[str, str]:
    """What keeps the root has no part in where footage lies: once is enough."""
    return {}


@pytest.fixture
def make_sealed(device):  # type: ignore[no-untyped-def]
    """A person with a device in a vault of the test's own."""
    from firsthand.consent import people

    def make(vault: Vault):  # type: ignore[no-untyped-def]
        person = vault.add_person("ana", "sim")
        mine = type(device)(vault, person, "d1")
        with vault.db.write() as connection:
            people.enrol(connection, person, "d1", mine.key.public)
        return mine

    return make
