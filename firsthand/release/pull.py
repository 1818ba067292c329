"""Pulling a release: its shards, manifest and a grant, as a folder for a researcher.

Consent is asked anew: whoever withdrew since is left out, bytes and key; so is whoever has since
kept back some of what is in it, until the release is made again without that.
"""

import json
import os
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.capture import bystanders, closed
from firsthand.consent.runs import proposals
from firsthand.consent.terms import consents
from firsthand.errors import Refused
from firsthand.release.make import find
from firsthand.release.tables import names
from firsthand.release.trace import records_in
from firsthand.shard import make_grant
from firsthand.vault import catalog
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
        if found.state != "made":
            said = "is to be erased" if found.state == "hidden" else "was erased"
            raise Refused(f"release {release} {said}")
        run = proposals.find(connection, found.run)
        consents.close_expired(connection, vault.now_ns())
        bystanders.settle(connection, vault.now_ns())
        rows = connection.execute(sa.select(names).where(names.c.release == release)).all()
        heard = "sound" in run.proposal.streams
        allowed = {}
        for row in rows:
            person = people.find(connection, row.person)
            samples = _samples(found.manifest["manifest"], row.name)
            gone = catalog.records_gone(connection, person.id)
            if (
                ask.for_run(connection, run, person, vault.now_ns()).allowed
                and not gone & records_in(found.manifest, row.name)
                and not _closed(connection, person, samples, heard, vault.now_ns())
            ):
                allowed[row.name] = row.person
        if not allowed:
            raise Refused(
                f"nobody in release {release} allows all of it any more",
                "make it again: what was kept back or held since is then left out",
            )
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


def _samples(manifest: dict[str, Any], name: str) -> list[tuple[int, int, bool]]:
    """When each sample of a person begins and ends, in order, and whether it may have sound."""
    shards = [entry["shards"] for entry in manifest["people"] if entry["person"] == name]
    rows = (row for listed in shards for shard in listed for row in shard["samples"])
    return sorted((row["start_ns"], row["stop_ns"], row.get("sound", True)) for row in rows)


def _closed(
    connection: sa.Connection,
    person: people.Person,
    samples: list[tuple[int, int, bool]],
    heard: bool,
    now_ns: int,
) -> bool:
    """Whether any of this is withheld, held or at a closed place by now, or is to be without sound.

    That a day is in review again is no matter: what came in late is not in here.
    """
    if not samples:
        return False
    # Two devices of a person may record at once: how far any of the first samples goes.
    reach = list(accumulate((stop_ns for _, stop_ns, _ in samples), max))
    doors = closed.doors(connection, person, samples[0][0], reach[-1], now_ns)
    for each in doors.closed:
        place = bisect_left(samples, (each.stop_ns,)) - 1
        if each.why != "review" and place >= 0 and reach[place] > each.start_ns:
            return True
    loud = ((start_ns, stop_ns) for start_ns, stop_ns, sound in samples if heard and sound)
    return any(doors.mutes(*bounds) for bounds in loud)


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
