"""`firsthand estate`: who may run, stop or delete a person's model after their death."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import opened, when
from firsthand.consent import people
from firsthand.consent.estate import death, directive
from firsthand.errors import Usage

app = noun("Who may run, stop or delete a person's model after their death.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("set", epilog=exits(10, 13))
def set_(
    person: PersonName,
    run: Annotated[list[str] | None, typer.Option(help="Who may run it; repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Who may stop it for good.")] = None,
    delete: Annotated[list[str] | None, typer.Option(help="Who may have all deleted.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="Nobody may run or stop it.")] = False,
    years: Annotated[
        int, typer.Option(help="Everything is destroyed so many years after the death.")
    ] = directive.DESTROY_AFTER_YEARS,
) -> None:
    """Write a living person's directive, in place of the one before."""
    may = {"run": run or [], "stop": stop or [], "delete": delete or []}
    if not any(may.values()) and not nobody:
        raise Usage("this directive names nobody", "if nobody may act, say so: --nobody")
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        directive.write(connection, found, may, years, vault.now_ns())
    named = "; ".join(f"{act}: {', '.join(names) or 'nobody'}" for act, names in may.items())
    say(f"after {person}'s death: {named}; all is destroyed after {years} years")


@app.command(epilog=exits(10))
def show(person: PersonName, json_: Json = False) -> None:
    """Show a person's directive, and how things stand."""
    with opened() as vault, vault.db.read() as connection:
        found = people.find(connection, person)
        said, stands = directive.of(connection, found.id), death.state(connection, found.id)
    if json_:
        show_json({"status": found.status, "directive": asdict(said), "estate": asdict(stands)})
        return
    if said.set_ns is None:
        say(f"{person} left no directive: nobody may run anything")
    table(["may", "who"], [[act, ", ".join(names) or "nobody"] for act, names in said.may.items()])
    say(f"{person} is {found.status}; attested by: {', '.join(stands.attestors) or 'nobody'}")
    say(f"in force from {when(stands.in_force_ns)}; destroyed at {when(stands.destroyed_ns)}")


@app.command(epilog=exits(10, 13))
def attest(
    person: PersonName,
    by: By,
    household: Annotated[str, typer.Option(help="Where they live, as they write it.")],
    document: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Proof: a file.")],
) -> None:
    """Attest a death; two who are independent make it one, after a wait of 30 days."""
    proof = document.read_bytes()
    if not proof:
        raise Usage(f"{document} is empty", "give the document that proves it")
    digest = hashlib.sha256(proof).hexdigest()
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        stands = death.attest(connection, found, by, household, digest, vault.now_ns())
    if stands.in_force_ns is None:
        say(f"{by} attests {person}'s death; one more is needed, from another household")
    else:
        say(f"{person}'s directive is in force from {when(stands.in_force_ns)}, unless denied")


@app.command(epilog=exits(10))
def deny(
    person: PersonName,
    why: Annotated[str, typer.Option(help="How it is known that the person lives.")],
) -> None:
    """Void all attestations: the person lives and takes part as before."""
    with opened() as vault, vault.db.write() as connection:
        death.deny(connection, people.find(connection, person), why, vault.now_ns())
    say(f"{person} lives; what was attested is void")


@app.command(epilog=exits(10, 13))
def stop(person: PersonName, by: By) -> None:
    """Stop a dead person's model for good."""
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        death.require(connection, found, "stop", by, vault.now_ns())
    say(f"nobody runs {person}'s model any more")


@app.command(epilog=exits())
def due(json_: Json = False) -> None:
    """List whose years are over: erase them with `firsthand person erase`."""
    with opened() as vault, vault.db.read() as connection:
        found = death.due(connection, vault.now_ns())
    if json_:
        show_json([{"person": one.id, "name": one.name} for one in found])
    else:
        table(["person", "name"], [[one.id, one.name] for one in found])
