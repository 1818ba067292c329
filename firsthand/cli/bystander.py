"""`firsthand bystander`: what people who were filmed asked for, and what wearers decide."""

import time
from typing import Annotated

import typer

from firsthand import serving
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import moment, opened, when
from firsthand.consent import people
from firsthand.consent.capture import bystanders
from firsthand.consent.capture.review import DAY_NS

app = noun("What people who were filmed asked for.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10))
def code(
    person: PersonName,
    day: Annotated[str | None, typer.Option(metavar="TIME", help="Today, unless given.")] = None,
) -> None:
    """Print what a person's badge shows today, and where it leads."""
    with opened() as vault:
        found = vault.person(person)
        at_ns = moment(day) if day else time.time_ns()
        shown = bystanders.badge_code(found, bystanders.day_of(at_ns))
        base = serving.address(vault.settings)
    say(shown)
    say(f"{base}/seen?code={shown}")


@app.command("list", epilog=exits())
def list_(json_: Json = False) -> None:
    """List all requests, what each hides of whom, and what was decided."""
    with opened() as vault, vault.db.write() as connection:
        now_ns = vault.now_ns()
        bystanders.settle(connection, now_ns)
        names = {each.id: each.name for each in people.listed(connection)}
        holds = [held for person in names for held in bystanders.of(connection, person)]
        requests = bystanders.listed(connection)
    found = [
        vars(request)
        | {
            "holds": [
                vars(held) | {"name": names[held.person], "overdue": held.overdue(now_ns)}
                for held in holds
                if held.request == request.id
            ]
        }
        for request in requests
    ]
    if json_:
        show_json(found)
        return
    rows = []
    for each in found:
        asked = [each["id"], when(each["start_ns"]), each["code"] or each["place"], each["words"]]
        rows += [
            [*asked, held["id"], held["name"], _state(held, now_ns)] for held in each["holds"]
        ] or [[*asked, "", "nobody", ""]]
    table(["request", "from", "code or place", "words", "hold", "of", "state"], rows)


@app.command("hold", epilog=exits(10, 13))
def hold_(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the request.")],
    person: PersonName,
) -> None:
    """Hide a person's time for a request whose place no calendar names."""
    with opened() as vault, vault.db.write() as connection:
        asked, found = bystanders.find(connection, request), people.find(connection, person)
        held = bystanders.hold(connection, asked, found, vault.now_ns())
    say(f"{person}: {when(held.start_ns)} to {when(held.stop_ns)} is hidden ({held.id})")


@app.command(epilog=exits(10, 13))
def decide(
    person: PersonName,
    held: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold.")],
    decision: Annotated[str, typer.Argument(metavar="keep|erase", help="The wearer's decision.")],
    reviewer: Annotated[str, typer.Option(help="Who else looked, where it is over an hour.")] = "",
) -> None:
    """Decide as the wearer: show the time again, or erase it."""
    from firsthand.vault import erase

    with opened() as vault:
        with vault.db.write() as connection:
            found = people.find(connection, person)
            given = (held, decision, vault.now_ns(), reviewer)
            order = bystanders.decide(connection, found, *given)
        if order is not None:
            erase.carry_out(vault, order)
    say(f"{person}: {held} is {'erased' if order else 'shown again'}")


def _state(held: dict[str, object], now_ns: int) -> str:
    if held["decision"]:
        return str(held["decision"])
    waits = (now_ns - int(str(held["placed_ns"]))) // DAY_NS
    return f"hidden for {waits} days" + (", overdue" if held["overdue"] else "")
