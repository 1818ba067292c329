"""What Linux says of this machine's heat, batteries and processor: read in one way for all who ask.

What no sensor says is None, never a guess. What follows from it is up to those who ask: the ladder
(wearer/ladder.py) and the heartbeat (home/health.py).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Bits of the firmware's word that hold at this moment: under-voltage, clock capped, slowed by heat.
THROTTLED_NOW = 0b1111
CHARGED = ("Charging", "Full")
_POSSIBLE_C = (-60, 150)  # a broken sensor says -273, 0x7fff or worse


@dataclass(frozen=True)
class Sensors:
    """The files under /sys and /proc of a system, or of a folder that looks like one."""

    system: Path = Path("/")

    def model(self) -> str:
        """The board's own name; empty where it has none."""
        return _text(self.system / "proc/device-tree/model").rstrip("\0")

    def temperature_c(self) -> float | None:
        """The hottest of the machine's thermal zones."""
        zones = sorted((self.system / "sys/class/thermal").glob("thermal_zone*/temp"))
        known = [value / 1000 for value in map(_number, zones) if value is not None]
        low, high = _POSSIBLE_C
        return max((value for value in known if low < value < high), default=None)

    def battery_percent(self) -> float | None:
        """The charge of the emptiest battery; a plain power bank tells nothing."""
        return min((percent for percent, _ in self._batteries()), default=None)

    def draining_percent(self) -> float | None:
        """The same of those that aren't being charged."""
        return min((percent for percent, charged in self._batteries() if not charged), default=None)

    def throttled(self) -> float | None:
        """1 while the firmware of a Raspberry Pi slows it down, 0 while not; None elsewhere."""
        word = _text(self.system / "sys/devices/platform/soc/soc:firmware/get_throttled")
        with contextlib.suppress(ValueError):
            return float(bool(int(word, 16) & THROTTLED_NOW))
        return None

    def _batteries(self) -> Iterator[tuple[float, bool]]:
        """(percent, whether it is being charged) of each that feeds the machine."""
        for supply in sorted((self.system / "sys/class/power_supply").glob("*")):
            percent = _number(supply / "capacity")
            if percent is None or not 0 <= percent <= 100:
                continue
            if _text(supply / "scope") != "Device":  # that's a mouse's, or a headset's
                yield percent, _text(supply / "status") in CHARGED


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
