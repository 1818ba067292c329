"""`firsthand serve`: the vault's API for devices, and the pages for people."""

import threading
from dataclasses import replace
from typing import Annotated

import typer

from firsthand.cli import invocation
from firsthand.cli.locally import local_devices
from firsthand.cli.nouns import exits, single
from firsthand.cli.output import event, say
from firsthand.cli.vaults import require_vault
from firsthand.config import Settings
from firsthand.errors import Error
from firsthand.record.card.card import Card
from firsthand.record.home.upload import carry_home
from firsthand.record.wearer import forget
from firsthand.web import server

command = single()
LOOK_S = 5.0  # how often this computer's cards are looked at


@command.command(epilog=exits(10, 12))
def serve(
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any free one.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    carry: Annotated[bool, typer.Option(help="Carry this computer's own cards home.")] = True,
) -> None:
    """Serve until Ctrl-C; what waits on this computer's own cards is carried home meanwhile."""
    settings = invocation.settings(port=port, host=host)
    if local_devices(settings):
        require_vault(settings)
    ended = threading.Event()

    def announce(served: server.Server) -> None:
        say(f"pages: {served.page_url}")
        say(f"devices reach the vault at {settings.vault_url or served.url}; stop with Ctrl-C")
        if carry:
            given = (settings, served.url, ended)
            threading.Thread(target=_carry, args=given, daemon=True, name="carrier").start()

    try:
        server.serve(settings, announce=announce)
    finally:
        ended.set()


def _carry(settings: Settings, url: str, ended: threading.Event) -> None:
    """Carries this computer's own cards home, over HTTP like any device's."""
    while not ended.wait(0.5):
        try:
            for device in local_devices(settings):
                here = replace(device, vault_url=url)
                card = Card(device.folder / "card")
                if card.waiting() or forget.unsettled(card):
                    done = carry_home(card, here, stop=ended.is_set, patience_s=LOOK_S)
                    event("carried_home", device=device.name, stored=done.stored, left=done.left)
        except Error as error:
            event("carry_failed", reason=error.message)
        ended.wait(LOOK_S)
