"""The button and the lamp's pins, on gpiozero's own simulated pins."""

import sys

import pytest
from moment import SECOND_NS, Moment

from firsthand.errors import Failed
from firsthand.record.wearer import button, indicator
from firsthand.record.wearer.button import PinButton, Presses, watch
from firsthand.record.wearer.indicator import PinLamp

gpiozero = pytest.importorskip("gpiozero")


@pytest.fixture
def pins(monkeypatch):
    from gpiozero.pins.mock import MockFactory

    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    yield factory
    factory.reset()


class Asked:
    """A wearer's device that notes what it was asked."""

    def __init__(self):
        self.done, self.paused, self.broken = [], False, False

    def is_paused(self):
        return self.paused

    def _do(self, what):
        if self.broken:
            raise Failed("the card is gone")
        self.done.append(what)
        return True

    def bookmark(self):
        return self._do("bookmark")

    def pause(self):
        self.paused = True
        return self._do("pause")

    def resume(self):
        self.paused = False
        return self._do("resume")

    def forget(self, minutes):
        return self._do(f"forget {minutes:g}")


class Felt:
    def __init__(self):
        self.buzzes = []

    def buzz(self, count):
        self.buzzes.append(count)


def press(presses, seconds, from_s=0.0):
    """Down for so long, looked at every 20 ms; returns when it was let go."""
    at_s = from_s
    while at_s < from_s + seconds:
        presses.see(True, round(at_s * 1e9))
        at_s += 0.02
    for _ in range(5):
        presses.see(False, round(at_s * 1e9))
        at_s += 0.02
    return at_s


@pytest.mark.parametrize(
    ("seconds", "paused", "done", "buzzes"),
    [
        (0.1, False, ["bookmark"], [1]),
        (0.7, False, ["bookmark"], [1]),
        (0.9, False, ["pause"], [2]),
        (4.5, False, ["pause"], [2]),
        (5.5, False, ["pause", "forget 15"], [2, 3]),
        (0.9, True, ["resume"], [1]),
        (5.5, True, ["forget 15"], [3]),
        (30.0, False, ["pause", "forget 15"], [2, 3]),
    ],
)
def test_how_long_it_is_pressed_says_what_is_meant(seconds, paused, done, buzzes):
    wearer, lamp = Asked(), Felt()
    wearer.paused = paused
    press(Presses(wearer, lamp), seconds)
    assert (wearer.done, lamp.buzzes) == (done, buzzes)


def test_a_pause_does_not_wait_for_the_release():
    wearer = Asked()
    presses = Presses(wearer, Felt())
    for at in range(42):
        presses.see(True, at * SECOND_NS // 50)
    assert wearer.done == ["pause"]


def test_a_bouncing_contact_is_one_press():
    wearer = Asked()
    presses, at_ns = Presses(wearer, Felt()), 0
    for pressed in [True, False, True, False, True] * 3 + [False] * 9:
        presses.see(pressed, at_ns)
        at_ns += SECOND_NS // 200
    assert wearer.done == ["bookmark"]


def test_two_presses_are_two():
    wearer = Asked()
    presses = Presses(wearer, Felt())
    press(presses, 0.9, press(presses, 0.9))
    assert wearer.done == ["pause", "resume"]


def test_what_fails_is_told_and_not_felt():
    wearer, lamp, told = Asked(), Felt(), []
    wearer.broken = True
    press(Presses(wearer, lamp, told.append), 0.1)
    assert lamp.buzzes == []
    assert told == ["bookmark failed: the card is gone"]


def test_the_pins_are_read_and_driven(pins):
    wearer = Asked()
    lamp, pin = PinLamp(27, 22), PinButton(17)
    clock, states = Moment(), iter([True] * 50 + [False] * 10)

    def pressed():
        state = next(states, None)
        if state is not None:
            pins.pin(17).drive_low() if state else pins.pin(17).drive_high()
        return pin.is_pressed()

    lit = []

    def tick():
        lamp.light(len(lit) % 2 == 0)
        lit.append(pins.pin(27).state)

    watch(Presses(wearer, lamp), pressed, tick, lambda: len(lit) >= 60, clock)
    assert wearer.done == ["pause"]
    assert set(lit) == {0, 1}
    assert lit[0] == 1
    lamp.close()
    pin.close()


def test_without_gpiozero_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(Failed, match="no gpiozero") as caught:
        PinLamp(27)
    assert "python3-gpiozero" in caught.value.hint


def test_a_pin_that_does_not_exist_is_an_error(pins):
    for make in (lambda: PinButton(99), lambda: PinLamp(99), lambda: PinLamp(None, 99)):
        with pytest.raises(Failed, match="cannot be used"):
            make()


def test_nothing_is_imported_before_a_pin_is_named():
    assert "gpiozero" not in vars(indicator)
    assert "gpiozero" not in vars(button)
