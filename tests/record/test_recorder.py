import os
import signal

import pytest
from recording import SECOND_NS, NumberedCamera, open_parts, pictures, segments, sound

from firsthand.errors import Failed, Locked
from firsthand.record.cameras.camera import Gap, Picture
from firsthand.record.card.card import Card
from firsthand.record.recorder import record, stop_on_signals
from firsthand.segment import iter_events, iter_motion, verify_record


@pytest.fixture(scope="module")
def long_day(tmp_path_factory, make_device):
    """130 s with a burst of sound over the first cut, recorded once for the tests that look."""
    folder = tmp_path_factory.mktemp("long")
    device = make_device(folder / "device")
    card = Card.create(folder / "card")
    camera = NumberedCamera(130, burst_s=(59.8, 60.2))
    recorded = record(camera, card, device)
    return recorded, card, device, camera


def test_every_picture_is_stored_once_and_in_order_across_the_cuts(long_day, keys):
    recorded, card, _, _ = long_day
    shown = [pictures(open_parts(item, keys.ingest)["video"]) for item in segments(card)]
    assert [len(rows) for rows in shown] == [480, 480, 80]
    assert [row.number for rows in shown for row in rows] == list(range(1040))
    assert recorded.frames == 1040
    assert recorded.dropped == 0


def test_each_segment_starts_at_zero_with_a_key_frame_and_has_one_each_second(long_day, keys):
    _, card, _, _ = long_day
    for item in segments(card):
        shown = pictures(open_parts(item, keys.ingest)["video"])
        keyed = [row.time_s for row in shown if row.key]
        assert shown[0].time_s == 0.0
        assert keyed == [float(second) for second in range(len(keyed))]
        assert keyed[-1] + 1 >= shown[-1].time_s


def test_segments_leave_no_hole_between_them(long_day):
    recorded, card, _, camera = long_day
    records = [item.record for item in segments(card)]
    ends = [record.boot_ns_end for record in records]
    assert [record.boot_ns_start for record in records] == [0, *ends[:-1]]
    assert ends == [60 * SECOND_NS, 120 * SECOND_NS, 130 * SECOND_NS]
    assert recorded.footage_ns == 130 * SECOND_NS
    assert records[1].wall_ns_start == camera.wall_ns + 60 * SECOND_NS
    assert {record.longest_gap_ns for record in records} == {SECOND_NS // 8}


def test_all_sound_is_kept_and_a_burst_over_the_cut_is_on_both_sides_of_it(long_day, keys):
    _, card, _, _ = long_day
    first, second, third = segments(card)
    counts = [item.record.media["audio_samples"] for item in (first, second, third)]
    assert counts == [480_000, 480_000, 80_000]
    before = sound(open_parts(first, keys.ingest)["video"], counts[0])
    after = sound(open_parts(second, keys.ingest)["video"], counts[1])
    assert len(before) == counts[0]

    def power(values):
        return sum(value * value for value in values) / len(values)

    assert power(before[-1500:]) > 0.03  # the last 0.19 s are loud
    assert power(before[-4000:-2000]) < 0.002
    assert power(after[100:1500]) > 0.03  # and so are the first
    assert power(after[2200:4000]) < 0.002


def test_motion_and_labels_come_back_as_they_were(long_day, keys):
    _, card, _, _ = long_day
    parts = [open_parts(item, keys.ingest) for item in segments(card)]
    motion = [row for part in parts for row in iter_motion(part["motion"])]
    assert [row[0] for row in motion] == [number * SECOND_NS // 25 for number in range(3250)]
    assert motion[100][1:] == (12.5, 0.5, -0.5, 0.0, 9.75, 0.25)
    labels = [row for part in parts for row in iter_events(part["events"])]
    assert [row["fields"]["noun"] for row in labels] == [f"canary{n}" for n in range(130)]
    assert labels[60]["start_ns"] == 60 * SECOND_NS + SECOND_NS // 2


def test_the_still_is_a_small_jpeg_of_the_first_picture(card, device, keys):
    record(NumberedCamera(1, size=(640, 480), senses=False), card, device)
    still = open_parts(segments(card)[0], keys.ingest)["still"]
    shown = pictures(still)
    assert still.startswith(b"\xff\xd8")
    assert len(shown) == 1
    assert len(still) < 30_000


def test_records_are_signed_and_chained(long_day):
    _, card, device, _ = long_day
    prev = ""
    for number, item in enumerate(segments(card), start=1):
        held = verify_record(item.envelope, device.key.public)
        assert (held.seq, held.prev) == (number, prev)
        assert held.recipient == device.recipient.key_id
        prev = held.hash()


def test_nothing_readable_is_on_the_card_or_in_the_device_folder(long_day, keys):
    _, card, device, _ = long_day
    # Short ones would stand in 2 MB of random bytes by chance.
    canaries = [b"canary", b'"verb"', b"ftypiso6", b"mfhd\0\0\0\0", b"avc1\0\0\0\0", b"x264 - "]
    files = [path for root in (card.path, device.folder) for path in root.rglob("*")]
    held = [path.read_bytes() for path in files if path.is_file()]
    sealed = [path.name for path in files if path.suffix == ".sealed"]
    assert len(sealed) == 12
    opened = b"".join(open_parts(segments(card)[0], keys.ingest).values())
    for canary in canaries:
        assert canary in opened
        assert not [data for data in held if canary in data], canary
    assert not [data for data in held if b"\xff\xd8\xff" in data[:64]]


def test_the_chain_goes_on_over_recordings_in_new_sessions(card, device):
    first = record(NumberedCamera(1), card, device)
    second = record(NumberedCamera(1), card, device)
    one, two = [item.record for item in card.waiting()]
    assert first.session != second.session
    assert (one.session, two.session) == (first.session, second.session)
    assert (one.seq, two.seq, two.prev) == (1, 2, one.hash())


def test_a_gap_ends_the_segment_and_gets_its_own_signed_record(card, device, keys):
    asleep = Gap(2 * SECOND_NS, 5 * SECOND_NS, "asleep")
    recorded = record(NumberedCamera(7, gap=asleep, senses=False), card, device)
    before, gap, after = [item.record for item in card.waiting()]
    assert (before.kind, gap.kind, after.kind) == ("segment", "gap", "segment")
    assert (before.boot_ns_end, after.boot_ns_start) == (gap.boot_ns_start, gap.boot_ns_end)
    assert (gap.boot_ns_start, gap.boot_ns_end) == (asleep.start_ns, asleep.stop_ns)
    assert (gap.reason, gap.prev) == ("asleep", before.hash())
    assert (recorded.segments, recorded.gaps, recorded.frames) == (2, 1, 32)


@pytest.mark.parametrize("size", [(161, 121), (98, 66), (322, 183)])
def test_odd_sizes_are_kept_at_the_even_size_below(size, card, device, keys):
    record(NumberedCamera(0.5, size=size, sound_hz=0, senses=False), card, device)
    item = segments(card)[0]
    width, height = item.record.media["width"], item.record.media["height"]
    assert (width, height) == (size[0] & ~1, size[1] & ~1)
    assert len(pictures(open_parts(item, keys.ingest)["video"])) == 4


def test_a_camera_without_a_clock_gives_records_without_wall_time(card, device):
    record(NumberedCamera(1, wall_ns=None), card, device)
    held = card.waiting()[0].record
    assert (held.wall_quality, held.wall_ns_start, held.wall_ns_end) == ("none", 0, 0)


def test_pictures_that_do_not_advance_are_counted_as_dropped(card, device):
    class Stuttering(NumberedCamera):
        def samples(self):
            for row in super().samples():
                yield row
                if isinstance(row, Picture) and row.time_ns == SECOND_NS:
                    yield row

    recorded = record(Stuttering(2), card, device)
    assert (recorded.frames, recorded.dropped) == (16, 1)


def test_a_camera_that_fails_loses_nothing_that_it_gave(card, device, keys):
    class Failing(NumberedCamera):
        def samples(self):
            for row in super().samples():
                if row.time_ns >= 3 * SECOND_NS:
                    raise Failed("the lens fell off", "pick it up")
                yield row

    with pytest.raises(Failed, match="lens"):
        record(Failing(9), card, device)
    shown = pictures(open_parts(segments(card)[0], keys.ingest)["video"])
    assert [row.number for row in shown] == list(range(24))


def test_stop_closes_the_segment_and_says_so(card, device):
    seen = []
    camera = NumberedCamera(60)
    recorded = record(camera, card, device, stop=lambda: len(seen) > 5, progress=seen.append)
    assert recorded.stopped
    assert recorded.segments == 1
    assert 5 * SECOND_NS <= recorded.footage_ns < 7 * SECOND_NS
    assert not list((card.path / "open").iterdir())


def test_the_first_signal_asks_to_stop_and_the_second_interrupts():
    with stop_on_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_recorder_on_a_card_is_refused(card, device):
    with card.lock("recorder"), pytest.raises(Locked) as caught:
        record(NumberedCamera(1), card, device)
    assert caught.value.hint


def test_a_live_camera_is_padded_and_stays_decodable(card, device, keys):
    camera = NumberedCamera(5, live=True)
    record(camera, card, device)
    item = segments(card)[0]
    parts = open_parts(item, keys.ingest)
    assert [row.number for row in pictures(parts["video"])] == list(range(40))
    assert len(list(iter_motion(parts["motion"]))) == 125
    assert len(list(iter_events(parts["events"]))) == 5
    video = item.record.parts[0].size_bytes
    assert video > 6 * 64 * 1024  # the price of losing less than a second at a low bitrate


def test_records_carry_what_was_asked_of_the_device(card, device):
    record(NumberedCamera(1), card, device)
    held = card.waiting()[0].record
    assert (held.device, held.person, held.policy) == ("d-1", "p-1", "policy-1")
    assert held.media["fps_milli"] == 8000
    assert held.media["audio_hz"] == 8000


def test_pictures_of_changing_size_fit_the_segment(card, device, keys):
    class Zooming(NumberedCamera):
        def samples(self):
            small = NumberedCamera(2, size=(96, 80))
            for row in super().samples():
                if isinstance(row, Picture) and row.time_ns >= SECOND_NS:
                    row = next(
                        other
                        for other in small.samples()
                        if isinstance(other, Picture) and other.time_ns == row.time_ns
                    )
                yield row

    record(Zooming(2), card, device)
    assert len(pictures(open_parts(segments(card)[0], keys.ingest)["video"])) == 16
