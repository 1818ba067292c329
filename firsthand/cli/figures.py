"""`firsthand figures`: what a programme must know of its people, of no fewer than ten together."""

from typing import Annotated, Any

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import opened
from firsthand.consent import people
from firsthand.consent.figures import programme, traits

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


def _words(value: dict[str, Any] | None) -> list[str]:
    if value is None:
        return ["-", "-"]
    said = [f"{name} {number:.4g}" for name, number in value.items()
            if isinstance(number, int | float) and name != "people"]  # fmt: skip
    return [str(value.get("people", "")), ", ".join(said)]
