"""Where a device without keyboard and screen finds its enrolment link: in a file, or by its camera.

The link is the one line `URL#CODE` that the vault shows as a QR. It comes as a text file on the
card's boot partition, which any computer can write, or the QR is held before the device's own
camera. Nothing that the camera sees here is kept: there is no key yet to seal it for.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from firsthand.errors import Error, Failed
from firsthand.record.cameras.camera import Camera, Coded, Picture, open_camera
from firsthand.record.clock import Clock

FILE = "firsthand-enrol.txt"
BOOT = (Path("/boot/firmware"), Path("/boot"))  # Raspberry Pi OS since 12, and before
LOOK_S = 0.5  # how often a picture is searched: it takes a Pi longer than the camera
RETRY_S = 5.0

T = TypeVar("T")


def in_file(places: tuple[Path, ...] = BOOT) -> str:
    """The link in the first such file; empty if there is none."""
    for place in places:
        with contextlib.suppress(OSError):
            for line in (place / FILE).read_text("utf-8", "replace").splitlines():
                if "#" in line and "://" in line:
                    return line.strip("\ufeff \t")
    return ""


def in_picture(picture: Picture | Coded) -> str:
    """The link that a QR in this picture holds; empty if there is none."""
    import zxingcpp  # 2 MB on the disk, and no package of its own behind it

    from firsthand.record.sealing.encode import as_frame

    frame = as_frame(picture)
    if frame is None:
        return ""
    plane: Any = frame.reformat(format="gray").planes[0]
    grey = memoryview(plane).cast("B")
    rows = grey[: plane.line_size * frame.height].cast("B", (frame.height, plane.line_size))
    kinds = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    found = zxingcpp.read_barcodes(rows, formats=kinds)
    texts = [barcode.text for barcode in found]
    return next((text for text in texts if "#" in text and "://" in text), "")


def links(
    camera: str = "",
    places: tuple[Path, ...] = BOOT,
    clock: Clock | None = None,
    opened: Callable[[str], Camera] = open_camera,
) -> Iterator[str]:
    """Each link as it is found, over and over, for as long as one is asked for.

    A camera that fails is opened anew, and meanwhile the file is looked for.
    """
    clock = clock or Clock()
    while True:
        if link := in_file(places):
            yield link
        if camera:
            with contextlib.suppress(Error):
                yield from _seen(opened(camera), places)
        clock.sleep(RETRY_S)


def accept(
    found: Iterable[str],
    enrol: Callable[[str], T],
    event: Callable[..., None] = lambda name, **fields: None,
) -> T:
    """What `enrol` makes of the first link that holds; one that the vault refuses is not repeated.

    A vault that isn't reached is asked again by the same link: the code still holds.
    """
    told, refused = "", set()
    for link in found:
        if link in refused:
            continue
        try:
            return enrol(link)
        except Error as error:
            if not isinstance(error, Failed):
                refused.add(link)
            if error.message != told:
                told = error.message
                event("enrolment_failed", error=told)
    raise Failed("no enrolment link came", "make a new code at the vault")


def _seen(camera: Camera, places: tuple[Path, ...]) -> Iterator[str]:
    looked_ns: int | None = None
    try:
        for sample in camera.samples():
            if looked_ns is not None and sample.time_ns - looked_ns < LOOK_S * 1e9:
                continue
            if isinstance(sample, Coded) and not sample.key:
                continue
            looked_ns = sample.time_ns
            link = in_picture(sample) if isinstance(sample, Picture | Coded) else ""
            if link := link or in_file(places):
                yield link
    finally:
        camera.close()
