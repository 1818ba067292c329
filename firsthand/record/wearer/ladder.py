"""The ladder: what a device gives up, step by step, as it grows hot or its battery runs low.

    step   hot from   battery up to   what
    0      -          -               everything
    1      75 °C      15 %            half of the pictures
    2      80 °C      8 %             one picture a second
    3      84 °C      3 %             nothing: a gap, `hot` or `battery`

A Raspberry Pi slows itself from 80 °C and more at 85 °C; on another machine heat doesn't count: a
laptop bears 95 °C all day. A step is left again 5 °C or 5 % away
from where it began, so that it doesn't flutter; a battery that is being charged is not low.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from firsthand.record.cameras.camera import Coded, Picture
from firsthand.record.clock import Clock
from firsthand.record.sensors import Sensors

HOT_C = (75.0, 80.0, 84.0)
LOW_PERCENT = (15.0, 8.0, 3.0)
BACK = 5.0
LOOK_S = 5.0
STEPS = ("all pictures", "half of the pictures", "one picture a second", "no pictures")
_SLOW_NS = 10**9


@dataclass(frozen=True)
class Step:
    """A step of the ladder and why it is taken; 0 has no reason."""

    number: int = 0
    reason: str = ""


GROUND = Step()


class Ladder:
    """The step at which a device stands; looks at its sensors every LOOK_S."""

    def __init__(self, sensors: Sensors | None = None, clock: Clock | None = None) -> None:
        self._sensors = sensors or Sensors()
        self._minds_heat = "Raspberry Pi" in self._sensors.model()
        self._clock = clock or Clock()
        self._looked_ns: int | None = None
        self._hot, self._low = 0, 0
        self._step = GROUND
        self._kept_ns: int | None = None
        self._odd = False

    def step(self) -> Step:
        """Where it stands now: the further of the two; heat, if they're alike."""
        now_ns = self._clock.boot_ns()
        if self._looked_ns is None or now_ns - self._looked_ns >= LOOK_S * 1e9:
            self._looked_ns = now_ns
            self._step = self._look()
        return self._step

    def _look(self) -> Step:
        hot_c = self._sensors.temperature_c() if self._minds_heat else None
        percent = self._sensors.draining_percent()
        self._hot = 0 if hot_c is None else _climb(self._hot, hot_c, HOT_C)
        low = [-value for value in LOW_PERCENT]
        self._low = 0 if percent is None else _climb(self._low, -percent, low)
        if self._hot or self._low:
            return Step(self._hot, "hot") if self._hot >= self._low else Step(self._low, "battery")
        return GROUND

    def keeps(self, picture: Picture | Coded, step: Step) -> bool:
        """Whether this picture is kept at this step; of coded ones those that stand alone."""
        if step.number == 0:
            self._kept_ns = None
            return True
        if step.number == 1 and isinstance(picture, Picture):
            self._odd = not self._odd
            return self._odd
        if isinstance(picture, Coded):
            return picture.key
        if self._kept_ns is not None and picture.time_ns - self._kept_ns < _SLOW_NS:
            return False
        self._kept_ns = picture.time_ns
        return True


def _climb(now: int, value: float, edges: Sequence[float]) -> int:
    """The step at this value: up at an edge, down again only BACK below it."""
    up = sum(value >= edge for edge in edges)
    down = sum(value >= edge - BACK for edge in edges)
    return max(up, min(now, down))
