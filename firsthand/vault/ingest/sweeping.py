"""Sweeping: what devices began to hand in and left alone is thrown away."""

import time
from collections.abc import Callable

import sqlalchemy as sa

from firsthand.vault.catalog import uploads
from firsthand.vault.ingest.uploads import Upload, drop
from firsthand.vault.s3 import Begun
from firsthand.vault.vault import Vault

# What a device began and left alone for so long is thrown away; it begins again and loses nothing.
STALE_S = 7 * 86_400


def strays(vault: Vault) -> list[Begun]:
    """What the store holds of uploads that no row knows: cut off as they were begun or ended."""
    # The store is asked first: what is begun after that has no row to be missed in.
    begun = list(vault.store.begun())
    with vault.db.read() as connection:
        known = set(connection.scalars(sa.select(uploads.c.multipart)))
    return [each for each in begun if each.upload not in known]


def sweep(vault: Vault, older_s: int = STALE_S, now_s: Callable[[], float] = time.time) -> int:
    """Throws away uploads that were begun so long ago and not ended; returns how many.

    Devices begin them again: nothing leaves a card before its receipt.
    """
    before_ns = vault.now_ns() - older_s * 10**9
    with vault.db.read() as connection:
        query = sa.select(uploads).where(uploads.c.opened_ns < before_ns)
        stale = [Upload(*row) for row in connection.execute(query)]
    lost = [each for each in strays(vault) if each.begun_s < now_s() - older_s]
    for row in stale:
        drop(vault, row)
    for each in lost:
        vault.store.abort(each.key, each.upload)
    return len(stale) + len(lost)
