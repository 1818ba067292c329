"""The wearer's verbs of `firsthand device`: status, pause, resume, forget, bookmark, panel.

They need neither a vault nor the packages of one.
"""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from firsthand import serving
from firsthand.cli import invocation
from firsthand.cli.locally import device_of
from firsthand.cli.nouns import exits
from firsthand.cli.output import event, say, show_json
from firsthand.errors import Error, Partial, Usage
from firsthand.record.card.card import Card
from firsthand.record.card.status import status as card_status
from firsthand.record.clock import Clock
from firsthand.record.home.link import Link
from firsthand.record.stop import stop_on_signals
from firsthand.record.wearer import button, forget, indicator
from firsthand.record.wearer.wearer import Wearer

Person = Annotated[
    str | None, typer.Option(help="Name or id of the wearer, if several use this computer.")
]
UNTIL_RESUMED = "until-resumed"


def add_to(app: typer.Typer) -> None:
    """Gives a noun these verbs."""
    app.command("status", epilog=exits(10, 14))(status)
    app.command("pause", epilog=exits(3, 10, 14))(pause)
    app.command("resume", epilog=exits(3, 10, 14))(resume)
    app.command("forget", epilog=exits(3, 10, 14))(forget_)
    app.command("bookmark", epilog=exits(10, 14))(bookmark)
    app.command("panel", epilog=exits(10, 14))(panel)


def status(
    person: Person = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what the device does at this moment, and how its card stands."""
    wearer = _wearer(person)
    standing, card = wearer.standing(), card_status(wearer.card)
    words = standing.words(wearer.clock.wall_ns())
    if json_:
        told = asdict(standing) | {"device": wearer.device.name, "words": words}
        told |= {"waiting": card.segments, "waiting_bytes": card.waiting_bytes}
        show_json(told | {"hours_left": card.hours_left, "all_home": card.all_home})
        return
    say(f"{wearer.device.name}: {words}")
    if standing.to_forget:
        say(f"{standing.to_forget} to be forgotten in the vault too, once it is reached")
    safe = "all is home" if card.all_home else f"{card.segments} segments wait to go home"
    say(f"card: {safe}, room for {card.hours_left:.1f} h")


def pause(
    for_: Annotated[
        str,
        typer.Option("--for", metavar="15m|1h|until-resumed", help="How long: minutes or hours."),
    ] = UNTIL_RESUMED,
    until_resumed: Annotated[
        bool, typer.Option("--until-resumed", help="Until you resume; so it is without --for too.")
    ] = False,
    person: Person = None,
) -> None:
    """Record nothing from this moment on; what was recorded before stays."""
    wearer = _wearer(person)
    seconds = None if until_resumed else _length(for_)
    obeyed = wearer.pause(seconds)
    say(wearer.standing().words(wearer.clock.wall_ns()))
    if not obeyed:
        raise Partial(
            "the recorder has not answered; it obeys at its next picture",
            "if you must be certain, cover the lens or cut the power",
        )


def resume(person: Person = None) -> None:
    """End a pause."""
    wearer = _wearer(person)
    obeyed = wearer.resume()
    say(wearer.standing().words(wearer.clock.wall_ns()))
    if not obeyed:
        raise Partial("the recorder has not answered", 'see "firsthand device status"')


def forget_(
    last: Annotated[
        float, typer.Option("--last", metavar="MINUTES", help="How much, up to 1440 (a day).")
    ],
    person: Person = None,
) -> None:
    """Forget the last minutes: gone from the card now, from the vault once it is reached."""
    wearer = _wearer(person)
    wish = wearer.forget_last(last)
    if not wish.here:
        raise Partial(
            f"what is recorded at this moment is not forgotten yet ({wish.id})",
            "the recorder has not answered; it is done when it does, or at its next start",
        )
    say(f"the last {last:g} minutes are gone from the card ({wish.id})")
    try:
        receipts = _settle(wearer)
    except Error as error:
        say(f"the vault is asked first thing when it is reached: {error.message}")
        return
    for receipt in receipts:
        told = f"{receipt.segments} segments, {receipt.size_bytes} bytes"
        say(f"the vault's receipt for {receipt.id}: {told} erased, log entry {receipt.log_index}")


def bookmark(
    label: Annotated[str, typer.Argument(metavar="LABEL", help="A word or two.")] = "bookmark",
    person: Person = None,
) -> None:
    """Mark this moment in what is being recorded."""
    _wearer(person).bookmark(label)
    say(f"marked: {label}")


def panel(
    button_pin: Annotated[
        int | None, typer.Option("--button", metavar="PIN", help="Button to ground (BCM number).")
    ] = None,
    led: Annotated[int | None, typer.Option(metavar="PIN", help="LED (BCM number).")] = None,
    haptic: Annotated[
        int | None, typer.Option(metavar="PIN", help="Haptic motor (BCM number).")
    ] = None,
    person: Person = None,
) -> None:
    """Drive the device's button, LED and haptic motor until stopped; without pins, print."""
    wearer = _wearer(person)
    lamp: indicator.Lamp = indicator.TextLamp()
    if led is not None or haptic is not None:
        lamp = indicator.PinLamp(led, haptic)
    pressed = (lambda: False) if button_pin is None else button.PinButton(button_pin).is_pressed
    shown = indicator.Indicator(wearer.device.folder, lamp, wearer.clock)

    def tell(line: str) -> None:
        event("button", did=line)

    with stop_on_signals() as stop:
        presses = button.Presses(wearer, lamp, tell)
        button.watch(presses, pressed, shown.tick, stop, wearer.clock)


def _wearer(person: str | None) -> Wearer:
    settings = invocation.settings()
    found = person
    if person is not None:
        from firsthand.cli.vaults import opened  # only where several people share a computer

        with opened() as vault:
            found = vault.person(person).id
    device = device_of(settings, found)
    return Wearer(
        replace(device, vault_url=serving.address(settings)), Card(device.folder / "card")
    )


def _settle(wearer: Wearer) -> list[forget.Forgotten]:
    with wearer.card.lock("carrier"):
        link = Link(wearer.device, Clock(), timeout_s=10.0)
        try:
            return forget.settle(wearer.card, wearer.device, link)
        finally:
            link.close()


def _length(text: str) -> float | None:
    """15m or 1h as seconds; None for until-resumed."""
    if text == UNTIL_RESUMED:
        return None
    number, unit = text[:-1], {"m": 60, "h": 3600}.get(text[-1:])
    if unit is None or not number.isdecimal() or not int(number):
        raise Usage(f"{text!r} is no length of a pause", "write 15m, 1h or until-resumed")
    return float(int(number) * unit)
