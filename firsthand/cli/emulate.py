"""`firsthand emulate`: ask a person's model what comes next, and how true it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import opened, when
from firsthand.consent import ask, people
from firsthand.consent.estate import death
from firsthand.errors import NotFound
from firsthand.release.make import name_in
from firsthand.vault.vault import Vault

app = noun("Ask a person's model what comes next, and how true it is.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who asks, for a person who died."),
]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the model.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10, 13, 14))
def predict(
    person: PersonName,
    model: ModelFolder,
    top: Annotated[int, typer.Option(help="How many guesses to show.")] = 5,
    by: By = None,
    json_: Json = False,
) -> None:
    """Predict what the person does next, from everything the model knows of them."""
    from firsthand.emulate import predict

    with opened() as vault:
        name, door = resolve(vault, person, model, by)
        said = predict.predict(model, name, k=top, ask=door)
    if json_:
        show_json(vars(said))
        return
    if said.abstain:
        say(f"no prediction for {person}: {said.reason}")
    rows = [(_words(fields), f"{100 * share:.1f} %") for fields, share in said.top]
    last = when(predict.time_ns(said.when))
    table([f"next, after {last}", "probability"], rows, right="probability")


@app.command(epilog=exits(10, 13, 14))
def fidelity(person: PersonName, model: ModelFolder, by: By = None, json_: Json = False) -> None:
    """Show the held-out day: what the person did, and what the model had expected."""
    from firsthand.emulate import fidelity

    with opened() as vault:
        name, door = resolve(vault, person, model, by)
        rows = fidelity.day(model, name, ask=door)
    if json_:
        show_json(rows)
    else:
        columns = list(rows[0]) if rows else []
        table(columns, [list(row.values()) for row in rows])


def _words(fields: dict[str, str]) -> str:
    """An action in words, the verb first if it has one."""
    return " ".join(str(fields[name]) for name in sorted(fields, key=lambda name: name != "verb"))


def resolve(
    vault: Vault, person: str, model: Path, by: str | None = None
) -> tuple[str, Callable[[str, str], None]]:
    """The person's name inside a model, and the door that each query must pass.

    A living person asks for themselves; `by` asks for one who died, under their directive.
    """
    from firsthand.learn.store import read_config

    release = read_config(model)["lineage"].get("release", "none")
    with vault.db.read() as connection:
        found = people.find(connection, person)
        try:
            name = name_in(connection, release, found.id)
        except NotFound as error:
            raise NotFound(
                f"the model {model} was not trained on {person}", "choose a model of theirs"
            ) from error

    def door(asked: str, permission: str) -> None:
        with vault.db.write() as connection:
            now = people.find(connection, found.id)
            if by:
                death.require(connection, now, "run", by, vault.now_ns())
            else:
                ask.require_self(connection, permission, now)
            private = {"permission": permission, "model": model.name, "name": asked}
            people.note(connection, "emulated", now, vault.now_ns(), private=private)

    return name, door
