"""A device's clocks, which move only when told."""

from firsthand.record.clock import Clock

SECOND_NS = 10**9
NOW_NS = 1_793_520_000 * SECOND_NS


class Moment(Clock):
    """A clock that stands where the test puts it."""

    def __init__(self, boot_ns: int = 100 * SECOND_NS) -> None:
        self.now_ns, self.boot, self.quality = boot_ns, "boot-1", "ntp"
        self.wall_at_boot_ns = NOW_NS - boot_ns

    def boot_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.wall_at_boot_ns + self.now_ns

    def wall_quality(self) -> str:
        return self.quality

    def boot_id(self) -> str:
        return self.boot

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
