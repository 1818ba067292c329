"""`firsthand export`: a person's own footage, opened for that person, with what was said of it."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand import age, log
from firsthand.cli.nouns import exits, single
from firsthand.cli.output import progress, say
from firsthand.cli.vaults import count, opened, when
from firsthand.consent import people
from firsthand.consent.capture import withhold, zones
from firsthand.consent.liability import agreement, incidents
from firsthand.consent.terms import consents
from firsthand.errors import Failed, NotFound, Partial
from firsthand.segment import iter_motion
from firsthand.vault import catalog, reading
from firsthand.vault.coverage import coverage
from firsthand.vault.keys import personal
from firsthand.vault.vault import Vault

command = single()
ENDINGS = {"video": "mp4", "still": "jpg", "events": "jsonl", "motion": "csv"}
SEALED = ENDINGS | {"motion": "motion"}  # as it was recorded: nothing is opened to make a table


@command.command(epilog=exits(3, 10, 14))
def export(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")],
    out: Annotated[Path, typer.Option(help="Folder to write into, made if missing.")],
    to: Annotated[
        str,
        typer.Option(help='Seal it to this age1pq1... key, or to "me": the registered one.'),
    ] = "",
) -> None:
    """Open all of a person's footage for that person, with consents, receipts and the log.

    The files are plain: keep the folder to yourself. With --to they are age files that only the
    holder of that key opens. Run again, it writes what is missing.
    """
    with opened() as vault, progress("export") as move:
        with vault.db.read() as connection:
            found = people.find(connection, person)
            segments = catalog.of_person(connection, found.id)
            recipient = _recipient(connection, found, to)
        lost: list[str] = []
        try:
            out.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number, segment in enumerate(segments, 1):
                try:
                    _segment(vault, segment, out / segment.day, recipient)
                except NotFound as error:  # erased meanwhile, or its key is lost
                    lost.append(f"segment {segment.id}: {error.message}")
                move(number, len(segments))
            _papers(vault, found, out / "about.json", recipient)
        except OSError as error:
            raise Failed(
                f"cannot write to {out}: {error.strerror}", "make room or choose another folder"
            ) from error
    told = count(len(segments) - len(lost), "segment")
    if recipient is not None:
        say(f"{told} of {found.name} and about.json, sealed to {recipient.key_id}: in {out}")
    else:
        say(f"{told} of {found.name}, opened, and about.json: in {out}; keep them to yourself")
    if lost:
        raise Partial(
            f"{count(len(lost), 'segment')} could not be opened: {lost[0]}",
            'the others are there; "firsthand vault check" says what is wrong',
        )


def _recipient(connection: Any, person: people.Person, to: str) -> age.Recipient | None:
    if to == "me":
        return personal.of(connection, person)
    return age.Recipient.parse(to) if to else None


def _segment(
    vault: Vault, segment: catalog.Segment, folder: Path, recipient: age.Recipient | None
) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    with vault.db.read() as connection:
        parts = catalog.parts_of(connection, segment.id)
    # By time, to be found; by id, as two devices of a person may record at the same time.
    stem = f"{when(segment.start_ns)[11:].replace(':', '')}-{segment.id}"
    if recipient is not None:
        paths = {name: folder / f"{stem}.{SEALED[name]}.age" for name in parts}
        if not all(path.exists() for path in paths.values()):
            for handed in reading.hand_over(vault, segment.id, recipient):
                _write(paths[handed.part], chain([handed.header], handed.payload()))
        return
    for name in parts:
        path = folder / f"{stem}.{ENDINGS[name]}"
        if not path.exists():
            data = reading.read_part(vault, segment.id, name, "keeper", "export")
            _write(path, [_motion_csv(data) if name == "motion" else data])


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        for piece in pieces:
            out.write(piece)
    part.replace(path)


def _motion_csv(data: bytes) -> bytes:
    head = "boot_ns,gyro_x,gyro_y,gyro_z,accel_x,accel_y,accel_z"
    rows = (
        f"{row[0]}," + ",".join(f"{value:.6g}" for value in row[1:]) for row in iter_motion(data)
    )
    return "\n".join([head, *rows, ""]).encode()


def _days(segments: Sequence[catalog.Segment]) -> list[str]:
    return sorted({segment.day for segment in segments})


def _papers(
    vault: Vault, person: people.Person, path: Path, recipient: age.Recipient | None
) -> None:
    """Everything else the vault knows of this person, as one JSON file."""
    with vault.db.read() as connection:
        segments = catalog.of_person(connection, person.id)
        papers = {
            "person": {"id": person.id, "name": person.name, "jurisdiction": person.jurisdiction},
            "consents": [vars(item) for item in consents.of(connection, person.id)],
            "agreements": [vars(item) for item in agreement.of(connection, person.id)],
            "incidents": [vars(item) for item in incidents.listed(connection, person.id)],
            "withheld": [vars(item) for item in withhold.of(connection, person.id)],
            "places": [
                {"id": each.id} | vars(each.zone) for each in zones.of(connection, person.id)
            ],
            "coverage": [vars(coverage(connection, person, day)) for day in _days(segments)],
            "segments": [
                {"id": item.id, "day": item.day, "record": item.record, "receipt": item.receipt}
                for item in segments
            ],
            "log": [vars(entry) for entry in log.read(connection, person.id)],
            "receipt_key": str(vault.keyring.log_key().public),
            "checkpoint": vault.checkpoint(),
        }
    plain = json.dumps(papers, indent=1) + "\n"
    if recipient is None:
        path.write_text(plain)
    else:
        sealed = age.encrypt(plain.encode(), [recipient])
        _write(path.with_name(path.name + ".age"), [sealed])
