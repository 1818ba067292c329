"""`firsthand person`: people who wear a device."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand import config
from firsthand.cli import invocation
from firsthand.cli.locally import enrol_here
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, opened, when
from firsthand.consent import erasure, people
from firsthand.consent.terms import agreements
from firsthand.consent.terms.quiz import SIMULATED
from firsthand.errors import Refused

if TYPE_CHECKING:
    from firsthand.vault.enrol import Offer
    from firsthand.vault.vault import Vault

app = noun("People who wear a device.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]


@app.command(epilog=exits(13))
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that is not yet taken.")],
    place: Annotated[
        str, typer.Option(help='Whose recording law applies, see "consent laws".')
    ] = "",
    approval: Annotated[
        str, typer.Option(help='Enrol under this ethics approval, see "run approvals".')
    ] = "",
) -> None:
    """Enrol a person, and this computer as their first device."""
    settings = invocation.settings()
    if config.kind_of(settings.data) != "demo":
        if place == SIMULATED:
            raise Refused(f"{SIMULATED} is where simulated people live", "name a real place")
        config.mark(settings.data, "real")
    with opened() as vault:
        person = vault.add_person(name, place, approval)
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


@app.command("enrol-code", epilog=exits(10, 13))
def enrol_code(
    person: PersonName,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the QR code there as SVG.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the device, and show its word.")] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a code by which one more device of a person enrols, once, within ten minutes."""
    import segno

    from firsthand.vault import enrol

    with opened() as vault:
        offered = enrol.offer(vault, vault.person(person))
        code = segno.make(offered.link, error="m", micro=False)
        if svg:
            code.save(str(svg), kind="svg", scale=6, border=4, light="white")
        if json_:
            shown = {"url": offered.url, "code": offered.code, "link": offered.link}
            show_json(shown | {"expires": when(offered.expires_ns)})
            return
        say(f"on the device: firsthand device enrol {offered.url} {offered.code}")
        if not svg:
            code.terminal(compact=True)
        say(
            f"it holds until {when(offered.expires_ns)} UTC, for one device; show it to nobody else"
        )
        if wait:
            _await_device(vault, offered)


def _await_device(vault: "Vault", offered: "Offer") -> None:
    from firsthand import enrolment
    from firsthand.vault import enrol

    say("waiting for the device; Ctrl-C ends the waiting, not the code")
    device = ""
    while not device:
        if vault.now_ns() >= offered.expires_ns:
            raise Refused("no device used the code in time", "make a new one when it is at hand")
        time.sleep(0.5)
        with vault.db.read() as connection:
            device = enrol.user_of(connection, offered.id)
    with vault.db.read() as connection:
        key = people.find_device(connection, device).key
    word = enrolment.fingerprint(key, vault.keyring.log_key().public)
    say(f"{device} is enrolled, with the fingerprint {word}")
    say(f"its own screen must show the same; if not: firsthand device revoke {device}")


@app.command(epilog=exits(10, 13))
def withdraw(
    person: PersonName,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only tell.")] = False,
) -> None:
    """Take a person out of the programme: all consents end, their devices stop for good."""
    with opened() as vault:
        found = vault.person(person)
        if not yes:
            raise Refused(
                f"this would end every consent of {person}, and stop their devices at next contact,"
                " for good",
                f"to do it: firsthand person withdraw {person} --yes",
            )
        with vault.db.write() as connection:
            ended = agreements.leave(connection, found, vault.now_ns())
    say(f"{person} has left: {count(ended, 'consent')} ended, nothing of theirs is used any more")
    say("their devices learn so at next contact, and stop; what they still hold is refused")
    say(f"what is stored stays sealed until you erase it: firsthand person erase {person}")


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
            segments = catalog.spans(connection, found.id)
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
