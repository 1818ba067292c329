"""Making a release: select, build shards, and publish only if the selection still holds.

A withdrawal, a ballot or a withhold that arrives while shards are built changes the selection;
then what changed is built anew before anything is published.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.consent.capture import bystanders, law, zones
from firsthand.consent.runs import proposals, snapshots
from firsthand.consent.terms import consents
from firsthand.errors import Failed, NotFound, Refused
from firsthand.release.journal import keep
from firsthand.release.pool import processes
from firsthand.release.scrub import Coarse, statement
from firsthand.release.selection import Selection, select
from firsthand.release.tables import names, releases
from firsthand.release.work import Job, make_shard
from firsthand.shard import sign_manifest
from firsthand.vault.vault import Vault

MOST_ROUNDS = 5
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Release:
    """The exact data that a run may use, pinned to one point in the log."""

    id: str
    run: str
    state: str
    began_ns: int
    log_index: int | None
    manifest: dict[str, Any] | None
    summary: dict[str, Any] | None


def make(
    vault: Vault,
    run: proposals.Run,
    workers: int = 2,
    progress: Progress | None = None,
    snapshot: int | None = None,
) -> Release:
    """Makes the release of a run, or continues one that was interrupted.

    `progress` is told (shards done, shards in all). Refused if no one's footage may be used, or if
    the snapshot that was named is stale; nobody who is not in that one is in the release.
    """
    only = _begin_from(vault, run, snapshot)
    release = _begin(vault, run)
    built: dict[str, dict[str, Any]] = {}
    with processes(workers) as pool:
        for _ in range(MOST_ROUNDS):
            with vault.db.write() as connection:
                now_ns = log.now(connection, vault.now_ns())
                _open_doors(connection, now_ns)
                selection = _within(select(connection, run, now_ns), only)
                jobs = _jobs(vault, connection, release, run, selection)
            if not jobs:
                _give_up(vault, release, selection)
            _build(pool, [job for job in jobs if job.key not in built], built, progress)
            published = _publish(vault, run, release, built, only)
            if published is not None:
                return published
    raise Failed(
        f"consents changed {MOST_ROUNDS} times while release {release} was made",
        'run "firsthand release make" again',
    )


def find(connection: Connection, release: str) -> Release:
    """The release of this id; NotFound."""
    row = connection.execute(sa.select(releases).where(releases.c.id == release)).first()
    if row is None:
        raise NotFound(
            f"there is no release {release!r}", 'list them with "firsthand release list"'
        )
    return Release(**row._mapping)


def listed(connection: Connection) -> list[Release]:
    """All releases, oldest first."""
    query = sa.select(releases).order_by(releases.c.began_ns)
    return [Release(**row._mapping) for row in connection.execute(query)]


def people_in(connection: Connection, release: str) -> list[str]:
    """The ids of those who have a name within a release; NotFound if there is none such."""
    found = find(connection, release)
    query = sa.select(names.c.person).where(names.c.release == found.id)
    return list(connection.scalars(query.order_by(names.c.person)))


def name_in(connection: Connection, release: str, person: str) -> str:
    """The name that a person has within a release; NotFound if they are not in it."""
    where = (names.c.release == release) & (names.c.person == person)
    name = connection.scalar(sa.select(names.c.name).where(where))
    if name is None:
        raise NotFound(f"person {person} is not in release {release}")
    return name


def _begin_from(vault: Vault, run: proposals.Run, snapshot: int | None) -> frozenset[str] | None:
    """Whom a snapshot allows, None without one; consents that have run out are closed first."""
    with vault.db.write() as connection:
        now_ns = log.now(connection, vault.now_ns())
        consents.close_expired(connection, now_ns)
        if snapshot is None:
            return None
        return snapshots.require(connection, run, snapshot, now_ns).allowed


def _within(selection: Selection, only: frozenset[str] | None) -> Selection:
    if only is None:
        return selection
    days = tuple(day for day in selection.days if day.person in only)
    late = {day.person for day in selection.days} - only
    refused = tuple((person, "not in the snapshot") for person in sorted(late))
    return replace(selection, days=days, refused=selection.refused + refused)


def _begin(vault: Vault, run: proposals.Run) -> str:
    with vault.db.write() as connection:
        where = (releases.c.run == run.id) & (releases.c.state == "making")
        known = connection.scalar(sa.select(releases.c.id).where(where))
        if known is not None:
            return known
        release = f"l-{secrets.token_hex(4)}"
        values = {"id": release, "run": run.id, "state": "making", "began_ns": vault.now_ns()}
        connection.execute(releases.insert().values(**values))
        keep(vault, connection, release)
    return release


def _open_doors(connection: Connection, now_ns: int) -> None:
    """Before anything is selected: all that decides is in the log, and no request waits."""
    law.enter(connection, zones.places(connection), now_ns)
    bystanders.settle(connection, now_ns)


def _jobs(
    vault: Vault, connection: Connection, release: str, run: proposals.Run, selection: Selection
) -> list[Job]:
    jobs = []
    for day in selection.days:
        name = _name(vault, connection, release, day.person)
        key = vault.keyring.release_key(release, day.person, make=True)
        jobs.append(
            Job(
                settings=vault.settings,
                release=release,
                run=run.id,
                person=day.person,
                name=name,
                day=day.day,
                consents=day.consents,
                pieces=day.pieces,
                streams=run.proposal.streams,
                seal=hmac.digest(key, b"job", "sha256").hex()[:16],
            )
        )
    return jobs


def _name(vault: Vault, connection: Connection, release: str, person: str) -> str:
    try:
        return name_in(connection, release, person)
    except NotFound:
        name = f"w{secrets.token_hex(4)}"
        connection.execute(names.insert().values(release=release, person=person, name=name))
        vault.journal.put_name(release, person, name)
        return name


def _build(
    pool: Executor,
    jobs: list[Job],
    built: dict[str, dict[str, Any]],
    progress: Progress | None,
) -> None:
    waiting = {pool.submit(make_shard, job): job for job in jobs}
    for number, done in enumerate(as_completed(waiting), 1):
        built[waiting[done].key] = done.result()
        if progress is not None:
            progress(number, len(jobs))


def _publish(
    vault: Vault,
    run: proposals.Run,
    release: str,
    built: dict[str, dict[str, Any]],
    only: frozenset[str] | None,
) -> Release | None:
    """Publishes if what was built is still exactly what may be used, else returns None."""
    with vault.db.write() as connection:
        now_ns = log.now(connection, vault.now_ns())
        _open_doors(connection, now_ns)
        selection = _within(select(connection, run, now_ns), only)
        jobs = _jobs(vault, connection, release, run, selection)
        if not jobs or any(job.key not in built for job in jobs):
            return None
        rows = [built[job.key] for job in jobs]
        manifest = _manifest(vault, connection, run, release, rows)
        index = log.append(
            connection,
            "release_made",
            now_ns,
            release=release,
            run=run.id,
            manifest=log.digest(manifest),
        )
        signed = sign_manifest(manifest, vault.keyring.log_key())
        values = {
            "state": "made",
            "log_index": index,
            "manifest": signed,
            "summary": _summary(selection, rows),
        }
        where = releases.c.id == release
        connection.execute(releases.update().where(where).values(**values))
        keep(vault, connection, release)
        made = find(connection, release)
    _sweep(vault, release, {job.key for job in jobs})
    return made


def _manifest(
    vault: Vault,
    connection: Connection,
    run: proposals.Run,
    release: str,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    size = log.size(connection)
    checkpoint = tlog.Checkpoint(vault.origin, size, log.root(connection))
    faces, hidden = (sum(row[name] for row in rows) for name in ("faces", "hidden"))
    people: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        shard = {name: row[name] for name in ("file", "sha256", "size_bytes", "samples")}
        people.setdefault(row["person"], []).append(shard)
    scrubber = Coarse()
    return {
        "v": 1,
        "release": release,
        "run": run.id,
        "proposal_sha256": run.proposal_sha256,
        "permissions": list(run.proposal.permissions),
        "log_index": size,
        "checkpoint": checkpoint.sign(vault.keyring.log_key()),
        "scrubber": {
            "name": scrubber.name,
            "version": scrubber.version,
            "labelled_faces": faces,
            "hidden_faces": hidden,
            "statement": statement(scrubber, faces, hidden),
        },
        "people": [{"person": name, "shards": people[name]} for name in sorted(people)],
    }


def _summary(selection: Selection, rows: list[dict[str, Any]]) -> dict[str, Any]:
    pieces = [piece for day in selection.days for piece in day.pieces]
    return {
        "people": len({day.person for day in selection.days}),
        "shards": len(rows),
        "samples": len(pieces),
        "footage_ns": sum(piece.stop_ns - piece.start_ns for piece in pieces),
        "withheld_ns": selection.withheld_ns,
        "refused": [list(pair) for pair in selection.refused],
        "size_bytes": sum(row["size_bytes"] for row in rows),
        "digest": hashlib.sha256("".join(row["sha256"] for row in rows).encode()).hexdigest(),
    }


def _give_up(vault: Vault, release: str, selection: Selection) -> None:
    with vault.db.write() as connection:
        mine = sa.select(names.c.person).where(names.c.release == release)
        vault.journal.drop_names(release, connection.scalars(mine).all())
        vault.journal.drop_release(release)
        for table in (names, releases):
            column = table.c.release if table is names else table.c.id
            connection.execute(table.delete().where(column == release))
    _sweep(vault, release, set())
    reasons = sorted({reason for _, reason in selection.refused}) or ["nothing was recorded"]
    raise Refused(
        f"no footage may be used for this run: {'; '.join(reasons)}",
        'see "firsthand run show" for each person\'s answer',
    )


def _sweep(vault: Vault, release: str, keep: Iterable[str]) -> None:
    """Removes shards that were built for a selection which no longer holds."""
    wanted = set(keep)
    for key in list(vault.store.keys(f"releases/{release}")):
        if key not in wanted:
            vault.store.delete(key)
