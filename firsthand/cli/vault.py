"""`firsthand vault`: what is stored, whether store and catalogue agree, and what to do if not."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json
from firsthand.cli.vaults import count, moment, opened, trained_on, when
from firsthand.consent import people
from firsthand.errors import Damaged, Partial, Usage
from firsthand.release import erase as erasing
from firsthand.release import recover as recovering
from firsthand.release.trace import releases_with
from firsthand.vault import ask
from firsthand.vault import check as checking
from firsthand.vault import repair as repairing
from firsthand.vault.keys import epochs
from firsthand.vault.vault import Vault

app = noun("Stored footage: check it, repair it, copy it, recover its catalogue.")
SHOWN = 20  # faults and orphans named one by one; --json has all
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(epilog=exits(3, 13, 14))
def check(
    everything: Annotated[
        bool, typer.Option("--all", help="Read every object, not only those that are due.")
    ] = False,
    days: Annotated[
        int, typer.Option(min=1, help="Read each object at least once in so many days.")
    ] = checking.CYCLE_DAYS,
    budget: Annotated[
        str, typer.Option(help="Stop after so much, such as 500GB or 30min; the next goes on.")
    ] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Put damaged objects back from the copy (copy_url).")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repair even where much looks wrong.")
    ] = False,
    json_: Json = False,
) -> None:
    """Compare store and catalogue both ways and re-hash what is due, the longest unread first.

    Without --repair nothing is changed. With it, damaged objects are put back from the copy, and
    objects that no row has known for 30 days are removed.
    """
    done = repairing.Repaired()
    with opened() as vault:
        with progress("check") as move:
            limit = parse_budget(budget)
            found = checking.check(vault, move, days=None if everything else days, budget=limit)
        touched = _touched(vault, found.faults)
        overdue = epochs.state(vault.keyring).overdue(vault.now_ns())
        if repair:
            done = repairing.repair(vault, found, force)
    mended = {fault.segment for fault in done.mended}
    left = [fault for fault in found.faults if fault.segment not in mended]
    if json_:
        show_json(
            {
                "objects": found.objects,
                "bytes": found.bytes,
                "due": found.due,
                "faults": [
                    vars(each) | touched[each.record_hash] | {"mended": each.segment in mended}
                    for each in found.faults
                ],
                "orphans": [item.key for item in found.orphans],
                "removed": done.removed,
                "epoch_overdue": overdue,
            }
        )
    else:
        _tell(found, done, touched)
        if overdue:
            say('  the key epoch is overdue: run "firsthand key rotate"')
    _judge(left, done)


@app.command(epilog=exits(14))
def copy() -> None:
    """Copy to the second store (copy_url) what it lacks, each object verified by its hash."""
    with opened() as vault, progress("copy") as move:
        made = repairing.copy_out(vault, move)
    say(f"{count(made, 'object')} copied")


@app.command(epilog=exits(3, 10, 11, 14))
def recover(json_: Json = False) -> None:
    """Bring an old database up to what the store says; what was erased stays erased.

    Stop the server first. The keyring must be today's.
    """
    with opened(recovering=True) as vault, progress("recover") as move:
        done = recovering.recover(vault, move)
    if json_:
        show_json(vars(done))
    else:
        say(
            f"{count(done.entries, 'log entry', 'log entries')},"
            f" {count(done.people, 'person', 'people')} and {count(done.segments, 'segment')}"
            f" are back; {count(done.keys, 'key')} renewed;"
            f" {count(done.erased, 'erasure')} carried out again;"
            f" {count(done.answers, 'answer')} to devices,"
            f" {count(done.requests, 'request')} of bystanders, {count(done.releases, 'release')}"
        )
        for line in done.left[:SHOWN]:
            say(f"  {line}")
    if done.left:
        raise Partial(
            f"{count(len(done.left), 'item')} of the journal could not be used",
            'run "firsthand vault check" to see what is missing',
        )


@app.command(epilog=exits(10, 13))
def want(
    person: Annotated[str, typer.Argument(help="Name or id.")],
    start: Annotated[str, typer.Argument(help="2026-01-05T08:30:00, UTC without a zone.")] = "",
    stop: Annotated[str, typer.Argument(help="Where it ends.")] = "",
    drop: Annotated[str, typer.Option(metavar="ID", help="Take one back.")] = "",
    json_: Json = False,
) -> None:
    """Ask for an interval first: what of it is still on a card comes home before all else.

    The devices hear of it in the answers that they get anyway. Without an interval, list what is
    wanted.
    """
    if bool(start) != bool(stop):
        raise Usage("an interval has two ends", "give START and STOP, or neither")
    with opened() as vault, vault.db.write() as connection:
        found = people.find(connection, person)
        if drop:
            ask.take_back(connection, found, drop)
        if start:
            ask.want(connection, found, moment(start), moment(stop), vault.now_ns())
        listed = ask.wanted(connection, found.id, vault.now_ns())
    if json_:
        show_json([vars(each) for each in listed])
        return
    for each in listed:
        say(f"{each.id}: {when(each.start_ns)} to {when(each.stop_ns)} UTC comes first")
    if not listed:
        say("nothing is wanted first")


@app.command(epilog=exits(14))
def sweep(json_: Json = False) -> None:
    """Carry out erasures that are due or were cut off, and drop uploads that were left alone.

    A running server does this by itself, once an hour.
    """
    with opened() as vault:
        done = [vars(order) for order in erasing.sweep(vault)]
    if json_:
        show_json({"erased": done})
        return
    for order in done:
        outcome = order["outcome"] or {}
        gone = count(outcome.get("segments", 0), "segment")
        say(f"erasure {order['id']} is carried out: {gone}, {outcome.get('bytes', 0)} bytes")
    if not done:
        say("nothing is due")


def parse_budget(text: str) -> checking.Budget:
    """What one check may read: 500GB, 30min, or nothing for no end; Usage."""
    if not text:
        return checking.Budget()
    found = re.fullmatch(r"(\d+)\s*(MB|GB|TB|min|h)", text)
    if found is None:
        raise Usage(f"{text!r} is no budget", "write it as 500GB or 30min")
    number, unit = int(found[1]), found[2]
    if unit in ("min", "h"):
        return checking.Budget(seconds=number * {"min": 60, "h": 3600}[unit])
    return checking.Budget(size_bytes=number * {"MB": 10**6, "GB": 10**9, "TB": 10**12}[unit])


def _tell(
    found: checking.Findings, done: repairing.Repaired, touched: dict[str, dict[str, Any]]
) -> None:
    say(f"{count(found.objects, 'object')} checked, {found.bytes} bytes")
    if found.due:
        say(f"  {count(found.due, 'object')} still to be read in this cycle: run it again")
    reasons = {fault.segment: why for fault, why in done.left}
    mended = {fault.segment for fault in done.mended}
    for fault in found.faults[:SHOWN]:
        said = "; put back from the copy" if fault.segment in mended else ""
        said = f"; not put back: {reasons[fault.segment]}" if fault.segment in reasons else said
        say(f"  {fault}{said}")
        where = _where(touched[fault.record_hash])
        say(f"    {when(fault.start_ns)} to {when(fault.stop_ns)} UTC{where}")
    _more(len(found.faults), "fault")
    removed = set(done.removed)
    for item in found.orphans[:SHOWN]:
        say(
            f"  object {item.key} is in no catalogue row"
            f" ({'removed' if item.key in removed else 'kept'})"
        )
    _more(len(found.orphans), "object that no row knows", "objects that no row knows")


def _more(number: int, one: str, many: str = "") -> None:
    if number > SHOWN:
        say(f"  and {count(number - SHOWN, f'more {one}', many and f'more {many}')}: see --json")


def _judge(left: Sequence[checking.Fault], done: repairing.Repaired) -> None:
    bad = [fault for fault in left if fault.kind != "unreadable"]
    if bad:
        raise Damaged(
            f"{count(len(bad), 'object')} missing or changed",
            "put them back from a copy: set copy_url, then --repair; nothing was deleted",
        )
    if left:
        raise Partial(
            f"{count(len(left), 'object')} could not be read just now",
            "see that the store answers, then check again",
        )


def _touched(vault: Vault, faults: Sequence[checking.Fault]) -> dict[str, dict[str, Any]]:
    """For each bad record, the releases that hold samples of it and the models trained on those."""
    if not faults:
        return {}
    with vault.db.read() as connection:
        held = releases_with(connection, {fault.record_hash for fault in faults})
    models = trained_on(vault.settings.data / "models")
    return {
        record: {
            "releases": releases,
            "models": sorted(name for name, release in models.items() if release in releases),
        }
        for record, releases in held.items()
    }


def _where(touched: dict[str, Any]) -> str:
    said = ""
    if touched["releases"]:
        said += f"; in release {', '.join(touched['releases'])}"
    if touched["models"]:
        said += f"; seen by model {', '.join(touched['models'])}"
    return said
