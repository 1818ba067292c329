"""Reading footage: the log entry first, the bytes after; withheld and erased bytes never."""

import io

from sqlalchemy import Connection

from firsthand import age
from firsthand.consent import people, withhold
from firsthand.crypto import unwrap
from firsthand.errors import NotFound, Refused
from firsthand.vault import catalog
from firsthand.vault.vault import Vault, file_key_aad


def read_part(vault: Vault, segment: str, part: str, who: str, why: str) -> bytes:
    """The opened bytes of one part; the person can see in the log who read it, and why.

    NotFound if it does not exist or was erased. Refused to anyone but the wearer ("self") if it
    touches a withheld interval: a release cuts such intervals out itself, see `read_cut`.
    """
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        if who != "self" and _withheld(connection, found):
            raise Refused(f"segment {segment} touches a withheld interval")
        _note(vault, connection, found, part, who, why)
    return _open(vault, found, part)


def read_cut(vault: Vault, segment: str, part: str, run: str) -> bytes:
    """As `read_part` for the making of a release, which must cut what is withheld."""
    with vault.db.write() as connection:
        found = catalog.find(connection, segment)
        _note(vault, connection, found, part, f"run {run}", "release")
    return _open(vault, found, part)


def _note(
    vault: Vault, connection: Connection, found: catalog.Segment, part: str, who: str, why: str
) -> None:
    if found.state != "stored" or found.kind != "segment":
        raise NotFound(f"segment {found.id} holds no footage (any more)")
    person = people.find(connection, found.person)
    private = {"segment": found.id, "part": part, "who": who, "why": why}
    people.note(connection, "read", person, vault.now_ns(), private=private)


def _open(vault: Vault, found: catalog.Segment, part: str) -> bytes:
    stored = _find_part(vault, found, part)
    try:
        day_key = vault.keyring.day_key(found.person, found.day, stored.generation)
    except NotFound:
        # The erasure of another segment of this day may just have moved this one to a new key.
        stored = _find_part(vault, found, part)
        day_key = vault.keyring.day_key(found.person, found.day, stored.generation)
    aad = file_key_aad(found.person, found.day, found.id, part, stored.payload_sha256)
    file_key = unwrap(day_key, stored.file_key or b"", aad)
    payload = vault.store.read(found.object, stored.offset, stored.size_bytes)
    opener = age.Opener(file_key, io.BytesIO(payload), len(payload), allow_cut=stored.cut)
    return opener.read_all()


def _find_part(vault: Vault, found: catalog.Segment, part: str) -> catalog.StoredPart:
    with vault.db.read() as connection:
        stored = catalog.parts_of(connection, found.id).get(part)
    if stored is None or stored.file_key is None:
        raise NotFound(f"segment {found.id} has no {part}")
    return stored


def _withheld(connection: Connection, found: catalog.Segment) -> bool:
    taken = [(item.start_ns, item.stop_ns) for item in withhold.of(connection, found.person)]
    left = withhold.subtract(found.start_ns, found.stop_ns, taken)
    return left != [(found.start_ns, found.stop_ns)]
