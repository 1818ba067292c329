"""`firsthand person`: people who wear a device."""

from typing import Annotated

import typer

from firsthand import config
from firsthand.cli import invocation
from firsthand.cli.locally import enrol_here
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, opened, when
from firsthand.consent import erasure, people
from firsthand.errors import Refused

app = noun("People who wear a device.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]


@app.command(epilog=exits(13))
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that is not yet taken.")],
    place: Annotated[
        str, typer.Option(help='Whose recording law applies, see "consent laws".')
    ] = "",
) -> None:
    """Enrol a person, and this computer as their first device."""
    settings = invocation.settings()
    if config.kind_of(settings.data) != "demo":
        config.mark(settings.data, "real")
    with opened() as vault:
        person = vault.add_person(name, place)
        device = enrol_here(vault, person)
    say(f"{name} is enrolled as {person.id}, with this computer as device {device.name}")
    say(f"data folder: {settings.data}")


@app.command("list", epilog=exits(10))
def list_(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List everyone ever enrolled."""
    with opened() as vault:
        found = vault.people()
    rows = [
        {"id": item.id, "name": item.name, "place": item.jurisdiction, "status": item.status}
        | {"added": when(item.added_ns)}
        for item in found
    ]
    if json_:
        show_json(rows)
    else:
        columns = ["id", "name", "place", "status", "added"]
        table(columns, [[row[name] for name in columns] for row in rows])


@app.command(epilog=exits(10, 13))
def erase(
    person: PersonName,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only tell.")] = False,
) -> None:
    """Destroy a person's keys and footage, after telling what that is."""
    from firsthand.release import erase as from_releases
    from firsthand.vault import catalog, erase

    with opened() as vault:
        with vault.db.read() as connection:
            found = people.find(connection, person)
            segments = catalog.of_person(connection, found.id)
        if not yes:
            size = sum(segment.size_bytes for segment in segments)
            told = count(len(segments), "segment")
            raise Refused(
                f"this would destroy {told} ({size} bytes), all keys and all consents of {person}, "
                "for good",
                f"to do it: firsthand person erase {person} --yes",
            )
        used = from_releases.forget(vault, found.id)
        with vault.db.write() as connection:
            order = erasure.order(connection, found)
        done = erase.carry_out(vault, order)
    gone = count(done["segments"], "segment")
    say(f"{person} is erased: {gone}, {done['bytes']} bytes, all keys")
    say(f"the log says so in entry {done['log_index']}")
    if used["runs"]:
        say(f"these runs had used the footage, and a model cannot forget: {' '.join(used['runs'])}")
