"""`firsthand key`: the keyring's epochs, its root, and what a lost root comes back from."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from firsthand.cli import invocation
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json, table
from firsthand.cli.vaults import opened, when
from firsthand.errors import Failed, Refused, Usage
from firsthand.vault import epoch
from firsthand.vault.keys import epochs, shares
from firsthand.vault.keys.keyring import Keyring
from firsthand.vault.keys.passphrase import PassphraseRoot
from firsthand.vault.keys.root import FILE
from firsthand.vault.vault import Vault

app = noun("The keyring's epochs, its root, and shares of it.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NEW = "FIRSTHAND_NEW_PASSPHRASE"


@app.command("list", epilog=exits(10, 12))
def list_(json_: Json = False) -> None:
    """List the epochs: which root stood over the keyring when, and when it was destroyed."""
    with opened() as vault:
        found = vault.keyring.epochs()
        state = epochs.state(vault.keyring)
        overdue = state.overdue(vault.now_ns())
        shared = shares.recipient_of(vault.keyring) is not None
    if json_:
        rows = [vars(each) for each in found]
        show_json({"epochs": rows, "ends_ns": state.ends_ns, "overdue": overdue, "shares": shared})
        return
    rows_ = [
        [each.number, each.root, when(each.began_ns), when(each.ended_ns), when(each.gone_ns)]
        for each in found
    ]
    table(["epoch", "root", "began", "ended", "root gone"], rows_, right="epoch")
    say(f"the epoch of now ends by {when(state.ends_ns)} UTC" + (": overdue" if overdue else ""))
    say("shares of the root were made" if shared else "no shares of the root were made")


@app.command(epilog=exits(10, 11, 12, 14))
def rotate(
    now: Annotated[
        bool, typer.Option("--now", help="Even if the epoch has not lasted a week yet.")
    ] = False,
    json_: Json = False,
) -> None:
    """End the key epoch: renew every key over the file keys, verify, destroy the old root.

    Old copies of the keyring open nothing after it. If it was cut off, run it again.
    """
    with opened() as vault:
        state = epochs.state(vault.keyring)
        young = vault.now_ns() - state.began_ns < 7 * 86_400 * 10**9
        if young and not (now or state.rotating):
            raise Refused(
                f"epoch {state.epoch} began {when(state.began_ns)} UTC",
                "to end it so early: firsthand key rotate --now",
            )
        began_s = time.monotonic()
        with progress("rotate") as move:
            ended = epoch.rotate(vault, move)
        took_s = time.monotonic() - began_s
        newest = vault.keyring.epochs()[-1]
    if json_:
        told = {"ended": [vars(each) for each in ended], "epoch": newest.number}
        show_json(told | {"seconds": round(took_s, 3)})
        return
    for each in ended:
        say(f"epoch {each.number} is over: its root is gone {when(each.gone_ns)} UTC")
    if newest.root == FILE:
        file = PassphraseRoot(vault.keyring.folder, "").file(newest.number)
        say(f"copy {file} to where you keep the root now, and destroy older copies of the root")


@app.command(epilog=exits(10, 12))
def split(
    count_: Annotated[int, typer.Option("--shares", help="How many shares to make.")] = 3,
    threshold: Annotated[int, typer.Option(help="How many of them are enough.")] = 2,
    json_: Json = False,
) -> None:
    """Make shares (SLIP-39) that bring a lost root back, and print them; older ones end.

    Give each to another person. They are kept nowhere, and last through all epochs.
    """
    with opened() as vault:
        made = shares.split(vault.keyring, count_, threshold)
        file = shares.file_of(vault.keyring.folder, vault.keyring.epochs()[-1].number)
    if json_:
        show_json({"threshold": threshold, "shares": made, "file": str(file)})
        return
    for number, words in enumerate(made, 1):
        say(f"share {number} of {count_}:")
        say(f"  {words}")
    say(f"any {threshold} of them open {file}: keep a copy of it where you keep the root")


@app.command(epilog=exits(10, 12))
def restore(
    share: Annotated[
        list[Path] | None,
        typer.Option(help="File with one share; without, each is asked for. May be given again."),
    ] = None,
) -> None:
    """Bring a lost root back from enough shares, under a new passphrase."""
    settings = invocation.settings()
    folder = settings.data / "vault"
    given = [_read(file) for file in share or []]
    while not share:
        words = typer.prompt("one share (nothing to end)", default="", show_default=False)
        if not words.strip():
            break
        given.append(words.strip())
    passphrase = _new_passphrase()
    number = shares.restore(folder, given, passphrase)
    keyring = shares.adopted(folder, number, passphrase)
    keyring.close()
    (settings.data / "root.passphrase").unlink(missing_ok=True)
    say(f"the root of epoch {number} is back under the new passphrase")
    say("set FIRSTHAND_PASSPHRASE to it; then end the epoch: firsthand key rotate --now")


@app.command(epilog=exits(10, 12))
def passphrase() -> None:
    """Seal the root under another passphrase, asked for twice.

    Old copies of the root still open with the old one, until the epoch ends.
    """
    with opened() as vault:
        fresh = _new_passphrase()
        reseal(vault, fresh)
    say("the root is sealed by the new passphrase: set FIRSTHAND_PASSPHRASE to it")
    say("old copies of it end with the epoch: firsthand key rotate --now")


def reseal(vault: Vault, fresh: str) -> None:
    """Seals every root that lies in a file under another passphrase; Refused if none does."""
    keyring: Keyring = vault.keyring
    live = [each for each in keyring.epochs() if each.ended_ns is None]
    if any(each.root != FILE for each in live):
        raise Refused(
            "the root is in a key service, which knows no passphrase",
            "who may use the key is set in that service",
        )
    for each in live:
        with keyring.db.read() as connection:
            key = keyring.root_key(connection, each.number)
        PassphraseRoot(keyring.folder, fresh).reseal(each.number, key, fresh)
    # Last: until here the old one, kept beside the data, opens at least the root not yet resealed.
    (vault.settings.data / "root.passphrase").unlink(missing_ok=True)


def _new_passphrase() -> str:
    given = os.environ.get(NEW, "")
    if not given:
        given = typer.prompt("new passphrase", hide_input=True, confirmation_prompt=True)
    if len(given) < 12:
        raise Usage("the new passphrase has fewer than 12 characters", "take several words")
    return given


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Failed(
            f"cannot read {file}: {error.strerror}", "check the path and its permissions"
        ) from error
