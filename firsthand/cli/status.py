"""`firsthand status`: what is recorded, stored, waiting, lost and withheld, person by person."""

from typing import Annotated

import typer

from firsthand.cli import invocation
from firsthand.cli.locally import carried_line, carrying, local_devices
from firsthand.cli.nouns import exits, single
from firsthand.cli.output import say, show_json, table
from firsthand.cli.vaults import has_vault
from firsthand.config import Settings
from firsthand.record.card.card import Card

command = single()


@command.command(epilog=exits(10))
def status(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is recorded, stored, waiting, lost and withheld, person by person.

    On a device that is no vault: what waits on its card. Exit code 1 if a device has said nothing
    for 20 hours.
    """
    settings = invocation.settings()
    if local_devices(settings) and not has_vault(settings):
        _show_device(settings, json_)
        return
    from firsthand.cli import overview  # a device has no server packages

    overview.show(json_)


def _show_device(settings: Settings, json_: bool) -> None:
    rows = [
        {
            "device": device.name,
            "person": device.person,
            "waiting": len(Card(device.folder / "card").waiting()),
            "vault": device.vault_url,
        }
        for device in local_devices(settings)
    ]
    on_the_way = carrying(settings)
    if json_:
        show_json({"here": rows, "carrying": on_the_way})
        return
    columns = ["device", "person", "waiting", "vault"]
    table(columns, [[row[name] for name in columns] for row in rows], right="waiting")
    for each in on_the_way:
        say(carried_line(each))
    say('what this device does now: "firsthand device status"; what is stored, its vault shows')
