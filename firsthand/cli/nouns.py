"""The nouns of the command line, one line of help each, and how a noun's file is written.

A noun's file holds `app = noun("...")` with one function per verb, or, for a noun without verbs,
`command = single()` with one function. It is imported only when the noun is used, so that help
stays quick. A noun whose file does not exist is not listed.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

NOUNS = {
    "demo": "The whole way at once: record, carry home, consent, release, learn, emulate.",
    "plan": "What a programme costs and yields.",
    "person": "People who wear a device.",
    "device": "Recorders, each bound to a person.",
    "record": "Record from a camera, a file or a simulated person; carry it home.",
    "serve": "Serve the vault's API and the pages.",
    "consent": "What a person allowed, and what they withhold.",
    "agreement": "What wearers sign with the organisation, and what lies in quarantine.",
    "incident": "What happened on the way that somebody may have to answer for.",
    "place": "Where a person says they are, and what may be recorded there.",
    "bystander": "What people who were filmed asked for.",
    "access": "Named keys to the pages: who may come in, and as whom.",
    "view": "Looking at another's footage: two approvals, a reason, a time box.",
    "run": "Proposed uses of data, on which each person decides.",
    "ledger": "What wearing earns: hours, shares, payouts, in a ledger that balances.",
    "estate": "Who may run, stop or delete a person's model after their death.",
    "figures": "What a programme must know of its people, of no fewer than ten together.",
    "release": "The exact data that a run may use.",
    "learn": "Train and evaluate a model on a release.",
    "emulate": "Ask a person's model what comes next, and how true it is.",
    "simulate": "People with known habits, and a hard day of a device.",
    "vault": "Stored footage: check it against the catalogue.",
    "key": "The keyring's epochs, its root, and shares of it.",
    "audit": "The append-only log, and proofs from it.",
    "status": "What is recorded, stored, lost and withheld.",
    "export": "A person's own footage, opened for that person.",
}

EXITS = {
    0: "done",
    1: "failed",
    2: "usage",
    3: "partly done",
    10: "not found",
    11: "locked",
    12: "wrong key",
    13: "refused (consent or law)",
    14: "damaged",
    130: "interrupted",
}
# Any command can be called wrongly, meet a full disk, or be interrupted.
ALWAYS = (0, 1, 2, 130)


def exits(*codes: int) -> str:
    """Epilog that lists these exit codes, and those that every command has."""
    listed = sorted({*ALWAYS, *codes})
    return "Exit codes: " + ", ".join(f"{code} {EXITS[code]}" for code in listed) + "."


def noun(help_text: str) -> typer.Typer:
    """A noun with verbs: add each by `@app.command(epilog=exits(...))`."""
    app = typer.Typer(
        help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
    app.callback()(_no_options)
    return app


def single() -> typer.Typer:
    """A noun without verbs: add its one function by `@command.command(epilog=exits(...))`."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)


def _no_options() -> None:
    """Nothing: a callback makes the noun a group even while it has a single verb."""


class Nouns(TyperGroup):
    """The top of the command line, which knows its nouns without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Nouns whose file exists."""
        return [name for name in NOUNS if find_spec(f"firsthand.cli.{name}")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The noun's command, imported now; None if there is no such noun."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"firsthand.cli.{cmd_name}")
        if hasattr(module, "app"):
            command: Any = get_group(module.app)
        else:
            command = get_command(module.command)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the nouns from the table, which costs no import."""
        with formatter.section("Nouns"):
            formatter.write_dl([(name, NOUNS[name]) for name in self.list_commands(ctx)])
