"""`firsthand incident`: what happened on the way that somebody may have to answer for."""

from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import moment, opened, when
from firsthand.consent import people
from firsthand.consent.access import askers
from firsthand.consent.liability import incidents, safety
from firsthand.errors import Usage

app = noun("What happened on the way that somebody may have to answer for.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
Study = Annotated[str, typer.Argument(metavar="APPROVAL", help="The study's ethics approval.")]
Key = Annotated[
    str,
    typer.Option(
        "--key", envvar="FIRSTHAND_MY_KEY", help="The monitor's own key.", show_envvar=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10))
def note(
    person: PersonName,
    words: Annotated[str, typer.Argument(metavar="WORDS", help="What happened.")],
    at: Annotated[str, typer.Option(metavar="TIME", help="When, as 2026-01-05T08:30:00, UTC.")],
    by: Annotated[str, typer.Option(help="Who notes it.")],
    kind: Annotated[str, typer.Option(help='One of those of "incident kinds".')] = "other",
    device: Annotated[str, typer.Option(help="Id of the device, if it had a part in it.")] = "",
    study: Annotated[
        str, typer.Option(metavar="APPROVAL", help="Of an adverse event: its ethics approval.")
    ] = "",
) -> None:
    """Note what happened; it can't be changed, and the person reads it in their log."""
    with opened() as vault, vault.db.write() as connection:
        noted = incidents.note(
            connection,
            people.find(connection, person),
            kind,
            words,
            happened_ns=moment(at),
            noted_by=by,
            device=device,
            study=study,
            now_ns=vault.now_ns(),
        )
        stopped = study and safety.stopped(connection, study)
        alone = study and not safety.watched(connection, study)
    say(f"incident {noted.id} of {person} is noted (log entry {noted.log_index})")
    if stopped:
        say(f"study {study} stands still until its monitor lets it go on")
    if alone:
        say(f"nobody watches over {study}, so no count stops it: firsthand incident watch")


@app.command("list", epilog=exits(10))
def list_(
    person: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    json_: Json = False,
) -> None:
    """List what happened, the first first."""
    with opened() as vault, vault.db.read() as connection:
        chosen = people.find(connection, person).id if person else ""
        names = {each.id: each.name for each in people.listed(connection)}
        found = incidents.listed(connection, chosen)
    if json_:
        show_json([vars(each) | {"name": names[each.person]} for each in found])
        return
    rows = [
        [
            each.id,
            when(each.happened_ns),
            names[each.person],
            each.device,
            each.kind,
            each.words,
            each.noted_by,
        ]
        for each in found
    ]
    table(["incident", "happened", "person", "device", "kind", "words", "noted by"], rows)


@app.command(epilog=exits())
def kinds(json_: Json = False) -> None:
    """List the kinds of incident."""
    if json_:
        show_json(incidents.KINDS)
    else:
        table(["kind", "what it is"], list(incidents.KINDS.items()))


@app.command(epilog=exits(10, 13))
def watch(
    study: Study,
    monitor: Annotated[str, typer.Option(help="Name of the monitor's access key.")],
    most: Annotated[int, typer.Option(help="So many adverse events stop the study by themselves.")],
    days: Annotated[int, typer.Option(help="If they happened within so many days.")],
) -> None:
    """Name who watches over a study, and what stops it without them."""
    with opened() as vault, vault.db.write() as connection:
        asker = askers.named(connection, monitor)
        safety.name(connection, study, asker, most, days, vault.now_ns())
    say(f"{monitor} watches over {study}; {most} adverse events in {days} days stop it")


@app.command(epilog=exits(10, 12, 13))
def stop(study: Study, key: Key = "") -> None:
    """Stop a study as its monitor: no run of it gets anything, and nobody is enrolled."""
    with opened() as vault, vault.db.write() as connection:
        safety.stop(connection, study, _asker(connection, key), vault.now_ns())
    say(f"study {study} stands still until its monitor lets it go on")


@app.command(epilog=exits(10, 12, 13))
def resume(study: Study, key: Key = "") -> None:
    """Let a study go on as its monitor; what happened before counts no more."""
    with opened() as vault, vault.db.write() as connection:
        safety.resume(connection, study, _asker(connection, key), vault.now_ns())
    say(f"study {study} goes on")


def _asker(connection: askers.Connection, key: str) -> askers.Asker:
    if not key:
        raise Usage("say who you are: --key, or FIRSTHAND_MY_KEY", "see firsthand access give")
    return askers.by_key(connection, key)
