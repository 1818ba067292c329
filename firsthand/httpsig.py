"""Signed HTTP requests between a device and the vault: RFC 9421 with Ed25519.

One fixed profile: method, path and the body's digest (RFC 9530) are covered, with creation time
and a nonce. The caller keeps the nonces it has seen.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged, Refused

# A device without a clock battery may be far off; the vault's nonce cache covers this window.
MAX_AGE_S = 300
_INPUT = re.compile(
    r'sig=\("@method" "@path" "content-digest"\);created=(\d{1,12});nonce="([\w-]{8,64})"'
    r';keyid="([\w-]{1,64})";alg="ed25519"'
)


def sign_request(
    key: SigningKey, keyid: str, method: str, path: str, body: bytes, now_s: int, nonce: str
) -> dict[str, str]:
    """The three headers that sign a request; `path` includes the query, if any."""
    digest = _digest(body)
    parameters = (
        f'("@method" "@path" "content-digest");created={now_s};nonce="{nonce}"'
        f';keyid="{keyid}";alg="ed25519"'
    )
    signature = key.sign(None, _base(method, path, digest, parameters))
    return {
        "Content-Digest": digest,
        "Signature-Input": f"sig={parameters}",
        "Signature": f"sig=:{base64.b64encode(signature).decode()}:",
    }


def verify_request(
    find_key: Callable[[str], VerifyKey],
    method: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    now_s: int,
) -> tuple[str, str]:
    """The key id and nonce of a rightly signed, recent request; Refused or Damaged otherwise."""
    found = _INPUT.fullmatch(headers.get("signature-input", ""))
    if not found:
        raise Refused("this request is not signed", "enrol the device, then use its key")
    created, nonce, keyid = int(found[1]), found[2], found[3]
    if headers.get("content-digest") != _digest(body):
        raise Damaged("the body of this request is not what was signed")
    try:
        signature = base64.b64decode(headers.get("signature", "")[5:-1], validate=True)
    except ValueError as error:
        raise Damaged("the signature of this request is not base64") from error
    parameters = headers["signature-input"].removeprefix("sig=")
    base = _base(method, path, headers["content-digest"], parameters)
    find_key(keyid).verify(None, base, signature)
    if abs(now_s - created) > MAX_AGE_S:
        raise Refused(
            f"this request was signed {abs(now_s - created)} s away from now",
            "take the time from the Date header of this answer and sign again",
        )
    return keyid, nonce


def _digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base(method: str, path: str, digest: str, parameters: str) -> bytes:
    return (
        f'"@method": {method}\n"@path": {path}\n"content-digest": {digest}\n'
        f'"@signature-params": {parameters}'
    ).encode()
