"""`firsthand place`: where a person says they are, and what may be recorded there."""

import time
from typing import Annotated

import typer

from firsthand.capture import DAYS, FOREVER_NS, may_capture, spans
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import moment, opened, when
from firsthand.consent import people
from firsthand.consent.capture import zones
from firsthand.errors import Usage

app = noun("Where a person says they are, and what may be recorded there.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WEEK_NS = 7 * 86_400 * 10**9


@app.command(epilog=exits())
def kinds(json_: Json = False) -> None:
    """List the kinds of place, and what each allows at most."""
    rows = list(zones.kinds().values())
    if json_:
        show_json(rows)
    else:
        columns = ["kind", "audio", "video", "permission", "why"]
        table(columns, [[row[name] for name in columns] for row in rows])


@app.command("say", epilog=exits(10, 13))
def say_(
    person: PersonName,
    kind: Annotated[str, typer.Argument(metavar="KIND", help='See "place kinds".')],
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Now, unless given.")
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Until ended, unless given.")
    ] = None,
    week: Annotated[
        str, typer.Option(metavar='"mon fri 9:00-17:00"', help="Each week on these days only.")
    ] = "",
    zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of --week.")] = "UTC",
    label: Annotated[str, typer.Option(help="What you call it, such as the employer.")] = "",
    law: Annotated[str, typer.Option(metavar="PLACE", help="Whose law holds there too.")] = "",
    sound: Annotated[bool, typer.Option(help="Whether sound may be recorded there.")] = True,
    pictures: Annotated[bool, typer.Option(help="Whether pictures may be.")] = True,
) -> None:
    """Say when a person is at a place, before or after the fact."""
    with opened() as vault, vault.db.write() as connection:
        now_ns = vault.now_ns()
        said = zones.say(
            connection,
            people.find(connection, person),
            kind,
            moment(start) if start else now_ns,
            moment(stop) if stop else FOREVER_NS,
            label=label,
            week=week_of(week) if week else None,
            tz=zone,
            audio=sound,
            video=pictures,
            jurisdiction=law,
            now_ns=now_ns,
        )
    here = said.zone
    needs = ", with an employer's permission" if here.permission else ""
    allows = f"sound {_yes(here.audio)}, pictures {_yes(here.video)}{needs}"
    say(f"{person} is at {here.label} ({said.id}): {allows}")


@app.command("list", epilog=exits(10))
def list_(person: PersonName, json_: Json = False) -> None:
    """List where a person said they are, and what employers permit."""
    with opened() as vault, vault.db.read() as connection:
        found = people.find(connection, person)
        said = zones.of(connection, found.id)
        permits = zones.permissions_of(connection, found.id)
    if json_:
        places = [{"id": each.id, "said_ns": each.said_ns} | vars(each.zone) for each in said]
        show_json({"places": places, "permissions": [vars(each) for each in permits]})
        return
    rows = [
        [
            each.id,
            each.zone.label,
            each.zone.kind,
            hours(each.zone),
            _yes(each.zone.audio),
            _yes(each.zone.video),
        ]
        for each in said
    ]
    table(["place", "called", "kind", "when", "sound", "pictures"], rows)
    if permits:
        rows = [
            [each.id, each.label, each.employer, each.signed_by, when(each.stop_ns)]
            for each in permits
        ]
        table(["permission", "place", "employer", "signed by", "until"], rows)


@app.command(epilog=exits(10))
def end(
    person: PersonName,
    place: Annotated[str, typer.Argument(metavar="ZONE", help="Id of what was said.")],
) -> None:
    """End a place now, or take back what was said by mistake within a week."""
    with opened() as vault, vault.db.write() as connection:
        whole = zones.end(connection, people.find(connection, person), place, vault.now_ns())
    say(f"{place} is taken back" if whole else f"{place} ends now; what it covered stays so")


@app.command(epilog=exits(10, 13))
def permit(
    person: PersonName,
    label: Annotated[str, typer.Argument(metavar="CALLED", help="What the place is called.")],
    employer: Annotated[str, typer.Option(help="Who permits it.")],
    signed_by: Annotated[str, typer.Option(help="Who signed for the employer.")],
    document: Annotated[str, typer.Option(metavar="SHA256", help="Hash of the signed paper.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="When it ends.")],
    sound: Annotated[bool, typer.Option("--sound", help="It is for sound too.")] = False,
) -> None:
    """Enter an employer's signed permission to record at one place of work."""
    with opened() as vault, vault.db.write() as connection:
        given = zones.permit(
            connection,
            people.find(connection, person),
            label,
            employer=employer,
            signed_by=signed_by,
            document_sha256=document,
            stop_ns=moment(until),
            audio=sound,
            now_ns=vault.now_ns(),
        )
    say(
        f"{employer} permits {person} to record at {label} until {when(given.stop_ns)} ({given.id})"
    )


@app.command(epilog=exits(10))
def revoke(
    person: PersonName,
    permission: Annotated[str, typer.Argument(metavar="PERMISSION", help="Its id.")],
) -> None:
    """End an employer's permission now."""
    with opened() as vault, vault.db.write() as connection:
        zones.revoke(connection, people.find(connection, person), permission, vault.now_ns())
    say(f"permission {permission} is over")


@app.command("may", epilog=exits(10))
def may_(
    person: PersonName,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Now, unless given.")] = None,
    json_: Json = False,
) -> None:
    """Tell what a person may record, why not more, and how much of the coming week."""
    with opened() as vault, vault.db.read() as connection:
        at_ns = moment(at) if at else time.time_ns()
        rules = zones.rules_of(connection, people.find(connection, person))
    capture = may_capture(rules, at_ns)
    week = spans(rules, at_ns, at_ns + WEEK_NS)
    share = {
        name: sum(end - begin for begin, end, each in week if getattr(each, name)) / WEEK_NS
        for name in ("audio", "video")
    }
    if json_:
        show_json(vars(capture) | {"share_of_week": share})
        return
    say(f"sound {_yes(capture.audio)}, pictures {_yes(capture.video)}")
    for reason in capture.reasons:
        say(f"  {reason}")
    say(f"of the week to come: sound {share['audio']:.1%}, pictures {share['video']:.1%}")


def week_of(text: str) -> tuple[str, int, int]:
    """Days of the week and hours of the day: "mon fri 9:00-17:00", or mon-fri. Usage."""
    *days, hours_ = text.split() or [""]
    try:
        begin, end = (
            60 * int(hour) + int(minute or 0)
            for hour, _, minute in (each.partition(":") for each in hours_.split("-"))
        )
    except ValueError as error:
        raise Usage(f"{text!r} names no hours", 'write it as "mon-fri 9:00-17:00"') from error
    named: list[str] = []
    for day in days:
        first, _, last = day.lower().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise Usage(f"{day!r} is no day of the week", f"known: {' '.join(DAYS)}")
        at, stop = DAYS.index(first), DAYS.index(last or first)
        named += [DAYS[(at + step) % 7] for step in range((stop - at) % 7 + 1)]
    if not named:
        raise Usage(f"{text!r} names no day", 'write it as "mon-fri 9:00-17:00"')
    return " ".join(dict.fromkeys(named)), begin, end


def hours(zone: zones.Zone) -> str:
    """When a person is at a zone, in words."""
    until = "" if zone.stop_ns == FOREVER_NS else f" to {when(zone.stop_ns)}"
    if not zone.days:
        return f"{when(zone.start_ns)}{until or ' on'}"
    clocks = [f"{at // 60:02}:{at % 60:02}" for at in (zone.from_min, zone.to_min)]
    return f"{zone.days} {'-'.join(clocks)} {zone.tz}, from {when(zone.start_ns)}{until}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
