"""The machine's clocks, in one object, so that time is an argument everywhere in this folder."""

import time


class Clock:
    """The real clocks; tests hand in their own."""

    def boot_ns(self) -> int:
        """Nanoseconds since boot, sleep included where the system counts it; never jumps."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic_ns() if boottime is None else time.clock_gettime_ns(boottime)

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, as far as this machine knows."""
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
