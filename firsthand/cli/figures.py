"""`firsthand figures`: what a programme must know of its people, of no fewer than ten together."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand.cli.invocation import settings
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json, table
from firsthand.cli.vaults import opened
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.figures import programme, traits, valuation
from firsthand.errors import Usage

app = noun("What a programme must know of its people, of no fewer than ten together.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits())
def show(json_: Json = False) -> None:
    """Show attrition, deletion, wear and who takes part; a dash is of fewer than ten people."""
    from firsthand.vault import wear

    with opened() as vault, vault.db.write() as connection:
        worn, key = wear.of_all(connection), vault.keyring.journal_key
        found = programme.figures(connection, worn, key, vault.now_ns())
    if json_:
        show_json(found)
        return
    rows = [[name, "", *_words(found[name])] for name in ("attrition", "deletion")]
    for name in ("everyone", *traits.dimensions()):
        rows += [[name, cell, *_words(value)] for cell, value in found[name].items()]
    table(["figure", "of", "people", "says"], rows)


@app.command(epilog=exits(10, 13))
def trait(
    person: PersonName,
    dimension: Annotated[str, typer.Argument(metavar="DIMENSION", help="Such as age.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Nothing takes it back.")] = "",
) -> None:
    """Keep what a person chose to say of themselves, or take it back."""
    with opened() as vault:
        found = vault.person(person)
        key = vault.keyring.journal_key(found.id) or b""
        with vault.db.write() as connection:
            now = people.find(connection, found.id)
            traits.say(connection, now, dimension, value, key, vault.now_ns())
    say(f"{person}: {dimension} {value or 'is not said any more'}")


@app.command(epilog=exits(10, 12, 13, 14))
def worth(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Id of the release.")],
    key: Annotated[
        str,
        typer.Option(
            "--key", envvar="FIRSTHAND_MY_KEY", help="A key of governance.", show_envvar=False
        ),
    ] = "",
    cohorts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV person,cohort by names in the release."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
    json_: Json = False,
) -> None:
    """Estimate what each person's data add to foretelling all others, for governance alone.

    Nats saved for each held-out step of others, with a 95 % interval over their held-out days, by
    leave-one-out on counts: not by the network. It is kept nowhere and never paid.
    """
    from firsthand.learn import worth as worths
    from firsthand.release import make, pull

    if not key:
        raise Usage("say who you are: --key, or FIRSTHAND_MY_KEY", "see firsthand access give")
    with opened() as vault, vault.db.write() as connection:
        asker = askers.by_key(connection, key)
        persons = make.people_in(connection, release)
        said = (release, worths.METHOD, persons, vault.now_ns())
        valuation.begin(connection, asker, *said)
    chosen = worths.read_cohorts(cohorts) if cohorts else None
    # Governance gets no footage: what was pulled, and the grant that opens it, go at once.
    with tempfile.TemporaryDirectory(prefix="worth-", dir=settings().data) as folder:
        with opened() as vault:
            pull.pull(vault, release, Path(folder) / release, "figures worth")
        lives = worths.lives_of(Path(folder) / release, chosen)
    with progress("worth", 1.0) as move:
        found = worths.worth(lives, chosen, seed, move)
    if json_:
        show_json({"method": worths.METHOD, "units": [asdict(each) for each in found]})
        return
    rows = [
        [
            each.unit,
            each.people,
            each.steps,
            *(f"{x:+.4f}" for x in (each.nats, each.low, each.high)),
        ]
        for each in found
    ]
    columns = ["unit", "people", "steps", "nats", "low", "high"]
    table(columns, rows, right=" ".join(columns[1:]))
    say(f"by {worths.METHOD}")


def _words(value: dict[str, Any] | None) -> list[str]:
    if value is None:
        return ["-", "-"]
    said = [f"{name} {number:.4g}" for name, number in value.items()
            if isinstance(number, int | float) and name != "people"]  # fmt: skip
    return [str(value.get("people", "")), ", ".join(said)]
