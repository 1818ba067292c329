"""`firsthand consent`: what a person allowed, what they withhold, and the law of their place."""

from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import moment, opened, when
from firsthand.consent import law, people, withhold
from firsthand.consent.runs import answers
from firsthand.consent.terms import agreements, text
from firsthand.consent.terms.vocabulary import CODES, MODIFIERS, PERMISSIONS, RESEARCH

app = noun("What a person allowed, and what they withhold.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("text", epilog=exits(10))
def text_(
    version: Annotated[str, typer.Option(help="Version of the text.")] = text.CURRENT,
) -> None:
    """Print the words that people consent to."""
    say(text.read_text(version).words.rstrip())


@app.command(epilog=exits())
def codes(json_: Json = False) -> None:
    """List the permissions and modifiers that a consent can hold."""
    if json_:
        show_json({"permissions": PERMISSIONS, "research": RESEARCH, "modifiers": MODIFIERS})
    else:
        table(["permission", "meaning"], list({**PERMISSIONS, **RESEARCH}.items()))
        rows = [[code, CODES[code].value, label] for code, label in MODIFIERS.items()]
        table(["modifier", "value", "meaning"], rows)


@app.command(epilog=exits(10, 13))
def give(
    person: PersonName,
    permissions: Annotated[
        list[str], typer.Argument(metavar="PERMISSION...", help='See "consent codes".')
    ],
    modifier: Annotated[list[str] | None, typer.Option(help="A condition; repeatable.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="End; a year unless given.")] = (
        None
    ),
) -> None:
    """Record that a person consents to the current text, for these purposes."""
    with opened() as vault, vault.db.write() as connection:
        given = agreements.give(
            connection,
            people.find(connection, person),
            permissions,
            modifier or (),
            expires_ns=moment(until) if until else None,
        )
    allowed = ", ".join(given.permissions)
    say(f"{person} consents to {allowed} until {when(given.expires_ns)} (consent {given.id})")


@app.command("list", epilog=exits(10))
def list_(person: PersonName, json_: Json = False) -> None:
    """List all consents a person ever gave."""
    with opened() as vault, vault.db.read() as connection:
        found = agreements.of(connection, people.find(connection, person).id)
    if json_:
        show_json([vars(item) for item in found])
        return
    rows = [
        [
            item.id,
            " ".join(item.permissions),
            " ".join(item.modifiers),
            when(item.expires_ns),
            when(item.withdrawn_ns),
        ]
        for item in found
    ]
    table(["consent", "permissions", "modifiers", "until", "withdrawn"], rows)


@app.command(epilog=exits(10))
def withdraw(
    person: PersonName,
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="Id of the consent.")],
) -> None:
    """Withdraw one consent; from now on it permits nothing."""
    with opened() as vault, vault.db.write() as connection:
        agreements.withdraw(connection, people.find(connection, person), consent)
    say(f"consent {consent} of {person} is withdrawn")


@app.command(epilog=exits(10))
def rule(
    person: PersonName,
    permission: Annotated[str, typer.Argument(metavar="PERMISSION", help="A purpose.")],
    choice: Annotated[str, typer.Argument(metavar="yes|no|ask", help="The standing answer.")],
) -> None:
    """Set a person's standing answer to runs of one purpose."""
    with opened() as vault, vault.db.write() as connection:
        answers.set_rule(connection, people.find(connection, person), permission, choice)
    say(f"{person} answers runs for {permission}: {choice}")


@app.command("withhold", epilog=exits(10))
def withhold_(
    person: PersonName,
    start: Annotated[str, typer.Argument(metavar="START", help="As 2026-01-05T08:30:00, UTC.")],
    stop: Annotated[str, typer.Argument(metavar="STOP", help="As START; not included.")],
) -> None:
    """Keep an interval back: it stays sealed and reaches nobody."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        held = withhold.withhold(connection, found, moment(start), moment(stop))
    say(f"{person} withholds {when(held.start_ns)} to {when(held.stop_ns)} ({held.id})")


@app.command(epilog=exits(10))
def lift(
    person: PersonName,
    withheld: Annotated[str, typer.Argument(metavar="WITHHOLD", help="Id of the interval.")],
) -> None:
    """Let a withheld interval be used again."""
    with opened() as vault, vault.db.write() as connection:
        withhold.lift(connection, people.find(connection, person), withheld)
    say(f"{person} no longer withholds {withheld}")


@app.command(epilog=exits())
def laws(json_: Json = False) -> None:
    """List the rows of recording law; a place without a current row means no sound."""
    with opened() as vault, vault.db.read() as connection:
        rows = law.listed(connection)
    if json_:
        show_json([vars(row) for row in rows])
    else:
        columns = ["jurisdiction", "audio", "source", "as_of", "reviewer", "expires"]
        table(columns, [[getattr(row, name) for name in columns] for row in rows])


@app.command("add-law", epilog=exits())
def add_law(
    jurisdiction: Annotated[str, typer.Argument(metavar="PLACE", help="Such as NL or US-CA.")],
    audio: Annotated[str, typer.Option(metavar="yes|no", help="Whether sound may be used.")],
    source: Annotated[str, typer.Option(help="Where the rule stands.")],
    reviewer: Annotated[str, typer.Option(help="Who read it and answers for it.")],
    as_of: Annotated[str, typer.Option(metavar="DATE", help="As 2026-11-01.")],
    expires: Annotated[str, typer.Option(metavar="DATE", help="When it must be read again.")],
) -> None:
    """Add or replace the row of recording law of a place."""
    row = law.Law(jurisdiction, audio, source, as_of, reviewer, expires)
    with opened() as vault, vault.db.write() as connection:
        law.add(connection, row)
    say(f"{jurisdiction}: sound {audio} until {expires}")
