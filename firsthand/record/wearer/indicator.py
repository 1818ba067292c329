"""What a device shows of itself: a lamp and a buzz, or lines on a terminal; always the truth.

Every state but darkness is a blinking one. So a lamp that stands still, because what drives it is
dead, never reads as recording. What is true is decided in heartbeat.py.
"""

import sys
from pathlib import Path
from typing import Any, Protocol, TextIO

from firsthand.errors import Failed
from firsthand.record.clock import Clock
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.heartbeat import RECORDING, SILENT, STOPPED, truth

LOOK_S = 0.25
REMIND_S = 300.0  # a pause is easily forgotten
# How the lamp blinks: seconds on and off, in turn. What isn't named here is trouble.
PATTERNS: dict[str, tuple[float, ...]] = {
    RECORDING: (0.1, 1.9),
    "paused": (0.1, 0.2, 0.1, 4.6),
    STOPPED: (),
    SILENT: (),
}
TROUBLE = (0.5, 0.5)
# Buzzes when a state begins, by their number.
BUZZES = {RECORDING: 1, "paused": 2, STOPPED: 3}
BUZZES_TROUBLE = 4


class Lamp(Protocol):
    """Where a state is shown."""

    def light(self, on: bool) -> None:
        """Switch the lamp."""
        ...

    def buzz(self, count: int) -> None:
        """Let the wearer feel so many pulses, without waiting for their end."""
        ...

    def say(self, word: str) -> None:
        """Name the state, where words can be shown."""
        ...


class Indicator:
    """Drives a lamp by what the recorder of a device's folder does; call `tick` often."""

    def __init__(self, folder: Path, lamp: Lamp, clock: Clock | None = None) -> None:
        self.word = ""  # what is shown
        self._folder, self._lamp = folder, lamp
        self._clock = clock or Clock()
        self._control = Control(folder, self._clock)
        self._lit: bool | None = None
        self._looked_ns: int | None = None
        self._since_ns = self._reminded_ns = 0

    def tick(self) -> None:
        """Show what is true now."""
        now_ns = self._clock.boot_ns()
        if self._looked_ns is None or not 0 <= now_ns - self._looked_ns < LOOK_S * 1e9:
            self._looked_ns = now_ns
            self._turn(truth(self._folder, self._control), now_ns)
        if self.word == "paused" and now_ns - self._reminded_ns >= REMIND_S * 1e9:
            self._reminded_ns = now_ns
            self._lamp.buzz(BUZZES["paused"])
            self._lamp.say("still paused: nothing is recorded")
        lit = is_lit(self.word, (now_ns - self._since_ns) / 1e9)
        if lit != self._lit:
            self._lit = lit
            self._lamp.light(lit)

    def _turn(self, word: str, now_ns: int) -> None:
        if word == self.word:
            return
        if self.word or word != STOPPED:  # nothing to tell of a device that has not begun
            self._lamp.buzz(BUZZES.get(word, BUZZES_TROUBLE))
        self.word, self._since_ns, self._reminded_ns = word, now_ns, now_ns
        self._lamp.say(word)


def is_lit(word: str, at_s: float) -> bool:
    """Whether the lamp is on, so long after this state began."""
    pattern = PATTERNS.get(word, TROUBLE)
    if not pattern:
        return False
    at_s %= sum(pattern)
    for number, length_s in enumerate(pattern):
        if at_s < length_s:
            return number % 2 == 0
        at_s -= length_s
    return False


class TextLamp:
    """A terminal: one line for each change."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr

    def light(self, on: bool) -> None:
        """Nothing blinks here."""

    def buzz(self, count: int) -> None:
        """Nothing can be felt here."""

    def say(self, word: str) -> None:
        """Print it."""
        print(word, file=self._out, flush=True)


class PinLamp:
    """An LED, and perhaps a haptic motor, on pins of a Raspberry Pi (BCM numbers)."""

    PULSE_S = 0.15

    def __init__(self, led: int | None, haptic: int | None = None) -> None:
        outputs = pins()
        try:
            self._led = None if led is None else outputs.LED(led)
            self._haptic = None if haptic is None else outputs.DigitalOutputDevice(haptic)
        except Exception as error:  # of gpiozero, and of whatever drives its pins
            raise no_pins(error) from error

    def light(self, on: bool) -> None:
        """Switch the LED."""
        if self._led:
            self._led.value = on

    def buzz(self, count: int) -> None:
        """Pulses of the motor."""
        if self._haptic:
            self._haptic.blink(self.PULSE_S, self.PULSE_S, count)

    def say(self, word: str) -> None:
        """There are no words here."""

    def close(self) -> None:
        """Let go of the pins."""
        for pin in (self._led, self._haptic):
            if pin:
                pin.close()


def pins() -> Any:
    """gpiozero, which only a device with pins needs; Failed without it."""
    try:
        import gpiozero
    except ImportError as error:
        raise Failed(
            "this computer has no gpiozero to drive pins with",
            'on a Raspberry Pi: "apt install python3-gpiozero python3-lgpio"; else name no pins',
        ) from error
    return gpiozero


def no_pins(error: Exception) -> Failed:
    """What an error of gpiozero means to its wearer."""
    return Failed(f"the pins cannot be used: {error}", "check their numbers (BCM), and the wiring")
