"""Checking: the store against the catalogue, both ways, every byte hashed again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from firsthand.errors import NotFound
from firsthand.vault import ingest
from firsthand.vault.catalog import segments, uploads
from firsthand.vault.vault import Vault


@dataclass(frozen=True)
class Findings:
    """What a check saw: objects and bytes read, faults named, objects that no row knows."""

    objects: int
    bytes: int
    faults: list[str]
    orphans: list[str]


def check(vault: Vault, progress: Callable[[int, int], None] | None = None) -> Findings:
    """Re-hashes every object the catalogue names and lists those it does not; changes nothing."""
    with vault.db.read() as connection:
        known = connection.execute(sa.select(segments).where(segments.c.object != "")).all()
        joined = set(connection.scalars(sa.select(uploads.c.object)))
    faults, total = [], 0
    for number, row in enumerate(known, 1):
        digest = hashlib.sha256()
        try:
            for chunk in vault.store.chunks(row.object):
                digest.update(chunk)
                total += len(chunk)
        except NotFound:
            faults.append(f"object of segment {row.id} of person {row.person} is missing")
        else:
            if digest.hexdigest() != row.record["object_sha256"]:
                faults.append(f"object of segment {row.id} of person {row.person} was changed")
        if progress is not None:
            progress(number, len(known))
    named = {row.object for row in known} | joined
    orphans = [key for key in vault.store.keys("segments") if key not in named]
    orphans += [f"uploads/{stray.upload}" for stray in ingest.strays(vault)]
    return Findings(len(known), total, faults, sorted(orphans))
