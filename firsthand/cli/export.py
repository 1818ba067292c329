"""`firsthand export`: a person's own footage, opened for that person, with what was said of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from firsthand import log
from firsthand.cli.nouns import exits, single
from firsthand.cli.output import progress, say
from firsthand.cli.vaults import count, opened, when
from firsthand.consent import people
from firsthand.consent.capture import withhold, zones
from firsthand.consent.terms import agreements
from firsthand.errors import Failed
from firsthand.segment import iter_motion
from firsthand.vault import catalog, reading
from firsthand.vault.coverage import coverage
from firsthand.vault.vault import Vault

command = single()
ENDINGS = {"video": "mp4", "still": "jpg", "events": "jsonl", "motion": "csv"}


@command.command(epilog=exits(10, 14))
def export(
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")],
    out: Annotated[Path, typer.Option(help="Folder to write into, made if missing.")],
) -> None:
    """Open all of a person's footage for that person, with consents, receipts and the log.

    The files are plain: keep the folder to yourself. Run again, it writes what is missing.
    """
    with opened() as vault, progress("export") as move:
        with vault.db.read() as connection:
            found = people.find(connection, person)
            segments = catalog.of_person(connection, found.id)
        try:
            out.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number, segment in enumerate(segments, 1):
                _segment(vault, segment, out / segment.day)
                move(number, len(segments))
            _papers(vault, found, out / "about.json")
        except OSError as error:
            raise Failed(
                f"cannot write to {out}: {error.strerror}", "make room or choose another folder"
            ) from error
    told = count(len(segments), "segment")
    say(f"{told} of {found.name}, opened, and about.json: in {out}; keep them to yourself")


def _segment(vault: Vault, segment: catalog.Segment, folder: Path) -> None:
    folder.mkdir(exist_ok=True, mode=0o700)
    with vault.db.read() as connection:
        parts = catalog.parts_of(connection, segment.id)
    # By time, to be found; by id, as two devices of a person may record at the same time.
    stem = f"{when(segment.start_ns)[11:].replace(':', '')}-{segment.id}"
    for name in parts:
        path = folder / f"{stem}.{ENDINGS[name]}"
        if not path.exists():
            data = reading.read_part(vault, segment.id, name, "keeper", "export")
            part = path.with_name(path.name + ".part")
            part.write_bytes(_motion_csv(data) if name == "motion" else data)
            part.replace(path)


def _motion_csv(data: bytes) -> bytes:
    head = "boot_ns,gyro_x,gyro_y,gyro_z,accel_x,accel_y,accel_z"
    rows = (
        f"{row[0]}," + ",".join(f"{value:.6g}" for value in row[1:]) for row in iter_motion(data)
    )
    return "\n".join([head, *rows, ""]).encode()


def _days(segments: Sequence[catalog.Segment]) -> list[str]:
    return sorted({segment.day for segment in segments})


def _papers(vault: Vault, person: people.Person, path: Path) -> None:
    """Everything else the vault knows of this person, as one JSON file."""
    with vault.db.read() as connection:
        segments = catalog.of_person(connection, person.id)
        papers = {
            "person": {"id": person.id, "name": person.name, "jurisdiction": person.jurisdiction},
            "consents": [vars(item) for item in agreements.of(connection, person.id)],
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
    path.write_text(json.dumps(papers, indent=1) + "\n")
