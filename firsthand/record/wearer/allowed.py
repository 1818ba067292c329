"""What the vault's policy lets the device record right now: law, places, permissions.

The policy is looked at again while the recorder runs, so that a place said today holds today. A
device that was told nothing yet, or has no trustworthy clock, takes the strictest there is.
"""

import contextlib

from firsthand.capture import Capture, Rules, may_capture
from firsthand.errors import Error
from firsthand.record.cameras.camera import Camera
from firsthand.record.device import Device
from firsthand.record.wearer.policy import held_policy

# Seconds between two looks: far less than the border that each place has.
LOOK_NS, REREAD_NS = 10**9, 10 * 10**9
TRUSTED = ("rtc", "ntp", "gps")
ANYTHING = Capture(True, True, ())


class Allowed:
    """Asked with each sample's time; computes at most once a second."""

    def __init__(self, camera: Camera, device: Device) -> None:
        self._camera, self._device = camera, device
        self._rules: Rules | None = None
        self._read_ns: int | None = None
        self._known: tuple[int, Capture] | None = None

    def at(self, time_ns: int) -> Capture:
        """What may be recorded at this time of the camera's clock."""
        if self._known is None or abs(time_ns - self._known[0]) >= LOOK_NS:
            self._known = time_ns, self._ask(time_ns)
        return self._known[1]

    def _ask(self, time_ns: int) -> Capture:
        if self._read_ns is None or abs(time_ns - self._read_ns) >= REREAD_NS:
            self._read_ns = time_ns
            self._rules = self._reread()
        if self._rules is None:
            # Footage of a file was taken long ago: there the vault alone decides what may be used.
            return may_capture(Rules(""), None) if self._camera.live else ANYTHING
        offset_ns, quality = self._camera.wall_ns, self._camera.wall_quality
        known = offset_ns is not None and quality in TRUSTED
        return may_capture(self._rules, time_ns + (offset_ns or 0) if known else None)

    def _reread(self) -> Rules | None:
        held = held_policy(self._device)
        with contextlib.suppress(Error):
            if held is not None and held.rules:
                return Rules.from_json(held.rules)
        return None
