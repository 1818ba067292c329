"""A device's identity: who it is, whose it is, to whom it seals and whose receipts it believes.

    device.json   names, the vault's URL, public keys
    signing.key   the Ed25519 seed that signs records and requests, base64, readable by its owner
    chain.json    where the chain of records stands (chain.py)

It holds no key that opens footage. Enrolment, which tells the vault the public key, is in enrol.py.
"""

import base64
import binascii
import json
import re
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firsthand.age import Recipient
from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged, Error, Failed, Locked, NotFound, Usage
from firsthand.record.durable import write_durably

VERSION = 1


@dataclass(frozen=True)
class Device:
    """An enrolled recorder, bound to one person and one vault."""

    folder: Path
    name: str
    person: str
    vault_url: str
    recipient: Recipient
    receipt_key: VerifyKey
    policy: str = ""
    key: SigningKey = field(kw_only=True, repr=False)


def create_device(
    folder: Path,
    *,
    name: str,
    person: str,
    vault_url: str,
    recipient: str,
    receipt_key: str,
    policy: str = "",
    key: SigningKey | None = None,
) -> Device:
    """A new device folder with a new signing key; Locked if there is one already."""
    folder = Path(folder)
    if (folder / "device.json").exists():
        raise Locked(f"{folder} already holds a device", "choose another folder")
    if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
        raise Usage(f"{name!r} is no device name", "use letters, digits, - and _")
    data = {
        "v": VERSION,
        "name": name,
        "person": person,
        "vault_url": vault_url,
        "recipient": str(Recipient.parse(recipient)),
        "receipt_key": str(VerifyKey.from_text(receipt_key)),
        "policy": policy,
    }
    _check_url(vault_url)
    key = key or SigningKey.generate()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(folder / "signing.key", base64.b64encode(key.to_bytes()) + b"\n")
        write_durably(folder / "chain.json", b'{"taken": 0, "signed": 0, "prev": ""}\n')
        write_durably(folder / "device.json", json.dumps(data, indent=1).encode() + b"\n")
    except OSError as error:
        raise Failed(f"cannot write the device folder {folder}: {error.strerror}") from error
    return load_device(folder)


def load_device(folder: Path) -> Device:
    """The device kept in a folder; raises NotFound, Damaged."""
    folder = Path(folder)
    try:
        data: dict[str, Any] = json.loads((folder / "device.json").read_bytes())
        seed = base64.b64decode((folder / "signing.key").read_bytes().strip(), validate=True)
    except FileNotFoundError as error:
        raise NotFound(f"{folder} holds no device", "enrol one, or choose its folder") from error
    except (OSError, ValueError, binascii.Error) as error:
        raise Damaged(f"the device in {folder} cannot be read: {error}", _ENROL) from error
    try:
        if data["v"] != VERSION:
            raise Damaged(f"the device in {folder} has version {data['v']}", "update firsthand")
        _check_url(data["vault_url"])
        return Device(
            folder=folder,
            name=data["name"],
            person=data["person"],
            vault_url=data["vault_url"],
            recipient=Recipient.parse(data["recipient"]),
            receipt_key=VerifyKey.from_text(data["receipt_key"]),
            policy=data["policy"],
            key=SigningKey.from_bytes(seed),
        )
    except (KeyError, TypeError, AttributeError, Usage) as error:
        reason = error.message if isinstance(error, Error) else f"{error} is missing or wrong"
        raise Damaged(f"the device in {folder} cannot be read: {reason}", _ENROL) from error


_ENROL = "enrol it anew; footage already on its card stays good"


def _check_url(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Usage(f"{url!r} is no vault URL", "it reads https://HOST or http://HOST:PORT")
