"""`firsthand audit`: the append-only log, and proofs from it."""

from typing import Annotated

import typer

from firsthand import log
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import opened, when
from firsthand.consent import people

app = noun("The append-only log, and proofs from it.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(14))
def verify() -> None:
    """Recompute the whole log, personal fields included, and print its signed checkpoint."""
    with opened() as vault:
        with vault.db.read() as connection:
            size = log.verify(connection)
            for person in people.listed(connection):
                if person.salt is not None:
                    log.verify_openings(connection, person.id, person.salt)
        checkpoint = vault.checkpoint()
    say(f"the log is whole: {size} entries")
    say(checkpoint.rstrip())


@app.command("list", epilog=exits(10))
def list_(
    person: Annotated[str | None, typer.Option(help="Only entries about this person.")] = None,
    start: Annotated[int, typer.Option("--from", help="First index to show.")] = 0,
    json_: Json = False,
) -> None:
    """List what happened, oldest first: who touched what, and when."""
    with opened() as vault, vault.db.read() as connection:
        chosen = people.find(connection, person).id if person else None
        entries = list(log.read(connection, chosen, start))
    if json_:
        show_json([vars(entry) for entry in entries])
        return
    rows = []
    for entry in entries:
        hidden = ("v", "subject", "commitment", "record", "proposal", "key")
        public = {name: value for name, value in entry.public.items() if name not in hidden}
        told = public | (entry.private or {})
        text = " ".join(f"{name}={value}" for name, value in told.items())
        rows.append([entry.index, when(entry.time_ns), entry.kind, text])
    table(["index", "time (UTC)", "what", "fields"], rows, right="index")
