"""`firsthand person`: people who wear a device."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand import config
from firsthand.cli import erasures, invocation
from firsthand.cli.locally import enrol_here
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, moment, opened, when
from firsthand.consent import erasure, people
from firsthand.consent.terms import consents
from firsthand.consent.terms.quiz import SIMULATED
from firsthand.errors import Damaged, NotFound, Refused, Usage
from firsthand.vault import epoch

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
    with opened(begin=True) as vault:
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


@app.command(epilog=exits(10, 13))
def key(
    person: PersonName,
    recipient: Annotated[
        str, typer.Argument(metavar="RECIPIENT", help="Their public key, age1pq1...")
    ],
) -> None:
    """Register the personal key to which a person's own footage is handed over, sealed.

    Any age tool that knows post-quantum keys makes one; the vault never sees the secret half.
    """
    from firsthand import age
    from firsthand.vault.keys import personal

    parsed = age.Recipient.parse(recipient)
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        personal.register(connection, found, parsed, vault.now_ns())
    say(f"{found.name}'s personal key is {parsed.key_id}: firsthand export {found.name} --to me")


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
            ended = consents.leave(connection, found, vault.now_ns())
    say(f"{person} has left: {count(ended, 'consent')} ended, nothing of theirs is used any more")
    say("their devices learn so at next contact, and stop; what they still hold is refused")
    say(f"what is stored stays sealed until you erase it: firsthand person erase {person}")


@app.command(epilog=exits(10, 12, 13))
def erase(
    person: PersonName,
    from_: Annotated[str, typer.Option("--from", help="Only from this time (UTC) on.")] = "",
    to: Annotated[str, typer.Option(help="Only until this time.")] = "",
    day: Annotated[str, typer.Option(help="Only this UTC day, as 2026-11-01.")] = "",
    segment: Annotated[
        list[str] | None, typer.Option(help="Only this segment; may be given again.")
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Destroy at once, and end the key epoch too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only tell.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hide a person's footage now and destroy it with its keys in 7 days, after telling what.

    Until then "person unerase" brings it back. With --now nothing does.
    """
    from firsthand.release import erase as erasing
    from firsthand.vault import erase as from_vault

    interval = _interval(from_, to, day)
    if interval is not None and segment:
        raise Usage("a time and a segment were both named", "name one of them")
    with opened() as vault:
        _require_theirs(vault, vault.person(person), segment or [])
        with vault.db.read() as connection:
            found = people.find(connection, person)
            plan = erasing.plan(connection, found, interval, segment or [])
        scope = "person" if interval is None and not segment else "part"
        if json_ and not yes:
            show_json(asdict(plan) | erasures.beyond(vault.settings.data, plan.releases))
            return
        if not json_:
            erasures.tell(vault.settings.data, found.name, plan, scope)
        if not yes:
            raise Refused(
                f"nothing was erased of {person} yet",
                "to do it, say it again with --yes; with --now there is no way back",
            )
        wait_ns = 0 if now else erasure.REVIEW_NS
        order = from_vault.place(vault, found, interval, segment or [], wait_ns)
        if now:
            order = erasing.carry_out(vault, order)
            epoch.rotate(vault)
        erasures.show(vault, order, json_)


@app.command("erasures", epilog=exits(10))
def list_erasures(
    person: Annotated[str | None, typer.Argument(help="Only this person's.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what was ordered to be erased, and what became of it."""
    with opened() as vault, vault.db.read() as connection:
        chosen = people.find(connection, person).id if person else None
        found = erasure.listed(connection, chosen)
    rows = [
        {"erasure": each.id, "person": each.person, "scope": each.scope, "state": each.state}
        | {"ordered": when(each.ordered_ns), "due": when(each.due_ns), "gone": when(each.done_ns)}
        for each in found
    ]
    if json_:
        show_json(rows)
        return
    columns = ["erasure", "person", "scope", "state", "ordered", "due", "gone"]
    table(columns, [[row[name] for name in columns] for row in rows])


@app.command(epilog=exits(10, 13))
def unerase(
    erasure_id: Annotated[str, typer.Argument(metavar="ERASURE", help="Id of the erasure.")],
) -> None:
    """Bring back what an erasure hides, as long as nothing of it is destroyed."""
    from firsthand.release import erase as erasing

    with opened() as vault:
        undone = erasing.undo(vault, erasure_id)
    say(f"erasure {undone.id} is undone: what it hid is there again")


@app.command(epilog=exits(10, 13, 14))
def receipt(
    erasure_id: Annotated[str, typer.Argument(metavar="ERASURE", help="Id of the erasure.")],
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check a receipt that was kept instead.")
    ] = None,
) -> None:
    """Print the signed receipt of an erasure, with proof from the log, as JSON."""
    from firsthand.vault import erased

    with opened() as vault:
        if check is None:
            show_json(erased.receipt(vault, erasure_id))
            return
        try:
            held = json.loads(check.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Damaged(
                f"{check} cannot be read as a receipt",
                'name a file that "firsthand person receipt" printed',
            ) from error
        said = erased.verify(held, vault.keyring.log_key().public)
    if said["order"] != erasure_id:
        raise Damaged(
            f"{check} is the receipt of erasure {said['order']}",
            "name that erasure, or the other file",
        )
    say(f"the receipt holds: gone from the live system {when(said['gone_live_ns'])} UTC")
    say(erasures.backups(said))


def _interval(from_: str, to: str, day: str) -> tuple[int, int] | None:
    if day and (from_ or to):
        raise Usage("a day and a time were both named", "name one of them")
    if day:
        start_ns = moment(f"{day}T00:00:00")
        return start_ns, start_ns + 86_400 * 10**9
    if bool(from_) != bool(to):
        raise Usage("an interval has two ends", "give both --from and --to")
    return (moment(from_), moment(to)) if from_ else None


def _require_theirs(vault: "Vault", person: people.Person, segments: list[str]) -> None:
    for segment in segments:
        if vault.segment(segment).person != person.id:
            raise NotFound(
                f"{person.name} has no segment {segment!r}", "see the day on the person's page"
            )
