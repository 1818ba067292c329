import io

import av
import numpy as np
import pytest

from firsthand import log
from firsthand.consent import erasure
from firsthand.consent.capture import withhold
from firsthand.release import erase, repeats, worn
from firsthand.release.tables import looked, pictures
from firsthand.vault import catalog

SECOND = 10**9
START_S = 1_793_520_000
SIZE = (64, 48)


def scene(seed, count=20):
    """Pictures of a walk: something new in each second."""
    chance = np.random.default_rng(seed)
    return [np.kron(chance.integers(0, 255, (12, 16)), np.ones((4, 4))) for _ in range(count)]


def still(level=128, count=20, noise=0, seed=0):
    chance = np.random.default_rng(seed)
    desk = np.kron(np.random.default_rng(9).integers(0, 255, (12, 16)), np.ones((4, 4)))
    base = desk if level is None else np.full((48, 64), level)
    return [np.clip(base + noise * chance.normal(size=(48, 64)), 0, 255) for _ in range(count)]


def film(pictures, quality=20):
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.gop_size = 4
        stream.options = {"crf": str(quality), "preset": "ultrafast", "threads": "1"}
        for picture in pictures:
            grey = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="gray")
            for _ in range(4):
                target.mux(stream.encode(grey.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return out.getvalue()


@pytest.fixture
def wear(vault, device):
    """Hands in footage of these pictures, `start_s` after the morning."""

    def hand_in(pictures, start_s, wearer=device, **film_args):
        video = film(pictures, **film_args)
        made = wearer.seal({"video": video}, start_s=start_s, length_s=len(pictures))
        return wearer.hand_in(made)

    return hand_in


def accepted(vault, person, percent=25):
    with vault.db.read() as connection:
        return sum(worn.seconds(connection, person.id, percent).values())


def test_what_was_recorded_once_through_an_open_lens_counts_in_full(vault, person, wear):
    wear(scene(1), 0)
    wear(scene(2), 20)
    assert accepted(vault, person) == 0  # nobody has looked yet
    assert worn.look(vault) == 2
    assert worn.look(vault) == 0
    assert accepted(vault, person) == 40


@pytest.mark.parametrize("quality", [20, 32])
def test_the_same_footage_again_counts_once_even_coded_anew(vault, person, wear, quality):
    wear(scene(1), 0)
    wear(scene(2), 20)
    wear(scene(1), 4000, quality=quality)
    worn.look(vault)
    assert 40 <= accepted(vault, person) <= 43


def test_a_loop_counts_once(vault, person, wear):
    for turn in range(5):
        wear(scene(1) * 2, 40 * turn)
    worn.look(vault)
    assert 20 <= accepted(vault, person) <= 22


def test_somebody_elses_footage_counts_for_one(vault, person, make_device, wear):
    other = vault.add_person("bea", "sim")
    theirs = make_device(other, "d2")
    wear(scene(1), 0)
    wear(scene(1), 300, wearer=theirs)
    worn.look(vault)
    assert accepted(vault, person) + accepted(vault, other) <= 22


def test_a_lens_cap_counts_nothing_and_a_day_at_a_desk_counts_in_full(vault, person, wear):
    wear(still(16), 0)
    wear(still(90, noise=2), 20)
    worn.look(vault)
    assert accepted(vault, person) == 0
    for turn in range(4):
        wear(still(None, noise=3, seed=turn), 100 + 20 * turn)
    worn.look(vault)
    assert accepted(vault, person) == 80


def test_seconds_without_a_picture_count_nothing_and_stop_nobody(
    vault, person, device, make_device
):
    device.hand_in(device.seal({"events": b"\n"}, 0))
    device.hand_in(device.seal({"video": b"no film"}, 60))
    device.hand_in(device.seal({"video": film(scene(1))}, 120, length_s=60))
    other = vault.add_person("bea", "sim")
    theirs = make_device(other, "d2")
    theirs.hand_in(theirs.seal({"video": film(scene(2))}, 0, length_s=20))
    assert worn.look(vault) == 4
    assert accepted(vault, person) == 20
    assert accepted(vault, other) == 20


def test_withheld_time_counts_up_to_its_share_and_is_not_looked_at(vault, person, wear):
    for turn in range(5):
        wear(scene(turn), 20 * turn)
    with vault.db.write() as connection:
        start_ns = START_S * SECOND
        withhold.withhold(connection, person, start_ns, start_ns + 40 * SECOND)
    assert worn.look(vault) == 3
    assert accepted(vault, person, 25) == 75
    assert accepted(vault, person, 100) == 100
    assert accepted(vault, person, 0) == 60


def test_two_devices_at_once_count_once(vault, person, make_device, wear):
    second = make_device(person, "d2")
    wear(scene(1), 0)
    wear(scene(2), 5, wearer=second)
    worn.look(vault)
    assert accepted(vault, person) == 25


def test_a_look_is_in_the_wearers_log_and_its_keys_show_no_picture(vault, person, wear):
    wear(scene(1), 0)
    worn.look(vault)
    with vault.db.read() as connection:
        reads = [one for one in log.read(connection, person=person.id) if one.kind == "read"]
        kept = {row.key for row in connection.execute(pictures.select())}
    assert [one.private["who"] for one in reads] == ["ledger"]
    assert kept
    assert not kept & set(repeats.keys(film(scene(1)), b"another secret"))


def test_keys_of_erased_segments_go(vault, person, wear):
    wear(scene(1), 0)
    worn.look(vault)
    with vault.db.write() as connection:
        spans = catalog.spans(connection, person.id)
        order = erasure.order(connection, person, segments=[spans[0].id], now_ns=vault.now_ns())
    erase.carry_out(vault, order)
    with vault.db.read() as connection:
        for table in (looked, pictures):
            assert connection.execute(table.select()).all() == []


def test_chance_meetings_are_no_repetition():
    before = {key: [100 * key] for key in range(40)}
    here = [(10_000 + 37 * key, key) for key in range(40)]
    assert repeats.repeated(here, before) == set()
    moved = [(50_000 + 100 * key, key) for key in range(40)]
    assert len(repeats.repeated(moved, before)) == 40
