"""The age headers of a segment's parts: they come in the signed request and hold the file keys."""

import base64
import hashlib

from firsthand import age
from firsthand.errors import Damaged
from firsthand.segment import Record
from firsthand.vault.vault import Vault


def open_headers(vault: Vault, record: Record, headers: dict[str, str]) -> dict[str, bytes]:
    """The file key of each part; Damaged or WrongKey if a header is not the one for us."""
    identities = vault.keyring.ingest_identities(record.person)
    file_keys = {}
    for part in record.parts:
        header = _header(headers, part.name)
        named = (len(header), hashlib.sha256(header).hexdigest())
        if named != (part.header_size, part.header_sha256):
            raise Damaged(f"the header of part {part.name} is not what record {record.seq} names")
        file_keys[part.name] = age.open_header(header, identities)
    if len({*file_keys.values()}) < len(file_keys):  # one key seals one payload
        raise Damaged(f"two parts of record {record.seq} are sealed under one file key")
    return file_keys


def _header(headers: dict[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(headers[name], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the age header of part {name} is missing or not base64") from error
