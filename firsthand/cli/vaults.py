"""Opening the vault of the running command, and the small words that several nouns share."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from firsthand.cli import invocation
from firsthand.config import Settings, kind_of
from firsthand.errors import NotFound, Usage

if TYPE_CHECKING:
    from firsthand.vault.vault import Vault


def has_vault(settings: Settings) -> bool:
    """Whether a vault lies in the data folder, or its keyring in a copy; nothing is made."""
    copies = [Path(each) for each in settings.keyring_copies.split(os.pathsep) if each]
    return any((folder / "keyring.db").exists() for folder in (settings.data / "vault", *copies))


def require_vault(settings: Settings) -> None:
    """NotFound if the data folder holds no vault: on a device one that is made would be empty."""
    if kind_of(settings.data) and not has_vault(settings):
        raise NotFound(
            f"{settings.data} holds no vault",
            'on a device, run this where its vault is; a vault begins with "firsthand person add"',
        )


@contextmanager
def opened(begin: bool = False, recovering: bool = False) -> Iterator["Vault"]:
    """The vault of the data folder, closed again at the end; NotFound if there is none.

    Only `begin` makes one. One that is older than its store opens to be recovered, or judged.
    """
    settings = invocation.settings()
    if not begin:
        require_vault(settings)
    from firsthand.vault.vault import Vault  # a device has no server packages

    vault = Vault(settings, recovering=recovering)
    try:
        yield vault
    finally:
        vault.close()


def moment(text: str) -> int:
    """A time such as 2026-01-05T08:30:00 as ns since 1970; without a zone it is UTC. Usage."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"{text!r} is no time", "write it as 2026-01-05T08:30:00") from error
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    # By whole seconds and microseconds: a float holds no nanoseconds of this century.
    return int(time.timestamp()) * 10**9 + time.microsecond * 1000


def when(time_ns: int | None) -> str:
    """A time in ns as 2026-01-05 08:30:00 (UTC); a dash for none."""
    if time_ns is None:
        return "-"
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def length(seconds: float) -> str:
    """A length of time to read: 7 s, 8 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds != whole else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, one: str, many: str = "") -> str:
    """A number of things to read: 1 person, 2 people, 0 segments."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def trained_on(folder: Path) -> dict[str, str]:
    """The release that each model in the data folder was trained on."""
    found = {}
    for file in sorted(folder.glob("*/config.json")):
        try:
            found[file.parent.name] = str(json.loads(file.read_text())["lineage"]["release"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
