"""Pulling a release: its shards, manifest and a grant, as a folder for a researcher.

Consent is asked anew: whoever withdrew since is left out, bytes and key.
"""

import json
import os
from pathlib import Path

import sqlalchemy as sa

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.runs import proposals
from firsthand.consent.terms import agreements
from firsthand.errors import Refused
from firsthand.release.make import find
from firsthand.release.tables import names
from firsthand.shard import make_grant
from firsthand.vault.vault import Vault

GRANT_S = 3600


def pull(vault: Vault, release: str, out: Path, who: str, lifetime_s: int = GRANT_S) -> Path:
    """Writes the release into `out` and returns it; a file that is there already is kept if equal.

    Refused if nobody in it consents any more.
    """
    with vault.db.write() as connection:
        found = find(connection, release)
        if found.manifest is None:
            raise Refused(f"release {release} is not made yet", 'run "firsthand release make"')
        run = proposals.find(connection, found.run)
        agreements.close_expired(connection, vault.now_ns())
        rows = connection.execute(sa.select(names).where(names.c.release == release)).all()
        allowed = {}
        for row in rows:
            person = people.find(connection, row.person)
            if ask.for_run(connection, run, person, vault.now_ns()).allowed:
                allowed[row.name] = row.person
        if not allowed:
            raise Refused(f"nobody in release {release} consents to its run any more")
        log.append(
            connection,
            "release_pulled",
            vault.now_ns(),
            release=release,
            who=who,
            people=sorted(allowed),
        )
    keys = {
        name: vault.keyring.release_key(release, person)
        for name, person in allowed.items()
        if any(entry["person"] == name for entry in found.manifest["manifest"]["people"])
    }
    grant = make_grant(
        release,
        keys,
        vault.keyring.log_key(),
        who=who,
        issued_s=vault.now_ns() // 10**9,
        lifetime_s=lifetime_s,
    )
    (out / "shards").mkdir(parents=True, exist_ok=True)
    wanted = set()
    for entry in found.manifest["manifest"]["people"]:
        if entry["person"] in keys:
            for shard in entry["shards"]:
                wanted.add(shard["file"])
                _fetch(vault, f"releases/{release}/{shard['file']}", out / "shards", shard)
    for path in (out / "shards").iterdir():
        if path.name not in wanted:
            path.unlink()
    _write(out / "manifest.json", json.dumps(found.manifest, indent=1).encode())
    _write(out / "grant.json", json.dumps(grant, indent=1).encode())
    return out


def _fetch(vault: Vault, key: str, folder: Path, shard: dict) -> None:
    path = folder / shard["file"]
    if not path.exists() or path.stat().st_size != shard["size_bytes"]:
        _write(path, b"".join(vault.store.chunks(key)))


def _write(path: Path, data: bytes) -> None:
    """Writes a private file whole or not at all."""
    part = path.with_name(path.name + ".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
