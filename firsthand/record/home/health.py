"""How a device is: card, battery, temperature, drops, backlog; and telling the vault so.

What no sensor says is left out, never guessed. Footage, places and networks are not part of it.
"""

import contextlib
from typing import Any

from firsthand.errors import Error
from firsthand.record.card.card import Card
from firsthand.record.card.status import status
from firsthand.record.clock import Clock
from firsthand.record.home.link import Link
from firsthand.record.sensors import Sensors

HEARTBEAT_S = 600.0
GROWS_S = 10.0  # a segment that is recorded grows at least twice a second


def body(
    card: Card, sensors: Sensors | None = None, clock: Clock | None = None
) -> dict[str, float]:
    """What a heartbeat says."""
    sensors, clock = sensors or Sensors(), clock or Clock()
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
        "battery_percent": sensors.battery_percent(),
        "temperature_c": sensors.temperature_c(),
        "throttled": sensors.throttled(),
        "uptime_s": round(clock.boot_ns() / 1e9),
    }
    return {name: value for name, value in said.items() if value is not None}


class Pulse:
    """Sends a heartbeat whenever one is due; that one could not be sent never holds anything up."""

    def __init__(
        self,
        card: Card,
        clock: Clock,
        sensors: Sensors | None = None,
        every_s: float = HEARTBEAT_S,
    ) -> None:
        self._card, self._clock, self._sensors = card, clock, sensors
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
        return body(self._card, self._sensors, self._clock)


def _is_recording(card: Card, clock: Clock) -> bool:
    """Whether a segment grew just now; to try the recorder's lock could keep one from starting."""
    newest_s = 0.0
    for folder in card.opened():
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                newest_s = max(newest_s, path.stat().st_mtime)
    return abs(clock.wall_ns() / 1e9 - newest_s) <= GROWS_S
