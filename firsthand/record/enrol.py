"""Enrolment from the device's side: a code becomes a device folder with a key of its own.

What is said stands in enrolment.py at the package's root, with the reason why it can be believed.
"""

import base64
import binascii
import contextlib
import http.client
import json
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firsthand import enrolment
from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged, Error, Failed, Refused, Usage
from firsthand.record.card.card import Card
from firsthand.record.device import Device, create_device
from firsthand.record.durable import write_durably

TIMEOUT_S = 20.0
ANSWER_BYTES = 64 << 10


@dataclass(frozen=True)
class Enrolled:
    """The new device, and the word that the vault's screen must show too."""

    device: Device
    fingerprint: str


def split_link(link: str, code: str = "") -> tuple[str, str]:
    """(URL, code), from both or from the one line that a QR holds; Usage if one is missing."""
    url, _, inside = link.strip().partition("#")
    if not (code or inside):
        raise Usage("the enrolment code is missing", "give the vault's URL, then the code")
    return url.rstrip("/"), code or inside


def enrol(folder: Path, url: str, code: str, card: Path | None = None) -> Enrolled:
    """A new device in `folder`, with its card there or at `card`; Refused, Failed, Usage.

    The key is kept before anything is sent: after an answer that was lost, the same device can
    ask again with the same code.
    """
    known = enrolment.read_code(code)
    waiting_key = folder / "enrolling.key"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = _kept_key(waiting_key)
    except OSError as error:
        raise Failed(f"cannot write to {folder}: {error.strerror}") from error
    sent = enrolment.hello(known, key)
    given = enrolment.verify_welcome(_post(url, sent), sent, known)
    try:
        made = folder / given["device"]
        device = create_device(
            made,
            name=given["device"],
            person=given["person"],
            vault_url=url,
            recipient=given["recipient"],
            receipt_key=given["receipt_key"],
            key=key,
        )
    except (KeyError, Usage) as error:
        reason = error.message if isinstance(error, Error) else f"it lacks {error}"
        raise Damaged(f"the vault's welcome makes no sense: {reason}", "update both") from error
    prepare_card(device, card)
    waiting_key.unlink(missing_ok=True)
    vault_key = VerifyKey.from_text(given["receipt_key"])
    return Enrolled(device, enrolment.fingerprint(key.public, vault_key))


def prepare_card(device: Device, card: Path | None) -> Path:
    """The device's card: in its folder, or elsewhere with a link to it there."""
    place = device.folder / "card"
    if card is not None and not place.exists():
        Card.create(card)
        place.symlink_to(card.resolve())
    else:
        Card.create(place)
    return place


def _kept_key(path: Path) -> SigningKey:
    with contextlib.suppress(FileNotFoundError, binascii.Error, Usage):
        return SigningKey.from_bytes(base64.b64decode(path.read_bytes(), validate=True))
    key = SigningKey.generate()
    write_durably(path, base64.b64encode(key.to_bytes()))
    return key


def _post(url: str, sent: dict[str, Any]) -> Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Usage(f"{url!r} is no vault URL", "it reads https://HOST or http://HOST:PORT")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", f"{parts.path}/api/enrol", json.dumps(sent), headers)
        reply = connection.getresponse()
        body = reply.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise Failed(
            f"{parts.netloc} was not reached: {reason}",
            "check the network and the URL, then run it again: the code still holds",
        ) from error
    finally:
        connection.close()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if reply.status == 200:
        return answer
    told = answer.get("detail") if isinstance(answer, dict) else None
    hint = str(answer.get("hint", "")) if isinstance(answer, dict) else ""
    kind = Refused if reply.status == 403 else Failed
    raise kind(f"{parts.netloc} said no: {told or f'HTTP status {reply.status}'}"[:300], hint[:300])
