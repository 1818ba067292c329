"""Sending: which parts of an upload are missing, the URLs they go to, and where their bytes go."""

import base64
import hashlib
import hmac

from firsthand.errors import Damaged, NotFound, Refused
from firsthand.vault import parts
from firsthand.vault.ingest.uploads import Upload, find, held_parts, renew
from firsthand.vault.vault import Vault

URL_LIFETIME_S = 3600


def missing_parts(
    vault: Vault, upload: str, device: str, md5s: dict[int, str] | None = None
) -> tuple[list[dict], list[dict]]:
    """(parts held, parts to send): each {"number", "size"}, the latter with its signed "url".

    A part whose MD5 is given, in base64, gets a URL at which a store takes no other bytes.
    """
    row = find(vault, upload, device)
    held = held_parts(vault, row)
    if held is None:  # only announced so far, or the store forgot it
        row = renew(vault, row)
        held = {}
    have, need = [], []
    for number, size in row.parts.items():
        part = {"number": number, "size": size}
        if held.get(number) == size:
            have.append(part)
        else:
            md5 = (md5s or {}).get(number, "")
            need.append(part | {"url": _part_url(vault, row, number, size, md5)})
    return have, need


def check_url(vault: Vault, upload: str, number: int, expires_s: int, mac: str) -> None:
    """Refused unless this vault gave out this part URL and it has not ended."""
    if not hmac.compare_digest(mac.encode(), _mac(vault, upload, number, expires_s).encode()):
        raise Refused("this part URL was not given out by this vault")
    if vault.now_ns() / 1e9 > expires_s:
        raise Refused("this part URL has ended", "ask for the upload again to get a new one")


def open_part(
    vault: Vault, upload: str, number: int, expires_s: int, mac: str, size: int
) -> parts.Writer:
    """Where the bytes of one part go; Refused (URL wrong or old) or Damaged (wrong size)."""
    check_url(vault, upload, number, expires_s, mac)
    row = find(vault, upload)
    if not row.multipart:  # given up and announced again: the URL is of the time before
        raise NotFound(f"upload {upload} was given up", "ask for it again to get new URLs")
    belongs = row.parts.get(number)
    if belongs != size:
        raise Damaged(f"part {number} has {size} bytes, {belongs} belong there")
    stretches = [part["size_bytes"] for part in row.envelope["record"]["parts"]]
    offset = (number - 1) * row.part_size
    return vault.store.open_part(row.multipart, number, offset, size, stretches)


def put_part(
    vault: Vault, upload: str, number: int, expires_s: int, mac: str, data: bytes, md5: str
) -> str:
    """Keeps one part, whole, and returns its ETag; raises as `open_part` does."""
    writer = open_part(vault, upload, number, expires_s, mac, len(data))
    try:
        digest = hashlib.md5(data, usedforsecurity=False).digest() if md5 else b""
        if md5 and md5 != base64.b64encode(digest).decode():
            raise Damaged(f"part {number} changed on its way", "send it again")
        writer.write(data)
        writer.finish()
    finally:
        writer.close()
    return etag(upload, number)


def etag(upload: str, number: int) -> str:
    """The ETag of a part here: it says which part, not what is in it, as in S3 nobody may rely."""
    return f'"{hashlib.sha256(f"{upload}/{number}".encode()).hexdigest()[:32]}"'


def _part_url(vault: Vault, row: Upload, number: int, size: int, md5: str) -> str:
    """The store's own URL, else one of ours."""
    url = vault.store.part_url(row.object, row.multipart, number, size, md5, URL_LIFETIME_S)
    if url is not None:
        return url
    expires_s = int(vault.now_ns() / 1e9) + URL_LIFETIME_S
    mac = _mac(vault, row.id, number, expires_s)
    return f"/api/uploads/{row.id}/parts/{number}?expires={expires_s}&mac={mac}"


def _mac(vault: Vault, upload: str, number: int, expires_s: int) -> str:
    return hmac.digest(vault.url_key(), f"{upload}|{number}|{expires_s}".encode(), "sha256").hex()
