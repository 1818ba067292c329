"""`firsthand record`: record from a camera, a file or a simulated person, and carry it home."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from firsthand import serving
from firsthand.cli import invocation
from firsthand.cli.locally import device_of, local_devices
from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import event, progress, say, show_json
from firsthand.cli.vaults import count, has_vault, length, moment, opened, when
from firsthand.config import Settings
from firsthand.errors import Damaged, Error, Failed, Locked, NotFound, Partial, Usage
from firsthand.record import notify
from firsthand.record.cameras import camera as cameras
from firsthand.record.card.card import Card
from firsthand.record.card.status import status
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.stop import stop_on_signals
from firsthand.record.wearer.ladder import Ladder

# The way home is imported where it is used: HTTP and TLS take 3 MB, which a recorder needs not.
if TYPE_CHECKING:
    from firsthand.record.cameras.imported import Imported
    from firsthand.record.home.carried import Carried
    from firsthand.record.home.health import Pulse
    from firsthand.record.home.limits import Limits
    from firsthand.record.recorder import Recorded

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
        typer.Option(
            help="picamera2:0, v4l2:/dev/video0, avfoundation:0, a URL, a file or sim:0; "
            "copy: before a URL or file keeps its H.264 as it comes (see docs/cameras.md)."
        ),
    ],
    person: Wearer = None,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after this much footage; else Ctrl-C stops.")
    ] = None,
) -> None:
    """Record sealed segments onto this computer's card, then carry home what can be carried."""
    from firsthand.record import recorder  # brings PyAV: 17 MB that the uploader does without

    _with_simulated()
    device = _device(person)
    card = Card(device.folder / "card")
    opened_camera = cameras.open_camera(camera)
    try:
        with progress("record", seconds) as move, stop_on_signals() as asked:
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
                event=event,
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
    from firsthand.record.home.network import find_network
    from firsthand.record.home.upload import carry_home

    try:
        limits, network = limits_of(invocation.settings()), find_network()
        done_home = carry_home(card, device, patience_s=PATIENCE_S, limits=limits, network=network)
        _say_carried(done_home)
    except Locked:
        say("another carrier, such as a server on this computer, is bringing it home")


@app.command(epilog=exits(3, 10, 11, 14))
def upload(
    person: Wearer = None,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up when nothing went on for so long.")
    ] = 30.0,
    forever: Annotated[
        bool, typer.Option("--forever", help="Stay, and carry whenever there is a network.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Whatever the hour, the speed and the network's price.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Carry home what waits on this computer's cards; only signed receipts clear them."""
    from firsthand.record.home.limits import Limits
    from firsthand.record.home.network import find_network
    from firsthand.record.home.upload import carry_home

    limits = Limits() if now else limits_of(invocation.settings())
    if now:
        limits = replace(limits, metered=True)
    if forever:
        _carry_forever(_device(person), limits)
        return
    devices = [_device(person)] if person else local_devices(invocation.settings())
    left = 0
    for device in devices:
        card = Card(device.folder / "card")
        total = len(card.waiting())
        with progress("carry home", total) as move:

            def tell(carried: "Carried", move=move) -> None:  # type: ignore[no-untyped-def]
                move(carried.stored + carried.refused)

            done = carry_home(
                card,
                _at_vault(device),
                patience_s=patience,
                progress=tell,
                limits=limits,
                network=find_network(),
                pulse=_pulse(card),
            )
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


@app.command("import", epilog=exits(3, 10, 11, 13, 14))
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILES...", help="Video files.")],
    person: Wearer = None,
    taken: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the one file began, in UTC unless it says so."),
    ] = None,
) -> None:
    """Seal footage of a GoPro, a phone or glasses as this device's own segments."""
    from firsthand.record.cameras.imported import import_file  # PyAV takes 0.2 s
    from firsthand.record.home.upload import carry_home

    if taken and len(files) > 1:
        raise Usage("--taken is the time of one file", "import the files one by one")
    given_ns = moment(taken) if taken else None
    device = _device(person)
    card = Card(device.folder / "card")
    failed: dict[str, Error] = {}
    before: Imported | None = None
    for path in files:
        try:
            with progress(path.name) as move, stop_on_signals() as asked:

                def tell(done: "Recorded", move=move) -> None:  # type: ignore[no-untyped-def]
                    move(done.footage_ns / 1e9)

                done = import_file(
                    path,
                    device,
                    card,
                    given_ns=given_ns,
                    before=before,
                    stop=asked,
                    progress=tell,
                )
        except (NotFound, Usage, Damaged, Failed) as error:
            if len(files) > 1:
                say(error.message)
            failed[path.name] = error
            continue
        before = done
        _say_imported(path.name, done)
        if done.done.stopped:
            raise KeyboardInterrupt
    try:
        _say_carried(carry_home(card, device, patience_s=PATIENCE_S))
    except Locked:
        say("another carrier, such as a server on this computer, is bringing it home")
    if len(failed) == len(files) == 1:
        raise failed.popitem()[1]
    if failed:
        raise Partial(f"not imported: {', '.join(failed)}", "what became of each stands above")


def _say_imported(name: str, done: "Imported") -> None:
    recorded, told = done.done, f"{done.motion} motion readings" if done.motion else "no motion"
    say(
        f"{name}: {length(recorded.footage_ns / 1e9)} in {count(recorded.segments, 'segment')}, "
        f"{recorded.frames} pictures, {told}"
    )
    source = {
        "gps": "by its GPS",
        "file": "by its own date, which may be local time or that of a copy",
        "given": "as you say",
    }.get(done.taken.source)
    if source:
        say(f"{name}: taken {when(done.taken.wall_ns)} UTC, {source}")
    else:
        say(f"{name}: it does not say when it was taken; give --taken if you know")


@app.command(epilog=exits(10, 14))
def card(
    person: Wearer = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="GB", help="Use so much of the disk; 0: all that it holds."),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite/--keep",
            help="When the card is full, let new footage replace the oldest, sent or not.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how full this computer's card is and how long it lasts, or change its settings."""
    held = Card(_device(person).folder / "card")
    if budget is not None and not 0 <= budget < 1e9:
        raise Usage(
            f"a budget of {budget:g} GB makes no sense", "give gigabytes, or 0 for no limit"
        )
    if budget is not None or overwrite is not None:
        held.choose(None if budget is None else round(budget * 1e9), overwrite)
    now = status(held)
    if json_:
        show_json(asdict(now))
        return
    say(f"{now.percent} % full, room for {length(now.hours_left * 3600)}")
    segments, gaps = count(now.segments, "segment"), count(now.gaps, "gap")
    say(f"{segments} of {length(now.waiting_s)} and {gaps} wait")
    if now.damaged:
        say(f"{now.damaged} changed on the card, kept in {held.path / 'damaged'}")
    say(
        "when it is full, new footage replaces the oldest"
        if now.overwrites
        else "when it is full, it takes nothing more; nothing is deleted"
    )


def _carry_forever(device: Device, limits: "Limits") -> None:
    """Until SIGTERM or Ctrl-C; an event for each change of what it does or waits for."""
    from firsthand.record.home.network import find_network
    from firsthand.record.home.upload import carry_home

    last: list[object] = []

    def tell(carried: "Carried") -> None:
        said = [carried.waiting_for, carried.left == 0, len(carried.rejected)]
        if said != last:
            last[:] = said
            event(
                "carry",
                device=device.name,
                left=carried.left,
                stored=carried.stored,
                waiting_for=carried.waiting_for or ("all safe" if not carried.left else "nothing"),
            )

    card = Card(device.folder / "card")
    with stop_on_signals() as stop:
        network = find_network()
        options = {"stop": stop, "progress": tell, "limits": limits, "network": network}
        options["pulse"] = _pulse(card)  # type: ignore[assignment]
        carry_home(card, device, forever=True, **options)  # type: ignore[arg-type]


def limits_of(settings: Settings) -> "Limits":
    """When and how fast a device of these settings sends footage; Usage."""
    from firsthand.record.home.limits import Limits

    if settings.upload_metered not in ("yes", "no"):
        raise Usage(f"upload_metered is {settings.upload_metered!r}", 'write "yes" or "no"')
    return Limits.parse(
        settings.upload_hours,
        settings.upload_mbit_s,
        settings.upload_metered == "yes",
        settings.home_zone,
    )


def _say_carried(done: "Carried") -> None:
    if done.stored or done.refused:
        say(f"carried home: {done.stored} stored and receipted, {done.refused} refused for good")
    for name, reason in done.rejected.items():
        say(f"{name} stays on the card: {reason}")
    if done.left:
        why = f" ({done.waiting_for})" if done.waiting_for else ""
        say(f"{done.left} wait on the card{why}; they go home later")


def _device(person: str | None) -> Device:
    settings = invocation.settings()
    if person is None:
        return _at_vault(device_of(settings, None))
    with opened() as vault:
        return _at_vault(device_of(settings, vault.person(person).id))


def _pulse(card: Card) -> "Pulse | None":
    """Heartbeats of a device that stands alone; a computer beside its vault would be missed."""
    from firsthand.record.home.health import Pulse

    alone = not has_vault(invocation.settings())
    return Pulse(card, Clock()) if alone else None


def _at_vault(device: Device) -> Device:
    """The device, aimed at the vault that these settings name, if they name one or it is here."""
    settings = invocation.settings()
    here = urlsplit(device.vault_url).hostname in ("127.0.0.1", "localhost", settings.host)
    if not (settings.vault_url or here):
        return device
    return replace(device, vault_url=serving.address(settings))


def _with_simulated() -> None:
    def opener(url: str) -> cameras.Camera:
        from firsthand.simulate.camera import open_sim

        return open_sim(url)

    cameras.register("sim", opener)
