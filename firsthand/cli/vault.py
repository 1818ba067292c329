"""`firsthand vault`: what is stored, and whether store and catalogue agree."""

from typing import Annotated

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json
from firsthand.cli.vaults import count, opened
from firsthand.errors import Damaged
from firsthand.vault import check as checking

app = noun("Stored footage: check it against the catalogue.")


@app.command(epilog=exits(14))
def check(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Re-hash every stored object and compare store and catalogue both ways; deletes nothing."""
    with opened() as vault, progress("check") as move:
        found = checking.check(vault, move)
    if json_:
        show_json(vars(found))
    else:
        say(f"{count(found.objects, 'object')} checked, {found.bytes} bytes")
        for fault in found.faults:
            say(f"  {fault}")
        for key in found.orphans:
            say(f"  object {key} is in no catalogue row (kept)")
    if found.faults:
        raise Damaged(
            f"{count(len(found.faults), 'object')} missing or changed",
            "put them back from a copy; nothing was deleted",
        )
