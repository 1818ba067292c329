"""Proofs from the log, for those who have no vault: of one entry, and of all as static files."""

import base64
import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tiles, tlog
from firsthand.consent import people
from firsthand.errors import NotFound
from firsthand.vault.vault import Vault


def prove(vault: Vault, index: int, opened: bool = True) -> dict[str, Any]:
    """A proof of one entry under the log of now, with its personal fields; NotFound.

    What it opens opens no other entry. Of an erased person nothing can be opened any more.
    """
    with vault.db.read() as connection:
        size = log.size(connection)
        where = log.entries.c.index == index
        row = connection.execute(sa.select(log.entries).where(where)).first()
        if row is None:
            raise NotFound(f"there is no log entry {index}", f"the log holds {size}")
        read = log.reader(connection)
        hashes = tlog.inclusion_proof(index, size, read)
        state = tlog.Checkpoint(vault.origin, size, tlog.root(size, read))
        opening = open_entry(connection, index) if opened else None
    key = vault.keyring.log_key()
    return {
        "v": 1,
        "key": str(key.public),
        "entry": base64.b64encode(row.entry).decode(),
        "proof": tiles.proof_text(tiles.Proof(index, hashes, state.sign(key))),
        "opening": opening,
    }


def prove_to(vault: Vault, person: str, index: int) -> dict[str, Any]:
    """A proof of one entry about this person, opened; NotFound if it is about anybody else."""
    with vault.db.read() as connection:
        mine = people.find(connection, person).id
        where = (log.entries.c.index == index) & (log.entries.c.person == mine)
        if connection.execute(sa.select(log.entries.c.index).where(where)).first() is None:
            raise NotFound(f"log entry {index} is not about {person}")
    return prove(vault, index)


def open_entry(connection: Connection, index: int) -> dict[str, str] | None:
    """What opens one entry's personal fields, and no other's; None where there are none (left)."""
    where = log.entries.c.index == index
    row = connection.execute(sa.select(log.entries).where(where)).one()
    if not row.person or not row.opening:
        return None
    salt = people.find(connection, row.person).salt
    if salt is None:
        return None
    if log.version(row.entry) == 1:  # older vaults bound entries to the salt itself
        secret = {"salt": base64.b64encode(salt).decode()}
    else:
        secret = {"key": base64.b64encode(log.opening_key(salt, index)).decode()}
    return {"said": row.opening.decode()} | secret


def tile(vault: Vault, wanted: tiles.Tile) -> bytes:
    """The bytes of one tile or bundle of the log; NotFound if the log has not grown so far."""
    with vault.db.read() as connection:
        if not tiles.holds(log.size(connection), wanted):
            raise NotFound(f"the log has no {wanted.path} yet")
        if wanted.level != tiles.ENTRIES:
            return log.tile(connection, wanted)
        return tiles.pack_bundle(log.raw(connection, wanted.start, wanted.width))


def export(vault: Vault, folder: Path) -> int:
    """Writes the log as tiles, bundles and a checkpoint, and returns its size.

    What is there already stays: a tile never changes. The checkpoint comes last.
    """
    note = vault.checkpoint()
    size = int(note.split("\n")[1])
    for each in tiles.tiles_of(size):
        file = folder / each.path
        if not file.exists():
            _write(file, tile(vault, each))
    _write(folder / "checkpoint", note.encode())
    return size


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_bytes(data)
    os.replace(part, file)
