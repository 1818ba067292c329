"""`firsthand record`: record from a camera, a file or a simulated person, and carry it home."""

from dataclasses import replace
from typing import Annotated

import typer

from firsthand.cli import invocation
from firsthand.cli.locally import device_of, local_devices
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import progress, say, show_json
from firsthand.cli.vaults import count, length, opened
from firsthand.errors import Locked, Partial
from firsthand.record import camera as cameras
from firsthand.record import notify, recorder
from firsthand.record.card import Card
from firsthand.record.device import Device
from firsthand.record.ladder import Ladder
from firsthand.record.upload import Carried, carry_home

app = noun("Record from a camera, a file or a simulated person; carry it home.")

Wearer = Annotated[
    str | None, typer.Option(help="Name or id of the wearer, if several use this computer.")
]
# How long a recording waits at its end for a vault that does not answer.
PATIENCE_S = 1.0


@app.command(epilog=exits(10, 11, 13, 14))
def start(
    camera: Annotated[
        str,
        typer.Option(help="A file, v4l2:/dev/video0, avfoundation:0, a URL, or sim:0 (see docs)."),
    ],
    person: Wearer = None,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after this much footage; else Ctrl-C stops.")
    ] = None,
) -> None:
    """Record sealed segments onto this computer's card, then carry home what can be carried."""
    _with_simulated()
    device = _device(person)
    card = Card(device.folder / "card")
    opened_camera = cameras.open_camera(camera)
    try:
        with progress("record", seconds) as move, recorder.stop_on_signals() as asked:
            so_far = recorder.Recorded(session="")
            service = notify.Service()

            def tell(recorded: recorder.Recorded) -> None:
                nonlocal so_far
                so_far = recorded
                move(recorded.footage_ns / 1e9)
                service.ready(f"recording: {count(recorded.segments, 'segment')}")

            def stop() -> bool:
                service.ping()
                return asked() or (seconds is not None and so_far.footage_ns >= seconds * 1e9)

            done = recorder.record(
                opened_camera,
                card,
                device,
                stop=stop,
                progress=tell,
                ladder=Ladder() if opened_camera.live else None,
            )
    finally:
        opened_camera.close()
    say(
        f"recorded {length(done.footage_ns / 1e9)} in {count(done.segments, 'segment')}, "
        f"{done.frames} pictures, {done.dropped} dropped"
    )
    if done.salvaged:
        say(f"{done.salvaged} segments of an earlier recording that was cut are saved too")
    try:
        _say_carried(carry_home(card, device, patience_s=PATIENCE_S))
    except Locked:
        say("another carrier, such as a server on this computer, is bringing it home")


@app.command(epilog=exits(3, 10, 11, 14))
def upload(
    person: Wearer = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up when nothing went on for so long.")
    ] = 30.0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Carry home what waits on this computer's cards; only signed receipts clear them."""
    devices = [_device(person)] if person else local_devices(invocation.settings())
    left = 0
    for device in devices:
        card = Card(device.folder / "card")
        total = len(card.waiting())
        with progress("carry home", total) as move:

            def tell(carried: Carried, move=move) -> None:  # type: ignore[no-untyped-def]
                move(carried.stored + carried.refused)

            done = carry_home(card, _at_vault(device), patience_s=patience, progress=tell)
        left += done.left
        if json_:
            show_json(vars(done))
        else:
            _say_carried(done)
    if left:
        raise Partial(
            f"{count(left, 'segment')} on the card, safe, not carried home",
            'start the vault: "firsthand serve"',
        )


def _say_carried(done: Carried) -> None:
    if done.stored or done.refused:
        say(f"carried home: {done.stored} stored and receipted, {done.refused} refused for good")
    for name, reason in done.rejected.items():
        say(f"{name} stays on the card: {reason}")
    if done.left:
        why = f" ({done.waiting_for})" if done.waiting_for else ""
        say(f"{done.left} wait on the card{why}; they go home when the vault answers")


def _device(person: str | None) -> Device:
    settings = invocation.settings()
    if person is None:
        return _at_vault(device_of(settings, None))
    with opened() as vault:
        return _at_vault(device_of(settings, vault.person(person).id))


def _at_vault(device: Device) -> Device:
    """The device, aimed at the vault that these settings name."""
    return replace(device, vault_url=invocation.settings().vault)


def _with_simulated() -> None:
    def opener(url: str) -> cameras.Camera:
        from firsthand.simulate.camera import open_sim

        return open_sim(url)

    cameras.register("sim", opener)
