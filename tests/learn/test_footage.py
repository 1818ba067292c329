import json
from dataclasses import replace

import numpy as np
import pytest
from lives import release, sample

from firsthand.errors import Damaged
from firsthand.learn.clips import Eye, read_clip, shift
from firsthand.learn.evaluate import evaluate
from firsthand.learn.footage import streams_of
from firsthand.learn.tokeniser import (
    BLANK,
    Measured,
    fit_tokeniser,
    load_tokeniser,
    save_tokeniser,
)
from firsthand.learn.train import train

DAY_S, SECOND_NS = 86_400, 10**9
START_NS = 1_767_600_000 * SECOND_NS


def samples(person, days, labelled, seconds=12):
    seed = ord(person[0])
    return [
        sample(person, START_NS + day * DAY_S * SECOND_NS, seconds, seed + day, labelled)
        for day in range(days)
    ]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    return release(folder / "r", {p: samples(p, 4, True) for p in ("ann", "bob")})


def test_labelled_actions_become_steps_with_what_was_sensed_before(labelled, tmp_path):
    ann, bob = streams_of(labelled, tmp_path / "t")
    assert (ann.person, bob.person, ann.kind) == ("ann", "bob", "events")
    assert ann.own == ("verb", "noun")
    assert [s.own for s in ann.steps[:2]] == [("fill", "kettle"), ("pour", "tea")]
    assert ann.steps[0].start_ns == START_NS + SECOND_NS
    assert ann.recordings() == ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"]
    assert ann.steps[0].gap == "start"
    assert ann.lineage["release"] == "r1"
    assert ann.lineage["log_index"] == 7
    assert all(BLANK not in s.world for s in ann.steps)


def test_a_stored_tokeniser_gives_the_same_streams(labelled, tmp_path):
    first = streams_of(labelled, tmp_path / "t")
    assert streams_of(labelled, tmp_path / "t", fitted=True) == first


def test_without_labels_seconds_become_steps_of_the_wearers_own_slots(tmp_path):
    folder = release(tmp_path / "r", {"ann": samples("ann", 1, False, seconds=20)})
    (stream,) = streams_of(folder, tmp_path / "t")
    assert (stream.kind, stream.own, len(stream)) == ("ticks", ("motion", "sound"), 20)
    out = tmp_path / "m"
    train(folder, None, out, updates=3)
    result = evaluate(out)
    assert result["target"] == "own_slots"
    assert result["nats_per_action"] is None
    assert result["claim"] == "none"
    assert np.isfinite([result["nats_per_own_slot"], *result["baselines"].values()]).all()


def test_training_on_a_release_records_where_it_came_from(labelled, tmp_path):
    out = tmp_path / "m"
    train(labelled, None, out, updates=3)
    lineage = json.loads((out / "config.json").read_text())["lineage"]
    assert (lineage["release"], lineage["log_index"], lineage["run"]) == ("r1", 7, "run1")
    assert evaluate(out)["steps"] == evaluate(out, release=labelled)["steps"] == 8


def look(before, after, at_s):
    """What is sensed at a time of a life whose first sample is followed by another."""
    eye = Eye()
    eye.turn_to(read_clip(before))
    eye.turn_to(read_clip(after))
    return eye.look(START_NS + round(at_s * SECOND_NS))


def test_nothing_that_happens_at_or_after_a_time_is_sensed_before_it():
    first = sample("ann", START_NS, 4, 1, True)
    now = sample("ann", START_NS + 4 * SECOND_NS, 4, 2, True)
    other = sample("ann", START_NS + 4 * SECOND_NS, 4, 3, True)
    for left, right in zip(look(first, now, 4.0), look(first, other, 4.0), strict=True):
        assert np.array_equal(left, right, equal_nan=True)
    left, right = look(first, now, 6.5), look(first, other, 6.5)
    assert not np.array_equal(left[0], right[0])
    assert not np.array_equal(left[2], right[2])


def test_the_picture_sensed_is_the_last_one_that_has_ended():
    clip = read_clip(sample("ann", START_NS, 4, 1, True))
    eye = Eye()
    eye.turn_to(clip)
    assert np.array_equal(eye.look(START_NS + 1_000_000_000)[0], clip.pictures[3])
    assert np.array_equal(eye.look(START_NS + 999_000_000)[0], clip.pictures[2])


def test_across_a_gap_nothing_is_remembered():
    eye = Eye()
    eye.turn_to(read_clip(sample("ann", START_NS, 4, 1, True)))
    clip = replace(read_clip(sample("ann", START_NS + 9 * SECOND_NS, 4, 2, True)), gap="withheld")
    eye.turn_to(clip)
    picture, sound, imu, _ = eye.look(clip.start_ns)
    assert not picture.any()
    assert np.isnan(sound).all()
    assert np.isnan(imu).all()


def test_a_damaged_sample_is_told_by_name():
    whole = sample("ann", START_NS, 4, 1, True)
    with pytest.raises(Damaged, match=whole.id):
        read_clip(replace(whole, files=whole.files | {"clip.mp4": b"no video"}))


def test_the_shift_of_a_picture_is_found():
    chance = np.random.default_rng(0)
    picture = np.kron(chance.random((12, 16)), np.ones((4, 4))) * 200
    moved = np.roll(picture, (2, -3), axis=(0, 1))
    assert shift(picture, moved) == (-3.0, 2.0)


def test_tokens_are_reproducible_stored_and_bounded(tmp_path):
    chance = np.random.default_rng(0)
    measured = Measured()
    for number in range(60):
        picture = np.full(4608, 40 + 150 * (number % 2)) + chance.integers(0, 30, 4608)
        flow = np.full(5, np.nan)
        measured.add(
            (picture.astype(np.uint8), chance.normal(size=8), chance.normal(size=12), flow)
        )
    tokeniser = fit_tokeniser(measured)
    assert fit_tokeniser(measured).digest == tokeniser.digest
    save_tokeniser(tokeniser, tmp_path / "t")
    again = load_tokeniser(tmp_path / "t")
    assert again.digest == tokeniser.digest
    scenes = again.scenes(measured.pictures)
    dark, bright = ({s[0] for s in scenes[i::2]} for i in (0, 1))
    assert not dark & bright
    assert {level for s in scenes for level in s[1:]} <= set("01234")
    assert again.scenes([np.zeros(4608, dtype=np.uint8)])[0][0] == BLANK
    bodies = again.bodies(measured.imu, measured.flow)
    assert len(set(bodies)) > 8
    assert again.bodies([np.full(12, np.nan)], [np.full(5, np.nan)]) == [BLANK]
