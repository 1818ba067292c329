"""What a wearer allows the uploader: at which hours, how fast, and whether over a metered network.

They hold for footage in bulk. Records and gaps, a few kB each, go whenever there is a network.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from firsthand.errors import Usage
from firsthand.record.clock import Clock

DAY_S = 86_400
# Small enough that a request to stop is heard on a slow link, large enough to cost nothing.
PIECE = 64 << 10


@dataclass(frozen=True)
class Limits:
    """Nothing given: at any hour, as fast as the link goes, never over a metered network."""

    start: time | None = None
    stop: time | None = None
    zone: ZoneInfo | None = None  # the wearer's home; None: this machine's
    bytes_per_s: float = 0.0
    metered: bool = False

    @classmethod
    def parse(
        cls, hours: str = "", mbit_s: float = 0.0, metered: bool = False, zone: str = ""
    ) -> "Limits":
        """Limits from what stands in the settings: "22:00-06:00", 20.0, "Europe/Berlin"; Usage."""
        start = stop = home = None
        if hours:
            found = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", hours)
            try:
                start, stop = (time.fromisoformat(each) for each in found.groups())  # type: ignore[union-attr]
            except (AttributeError, ValueError):
                raise Usage(f"{hours!r} are no hours", "write them as 22:00-06:00") from None
        if zone:
            try:
                home = ZoneInfo(zone)
            except (KeyError, ValueError, OSError):
                hint = "write it as Europe/Berlin; Debian's tzdata knows them"
                raise Usage(f"{zone!r} is no time zone", hint) from None
        if mbit_s < 0:
            raise Usage(f"{mbit_s} Mbit/s is no speed", "0 means: as fast as the link goes")
        return cls(start, stop, home, mbit_s * 1e6 / 8, metered)

    def opens_s(self, now_s: float) -> float:
        """When bulk may go next, in seconds since 1970; `now_s` itself if now."""
        if self.start is None or self.stop is None or self.start == self.stop:
            return now_s
        today = datetime.fromtimestamp(now_s, self.zone)
        for number in (-1, 0, 1):
            begin, end = self._window(today.date() + timedelta(days=number))
            if now_s < end:
                return max(now_s, begin)
        return now_s

    def done_s(self, now_s: float, sending_s: float) -> float:
        """When so many seconds of sending are over, the hours between not counted."""
        now_s = self.opens_s(now_s)
        if self.start is None or self.stop is None or self.start == self.stop:
            return now_s + sending_s
        begin, stop = self._window(datetime.fromtimestamp(now_s, self.zone).date())
        # Whole days by arithmetic: a backlog may be long.
        days = max(0, math.ceil(sending_s / (stop - begin)) - 1)
        # Where the clocks change meanwhile, a day later is an hour outside.
        now_s, sending_s = self.opens_s(now_s + days * DAY_S), sending_s - days * (stop - begin)
        while True:
            end = self._end_s(now_s)
            if now_s + sending_s <= end:
                return now_s + sending_s
            sending_s -= end - now_s
            now_s = self.opens_s(end)

    @property
    def text(self) -> str:
        """The hours as a wearer reads them."""
        zone = f" ({self.zone.key})" if self.zone else ""
        return f"{self.start:%H:%M}-{self.stop:%H:%M}{zone}" if self.start and self.stop else ""

    def _window(self, day: date) -> tuple[float, float]:
        """Where the hours that begin on a day begin and end; they may end on the next."""
        assert self.start is not None
        assert self.stop is not None
        last = day + timedelta(days=self.stop < self.start)
        begin = datetime.combine(day, self.start, self.zone).timestamp()
        return begin, datetime.combine(last, self.stop, self.zone).timestamp()

    def _end_s(self, now_s: float) -> float:
        today = datetime.fromtimestamp(now_s, self.zone).date()
        windows = [self._window(today + timedelta(days=number)) for number in (-1, 0)]
        return next((end for begin, end in windows if begin <= now_s < end), now_s + DAY_S)


class Pace:
    """Hands out bytes in pieces, no faster than allowed, and counts them."""

    def __init__(
        self, clock: Clock, bytes_per_s: float = 0.0, stop: Callable[[], None] = lambda: None
    ) -> None:
        self._clock, self._bytes_per_s, self._stop = clock, bytes_per_s, stop
        self._free_ns = 0  # on the boot clock: when the next piece may go
        self.bytes = 0

    def pieces(self, data: bytes) -> Iterator[memoryview]:
        """The data in pieces; `stop` may raise between two of them."""
        view = memoryview(data)
        # A quarter of a second's worth, so that what a slow link is allowed comes evenly.
        step = PIECE
        if self._bytes_per_s:
            step = max(1, min(PIECE, round(self._bytes_per_s / 4)))
        for at in range(0, len(view), step):
            if at:
                self._stop()
            piece = view[at : at + step]
            if self._bytes_per_s:
                now_ns = self._clock.boot_ns()
                if self._free_ns > now_ns:
                    self._clock.sleep((self._free_ns - now_ns) / 1e9)
                pause_ns = int(len(piece) / self._bytes_per_s * 1e9)
                self._free_ns = max(now_ns, self._free_ns) + pause_ns
            self.bytes += len(piece)
            yield piece
