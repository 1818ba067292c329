"""The wearer's word: what it says, how long it holds, and that no restart bends it."""

import json
import os
import stat
import threading

import pytest
from moment import NOW_NS, SECOND_NS, Moment

from firsthand.errors import Failed, Usage
from firsthand.record.wearer.control import NOTE_S, Control

MINUTE_NS = 60 * SECOND_NS


@pytest.fixture
def clock():
    return Moment()


@pytest.fixture
def control(tmp_path, clock):
    return Control(tmp_path, clock)


def anew(control):
    """As another process, or the next start, reads it."""
    return Control(control.path.parent, control.clock)


def reboot(clock, on_s=5.0, off_s=0.0, boot="boot-2"):
    wall_ns = clock.wall_ns() + round(off_s * 1e9)
    clock.boot, clock.now_ns = boot, round(on_s * 1e9)
    clock.wall_at_boot_ns = wall_ns


def test_nothing_is_asked_of_a_new_device(control):
    assert control.hold() == ""
    assert control.paused() is None
    assert not control.path.exists()


def test_a_pause_holds_from_the_press_to_its_end(control, clock):
    control.pause(900)
    assert control.hold() == "paused"
    clock.now_ns += 900 * SECOND_NS - 1
    assert control.hold() == "paused"
    clock.now_ns += 1
    assert control.hold() == ""


def test_until_resumed_means_that(control, clock):
    control.pause(None)
    reboot(clock, off_s=10**7)
    assert anew(control).hold() == "paused"
    clock.now_ns += 10**6 * MINUTE_NS
    other = anew(control)
    assert other.hold() == "paused"
    assert other.resume()
    assert anew(control).hold() == ""
    assert not other.resume()


def test_another_process_is_heard_at_once(control):
    other = anew(control)
    assert other.hold() == ""
    control.pause(60)
    assert other.hold() == "paused"
    control.resume()
    assert other.hold() == ""


def test_a_new_pause_takes_the_place_of_the_old(control, clock):
    control.pause(3600)
    control.pause(60)
    clock.now_ns += MINUTE_NS
    assert control.hold() == ""


def test_it_is_on_the_disk_before_the_call_returns(control, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), real(handle)))
    control.pause(60)
    assert len(synced) >= 2  # the file and its folder
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v":9}', '{"v":1,"pause":{"x":1}}', "\0" * 99])
def test_what_cannot_be_read_holds_until_the_wearer_resumes(control, clock, text):
    control.path.write_text(text)
    assert control.hold() == "paused"
    clock.now_ns += 10**4 * MINUTE_NS
    assert anew(control).hold() == "paused"
    anew(control).resume()
    assert control.hold() == ""


def test_a_pause_that_cannot_be_written_is_an_error(control):
    control.path.parent.chmod(0o700)
    control.path.with_name("control.json.new").mkdir()
    with pytest.raises(Failed, match="cannot be written"):
        control.pause(60)


@pytest.mark.parametrize("seconds", [0, -5, 86401])
def test_a_pause_is_no_longer_than_a_day(control, seconds):
    with pytest.raises(Usage):
        control.pause(seconds)


# Over a restart of the device, whose boot clock begins anew.


def test_a_pause_goes_on_after_a_restart_with_what_was_left(control, clock):
    clock.quality = "fake"
    control.pause(900)
    for _ in range(20):  # the recorder asks, and notes how much is left
        clock.now_ns += 30 * SECOND_NS
        assert control.hold() == "paused"
    reboot(clock, on_s=5, off_s=3600)
    other = anew(control)
    rest_s = other.paused().rest_ns(clock) / 1e9
    assert 300 - 5 <= rest_s <= 300 - 5 + NOTE_S
    clock.now_ns = round((300 + NOTE_S) * 1e9)
    assert other.hold() == ""


def test_a_pause_ends_by_the_date_where_it_is_known(control, clock):
    control.pause(900)
    reboot(clock, on_s=5, off_s=3600)
    assert anew(control).hold() == ""


def test_a_pause_never_ends_early_and_never_lasts_for_ever(control, clock):
    """Restarts at bad moments, with wrong dates: only time in which it is on counts."""
    clock.quality = "fake"
    began_ns = clock.wall_ns()
    control.pause(900)
    true_ns, on_ns, boots = 0, 0, 1
    other = control
    while other.hold() == "paused":
        clock.now_ns += 37 * SECOND_NS
        true_ns, on_ns = true_ns + 37 * SECOND_NS, on_ns + 37 * SECOND_NS
        if boots % 3 == 0:
            reboot(clock, on_s=2, boot=f"boot-{boots + 1}")
            other = anew(control)
            true_ns += 7 * SECOND_NS
        boots += 1
        assert on_ns < 3 * 900 * SECOND_NS
    assert true_ns >= 900 * SECOND_NS - 37 * SECOND_NS
    assert on_ns <= 900 * SECOND_NS + boots * round((NOTE_S + 37) * 1e9)
    assert began_ns


def test_a_pause_that_is_over_stays_over_after_a_restart(control, clock):
    clock.quality = "fake"
    control.pause(60)
    clock.now_ns += 2 * MINUTE_NS
    assert control.hold() == ""
    reboot(clock, on_s=1)
    assert anew(control).hold() == ""


def test_a_boot_clock_that_passed_by_is_told_apart_by_its_name(control, clock):
    """The new boot's clock may stand later than the old one's did at the press."""
    clock.now_ns = 10 * SECOND_NS
    clock.quality = "fake"
    control.pause(900)
    reboot(clock, on_s=500)
    assert anew(control).paused().rest_ns(clock) == (900 - 500) * SECOND_NS


def test_when_it_ended_is_known_exactly(control, clock):
    control.pause(60)
    clock.now_ns += 5 * MINUTE_NS
    control.hold()
    assert control.resumed_ns() == (100 + 60) * SECOND_NS
    control.pause(None)
    clock.now_ns += MINUTE_NS
    control.resume()
    assert anew(control).resumed_ns() == clock.now_ns
    reboot(clock)
    assert anew(control).resumed_ns() == 0


# Marks and requests to forget.


def test_a_mark_is_given_once_and_not_after_a_restart(control):
    recorder = anew(control)
    control.mark("  first words ")
    control.mark()
    assert [mark.label for mark in recorder.new_marks()] == ["first words", "bookmark"]
    assert recorder.new_marks() == []
    assert anew(control).new_marks() == []


@pytest.mark.parametrize("label", ["", " ", "x" * 81, "a\nb", "\x1b[1m"])
def test_a_label_is_short_and_printable(control, label):
    with pytest.raises(Usage):
        control.mark(label)


def test_old_marks_are_dropped(control):
    for number in range(50):
        control.mark(str(number))
    marks = json.loads(control.path.read_bytes())["marks"]
    assert [mark["label"] for mark in marks] == [str(number) for number in range(30, 50)]


def test_a_call_to_forget_is_heard_once(control):
    recorder = anew(control)
    control.call_to_forget()
    assert recorder.must_forget()
    assert not recorder.must_forget()


def test_nothing_said_at_once_is_lost(control):
    """Many processes of the owner speak at the same time."""
    threads = [threading.Thread(target=anew(control).mark, args=(str(n),)) for n in range(12)]
    recorder = anew(control)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(mark.label for mark in recorder.new_marks()) == sorted(map(str, range(12)))


def test_noting_what_is_left_takes_back_nothing(control, clock):
    """The recorder writes down the rest of a pause while the wearer resumes."""
    recorder = anew(control)
    control.pause(900)
    recorder.hold()
    seen = recorder.paused()
    control.resume()
    recorder._note(seen)
    assert anew(control).hold() == ""
    assert NOW_NS
