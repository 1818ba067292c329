"""The wearer's controls on their page, for a device on this very computer."""

import pytest
from rig import FakeDevice

from firsthand.cli.locally import enrol_here
from firsthand.consent import erasure
from firsthand.record.recorder import Recorded
from firsthand.record.wearer import heartbeat
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.heartbeat import Heart

HOUR_NS = 3600 * 10**9


@pytest.fixture(scope="module")
def here(home):
    """A device of Ana's on this computer."""
    return enrol_here(home.vault, home.ana)


@pytest.fixture
def control(here) -> Control:
    control = Control(here.folder)
    control.resume()
    return control


def at(home, here, verb: str) -> str:
    return f"/people/{home.ana.id}/controls/{here.name}/{verb}"


def page(home) -> str:
    answer = home.get(f"/people/{home.ana.id}")
    assert answer.status == 200
    return answer.text


def test_a_person_without_a_device_here_sees_no_controls(home):
    assert "Your device" not in home.get(f"/people/{home.bo.id}").text


@pytest.mark.parametrize(
    ("named", "left_s"), [("15m", (890, 900)), ("1h", (3590, 3600)), ("until-resumed", None)]
)
def test_pause_and_resume(home, here, control, named, left_s):
    answer = home.post(at(home, here, "pause"), {"for": named})
    assert (answer.status, answer.headers["location"]) == (303, f"/people/{home.ana.id}#device")
    rest_ns = control.paused().rest_ns(control.clock)
    if left_s:
        assert left_s[0] <= rest_ns / 1e9 <= left_s[1]
    else:
        assert rest_ns is None
    assert "nothing is recorded" in page(home)
    assert home.post(at(home, here, "resume"), {}).status == 303
    assert control.paused() is None
    assert ">Resume<" not in page(home)


def test_the_page_says_what_is_true(home, here, control):
    assert '<p role="status">stopped.' in page(home)
    heart = Heart(here.folder, Recorded("s").session)
    heart.beat(heartbeat.RECORDING, 0)
    shown = page(home)
    assert '<span class="badge yes">recording</span>' in shown
    assert "Mark this moment" in shown
    control.pause(None)
    assert '<span class="badge no">not recording</span>' in page(home)
    heart.stop()


def test_a_bookmark_needs_a_recording(home, here, control):
    refused = home.post(at(home, here, "bookmark"), {"label": "here"})
    assert refused.status == 500
    assert "nothing to mark" in refused.text
    heart = Heart(here.folder, "s")
    heart.beat(heartbeat.RECORDING, 0)
    recorder = Control(here.folder)
    assert home.post(at(home, here, "bookmark"), {"label": "here"}).status == 303
    assert [mark.label for mark in recorder.new_marks()] == ["here"]
    heart.stop()


def test_forget_puts_the_request_on_the_card(home, here, control):
    assert home.post(at(home, here, "forget"), {"minutes": "15"}).status == 303
    assert "to be forgotten in the vault too" in page(home)


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("pause", {}),
        ("pause", {"for": "ever"}),
        ("forget", {"minutes": "-5"}),
        ("forget", {"minutes": "9999"}),
        ("dance", {}),
    ],
)
def test_what_no_button_says_is_refused(home, here, control, verb, form):
    assert home.post(at(home, here, verb), form).status == 400
    assert control.paused() is None


def test_nobody_elses_page_moves_this_device(home, here, control):
    path = f"/people/{home.bo.id}/controls/{here.name}/pause"
    assert home.post(path, {"for": "1h"}).status == 404
    assert home.post(at(home, here, "pause"), {"for": "1h"}, **{"Sec-Fetch-Site": "cross-site"})
    assert control.paused() is None


@pytest.fixture(scope="module")
def elsewhere(home) -> str:
    """Bo's device, which is on no folder of this computer."""
    return FakeDevice(home.vault, home.bo, "bos").id


def test_a_device_elsewhere_is_left_word_to_pause(home, elsewhere):
    path = f"/people/{home.bo.id}"
    assert "Devices elsewhere" in home.get(path).text
    answer = home.post(f"{path}/controls/{elsewhere}/pause", {"for": "15m"})
    assert (answer.status, answer.headers["location"]) == (303, f"{path}#elsewhere")
    shown = home.get(path).text
    assert "to pause for 15 min: takes effect when the device is next in contact" in shown
    assert f"device {elsewhere} asked to pause" in shown


def test_what_is_forgotten_for_a_device_elsewhere_is_refused_when_it_comes(home, elsewhere):
    path = f"/people/{home.bo.id}"
    now_ns = home.vault.now_ns()
    form = {"minutes": "5"}
    assert home.post(f"{path}/controls/{elsewhere}/forget", form).status == 303
    with home.vault.db.read() as connection:
        assert erasure.covers(connection, home.bo.id, now_ns - 60 * 10**9, now_ns)
        assert not erasure.covers(connection, home.bo.id, now_ns - HOUR_NS, now_ns - HOUR_NS + 1)


@pytest.mark.parametrize("verb", ["resume", "bookmark", "dance"])
def test_no_word_is_left_to_record_again(home, elsewhere, verb):
    path = f"/people/{home.bo.id}/controls/{elsewhere}/{verb}"
    assert home.post(path, {"label": "x"}).status == 400
