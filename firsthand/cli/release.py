"""`firsthand release`: the exact data that a run may use."""

from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli import erasures, invocation
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json, table
from firsthand.cli.vaults import count, length, opened, when
from firsthand.consent import erasure
from firsthand.consent.runs import proposals
from firsthand.errors import Refused
from firsthand.release import erase as erasing
from firsthand.release import make as making
from firsthand.release import pull as pulling
from firsthand.vault import epoch

app = noun("The exact data that a run may use.")

ReleaseId = Annotated[str, typer.Argument(metavar="RELEASE", help="Id of the release.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10, 13, 14))
def make(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")],
    workers: Annotated[int, typer.Option(help="Processes that build shards.")] = 2,
    snapshot: Annotated[
        int | None, typer.Option(help='Only for who allowed it then, see "run snapshot".')
    ] = None,
    json_: Json = False,
) -> None:
    """Build sealed shards of the footage that everyone's consent allows this run."""
    with opened() as vault, progress("release") as move:
        with vault.db.read() as connection:
            found = proposals.find(connection, run)
        release = making.make(vault, found, workers, move, snapshot)
    summary = release.summary or {}
    if json_:
        show_json({"release": release.id, "log_index": release.log_index} | summary)
        return
    say(
        f"release {release.id}: {count(summary['samples'], 'sample')} of "
        f"{count(summary['people'], 'person', 'people')}, "
        f"{length(summary['footage_ns'] / 1e9)} of footage"
    )
    say(
        f"left out: {length(summary['withheld_ns'] / 1e9)} withheld, "
        f"{count(len(summary['refused']), 'person', 'people')} who did not allow it"
    )
    say((release.manifest or {})["manifest"]["scrubber"]["statement"])


@app.command("list", epilog=exits())
def list_(json_: Json = False) -> None:
    """List all releases."""
    with opened() as vault, vault.db.read() as connection:
        found = making.listed(connection)
    rows = [
        {"release": item.id, "run": item.run, "state": item.state, "began": when(item.began_ns)}
        | {"log_index": item.log_index, "samples": (item.summary or {}).get("samples")}
        for item in found
    ]
    if json_:
        show_json(rows)
    else:
        columns = ["release", "run", "state", "began", "log_index", "samples"]
        table(columns, [[row[name] for name in columns] for row in rows])


@app.command(epilog=exits(10, 13))
def show(release: ReleaseId) -> None:
    """Print a release's signed manifest as JSON."""
    with opened() as vault, vault.db.read() as connection:
        show_json(making.find(connection, release).manifest)


@app.command(epilog=exits(10, 13, 14))
def pull(
    release: ReleaseId,
    out: Annotated[Path | None, typer.Option(help="Folder to write into.")] = None,
    who: Annotated[str, typer.Option(help="Who asks; it goes into the log.")] = "researcher",
    hours: Annotated[float, typer.Option(help="For how long the grant holds.")] = 1.0,
) -> None:
    """Fetch a release's shards, its manifest and a grant to read them for a while."""
    folder = out or pulled(release)
    with opened() as vault:
        pulling.pull(vault, release, folder, who, round(hours * 3600))
    say(f"release {release} lies in {folder}; the grant holds for {hours:g} h")


@app.command(epilog=exits(10, 13))
def erase(
    release: ReleaseId,
    now: Annotated[
        bool, typer.Option("--now", help="Destroy at once, and end the key epoch too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only tell.")] = False,
    json_: Json = False,
) -> None:
    """Hide a release now and destroy its keys and shards in 7 days; the footage stays."""
    with opened() as vault:
        with vault.db.read() as connection:
            found = making.find(connection, release)
        beyond = erasures.beyond(vault.settings.data, [release])
        if not json_:
            summary = found.summary or {}
            say(
                f"this destroys release {release}: {count(summary.get('shards', 0), 'shard')} of "
                f"{count(summary.get('people', 0), 'person', 'people')}"
            )
            erasures.tell_beyond(beyond)
        if not yes:
            raise Refused(f"release {release} was not erased yet", "say it again with --yes")
        order = erasing.place_release(vault, release, 0 if now else erasure.REVIEW_NS)
        if now:
            order = erasing.carry_out(vault, order)
            epoch.rotate(vault)
        erasures.show(vault, order, json_)


def pulled(release: str) -> Path:
    """Where a release is put unless another folder is named."""
    return invocation.settings().data / "pulled" / release
