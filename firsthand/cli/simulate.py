"""`firsthand simulate`: people with known habits, and a hard day of a device."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json, table
from firsthand.cli.vaults import count, length, when
from firsthand.errors import Damaged, NotFound, Usage

app = noun("People with known habits, and a hard day of a device, in simulated time.")

# What each file holds, in the words of its header.
COLUMNS = {
    "out": "person,recording,start_s,stop_s,action",
    "oracle": "person,recording,step,nats",
    "cells": "person,recording,step,cell",
}


@app.command(epilog=exits(10))
def people(
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV of events to write.")],
    oracle: Annotated[
        Path, typer.Option(metavar="FILE", help="CSV to write: least possible nats of each event.")
    ],
    cells: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV to write: steps of weekly habits and of rules."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 0,
    people: Annotated[int, typer.Option(help="How many people.")] = 24,
    days: Annotated[int, typer.Option(help="Days of each, from Monday 2024-01-01 on.")] = 56,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Live many people's days, and say what the best possible predictor pays for each event.

    A mood, a favourite and the place in a script are hidden; an exact filter that knows the
    person's chances infers them. Some habits span days: one weekday's, and "two days after".
    """
    paths = {"out": out, "oracle": oracle} | ({"cells": cells} if cells else {})
    _check(paths, force)
    events, nats = _write(paths, seed, people, days)
    mean = nats / events
    if json_:
        files = {name: str(path) for name, path in paths.items()}
        told = {"seed": seed, "people": people, "days": days, "events": events}
        show_json({**told, "oracle_nats": mean, "files": files})
    else:
        say(f"{out}: {events} events")
        say(f"{oracle}: the best possible predictor pays {mean:.3f} nats per event")


@app.command(epilog=exits(14))
def day(
    hours: Annotated[float, typer.Option(min=0.1, max=14, help="How long it is worn.")] = 14.0,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the day's data in this new folder."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Wear a device for a day, carry its cards home to a vault, and see whether anything was lost.

    The recorder is killed three times as by power cuts, its clock begins in 1970 each time, a card
    is full for half an hour, and Wi-Fi is there from 22:00 to 06:00. Recorder, cards, carrier,
    server and vault are the real ones; a simulated person is seen once a second, and time passes as
    fast as pictures are taken. The whole day takes some minutes and 7 GB of disk.
    """
    from firsthand.simulate.day import live

    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "day"
        move = stack.enter_context(progress("a day", 200))
        lived = live(
            folder,
            _served,
            hours=hours,
            seed=seed,
            tell=lambda phase, share: move(round(100 * (phase != "wear") + 100 * share)),
        )
    if json_:
        show_json(lived.to_json())
    else:
        _tell_day(lived, out)
    if lived.wrong:
        raise Damaged("; ".join(lived.wrong), "keep the day with --out and look into it")


@contextmanager
def _served(vault: Any) -> Iterator[str]:
    from firsthand.web.server import Server

    with Server(vault, "127.0.0.1", 0).background() as server:
        yield server.url


def _tell_day(lived: Any, out: Path | None) -> None:
    rows = [
        (_clock(hour.start_ns), _minutes(hour.recorded_s), _gaps(hour.gaps)) for hour in lived.hours
    ]
    table(["from", "stored", "nothing, and why"], rows, right="stored")
    gaps_s = sum((each.stop_ns - each.start_ns) / 1e9 for each in lived.gaps)
    say(
        f"{length((lived.stop_ns - lived.start_ns) / 1e9)} worn ="
        f" {length(lived.recorded_s)} stored + {length(gaps_s)} without, each with its reason"
    )
    costs = ", ".join(f"{each.lost_s:g} s" for each in lived.cuts)
    say(f"{count(len(lived.cuts), 'power cut')} lost {costs} of footage")
    say(
        f"{lived.stored} of {count(lived.captured, 'record')} stored, {lived.bytes} bytes;"
        f" all was home at {_clock(lived.home_ns)}, and each object was read again"
    )
    say(
        "between power cuts the device did not know the time: the vault places that at most"
        f" {lived.placed_off_s:g} s late"
    )
    if out is not None:
        say(f'kept: firsthand --data "{out}" vault check --all')


def _clock(time_ns: int) -> str:
    return when(time_ns)[11:16]


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _gaps(gaps: dict[str, float]) -> str:
    return ", ".join(f"{reason} {_minutes(seconds)}" for reason, seconds in gaps.items())


def _write(paths: dict[str, Path], seed: int, people: int, days: int) -> tuple[int, float]:
    """Writes the files; the number of events, and the oracle's nats for all of them."""
    from firsthand.simulate import habits
    from firsthand.simulate.oracle import oracle_nats
    from firsthand.simulate.population import make_people

    events, total = 0, 0.0
    with progress("simulate", people) as move, _whole(paths) as files:
        for done, person in enumerate(make_people(seed, people), 1):
            lived = habits.live(person, days, seed)
            nats = oracle_nats(person, lived)
            files["out"].writelines(_events(person, lived))
            files["oracle"].writelines(_nats(person, lived, nats))
            if "cells" in files:
                files["cells"].writelines(
                    f"{person.name},{lived[day].recording},{step},{cell}\n"
                    for day, step, cell in habits.cells(person, lived)
                )
            events, total = events + nats.size, total + float(nats.sum())
            move(done)
    return events, total


def _events(person: Any, lived: list[Any]) -> Iterator[str]:
    from firsthand.simulate.habits import ACTIONS

    for day in lived:
        rows = zip(day.start_s.tolist(), day.stop_s.tolist(), day.actions.tolist(), strict=True)
        for start_s, stop_s, action in rows:
            yield f"{person.name},{day.recording},{start_s},{stop_s},{ACTIONS[action]}\n"


def _nats(person: Any, lived: list[Any], nats: Any) -> Iterator[str]:
    for day, paid in zip(lived, nats.tolist(), strict=True):
        for step, value in enumerate(paid):
            yield f"{person.name},{day.recording},{step},{value:.9f}\n"


def _check(paths: dict[str, Path], force: bool) -> None:
    """Raises Usage or NotFound where a file cannot or must not be written."""
    if len({path.resolve() for path in paths.values()}) < len(paths):
        raise Usage("two files to write have the same name", "give each its own")
    for path in paths.values():
        if not path.parent.is_dir():
            raise NotFound(f"there is no folder {path.parent}", "make it, or name another")
        if path.exists() and not path.is_file():
            raise Usage(f"{path} is no file", "name a file to write")
        if path.exists() and not force:
            raise Usage(f"{path} exists already", "name another file, or replace it with --force")


@contextmanager
def _whole(paths: dict[str, Path]) -> Iterator[dict[str, TextIO]]:
    """Files with their headers, that get their names only once all of them are whole."""
    drafts = {name: path.with_name(path.name + ".partial") for name, path in paths.items()}
    try:
        with ExitStack() as stack:
            files: dict[str, TextIO] = {
                name: stack.enter_context(draft.open("w", encoding="utf-8", newline=""))
                for name, draft in drafts.items()
            }
            for name, file in files.items():
                file.write(COLUMNS[name] + "\n")
            yield files
        for name, draft in drafts.items():
            draft.replace(paths[name])
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
