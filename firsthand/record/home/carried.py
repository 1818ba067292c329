"""How carrying home stands, for whoever asks: kept by the carrier in a small file of the device.

    carrier.json   counts, what it waits for, until when, how long the rest will take

It is for showing alone. No decision rests on it, and a lost one costs nothing.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from firsthand.record.durable import FILE_MODE

FILE = "carrier.json"


@dataclass(frozen=True)
class Carried:
    """What one run of the uploader did; `waiting_for` says why it is not further."""

    stored: int = 0
    refused: int = 0
    bytes_stored: int = 0
    bytes_sent: int = 0  # repeated ones included, as far as they were handed to the network
    retries: int = 0
    left: int = 0
    left_bytes: int = 0
    rejected: dict[str, str] = field(default_factory=dict)  # folder on the card: reason
    waiting_for: str = ""
    wait_s: float = 0.0
    until_ns: int = 0  # wall clock: when it tries again
    estimate_s: float | None = None  # until everything is home; None: not known yet
    bytes_per_s: float = 0.0  # as measured of late
    told_ns: int = 0  # wall clock


def tell(folder: Path, carried: Carried) -> None:
    """Keep it in the device's folder; a card or disk that takes no more is no reason to stop."""
    # Not synced: it is worth nothing after a power cut.
    draft = folder / f"{FILE}.new"
    with contextlib.suppress(OSError):
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(carried), file)
        os.replace(draft, folder / FILE)


def last_told(folder: Path) -> Carried | None:
    """What the carrier of this device said last; None if it never did."""
    known = {item.name for item in fields(Carried)}
    try:
        data = json.loads((folder / FILE).read_bytes())
        return Carried(**{name: value for name, value in data.items() if name in known})
    except (OSError, ValueError, AttributeError, TypeError):
        return None
