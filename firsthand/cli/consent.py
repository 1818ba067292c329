"""`firsthand consent`: what a person allowed, what they withhold, and the law of their place."""

import json
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.texts import answer_quiz, known_text, new_text, read_file
from firsthand.cli.vaults import count, length, moment, opened, when
from firsthand.consent import people
from firsthand.consent.capture import law, review, withhold
from firsthand.consent.runs import answers
from firsthand.consent.terms import consents, text
from firsthand.consent.terms import receipt as receipts
from firsthand.consent.terms.vocabulary import CODES, MODIFIERS, PERMISSIONS, RESEARCH
from firsthand.errors import Damaged

app = noun("What a person allowed, and what they withhold.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("text", epilog=exits(10))
def text_(
    version: Annotated[
        str | None, typer.Option(help="Version of the text; the one in force unless given.")
    ] = None,
) -> None:
    """Print the words that people consent to."""
    say(known_text(version, text.in_force, text.CURRENT).words.rstrip())


@app.command(epilog=exits(10, 13))
def adopt(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Of a shipped text, or the name of your own.")
    ],
    words: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The words of your own text.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its quiz, and what it does to older consents (JSON)."),
    ] = None,
) -> None:
    """Put a consent text in force; older consents end as its data says."""
    new = new_text(version, words, data, "consent")
    effect = text.check(new)["effect"]
    with opened() as vault, vault.db.write() as connection:
        index = text.adopt(connection, new, vault.now_ns())
    told = {"keep": "stand", "limit": "are limited", "end": "end"}[effect]
    say(f"text {version} is in force (log entry {index}); consents to older texts {told}")


@app.command(epilog=exits(10, 13))
def quiz(
    person: PersonName,
    answers_: Annotated[
        str | None,
        typer.Option("--answers", metavar="N,N,...", help="Numbers of the choices; else asked."),
    ] = None,
    of_age: Annotated[bool, typer.Option("--of-age", help="I am an adult.")] = False,
    own_hand: Annotated[
        bool, typer.Option("--own-hand", help="I am that person, and speak for myself.")
    ] = False,
) -> None:
    """Say that you are of age, and show that you understood the text, before you consent."""
    answer_quiz(person, text.in_force, answers_, of_age, own_hand)


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
    by: Annotated[str, typer.Option(help="Who gives it: nobody else can.")] = "",
) -> None:
    """Record that a person consents to the text in force, for these purposes."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        before = {each.id for each in consents.of(connection, found.id)}
        given = consents.give(
            connection,
            found,
            permissions,
            modifier or (),
            expires_ns=moment(until) if until else None,
            by=by,
        )
    allowed = ", ".join(given.permissions)
    word = "consents already" if given.id in before else "consents"
    say(f"{person} {word} to {allowed} until {when(given.expires_ns)} (consent {given.id})")


@app.command("list", epilog=exits(10))
def list_(person: PersonName, json_: Json = False) -> None:
    """List all consents a person ever gave."""
    with opened() as vault, vault.db.read() as connection:
        found = consents.of(connection, people.find(connection, person).id)
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
        consents.withdraw(connection, people.find(connection, person), consent)
    say(f"consent {consent} of {person} is withdrawn")


@app.command(epilog=exits(10, 13))
def confirm(
    person: PersonName,
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="Id of the consent.")],
) -> None:
    """Give a consent anew, to the text in force and for another year; the old one ends."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        new = consents.confirm(connection, found, consent, vault.now_ns())
    say(f"{person} confirms {consent} as {new.id}, until {when(new.expires_ns)}")


@app.command(epilog=exits(10))
def receipt(
    person: PersonName,
    consent: Annotated[str, typer.Argument(metavar="CONSENT", help="Id of the consent.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
) -> None:
    """Print the signed receipt of a consent (ISO/IEC TS 27560, JSON-LD)."""
    with opened() as vault, vault.db.read() as connection:
        found = people.find(connection, person)
        record = receipts.record(connection, found, consent, vault.origin, vault.now_ns())
        signed = receipts.sign(record, vault.keyring.log_key())
    if out is None:
        show_json(signed)
        return
    out.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
    say(f"the receipt of {consent} is in {out}")


@app.command(epilog=exits(10))
def refusals(person: PersonName, json_: Json = False) -> None:
    """List each purpose that a person said no to when asked (ISO/IEC TS 27560, JSON-LD)."""
    with opened() as vault, vault.db.read() as connection:
        found = receipts.refusals(connection, people.find(connection, person))
    if json_:
        show_json(found)
        return
    rows = [
        [each["dpv:isIndicatedAtTime"], purpose["@id"], purpose["dct:title"]]
        for each in found
        for purpose in each["dpv:hasPurpose"]
    ]
    table(["said no", "to", "that is"], rows)


@app.command("check-receipt", epilog=exits(10, 14))
def check_receipt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt.")],
) -> None:
    """Check that this vault signed a receipt, and say what it is for."""
    try:
        signed = json.loads(read_file(file))
    except ValueError as error:
        raise Damaged(
            f"{file} is no receipt", 'name a file that "firsthand consent receipt" wrote'
        ) from error
    with opened() as vault:
        record = receipts.verify(signed, vault.keyring.log_key().public)
    purposes = [each["@id"] for each in record["dpv:hasProcess"]["dpv:hasPurpose"]]
    last = record["dpv:hasConsentStatus"][-1]
    say(f"consent {record['dct:identifier']} to {', '.join(purposes)}: signed by this vault")
    say(f"{last['@type'].removeprefix('dpv:Consent').lower()} {last['dpv:isIndicatedAtTime']}")


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
        before = {each.id for each in withhold.of(connection, found.id)}
        held = withhold.withhold(connection, found, moment(start), moment(stop))
    word = "withholds already" if held.id in before else "withholds"
    say(f"{person} {word} {when(held.start_ns)} to {when(held.stop_ns)} ({held.id})")


@app.command(epilog=exits(10))
def lift(
    person: PersonName,
    withheld: Annotated[str, typer.Argument(metavar="WITHHOLD", help="Id of the interval.")],
) -> None:
    """Let a withheld interval be used again."""
    with opened() as vault, vault.db.write() as connection:
        withhold.lift(connection, people.find(connection, person), withheld)
    say(f"{person} no longer withholds {withheld}")


@app.command("coverage", epilog=exits(10))
def coverage_(
    person: PersonName,
    days: Annotated[
        list[str] | None, typer.Argument(metavar="DAY...", help="As 2026-01-05; all, if none.")
    ] = None,
    json_: Json = False,
) -> None:
    """Tell where each day went: recorded, withheld, and why there is nothing; 24 hours in all."""
    from firsthand.vault import catalog
    from firsthand.vault.coverage import coverage

    with opened() as vault, vault.db.read() as connection:
        found = people.find(connection, person)
        asked = days or [row[0] for row in catalog.days(connection, found.id)]
        rows = [coverage(connection, found, day) for day in asked]
    if json_:
        show_json([{"day": each.day, "ns": each.kinds} for each in rows])
        return
    table(
        ["day", "kind", "time"],
        [[each.day, kind, length(ns / 1e9)] for each in rows for kind, ns in each.kinds.items()],
        right="time",
    )


@app.command(epilog=exits(10))
def reviewed(
    person: PersonName,
    days: Annotated[
        list[str] | None, typer.Argument(metavar="DAY...", help="As 2026-01-05; all, if none.")
    ] = None,
) -> None:
    """Say that a person has looked at days, which may then be used before their window ends."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        ended = review.reviewed(connection, found, days or (), vault.now_ns())
    say(f"{person} has looked at {count(len(ended), 'day')}")


@app.command("review-window", epilog=exits(10))
def review_window(
    person: PersonName,
    days: Annotated[int, typer.Argument(metavar="DAYS", help="How long each day is theirs.")],
) -> None:
    """Set for how many days footage stays its wearer's alone; 7 unless set, 1 at least."""
    with opened() as vault, vault.db.write() as connection:
        review.set_window(connection, people.find(connection, person), days, vault.now_ns())
    say(f"{person} has {count(days, 'day')} to look at each day")


@app.command(epilog=exits())
def laws(json_: Json = False) -> None:
    """List the rows of recording law; without a current and reviewed one there is no sound."""
    with opened() as vault, vault.db.read() as connection:
        rows = law.listed(connection)
    if json_:
        show_json([vars(row) for row in rows])
    else:
        columns = ["jurisdiction", "audio", "video", "source", "as_of", "reviewer", "expires"]
        table(columns, [[getattr(row, name) for name in columns] for row in rows])


@app.command("add-law", epilog=exits())
def add_law(
    jurisdiction: Annotated[str, typer.Argument(metavar="PLACE", help="Such as NL or US-CA.")],
    audio: Annotated[
        str, typer.Option(metavar="one|all|mixed", help="Whose consent recording talk takes.")
    ],
    source: Annotated[str, typer.Option(help="Where the rule stands.")],
    reviewer: Annotated[str, typer.Option(help="Who read it and answers for it.")],
    as_of: Annotated[str, typer.Option(metavar="DATE", help="As 2026-11-01.")],
    expires: Annotated[str, typer.Option(metavar="DATE", help="When it must be read again.")],
    video: Annotated[str, typer.Option(metavar="yes|no", help="Whether pictures may be.")] = "yes",
    closed: Annotated[
        str, typer.Option(metavar="KINDS", help="Kinds of place without pictures, by spaces.")
    ] = "",
) -> None:
    """Add the row of recording law of a place from a day on; older rows stay."""
    row = law.Law(jurisdiction, audio, video, closed, source, as_of, reviewer, expires)
    with opened() as vault, vault.db.write() as connection:
        law.add(connection, row)
    say(f"{jurisdiction}: sound takes the consent of {audio}, until {expires}")
