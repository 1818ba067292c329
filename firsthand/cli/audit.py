"""`firsthand audit`: the append-only log, proofs from it, and the audit of a release.

What opens a vault is imported where it is used: an auditor who checks files needs none of it.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from firsthand import auditor
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import count, opened, when
from firsthand.errors import Refused, Usage
from firsthand.monitor import BrokenLog

app = noun("The append-only log, and proofs from it.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(epilog=exits(10, 14))
def verify(
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoints, receipts or manifests that were kept: a file, a folder or a URL."
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Add the checkpoint to this file, for the next time.")
    ] = None,
    json_: Json = False,
) -> None:
    """Recompute the whole log and compare it with all that was ever said of it.

    A log that is wrong was cut (truncation), changed (edit), signed twice with different contents
    (fork) or put back to an older state (rollback); the answer says which, and where.
    """
    from firsthand.release import bundle
    from firsthand.vault import audit

    try:
        # As for recovery: a vault whose database is older than its store must be judged too.
        with opened(recovering=True) as vault:
            key = vault.keyring.log_key().public
            kept = [seen for source in against or [] for seen in audit.read_kept(source, key)]
            with vault.db.read() as connection:
                manifests = list(bundle.spoken(connection, key))
            found = audit.verify(vault, kept, manifests)
    except BrokenLog as error:
        if json_:
            fault = {"kind": error.kind, "first": error.first, "stop": error.stop}
            show_json({"whole": False, "fault": fault | {"message": error.message}})
        raise
    if keep is not None:
        with keep.open("a", encoding="utf-8") as file:
            file.write(found.checkpoint)
    if json_:
        show_json({"whole": True, "fault": None} | vars(found))
        return
    say(f"the log is whole: {count(found.size, 'entry', 'entries')}")
    say(
        f"compared with {count(found.inside, 'statement')} in the vault and {found.kept} kept apart"
    )
    say(found.checkpoint.rstrip())


@app.command("list", epilog=exits(10))
def list_(
    person: Annotated[str | None, typer.Option(help="Only entries about this person.")] = None,
    start: Annotated[int, typer.Option("--from", help="First index to show.")] = 0,
    proofs: Annotated[
        bool, typer.Option("--proofs", help="With each entry its proof, as prove writes it.")
    ] = False,
    json_: Json = False,
) -> None:
    """List what happened, oldest first: who touched what, and when."""
    from firsthand import log
    from firsthand.consent import people
    from firsthand.vault import proof

    with opened() as vault:
        with vault.db.read() as connection:
            chosen = people.find(connection, person).id if person else None
            entries = list(log.read(connection, chosen, start))
        proven = {each.index: proof.prove(vault, each.index) for each in entries if proofs}
    if json_:
        show_json(
            [vars(entry) | ({"proof": proven[entry.index]} if proofs else {}) for entry in entries]
        )
        return
    rows = []
    for entry in entries:
        hidden = ("v", "subject", "commitment", "record", "proposal", "key")
        public = {name: value for name, value in entry.public.items() if name not in hidden}
        told = public | (entry.private or {})
        text = " ".join(f"{name}={value}" for name, value in told.items())
        rows.append([entry.index, when(entry.time_ns), entry.kind, text])
    table(["index", "time (UTC)", "what", "fields"], rows, right="index")


@app.command(epilog=exits(10))
def prove(
    index: Annotated[int, typer.Argument(metavar="INDEX", help="Index of the entry.")],
    closed: Annotated[
        bool, typer.Option("--closed", help="Leave its personal fields out of the proof.")
    ] = False,
) -> None:
    """Print a proof of one entry, which "firsthand audit check" checks without any vault."""
    from firsthand.vault import proof

    with opened() as vault:
        show_json(proof.prove(vault, index, opened=not closed))


@app.command(epilog=exits(10, 13))
def release(
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="Id of the release.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("bundle.json"),
) -> None:
    """Write a release's proof bundle: what opens the entries that its audit needs.

    It holds consents, ballots and withheld intervals of the people in the release, no name and no
    footage. Give it to an auditor, not to the world.
    """
    from firsthand.release import bundle

    with opened() as vault:
        made = bundle.make(vault, name)
    bundle.write(out, made)
    say(f"{out}: {count(len(made['openings']), 'entry', 'entries')} opened")


@app.command(epilog=exits(10))
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write into.")],
) -> None:
    """Write the log as static files (C2SP tlog-tiles), which any web server can serve.

    Run it again to bring the folder up to date; only what is new is written.
    """
    from firsthand.vault import proof

    with opened() as vault:
        size = proof.export(vault, folder)
    say(f"{folder}: {count(size, 'entry', 'entries')}")


@app.command(epilog=exits(10, 13, 14))
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof, or a bundle.")],
    log_: Annotated[
        str, typer.Option("--log", help="For a bundle: the log's tiles, a folder or a URL.")
    ] = "",
    key: Annotated[str, typer.Option(help="The log's key, as you know it from elsewhere.")] = "",
    json_: Json = False,
) -> None:
    """Check a proof or a release's bundle as an outsider: no vault, no database.

    Of a bundle, for every sample of the release: consent, ballot, withheld intervals and law are
    judged anew from the log by separate code.
    """
    given = _json_of(file)
    if "openings" in given:
        if not log_:
            raise Usage("a bundle is checked against the log", "name its tiles with --log")
        told = auditor.audit_release(given, *auditor.read_log(log_), key)
    else:
        told = auditor.check_proof(given, key)
    breaches = told.get("breaches", [])
    if json_:
        show_json(told)
    else:
        for name, value in told.items():
            if name not in ("breaches", "erased"):
                say(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")
        for line in told.get("erased", ()):
            say(f"erased: {line}")
        for line in breaches:
            say(f"breach: {line}")
    if breaches:
        raise Refused(
            f"release {told['release']}: {count(len(breaches), 'sample')} not allowed",
            "each line above that begins with breach says which, and why",
        )


def _json_of(file: Path) -> dict[str, Any]:
    hint = 'name what "firsthand audit prove" or "firsthand audit release" wrote'
    try:
        given = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise Usage(f"there is no file {file}", hint) from None
    except IsADirectoryError:
        raise Usage(f"{file} is a folder", hint) from None
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Usage(f"{file} is no proof and no bundle", hint)
    return given
