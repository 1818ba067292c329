"""`firsthand device`: recorders, each bound to a person."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firsthand import config
from firsthand.cli import controls, invocation
from firsthand.cli.locally import device_of, local_devices
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import event, say, show_json, table
from firsthand.cli.vaults import length, opened, when
from firsthand.errors import Failed, Usage
from firsthand.record import install as units
from firsthand.record import invitation
from firsthand.record.card.card import Card
from firsthand.record.enrol import Enrolled, prepare_card, split_link
from firsthand.record.enrol import enrol as enrol_device
from firsthand.record.invitation import FILE

if TYPE_CHECKING:
    from firsthand.vault.fleet import Member

app = noun("Recorders, each bound to a person.")
controls.add_to(app)

CardPath = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where the card is mounted, if elsewhere.")
]


@app.command(epilog=exits(10, 11, 13, 14))
def enrol(
    url: Annotated[str, typer.Argument(metavar="URL", help="The vault's URL, or URL#CODE.")] = "",
    code: Annotated[
        str, typer.Argument(metavar="CODE", help="The code that the vault shows.")
    ] = "",
    card: CardPath = None,
    scan: Annotated[
        str,
        typer.Option(metavar="CAMERA", help="Wait for the vault's QR before this camera."),
    ] = "",
    wait: Annotated[
        bool,
        typer.Option("--wait", help=f"Wait for the link in {FILE} on the boot partition."),
    ] = False,
) -> None:
    """Make this computer a device, by the code of `firsthand person enrol-code` at the vault."""
    if bool(url) == bool(scan or wait):
        raise Usage(
            "an enrolment needs a link",
            "give the vault's URL and code, or --scan CAMERA, or --wait",
        )
    settings = invocation.settings()
    data = settings.data
    if config.kind_of(data) != "demo":
        config.mark(data, "real")

    def enrolled(link: str) -> Enrolled:
        return enrol_device(data / "devices", *split_link(link, code), card)

    if not url and card:
        Card(card)  # one that isn't mounted is waited for: its empty folder is no card
    found = invitation.links(scan, invitation.BOOT if wait else ())
    done = enrolled(url) if url else invitation.accept(found, enrolled, event)
    if not settings.vault_url:  # else every command would look for the vault on this computer
        config.add(data, "vault_url", done.device.vault_url)
    say(f"enrolled as {done.device.name}, with the fingerprint {done.fingerprint}")
    say("the vault must show the same; if not, revoke it there")


@app.command(epilog=exits(10, 11))
def install(
    camera: Annotated[
        str, typer.Option(help="A camera, as for `firsthand record start`.")
    ] = "picamera2:0",
    card: CardPath = None,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="Account that records; made if it is missing.")
    ] = "firsthand",
    button: Annotated[
        int | None, typer.Option(metavar="PIN", help="Button to ground (BCM number).")
    ] = None,
    led: Annotated[int | None, typer.Option(metavar="PIN", help="LED (BCM number).")] = None,
    haptic: Annotated[
        int | None, typer.Option(metavar="PIN", help="Haptic motor (BCM number).")
    ] = None,
    root: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Write below this folder and start nothing."),
    ] = Path("/"),
    enrol: Annotated[
        bool,
        typer.Option(
            "--enrol", help=f"Wait to be enrolled, by the vault's QR or {FILE} (see docs)."
        ),
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Stop and remove the services; keys and footage stay.")
    ] = False,
) -> None:
    """Record and carry home from power-on, as services of systemd."""
    run = units.command if root == Path("/") else None
    if run and os.geteuid() != 0:
        raise Failed("installing services needs root", "run it with sudo")
    if remove:
        gone = units.remove(root, run)
        say(f"removed: {', '.join(gone)}" if gone else "nothing was installed")
        return
    settings = invocation.settings()
    if enrol and not local_devices(settings):
        if config.kind_of(settings.data) != "demo":
            config.mark(settings.data, "real")
        name, place = "this computer, once it is enrolled,", card or settings.data / "devices"
        if card:
            Card.create(card)
        else:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
    else:
        device = device_of(settings, None)
        name, place = device.name, prepare_card(device, card)
    plan = units.Plan(
        *(camera, settings.data.resolve(), place.resolve(), user),
        button=button,
        led=led,
        haptic=haptic,
        enrol=enrol,
    )
    written = units.install(plan, root, run)
    say(f"written: {', '.join(written)}" if written else "all is as it should be")
    say(f"{name} records from power-on, as {user}, onto {place.resolve()}")


@app.command("list", epilog=exits(10))
def list_(json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """At the vault: list each device's last word; exit code 1 if one is silent for 20 hours."""
    from firsthand.vault import fleet

    with opened() as vault, vault.db.read() as connection:
        found = fleet.members(connection, vault.now_ns())
    if json_:
        show_json([vars(item) for item in found])
    else:
        members_table(found)
    require_heard(found)


@app.command(epilog=exits(10, 13))
def revoke(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")],
) -> None:
    """At the vault: take nothing more from a device; what it handed in stays."""
    from firsthand.consent import people

    with opened() as vault, vault.db.write() as connection:
        people.revoke(connection, device, vault.now_ns())
    say(f"{device} is revoked; what still waits on its card stays there")


def members_table(found: Sequence["Member"]) -> None:
    """Prints the devices of the fleet with their last words."""
    columns = ["device", "person", "last word", "ago", "waits", "battery", "temperature"]
    table(columns, [_row(item) for item in found])


def require_heard(found: Sequence["Member"]) -> None:
    """Failed, naming them, if devices have been silent too long."""
    silent = [
        f"{item.device} of {item.wearer} ({length(item.silent_s)})" for item in found if item.silent
    ]
    if silent:
        raise Failed(
            f"silent: {', '.join(silent)}",
            'look at its power, card and Wi-Fi; one that is out of use: "firsthand device revoke"',
        )


def _row(item: "Member") -> list[str]:
    body = item.body
    battery, heat = body.get("battery_percent"), body.get("temperature_c")
    return [
        item.device,
        item.wearer,
        when(item.heard_ns),
        length(item.silent_s) + (" SILENT" if item.silent else ""),
        f"{body['waiting_bytes'] / 1e9:.1f} GB" if "waiting_bytes" in body else "-",
        "-" if battery is None else f"{battery:.0f} %",
        "-" if heat is None else f"{heat:.0f} °C",
    ]
