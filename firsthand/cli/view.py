"""`firsthand view`: looking at another's footage, with two approvals, a reason and a time box."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, moment, opened, when
from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.consent.capture import bystanders
from firsthand.errors import Usage
from firsthand.vault import reading

app = noun("Looking at another's footage: two approvals, a reason, a time box.")

PersonName = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of the person.")]
ViewId = Annotated[str, typer.Argument(metavar="VIEW", help="Id of the view.")]
Start = Annotated[str, typer.Argument(metavar="START", help="As 2026-01-05T08:30:00, UTC.")]
Stop = Annotated[str, typer.Argument(metavar="STOP", help="As START; a day later at most.")]
Why = Annotated[str, typer.Option("--why", help="The reason; the person reads it.")]
Key = Annotated[
    str,
    typer.Option(
        "--key", envvar="FIRSTHAND_MY_KEY", help="Your own access key.", show_envvar=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10, 12, 13))
def ask(
    person: PersonName,
    start: Start,
    stop: Stop,
    why: Why,
    key: Key = "",
    hours: Annotated[int, typer.Option(help="How long it stays open once granted.")] = 24,
) -> None:
    """Ask to look at an interval; the person is told."""
    with opened() as vault, vault.db.write() as connection:
        asker, found = _asker(connection, key), people.find(connection, person)
        bounds = moment(start), moment(stop)
        view = viewing.request(connection, asker, found, *bounds, why, hours, vault.now_ns())
        state = reading.state(vault, connection, view)
    say(_line(view.id, state))


@app.command("break-glass", epilog=exits(10, 12, 13))
def break_glass(person: PersonName, start: Start, stop: Stop, why: Why, key: Key = "") -> None:
    """Look in an emergency, without waiting for approvals; the person's log says so first."""
    with opened() as vault, vault.db.write() as connection:
        asker, found = _asker(connection, key), people.find(connection, person)
        bounds = moment(start), moment(stop)
        view = viewing.break_glass(connection, asker, found, *bounds, why, vault.now_ns())
        bystanders.settle(connection, vault.now_ns())
        state = reading.state(vault, connection, view)
    say(_line(view.id, state))
    say(f"it ends {when(view.until_ns)} UTC; {found.name} is told")


@app.command(epilog=exits(10, 12, 13))
def approve(view: ViewId, key: Key = "") -> None:
    """Approve another's request, as one of two reviewers."""
    with opened() as vault, vault.db.write() as connection:
        approved = viewing.approve(connection, view, _asker(connection, key), vault.now_ns())
        bystanders.settle(connection, vault.now_ns())
        state = viewing.state(connection, approved, vault.now_ns())
    say(_line(view, state))


@app.command(epilog=exits(10, 12, 13))
def answer(
    view: ViewId,
    choice: Annotated[str, typer.Argument(metavar="yes|no", help="The wearer's answer.")],
    key: Key = "",
) -> None:
    """Answer as the person whom it would show; a no ends it at once."""
    with opened() as vault, vault.db.write() as connection:
        asker = _asker(connection, key) if key else askers.KEEPER
        person = people.find(connection, viewing.find(connection, view).person)
        askers.require_acts_for(connection, asker, person.id)
        said = viewing.say(connection, view, person, choice, vault.now_ns())
        bystanders.settle(connection, vault.now_ns())
        state = reading.state(vault, connection, said)
    say(f"{person.name} says {choice}: {_line(view, state)}")


@app.command("list", epilog=exits(10))
def list_(
    person: Annotated[str | None, typer.Option(help="Only of this person.")] = None,
    json_: Json = False,
) -> None:
    """List who asked to see whom, why, and where each request stands."""
    with opened() as vault, vault.db.write() as connection:
        bystanders.settle(connection, vault.now_ns())
        chosen = people.find(connection, person).id if person else ""
        found = [
            vars(view)
            | {"who": askers.find(connection, view.asker).name}
            | {"name": people.find(connection, view.person).name}
            | {"state": viewing.state(connection, view, vault.now_ns())}
            for view in viewing.listed(connection, chosen)
        ]
    if json_:
        show_json(found)
        return
    rows = [
        [
            each["id"],
            each["who"],
            each["name"],
            when(each["start_ns"]),
            when(each["stop_ns"])[11:],
            each["state"],
            each["reason"],
        ]
        for each in found
    ]
    table(["view", "who", "of", "from", "to", "state", "why"], rows)


@app.command("open", epilog=exits(10, 12, 13))
def open_(
    view: ViewId,
    out: Annotated[Path, typer.Option(help="Folder to write stills into, made if missing.")],
    video: Annotated[bool, typer.Option("--video", help="The video too.")] = False,
    key: Key = "",
) -> None:
    """Open what a granted view allows; each part is in the person's log before it opens."""
    from firsthand.vault import catalog

    endings = {"still": "jpg", "video": "mp4"} if video else {"still": "jpg"}
    done = shut = 0
    with opened() as vault:
        with vault.db.read() as connection:
            asker = _asker(connection, key)
        for seen in reading.in_view(vault, asker, view):
            if seen.closed:
                shut += 1
                continue
            with vault.db.read() as connection:
                held = catalog.parts_of(connection, seen.segment.id)
            for part in [name for name in endings if name in held]:
                data = reading.read_view(vault, asker, view, seen.segment.id, part)
                out.mkdir(parents=True, exist_ok=True, mode=0o700)
                path = out / f"{seen.segment.id}.{endings[part]}"
                path.touch(mode=0o600)
                path.write_bytes(data)
                done += 1
    say(f"{count(done, 'part')} opened into {out}, {count(shut, 'segment')} closed")


def _line(view: str, state: str) -> str:
    return f"view {view} {'' if state.startswith('waits') else 'is '}{state}"


def _asker(connection: askers.Connection, key: str) -> askers.Asker:
    if not key:
        raise Usage("say who you are: --key, or FIRSTHAND_MY_KEY", "see firsthand access give")
    return askers.by_key(connection, key)
