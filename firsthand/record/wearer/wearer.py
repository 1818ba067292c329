"""The wearer's hand on a device of this computer: what the command line, the button and the pages
do is done here, once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from firsthand.errors import Failed
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.wearer import forget
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.forget import Wish
from firsthand.record.wearer.heartbeat import RECORDING, SILENT, STOPPED, doing, last_beat, truth

# A recorder obeys at its next sample; a camera that is lost gives none for a while.
OBEY_S = 2.0
REASONS = {
    "paused": "paused",
    "stalled": "the camera gives no pictures",
    "lost": "the camera is lost",
    "full": "the card is full",
    "hot": "too hot to record",
    "battery": "the battery is too low to record",
    SILENT: "the recorder runs but answers nothing",
    STOPPED: "stopped",
}


@dataclass(frozen=True)
class Standing:
    """What a device does at this moment, and what the wearer asked of it."""

    doing: str
    why: str  # it stopped, if it did so by itself
    paused: bool
    paused_since_ns: int  # wall clock
    paused_left_s: float | None  # None: until resumed
    to_forget: int  # requests that are not done here or in the vault

    @property
    def recording(self) -> bool:
        """Whether what the camera sees is kept."""
        return self.doing == RECORDING

    def words(self, now_ns: int) -> str:
        """It in a sentence."""
        if self.recording:
            return "recording"
        said = REASONS.get(self.doing, self.doing)
        if self.doing == STOPPED and self.why:
            said += f": {self.why}"
        if self.doing not in ("paused", STOPPED):
            said += ": nothing is recorded"
        if self.paused:
            said += "" if self.doing == "paused" else "; and paused"
            said += _until(self.paused_left_s, now_ns) + ": nothing is recorded"
        return said


class Wearer:
    """The controls of one device and its card."""

    def __init__(self, device: Device, card: Card, clock: Clock | None = None) -> None:
        self.device, self.card = device, card
        self.clock = clock or Clock()
        self.control = Control(device.folder, self.clock)

    def standing(self) -> Standing:
        """What is true now."""
        word = truth(self.device.folder, self.control)
        beat, pause = last_beat(self.device.folder), self.control.paused()
        rest_ns = pause.rest_ns(self.clock) if pause else None
        return Standing(
            doing=word,
            why=beat.why if beat and word == STOPPED else "",
            paused=pause is not None,
            paused_since_ns=pause.since_ns if pause else 0,
            paused_left_s=None if rest_ns is None else rest_ns / 1e9,
            to_forget=len(forget.wishes(self.card)),
        )

    def is_paused(self) -> bool:
        """Whether the wearer keeps it from recording."""
        return self.control.paused() is not None

    def bookmark(self, label: str = "bookmark") -> bool:
        """Mark this moment in what is being recorded; Failed if nothing is."""
        standing = self.standing()
        if not standing.recording:
            told = standing.words(self.clock.wall_ns())
            raise Failed(f"there is nothing to mark: {told}", "mark while it records")
        self.control.mark(label)
        return True

    def pause(self, seconds: float | None = None) -> bool:
        """Keep nothing from now on; whether the recorder is seen to obey.

        What it takes after this call is not kept in any case, seen or not.
        """
        self.control.pause(seconds)
        return self._wait(lambda word: word != RECORDING)

    def resume(self) -> bool:
        """Record again; whether it does, or no recorder runs."""
        self.control.resume()
        return self._wait(lambda word: word != "paused")

    def forget(self, minutes: float) -> bool:
        """Forget the last minutes; whether they are gone from the card."""
        return self.forget_last(minutes).here

    def forget_last(self, minutes: float) -> Wish:
        """The same, with the request that goes to the vault."""
        return forget.forget(self.card, self.device, minutes, clock=self.clock)

    def _wait(self, done: Callable[[str], bool]) -> bool:
        left_s = OBEY_S
        while not done(doing(self.device.folder, self.clock)):
            if left_s <= 0:
                return False
            self.clock.sleep(0.05)
            left_s -= 0.05
        return True


def _until(left_s: float | None, now_ns: int) -> str:
    if left_s is None:
        return " until you resume"
    end = datetime.fromtimestamp(now_ns / 1e9 + left_s, UTC)
    minutes = max(1, round(left_s / 60))
    return f" for {minutes} min more, until {end:%H:%M} UTC"
