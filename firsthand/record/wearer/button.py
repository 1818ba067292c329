"""One button for everything, by how long it is pressed.

    short (under 0.8 s)   bookmark
    long                  pause until resumed, at 0.8 s and not at release: privacy can't wait;
                          while paused: resume, at release
    very long (5 s)       forget the last 15 minutes; the device stays paused

A buzz says that it was done: one for a bookmark and for recording again, two for a pause, three
for forgotten.
"""

from collections.abc import Callable
from typing import Any, Protocol

from firsthand.errors import Error
from firsthand.record.clock import Clock
from firsthand.record.wearer.indicator import Lamp, no_pins, pins

LONG_S, VERY_LONG_S = 0.8, 5.0
BOUNCE_S = 0.03
FORGET_MINUTES = 15.0


class Wearer(Protocol):
    """What a press can ask for; each says whether it was done."""

    def is_paused(self) -> bool:
        """Whether nothing is kept now."""
        ...

    def bookmark(self) -> bool:
        """Mark this moment."""
        ...

    def pause(self) -> bool:
        """Keep nothing until resumed."""
        ...

    def resume(self) -> bool:
        """Record again."""
        ...

    def forget(self, minutes: float) -> bool:
        """Forget the last minutes."""
        ...


class Presses:
    """Turns a button's state into what its presses mean; call `see` many times a second."""

    def __init__(
        self, wearer: Wearer, lamp: Lamp, tell: Callable[[str], None] = lambda line: None
    ) -> None:
        self._wearer, self._lamp, self._tell = wearer, lamp, tell
        self._down_ns: int | None = None
        self._up_ns: int | None = None
        self._was_paused = False
        self._done = ""  # by this press: pause or forget

    def see(self, pressed: bool, now_ns: int) -> None:
        """The button is, or is not, pressed at this time."""
        if pressed:
            self._up_ns = None
            if self._down_ns is None:
                self._down_ns, self._done = now_ns, ""
                self._was_paused = self._wearer.is_paused()
            self._held(now_ns - self._down_ns)
        elif self._down_ns is not None:
            self._up_ns = now_ns if self._up_ns is None else self._up_ns
            if now_ns - self._up_ns >= BOUNCE_S * 1e9:
                self._released(self._up_ns - self._down_ns)
                self._down_ns = self._up_ns = None

    def _held(self, held_ns: int) -> None:
        if held_ns >= VERY_LONG_S * 1e9 and self._done != "forget":
            self._done = "forget"
            self._do("forget", lambda: self._wearer.forget(FORGET_MINUTES), 3)
        elif held_ns >= LONG_S * 1e9 and not self._done and not self._was_paused:
            self._done = "pause"
            self._do("pause", self._wearer.pause, 2)

    def _released(self, held_ns: int) -> None:
        if self._done:
            return
        if held_ns >= LONG_S * 1e9:
            self._do("resume", self._wearer.resume, 1)
        else:
            self._do("bookmark", self._wearer.bookmark, 1)

    def _do(self, name: str, work: Callable[[], bool], pulses: int) -> None:
        try:
            if work():
                self._lamp.buzz(pulses)
                self._tell(f"{name} done")
                return
            self._tell(f"{name} not done")
        except Error as error:
            self._tell(f"{name} failed: {error.message}")


class PinButton:
    """A push button between a pin (BCM number) and ground."""

    def __init__(self, pin: int) -> None:
        try:
            self._button: Any = pins().Button(pin, pull_up=True)
        except Error:
            raise
        except Exception as error:  # of gpiozero, and of whatever drives its pins
            raise no_pins(error) from error

    def is_pressed(self) -> bool:
        """Whether it is held down now."""
        return bool(self._button.is_pressed)

    def close(self) -> None:
        """Let go of the pin."""
        self._button.close()


def watch(
    presses: Presses,
    pressed: Callable[[], bool],
    tick: Callable[[], None],
    stop: Callable[[], bool],
    clock: Clock,
    tick_s: float = 0.02,
) -> None:
    """Look at the button, and call `tick`, until `stop` says so."""
    while not stop():
        presses.see(pressed(), clock.boot_ns())
        tick()
        clock.sleep(tick_s)
