"""Enrolment by a one-time code: what a device and a vault say to each other, and why they believe.

The code is a secret that never travels. Each side shows by an HMAC over all it says that it knows
the code, so whoever listens learns nothing, and whoever stands between can only break it off:
no key can be put in place of another. That holds over plain HTTP too.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any

from firsthand.crypto import SigningKey, VerifyKey, canonical
from firsthand.errors import Damaged, Refused, Usage

VERSION = 1
CONTEXT = "firsthand/enrol/v1"
# Crockford's digits: none looks like another, and what does (O, I, L) is read as one of them.
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_DIGITS = 20  # 100 bits: nobody guesses it online, nor from an HMAC that was overheard
LIFETIME_S = 600


@dataclass(frozen=True)
class Secrets:
    """What both sides make of a code: the name it is looked up by, and the key of the proofs."""

    id: str
    key: bytes = field(repr=False)


def new_code() -> str:
    """A fresh code, such as 7K3M-Q9TX-0ABC-DEFG-HJKM."""
    return _grouped("".join(secrets.choice(DIGITS) for _ in range(CODE_DIGITS)))


def read_code(text: str) -> Secrets:
    """The secrets of a code as somebody typed it; Usage if it is none."""
    plain = text.upper().translate(str.maketrans("OIL", "011", "- \t"))
    if len(plain) != CODE_DIGITS or set(plain) - set(DIGITS):
        raise Usage(f"this is no enrolment code: {text[:40]!r}", "it has 20 letters and digits")
    named = (_mac(plain.encode(), f"{CONTEXT} {purpose}".encode()) for purpose in ("id", "key"))
    return Secrets(next(named).hex()[:32], next(named))


def fingerprint(device: VerifyKey, vault: VerifyKey) -> str:
    """The short word that both screens show: of the device's key and the vault's."""
    digest = hashlib.sha256(CONTEXT.encode() + device.to_bytes() + vault.to_bytes()).digest()
    number = int.from_bytes(digest[:5], "big")
    return _grouped("".join(DIGITS[number >> at & 31] for at in range(35, -5, -5)))


def hello(code: Secrets, key: SigningKey) -> dict[str, Any]:
    """What a device says: its public key, and proofs that it holds the key and knows the code."""
    said = {
        "v": VERSION,
        "code": code.id,
        "key": str(key.public),
        "nonce": secrets.token_hex(16),
    }
    signature = base64.b64encode(key.sign(CONTEXT, canonical(said))).decode()
    return {"hello": said, "proof": _proof(code.key, "hello", said), "signature": signature}


def verify_hello(envelope: dict[str, Any], proof_key: bytes) -> VerifyKey:
    """The key of the device that said this; Refused if it does not know the code, Damaged."""
    said = envelope["hello"]
    if not hmac.compare_digest(_text(envelope, "proof"), _proof(proof_key, "hello", said)):
        raise Refused("this device does not know the code")
    try:
        key = VerifyKey.from_text(_text(said, "key"))
        signature = base64.b64decode(_text(envelope, "signature"), validate=True)
    except (Usage, ValueError) as error:
        raise Damaged("the device's key or signature cannot be read") from error
    key.verify(CONTEXT, canonical(said), signature)
    return key


def code_id(envelope: dict[str, Any]) -> str:
    """By which code a device wants to enrol; Usage if that is no hello of this version."""
    said = envelope.get("hello")
    if not isinstance(said, dict) or not all(isinstance(said.get(n), str) for n in ("code", "key")):
        raise Usage('a device enrols with {"hello", "proof", "signature"}')
    if said.get("v") != VERSION:
        raise Usage(f"this is version {said.get('v')} of enrolment, not {VERSION}", "update both")
    return said["code"]


def welcome(envelope: dict[str, Any], proof_key: bytes, **given: str) -> dict[str, Any]:
    """The vault's answer to a hello: what it gives the device, proven by the code."""
    said = {"v": VERSION, "to": _digest(envelope["hello"])} | given
    return {"welcome": said, "proof": _proof(proof_key, "welcome", said)}


def verify_welcome(answer: Any, sent: dict[str, Any], code: Secrets) -> dict[str, str]:
    """What the vault gave; Refused unless it knows the code and answers just this hello."""
    said = answer.get("welcome") if isinstance(answer, dict) else None
    if not isinstance(said, dict):
        raise Refused("what answered is no vault", "check the vault's URL")
    proven = hmac.compare_digest(_text(answer, "proof"), _proof(code.key, "welcome", said))
    if not proven or said.get("to") != _digest(sent["hello"]):
        raise Refused(
            "the answer was not made by the vault that gave out this code",
            "nothing was kept; check the URL, and that no one stands between",
        )
    return {name: str(value) for name, value in said.items()}


def _proof(key: bytes, what: str, said: dict[str, Any]) -> str:
    return _mac(key, f"{CONTEXT} {what}\0".encode() + canonical(said)).hex()


def _digest(said: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(said)).hexdigest()


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _text(values: dict[str, Any], name: str) -> str:
    # compare_digest takes ASCII only.
    return str(values.get(name, "")).encode("ascii", "replace").decode()


def _grouped(digits: str) -> str:
    return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))
