"""A release's proof bundle: its manifest, and what opens the entries that an audit of it needs.

It holds what its people said on consent, ballots and kept-back time, and no name. The auditor that
judges it shares no code with this room.
"""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.auditor import SILENT as CLOSED  # an audit needs none of these
from firsthand.crypto import VerifyKey
from firsthand.errors import Refused
from firsthand.monitor import Seen
from firsthand.release.make import find
from firsthand.release.tables import names, releases
from firsthand.release.trace import records_in
from firsthand.segment import verify_body
from firsthand.shard import MANIFEST_CONTEXT
from firsthand.vault.catalog import segments
from firsthand.vault.proof import open_entry
from firsthand.vault.vault import Vault

_BATCH = 500  # records looked for at once


def make(vault: Vault, release: str) -> dict[str, Any]:
    """The bundle of a release; Refused unless it is made. Nothing opens of whoever was erased."""
    with vault.db.read() as connection:
        found = find(connection, release)
        if found.manifest is None or found.log_index is None:
            raise Refused(f"release {release} is not made yet", 'run "firsthand release make"')
        manifest = found.manifest["manifest"]
        rows = connection.execute(sa.select(names).where(names.c.release == release))
        known = {row.name: row.person for row in rows}
        chosen = set()
        for entry in manifest["people"]:
            person = known.get(entry["person"]) or _left(connection, found.manifest, entry)
            chosen |= {person} if person else set()
        records = {
            sample["record"]
            for entry in manifest["people"]
            for shard in entry["shards"]
            for sample in shard["samples"]
        }
        openings = {}
        for person in sorted(chosen):
            for index in _needed(connection, person, found.log_index, found.run, records):
                opening = open_entry(connection, index)
                if opening is not None:
                    openings[str(index)] = opening
    return {"v": 1, "manifest": found.manifest, "openings": openings}


def _left(connection: Connection, manifest: dict[str, Any], entry: dict[str, Any]) -> str | None:
    """Who has a name no more, as an erasure of a part took them out of the release."""
    records = sorted(records_in(manifest, entry["person"]))
    for at in range(0, len(records), _BATCH):
        mine = segments.c.record_hash.in_(records[at : at + _BATCH])
        person = connection.scalar(sa.select(segments.c.person).where(mine).limit(1))
        if person is not None:
            return person
    # Where a device had all of it forgotten, other records stand in its place and name it.
    query = sa.select(segments.c.person, segments.c.record).where(segments.c.kind == "forgotten")
    for row in connection.execute(query):
        if row.record["media"].get("replaces") in records:
            return str(row.person)
    return None


def write(file: Path, bundle: dict[str, Any]) -> None:
    """Writes a bundle for its owner's eyes alone, in place of what was there."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.fchmod(handle, 0o600)  # of a file that was there already, before anything is in it
    os.ftruncate(handle, 0)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(bundle, out, indent=1)


def spoken(connection: Connection, key: VerifyKey) -> Iterator[Seen]:
    """What the manifests of all releases say of the log."""
    for row in connection.execute(sa.select(releases).where(releases.c.state == "made")):
        made = row.manifest["manifest"]
        top = tlog.root_of(made["checkpoint"])
        check = partial(verify_body, "manifest", row.manifest, key, MANIFEST_CONTEXT)
        yield Seen(made["log_index"], top, f"the manifest of release {row.id}", True, check)
        yield Seen(row.log_index + 1, None, f"release {row.id}", True)


def _needed(
    connection: Connection, person: str, before: int, run: str, records: set[str]
) -> Iterator[int]:
    has_place = False
    added = None
    for entry in log.read(connection, person):
        if entry.index >= before:
            break
        has_place |= entry.kind == "jurisdiction_set"
        if entry.kind == "person_added" and (entry.private or {}).get("jurisdiction"):
            added = entry.index
        if entry.kind in CLOSED:
            continue
        if entry.kind.endswith("_stored") and entry.public.get("record") not in records:
            continue
        if entry.kind == "ballot_cast" and entry.public["run"] != run:
            continue
        yield entry.index
    if not has_place and added is not None:
        yield added  # older vaults wrote the place beside the name
