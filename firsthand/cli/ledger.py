"""`firsthand ledger`: what wearing earns, under a published formula, and what was paid."""

from dataclasses import asdict
from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import event, say, show_json, table
from firsthand.cli.vaults import count, opened, when
from firsthand.consent import people
from firsthand.consent.money import formula, ledger, statement
from firsthand.consent.runs import answers, proposals
from firsthand.errors import Refused

app = noun("What wearing earns: hours, shares, payouts, in a ledger that balances.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits())
def formulas(json_: Json = False) -> None:
    """List the versions of the formula; each holds from its first day on."""
    with opened() as vault, vault.db.read() as connection:
        found = formula.listed(connection)
    if json_:
        show_json([asdict(one) for one in found])
        return
    columns = ["version", "begins", "cents_per_hour", "units_per_hour", "withheld_percent"]
    table(columns, [[getattr(one, name) for name in columns] for one in found])


@app.command(epilog=exits())
def publish(
    begins: Annotated[str, typer.Option(metavar="DAY", help="First day it pays for: 2027-01-01.")],
    cents: Annotated[int, typer.Option(help="Cents for an hour.")],
    units: Annotated[int, typer.Option(help="Units for an hour; 1000 are one share.")],
    withheld_percent: Annotated[
        int, typer.Option(help="Withheld time counts up to this share of the rest of its day.")
    ] = 25,
) -> None:
    """Publish the next version of the formula, for days to come."""
    with opened() as vault, vault.db.write() as connection:
        made = formula.publish(connection, begins, cents, units, withheld_percent, vault.now_ns())
    say(f"formula {made.version} pays {cents} cents and {units} units an hour from {made.begins}")


@app.command(epilog=exits())
def credit(json_: Json = False) -> None:
    """Look at what is new, and pay what is not yet paid of every day and every decision."""
    from firsthand.release import worn

    with opened() as vault:
        looked = worn.look(vault, lambda segment: event("looked_at", segment=segment))
        made = []
        for person in vault.people():
            if person.status == "erased":
                continue
            with vault.db.write() as connection:
                made += _credit(connection, person, vault.now_ns())
                made += _reward(connection, person, vault.now_ns())
    cents, units = (
        sum(amount for one in made for who, name, amount in one.postings
            if (who, name) == (one.person, currency))
        for currency in ledger.CURRENCIES
    )  # fmt: skip
    if json_:
        show_json({"looked_at": looked, "credited": len(made), "cents": cents, "units": units})
        return
    say(f"{count(looked, 'segment')} looked at, {count(len(made), 'entry', 'entries')} made")
    say(f"{cents} cents and {units} units were earned")


def _credit(connection, person, now_ns: int) -> list[ledger.Transaction]:  # type: ignore[no-untyped-def]
    from firsthand.release import worn

    versions = formula.listed(connection)
    made: list[ledger.Transaction | None] = []
    shares = {one.withheld_percent for one in versions}
    days = {share: worn.seconds(connection, person.id, share) for share in shares}
    for day in sorted({day for found in days.values() for day in found}):
        share = formula.of_day(versions, day).withheld_percent
        seconds = days[share].get(day, 0)
        made.append(ledger.credit_hours(connection, person, day, seconds, now_ns))
    return [one for one in made if one is not None]


def _reward(connection, person, now_ns: int) -> list[ledger.Transaction]:  # type: ignore[no-untyped-def]
    """The bonus of every run on which the person has decided, whichever way."""
    found = (
        ledger.credit_bonus(connection, run.id, person, run.proposal.bonus_cents, now_ns)
        for run in proposals.listed(connection)
        if run.proposal.bonus_cents and person.id in answers.deciders(connection, run)
    )
    return [one for one in found if one is not None]


@app.command("statement", epilog=exits(10, 13, 14))
def statement_(person: PersonName, json_: Json = False) -> None:
    """Show what a person earned and was paid, recomputed from the log."""
    with opened() as vault, vault.db.read() as connection:
        someone = people.find(connection, person)
        found = statement.statement(connection, someone.id)
        held = ledger.balance(connection, someone.id)
    if someone.status == "erased":
        raise Refused(
            f"the log's words on {person} are gone, so no statement can be made of them",
            f"the ledger itself still owes {held['cents']} cents and {held['units'] / 1000} shares",
        )
    if json_:
        show_json(asdict(found) | {"owed_cents": found.owed_cents})
        return
    rows = [
        [when(line.time_ns), line.kind, line.day or line.cause, line.cents, line.units / 1000]
        for line in found.lines
    ]
    table(["when", "what", "for", "cents", "shares"], rows)
    say(f"earned {found.earned_cents} cents and {found.units / 1000} shares;"
        f" paid {found.paid_cents} cents; owed {found.owed_cents} cents")  # fmt: skip


@app.command(epilog=exits(10, 13))
def pay(
    person: PersonName,
    cents: Annotated[int, typer.Argument(metavar="CENTS", help="How many were paid.")],
    reference: Annotated[str, typer.Option(help="The transfer's reference; used once.")],
) -> None:
    """Note that cents were paid to a person."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        ledger.pay(connection, found, cents, reference, vault.now_ns())
        left = ledger.balance(connection, found.id)["cents"]
    say(f"paid {cents} cents to {person}; {left} are owed")


@app.command(epilog=exits())
def shares(json_: Json = False) -> None:
    """List who holds how many shares."""
    with opened() as vault, vault.db.read() as connection:
        crowd = people.listed(connection)
        held = {one.id: ledger.balance(connection, one.id) for one in crowd}
    total = sum(each["units"] for each in held.values()) or 1
    if json_:
        show_json(
            [
                {"person": one.id, "name": one.name, "share": held[one.id]["units"] / total}
                | held[one.id]
                for one in crowd
            ]
        )
        return
    rows = [
        [one.name, held[one.id]["units"] / 1000, f"{100 * held[one.id]['units'] / total:.2f} %"]
        for one in crowd
    ]
    table(["person", "shares", "of all"], rows)


@app.command(epilog=exits(14))
def verify(json_: Json = False) -> None:
    """Compare the ledger with the log and the formula, entry by entry."""
    with opened() as vault, vault.db.read() as connection:
        found = statement.verify(connection)
    if json_:
        show_json(found)
    else:
        say(f"{count(found['transactions'], 'transaction')} agree with the log and the formula")
