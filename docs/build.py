"""Writes docs/commands.md from the commands' own help. The other documents are written by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from firsthand.cli import app
from firsthand.cli.nouns import EXITS

FILE = Path(__file__).with_name("commands.md")
# The same on every terminal.
COLUMNS = 90

OPENING = """# Commands

Written by `make docs` from the commands' own help; do not edit.

A noun, then a verb: `firsthand person add`. What reads also takes `--json`. Results go to stdout,
events and progress to stderr. Every failure is two lines on stderr, `firsthand: error: ...` and
`firsthand: hint: ...`, and one of the exit codes below.
"""


def pages(command: Any, name: str, above: Any = None) -> Iterator[tuple[str, str]]:
    """The command's path and help text, then those of every command under it."""
    context = command.context_class(
        command, info_name=name, parent=above, terminal_width=COLUMNS, max_content_width=COLUMNS
    )
    yield context.command_path, command.get_help(context)
    if hasattr(command, "list_commands"):
        for verb in command.list_commands(context):
            yield from pages(command.get_command(context, verb), verb, context)


def commands() -> str:
    """The whole document."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXITS.items())
    parts = [OPENING, f"| exit code | meaning |\n|---|---|\n{codes}"]
    for path, text in pages(get_command(app), "firsthand"):
        depth = min(2 + path.count(" "), 4)
        parts.append(f"{'#' * depth} {path}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    FILE.write_text(commands(), encoding="utf-8")
    print(f"wrote {FILE}")
