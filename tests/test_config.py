"""Settings come in order of precedence, and a data folder keeps to one kind of data."""

import json
from pathlib import Path

import pytest

from firsthand import config
from firsthand.errors import Failed, Refused, Usage


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "firsthand.toml").write_text(text)
    return folder


def test_with_no_configuration_everything_lies_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = config.load(None, {})
    assert found.data == Path("firsthand-data")
    assert found.database == "sqlite:///firsthand-data/vault/firsthand.db"
    assert found.store == (tmp_path / "firsthand-data/vault/objects").as_uri()
    assert found.vault == "http://127.0.0.1:8707"


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    assert config.load(tmp_path, {}).port == 8707
    write(tmp_path, "port = 1000\n")
    assert config.load(tmp_path, {}).port == 1000
    environment = {"FIRSTHAND_PORT": "2000"}
    assert config.load(tmp_path, environment).port == 2000
    assert config.load(tmp_path, environment, port=3000).port == 3000
    assert config.load(tmp_path, environment, port=None).port == 2000


def test_the_data_folder_is_named_by_flag_before_environment(tmp_path):
    environment = {"FIRSTHAND_DATA": str(tmp_path / "env")}
    assert config.load(None, environment).data == tmp_path / "env"
    assert config.load(tmp_path / "flag", environment).data == tmp_path / "flag"


def test_an_empty_environment_variable_says_nothing(tmp_path):
    assert config.load(tmp_path, {"FIRSTHAND_PORT": "", "FIRSTHAND_HOST": ""}).port == 8707


def test_urls_lead_elsewhere_when_set(tmp_path):
    environment = {
        "FIRSTHAND_DATABASE_URL": "postgresql://db/f",
        "FIRSTHAND_STORE_URL": "s3://bucket",
        "FIRSTHAND_VAULT_URL": "https://vault.example",
    }
    found = config.load(tmp_path, environment)
    assert (found.database, found.store, found.vault) == tuple(environment.values())


@pytest.mark.parametrize("text", ["colour = 1", "[port]\nx = 1", "Port = 5", 'data = "elsewhere"'])
def test_an_unknown_or_misplaced_key_in_the_file_is_an_error(tmp_path, text):
    with pytest.raises(Usage, match=r"firsthand\.toml"):
        config.load(write(tmp_path, text), {})


def test_an_unknown_flag_is_an_error(tmp_path):
    with pytest.raises(Usage, match="flag has an unknown setting 'colour'"):
        config.load(tmp_path, {}, colour="red")


@pytest.mark.parametrize(
    "text",
    [
        'port = "many"',
        "port = 80.5",
        "port = true",
        "port = [80]",
        "host = 5",
        "host = true",
        'passphrase = ["a"]',
        "passphrase = 1234",
        "vault_url = 2026-01-01",
    ],
)
def test_a_value_of_a_wrong_type_is_an_error(tmp_path, text):
    with pytest.raises(Usage, match=text.split()[0]):
        config.load(write(tmp_path, text), {})
    with pytest.raises(Usage):
        config.load(tmp_path / "other", {"FIRSTHAND_PORT": "many"})


@pytest.mark.parametrize("text", ["port =", "= 1", "port = 1\nport = 2"])
def test_a_file_that_is_not_toml_is_an_error(tmp_path, text):
    with pytest.raises(Usage, match="not valid TOML"):
        config.load(write(tmp_path, text), {})


def test_a_file_that_is_not_text_is_an_error(tmp_path):
    (tmp_path / "firsthand.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Usage, match="not valid TOML"):
        config.load(tmp_path, {})


def test_the_passphrase_is_not_in_what_settings_print(tmp_path):
    assert "hunter2" not in repr(config.load(tmp_path, {}, passphrase="hunter2"))


def test_a_marked_folder_keeps_its_kind(tmp_path):
    folder = tmp_path / "data"
    assert config.kind_of(folder) is None
    assert config.mark(folder, "demo") == folder
    assert config.kind_of(folder) == "demo"
    assert config.mark(folder, "demo") == folder
    with pytest.raises(Refused, match="demo data"):
        config.mark(folder, "real")
    assert config.kind_of(folder) == "demo"


def test_a_folder_of_something_else_is_never_marked(tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    for kind in ("demo", "real"):
        with pytest.raises(Refused, match="not empty"):
            config.mark(tmp_path, kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_folder_that_holds_only_settings_can_be_marked(tmp_path):
    write(tmp_path, "port = 1000")
    config.mark(tmp_path, "real")
    assert config.kind_of(tmp_path) == "real"


def test_a_new_data_folder_is_for_its_owner_alone(tmp_path):
    folder = config.mark(tmp_path / "data", "real")
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '"real"'])
def test_a_broken_mark_is_no_mark_and_is_not_overwritten(tmp_path, text):
    (tmp_path / config.MARK).write_text(text)
    assert config.kind_of(tmp_path) is None
    with pytest.raises(Failed, match="cannot use"):
        config.mark(tmp_path, "real")
    assert (tmp_path / config.MARK).read_text() == text


def test_a_file_is_no_data_folder(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(Failed, match="cannot use"):
        config.mark(tmp_path / "data", "real")


def test_the_mark_says_what_it_is_to_other_programs(tmp_path):
    config.mark(tmp_path / "data", "real")
    held = json.loads((tmp_path / "data" / config.MARK).read_text())
    assert held == {"firsthand": 1, "kind": "real"}


def test_a_setting_is_added_beside_those_that_stand_there(tmp_path):
    folder = write(tmp_path / "data", "port = 9000\n")
    config.add(folder, "vault_url", 'http://a"b:1')
    found = config.load(folder, {})
    assert (found.port, found.vault) == (9000, 'http://a"b:1')
    config.add(tmp_path, "port", "7")
    assert config.load(tmp_path, {}).port == 7
