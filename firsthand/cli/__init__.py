"""The command line: noun, then verb.

The nouns stand in nouns.py and each has a file of its own, imported only when it is used.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from firsthand import __version__
from firsthand.cli import invocation
from firsthand.cli.failure import guard
from firsthand.cli.nouns import Nouns

app = typer.Typer(
    cls=Nouns, no_args_is_help=True, add_completion=False, rich_markup_mode=None, name="firsthand"
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"firsthand {__version__}")
        raise typer.Exit


@app.callback()
def _firsthand(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Data folder. Without it: $FIRSTHAND_DATA, or firsthand-data here.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Record a life, keep it under its wearer's consent, predict what comes next."""
    invocation.begin(data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; errors are lines on stderr, never raised."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def work() -> None:
        command = get_command(app)
        with command.make_context("firsthand", given) as context:
            command.invoke(context)

    return guard(work)
