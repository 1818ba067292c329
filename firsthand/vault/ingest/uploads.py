"""Uploads: what devices have begun to hand in, each a row and a place in the store."""

import contextlib
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.errors import NotFound
from firsthand.vault.catalog import uploads
from firsthand.vault.vault import Vault

# S3's least part size; a broken link costs at most one part. A device with a good link may ask for
# larger ones; a part is held in memory.
PART_SIZE = 5 << 20
PART_MAX = 16 << 20
# Where the bytes of an upload go that was only announced. In S3 each begun upload is one more that
# the store keeps and lists, and a device may have 64.
NOWHERE = {"object": "", "multipart": ""}


@dataclass(frozen=True)
class Upload:
    """One upload; `multipart` is the store's own id of it."""

    id: str
    device: str
    envelope: dict[str, Any]
    headers: dict[str, str]
    size_bytes: int
    part_size: int
    opened_ns: int
    object: str
    multipart: str

    @property
    def parts(self) -> dict[int, int]:
        """Sizes of its parts, by number."""
        starts = range(0, self.size_bytes, self.part_size)
        return {
            at // self.part_size + 1: min(self.part_size, self.size_bytes - at) for at in starts
        }


def known(connection: Connection, upload: str) -> Upload | None:
    """The upload of this id, if there is one."""
    row = connection.execute(_BY_ID, {"asked": upload}).first()
    return Upload(*row) if row else None


def find(vault: Vault, upload: str, device: str | None = None) -> Upload:
    """The upload of this id, and of this device if one is named; NotFound."""
    with vault.db.read() as connection:
        row = known(connection, upload)
    if row is None or (device is not None and row.device != device):
        raise NotFound(f"there is no upload {upload}", "begin it again with the signed record")
    return row


_BY_ID = sa.select(uploads).where(uploads.c.id == sa.bindparam("asked"))
ADD = uploads.insert()
REMOVE = uploads.delete().where(uploads.c.id == sa.bindparam("asked"))


def new_place(vault: Vault) -> dict[str, str]:
    """A new place for an object, and the store's id of the parts it will be made of.

    Asked for outside of any transaction: nobody waits for a store that is far away.
    """
    key = f"segments/{secrets.token_hex(16)}"
    return {"object": key, "multipart": vault.store.begin(key)}


def held_parts(vault: Vault, row: Upload) -> dict[int, int] | None:
    """Sizes of the parts that the store holds; None if it knows nothing of this upload."""
    if not row.multipart:
        return None
    whole = row.parts
    held: dict[int, int] | None = None
    with contextlib.suppress(NotFound):
        held = vault.store.parts(row.object, row.multipart)
    # The object is looked for last: it is there before its parts go, so whoever comes while
    # another completes the upload, or after a crash, misses neither.
    if held != whole and vault.store.size(row.object) == row.size_bytes:
        return whole
    return held


def renew(vault: Vault, row: Upload) -> Upload:
    """Throws away what came for an upload and begins it anew; NotFound if it was ended meanwhile.

    A new place each time: what one process verified, no other can change or remove.
    """
    fresh = new_place(vault)
    with vault.db.write() as connection:
        ours = connection.execute(uploads.update().where(_same(row)).values(**fresh)).rowcount
    if ours:
        discard(vault, row)
    else:
        vault.store.abort(fresh["object"], fresh["multipart"])
    return find(vault, row.id, row.device)


def cut_anew(vault: Vault, row: Upload, part_size: int) -> Upload:
    """Cuts an upload of which nothing came yet as the device's link of now deserves."""
    with vault.db.write() as connection:
        connection.execute(uploads.update().where(_same(row)).values(part_size=part_size))
    return find(vault, row.id, row.device)


def drop(vault: Vault, row: Upload) -> None:
    """Ends an upload, and removes its bytes unless another has begun it anew meanwhile."""
    with vault.db.write() as connection:
        ours = connection.execute(uploads.delete().where(_same(row))).rowcount
    # Once its row is gone nobody can store it, so its bytes may go.
    if ours:
        discard(vault, row)


def discard(vault: Vault, row: Upload | sa.Row) -> None:
    """Removes the bytes of an upload that is in no row (any more), or whose row goes with them."""
    if not row.multipart:  # announced, and never begun
        return
    vault.store.abort(row.object, row.multipart)
    vault.store.delete(row.object)


def _same(row: Upload) -> sa.ColumnElement[bool]:
    """That nobody has ended it, or begun it anew, since this row was read."""
    return (uploads.c.id == row.id) & (uploads.c.multipart == row.multipart)
