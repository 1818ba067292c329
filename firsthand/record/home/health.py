"""How a device is: card, battery, temperature, drops, backlog; and telling the vault so.

What no sensor says is left out, never guessed. Footage, places and networks are not part of it.
"""

import contextlib
from pathlib import Path
from typing import Any

from firsthand.errors import Error
from firsthand.record.card.card import Card
from firsthand.record.card.status import status
from firsthand.record.clock import Clock
from firsthand.record.home.link import Link

HEARTBEAT_S = 600.0
GROWS_S = 10.0  # a segment that is recorded grows at least twice a second
# Bits of the firmware's word that hold at this moment: under-voltage, clock capped, slowed by heat.
THROTTLED_NOW = 0b1111


def body(card: Card, system: Path = Path("/"), clock: Clock | None = None) -> dict[str, float]:
    """What a heartbeat says; `system` is where /sys lies."""
    clock = clock or Clock()
    now, waiting = status(card), card.waiting()
    said: dict[str, float | None] = {
        "segments_waiting": now.segments + now.gaps,
        "waiting_bytes": now.waiting_bytes,
        "waiting_s": round(now.waiting_s, 1),
        "room_bytes": now.room_bytes,
        "hours_left": round(now.hours_left, 2),
        "frames": sum(item.listed.frames for item in waiting),
        "dropped": sum(item.listed.dropped for item in waiting),
        "damaged": now.damaged,
        "recording": float(_is_recording(card, clock)),
        "battery_percent": battery_percent(system),
        "temperature_c": temperature_c(system),
        "throttled": throttled(system),
        "uptime_s": round(clock.boot_ns() / 1e9),
    }
    return {name: value for name, value in said.items() if value is not None}


def temperature_c(system: Path = Path("/")) -> float | None:
    """The hottest of the machine's thermal zones; None without one."""
    found = [_number(path) for path in sorted(system.glob("sys/class/thermal/thermal_zone*/temp"))]
    return max((value / 1000 for value in found if value is not None), default=None)


def battery_percent(system: Path = Path("/")) -> float | None:
    """The charge of the first battery that Linux knows; a plain power bank tells nothing."""
    for path in sorted(system.glob("sys/class/power_supply/*/capacity")):
        value = _number(path)
        if value is not None:
            return value
    return None


def throttled(system: Path = Path("/")) -> float | None:
    """1 while the firmware of a Raspberry Pi slows it down, 0 while not; None elsewhere."""
    path = system / "sys/devices/platform/soc/soc:firmware/get_throttled"
    with contextlib.suppress(OSError, ValueError):
        return float(bool(int(path.read_text().strip(), 16) & THROTTLED_NOW))
    return None


class Pulse:
    """Sends a heartbeat whenever one is due; that one could not be sent never holds anything up."""

    def __init__(
        self, card: Card, clock: Clock, system: Path = Path("/"), every_s: float = HEARTBEAT_S
    ) -> None:
        self._card, self._clock, self._system = card, clock, system
        self._every_ns = round(every_s * 1e9)
        self._sent_ns: int | None = None

    def is_due(self) -> bool:
        """Whether it is time for one."""
        passed_ns = self._clock.boot_ns() - (self._sent_ns or 0)
        return self._sent_ns is None or passed_ns >= self._every_ns

    def beat(self, link: Link) -> bool:
        """Sends one if it is due; whether the vault took it. Call it while the vault answers."""
        if not self.is_due():
            return False
        # Also when it fails: a vault that can't be reached is not asked for this all the time.
        self._sent_ns = self._clock.boot_ns()
        with contextlib.suppress(Error, OSError):
            link.ask("POST", "/api/heartbeat", self._said())
            return True
        return False

    def _said(self) -> dict[str, Any]:
        return body(self._card, self._system, self._clock)


def _is_recording(card: Card, clock: Clock) -> bool:
    """Whether a segment grew just now; to try the recorder's lock could keep one from starting."""
    newest_s = 0.0
    for folder in card.opened():
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                newest_s = max(newest_s, path.stat().st_mtime)
    return abs(clock.wall_ns() / 1e9 - newest_s) <= GROWS_S


def _number(path: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        return float(path.read_text())
    return None
