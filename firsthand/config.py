"""Settings, and the marked data folder in which everything lies.

Order of precedence: default < firsthand.toml in the data folder < environment (FIRSTHAND_*) < flag.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from urllib.parse import quote

from firsthand.errors import Failed, Refused, Usage

MARK = ".firsthand.json"


@dataclass(frozen=True)
class Settings:
    """Where things are. Empty URLs mean: inside the data folder."""

    data: Path = Path("firsthand-data")
    database_url: str = field(default="", repr=False)  # may hold a password
    store_url: str = ""
    vault_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8707
    copy_url: str = ""
    device_gb_a_day: int = 1000
    person_gb_a_day: int = 2000
    uploads_at_once: int = 2000
    passphrase: str = field(default="", repr=False)
    root: str = "file:"
    keyring_copies: str = ""
    access_key: str = field(default="", repr=False)
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_access_key: str = ""
    s3_secret_key: str = field(default="", repr=False)
    upload_hours: str = ""
    upload_mbit_s: float = 0.0
    upload_metered: str = "no"
    home_zone: str = ""

    @property
    def database(self) -> str:
        """URL of the catalogue's database."""
        return self.database_url or f"sqlite:///{quote(str(self.data / 'vault' / 'firsthand.db'))}"

    @property
    def store(self) -> str:
        """URL of the object store."""
        return self.store_url or (self.data / "vault" / "objects").resolve().as_uri()

    @property
    def vault(self) -> str:
        """URL at which devices of this folder reach the vault."""
        return self.vault_url or f"http://{self.host}:{self.port}"


def load(
    data: Path | None = None, environment: Mapping[str, str] = os.environ, **flags: object
) -> Settings:
    """Settings from defaults, file, environment and flags; Usage on an unknown or wrong key."""
    settings = Settings(data=Path(data or environment.get("FIRSTHAND_DATA") or Settings.data))
    file = settings.data / "firsthand.toml"
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise Usage(f"{file} is not valid TOML: {error}", "mend or remove the file") from error
        if "data" in values:
            raise Usage(f"{file} names another data folder", "name it with --data instead")
        settings = _apply(settings, values, str(file))
    known = {f"FIRSTHAND_{item.name.upper()}": item.name for item in fields(Settings)}
    found = {name: environment[key] for key, name in known.items() if environment.get(key)}
    settings = _apply(settings, {k: v for k, v in found.items() if k != "data"}, "environment")
    return _apply(settings, {k: v for k, v in flags.items() if v is not None}, "flag")


def add(folder: Path, name: str, value: str) -> None:
    """Writes a setting that was not set yet into the data folder's firsthand.toml."""
    file = folder / "firsthand.toml"
    held = file.read_text(encoding="utf-8") if file.exists() else ""
    draft = file.with_name(file.name + ".new")
    # JSON's strings are TOML's too. In front: behind a table's head it would belong to the table.
    draft.write_text(f"{name} = {json.dumps(value)}\n{held}", encoding="utf-8")
    draft.replace(file)


def mark(folder: Path, kind: str) -> Path:
    """Makes `folder` a data folder of this kind ("real" or "demo"), or checks that it is one.

    Refused if it holds data of the other kind, or is a folder of something else.
    """
    file = folder / MARK
    try:
        if file.exists():
            held = _held(file)
            if held != kind:
                raise Refused(
                    f"{folder} holds {held} data, and this is {kind} data",
                    "choose another folder with --data",
                )
            return folder
        if folder.is_dir() and any(path.name != "firsthand.toml" for path in folder.iterdir()):
            raise Refused(
                f"{folder} is not empty and is no data folder of firsthand",
                "choose an empty or new folder with --data",
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(json.dumps({"firsthand": 1, "kind": kind}) + "\n")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(
            f"cannot use {folder} as data folder: {error}", "choose another with --data"
        ) from error
    return folder


def kind_of(folder: Path) -> str | None:
    """The kind of data this folder holds, or None if it is no data folder."""
    try:
        return _held(folder / MARK)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _held(file: Path) -> str:
    return json.loads(file.read_text())["kind"]


def _apply(settings: Settings, values: Mapping[str, object], source: str) -> Settings:
    known = {item.name: item for item in fields(Settings)}
    changes: dict[str, object] = {}
    for name, value in values.items():
        if name not in known:
            raise Usage(f"{source} has an unknown setting {name!r}", f"known: {', '.join(known)}")
        kind = type(getattr(settings, name))
        # Text becomes a number or a path, as in the environment; nothing else is turned around.
        whole = kind is float and isinstance(value, int)
        if not (isinstance(value, str | kind) or whole) or isinstance(value, bool):
            raise Usage(f"{source} setting {name!r} must be of type {kind.__name__}")
        try:
            changes[name] = kind(value)
        except ValueError as error:
            raise Usage(f"{source} setting {name!r} has a wrong value {value!r}") from error
    return replace(settings, **changes)  # type: ignore[arg-type]
