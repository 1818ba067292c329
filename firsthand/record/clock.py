"""The machine's clocks, in one object, so that time is an argument everywhere in this folder."""

import contextlib
import ctypes
import functools
import time
from collections.abc import Callable
from pathlib import Path

# A wall clock before this (November 2023) was never set: a board without a battery starts in 1970.
PLAUSIBLE_NS = 1_700_000_000 * 10**9
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_SIZE = 256  # of struct timex, and some more; all zero, it only asks

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)  # macOS has none


class Clock:
    """The real clocks; tests hand in their own."""

    def boot_ns(self) -> int:
        """Nanoseconds since boot, sleep included where the system counts it; never jumps."""
        return time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, as far as this machine knows."""
        return time.time_ns()

    def wall_quality(self) -> str:
        """How far the wall clock can be believed: none, fake (a guess), rtc (battery) or ntp."""
        if self.wall_ns() < PLAUSIBLE_NS:
            return "none"
        if _is_synchronised():
            return "ntp"
        # Without a battery the system guesses: the time at which it was last shut down.
        return "rtc" if Path("/sys/class/rtc/rtc0").exists() else "fake"

    def boot_id(self) -> str:
        """A name of this boot, another one after the next; empty where the system gives none."""
        with contextlib.suppress(OSError):
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return ""

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def _is_synchronised() -> bool:
    """Whether the kernel says that some time daemon steers its clock."""
    ask = _adjtimex()
    return ask is not None and 0 <= ask(ctypes.create_string_buffer(_TIMEX_SIZE)) < _UNSYNCHRONISED


@functools.cache  # looked up once: that takes longer than the call, which comes each second
def _adjtimex() -> Callable[..., int] | None:
    with contextlib.suppress(OSError, AttributeError):  # another system than Linux
        return ctypes.CDLL(None, use_errno=True).adjtimex  # type: ignore[no-any-return]
    return None
