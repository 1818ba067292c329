from itertools import pairwise

import numpy as np
import pytest
from looks import filmed

from firsthand.errors import Usage
from firsthand.learn.tokens.egomotion import (
    FELT,
    SEEN,
    STILL,
    EgoMotion,
    Motion,
    estimate,
    felt,
    fit_egomotion,
    seen,
    shift,
    warp,
)
from firsthand.learn.tokens.scale import BLANK


def picture(seed=0):
    """A picture [48, 64] of soft blots."""
    chance = np.random.default_rng(seed)
    coarse = np.kron(chance.random((12, 16)), np.ones((4, 4))) * 200
    return warp(coarse, Motion(0.5, 0.5))[0]


@pytest.mark.parametrize(
    "motion",
    [
        Motion(5.0, -3.0),
        Motion(-9.5, 2.25),
        Motion(0.0, 0.0, turn=0.12),
        Motion(1.0, 2.0, turn=-0.05, zoom=0.1),
        Motion(-2.0, 0.0, zoom=-0.12),
    ],
)
def test_shift_turn_and_zoom_are_found(motion):
    found = estimate(picture(), warp(picture(), motion)[0])
    assert (found.across, found.down) == pytest.approx((motion.across, motion.down), abs=0.2)
    assert (found.turn, found.zoom) == pytest.approx((motion.turn, motion.zoom), abs=0.01)


def test_a_hand_that_moves_on_its_own_does_not_drag_the_motion_along():
    before, after = picture(), warp(picture(), Motion(3.0, 1.0))[0]
    before[24:40, 10:26], after[20:36, 30:46] = 240, 240
    found = estimate(before, after)
    assert (found.across, found.down) == pytest.approx((3.0, 1.0), abs=0.3)


def test_the_shake_of_a_lens_is_found_though_hands_are_at_work_before_it():
    pictures, verbs, moved = filmed(0, 0, 60, shake=4.0)
    lumas = pictures[:, : 48 * 64].reshape(-1, 48, 64)
    found = [estimate(*pair) for pair in pairwise(lumas)]
    # A walk turns the whole picture to another room.
    busy = [n for n, verb in enumerate(verbs[1:]) if verb not in ("walk", "-")]
    told = np.array([(found[n].across, found[n].down) for n in busy])
    error = np.abs(told - np.diff(moved, axis=0)[busy])
    assert len(busy) > 60
    assert np.median(error) < 0.3
    assert (error.max(1) < 1.5).mean() > 0.9


def test_two_motions_after_one_another_are_one():
    first, second = Motion(3.0, -1.0, 0.05, 0.02), Motion(-1.0, 2.0, -0.02, 0.03)
    twice, known = warp(warp(picture(), first)[0], second)
    once, _ = warp(picture(), first.then(second))
    inside = np.zeros_like(known)
    inside[8:-8, 8:-8] = True
    assert np.abs(twice - once)[inside].mean() < 6  # softened twice, at the edges of blots


def test_a_bare_wall_tells_no_motion_and_a_still_picture_tells_none():
    assert estimate(np.full((48, 64), 90.0), np.full((48, 64), 90.0)) is None
    assert estimate(picture(), picture()) == STILL
    assert np.isnan(seen(picture(), picture(), None)).all()
    with pytest.raises(Usage, match=r"\(48, 64\)"):
        estimate(picture(), picture()[:, :32])


def test_the_shift_of_a_picture_is_found():
    moved = np.roll(picture(), (2, -3), axis=(0, 1))
    assert shift(picture(), moved) == (-3.0, 2.0)


def test_motion_samples_are_felt_in_their_own_span_only():
    rows = np.column_stack([np.arange(100) * 10_000_000, np.tile(np.arange(6.0), (100, 1))])
    rows[50:, 1:] += 5
    assert np.array_equal(felt(rows, 0, 500_000_000)[:6], np.arange(6.0))
    assert np.array_equal(felt(rows, 500_000_000, 750_000_000)[:6], np.arange(6.0) + 5)
    assert np.isnan(felt(rows, 0, 20_000_000)).all()


def test_motion_becomes_a_token_felt_before_seen():
    chance = np.random.default_rng(0)
    body, view = chance.normal(size=(200, FELT)), chance.normal(size=(200, SEEN))
    motion = fit_egomotion(body, view)
    nothing_felt, nothing_seen = np.full((200, FELT), np.nan), np.full((200, SEEN), np.nan)
    assert {token[:4] for token in motion.encode(body, view)} == {"imu:"}
    assert {token[:5] for token in motion.encode(nothing_felt, view)} == {"flow:"}
    assert set(motion.encode(nothing_felt, nothing_seen)) == {BLANK}
    assert len(set(motion.encode(body, view))) > 60
    again = EgoMotion.of(motion.tables)
    assert again.encode(body, view) == motion.encode(body, view)
    assert set(fit_egomotion(nothing_felt, nothing_seen).encode(body, view)) == {BLANK}
