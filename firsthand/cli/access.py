"""`firsthand access`: named keys to the pages, each with a role."""

from typing import Annotated

import typer

from firsthand import serving
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import opened, when
from firsthand.consent import people
from firsthand.consent.access import askers

app = noun("Named keys to the pages: who may come in, and as whom.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10, 13))
def give(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")],
    role: Annotated[str, typer.Option(metavar="|".join(askers.ROLES), help="Its role.")],
    person: Annotated[str | None, typer.Option(help="Of a wearer: whose pages it opens.")] = None,
    human: Annotated[str, typer.Option(help="Who holds it, if they have another key.")] = "",
    household: Annotated[str, typer.Option(help="Where they live: a word for each home.")] = "",
) -> None:
    """Make a key and print it, once; from then on nobody else acts for its wearer."""
    with opened() as vault, vault.db.write() as connection:
        whose = people.find(connection, person) if person else None
        asker, key = askers.give(
            connection,
            name,
            role,
            person=whose,
            human=human,
            household=household,
            now_ns=vault.now_ns(),
        )
        base = serving.address(vault.settings)
    path = f"/people/{asker.person}" if asker.person else "/"
    say(f"{name} ({role}): {askers.ROLES[role]}")
    if role in askers.WITHOUT_PAGES:
        say(f"key: {key}")
    else:
        say(f"pages: {base}{path}?key={key}")
    say("it is shown this once; give it to its holder and to nobody else")


@app.command("list", epilog=exits())
def list_(json_: Json = False) -> None:
    """List all keys that were given, without what opens anything."""
    with opened() as vault, vault.db.read() as connection:
        rows = [dict(row._mapping) for row in askers.listed(connection)]
    if json_:
        show_json(rows)
        return
    columns = ["id", "name", "role", "person", "human", "household"]
    shown = [[*(row[name] for name in columns), when(row["revoked_ns"])] for row in rows]
    table([*columns, "revoked"], shown)


@app.command(epilog=exits(10))
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is called, or its id.")],
) -> None:
    """End a key at once."""
    with opened() as vault, vault.db.write() as connection:
        askers.revoke(connection, name, vault.now_ns())
    say(f"{name} opens nothing any more")
