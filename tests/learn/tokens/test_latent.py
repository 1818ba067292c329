from itertools import pairwise

import numpy as np
import pytest
from looks import filmed

from firsthand.errors import Usage
from firsthand.learn.tokens.egomotion import STILL, Motion, estimate
from firsthand.learn.tokens.latent import CHANGE, Hands, change, fit_hands
from firsthand.learn.tokens.scale import BLANK

DAYS, SECONDS, SHAKE = 3, 480, 4.0


@pytest.fixture(scope="module")
def footage():
    """Days of a simulated person under a lens that shakes; the last is held out."""
    return [(day == DAYS - 1, *filmed(0, day, SECONDS, SHAKE)[:2]) for day in range(DAYS)]


def changes_of(pictures, compensated):
    rows = []
    for before, after in pairwise(pictures):
        moved = STILL
        if compensated:
            moved = estimate(*(p[:3072].reshape(48, 64) for p in (before, after))) or STILL
        rows.append(change(before, after, moved))
    return np.stack(rows)


def named(footage, compensated):
    """Share of held-out acts whose verb the codes of their half seconds name, by counts of codes
    under verbs on the other days (naive Bayes); and the share that the commonest verb names."""
    days = [(held, changes_of(p, compensated), verbs[1:]) for held, p, verbs in footage]
    hands = fit_hands(np.concatenate([rows for held, rows, _ in days if not held]), updates=400)
    days = [(held, [int(c[1:]) for c in hands.encode(rows)], done) for held, rows, done in days]
    verbs = sorted({verb for *_, done in days for verb in done} - {"-"})
    counts = np.zeros((len(verbs), 256))
    for held, codes, done in days:
        for code, verb in zip(codes, done, strict=True):
            if not held and verb != "-":
                counts[verbs.index(verb), code] += 1
    often = counts.sum(1, keepdims=True)
    whole = (counts.sum(0) + 0.5) / (counts.sum() + 128)
    score, prior = np.log((counts + 20 * whole) / (often + 20)), np.log(often[:, 0] + 0.5)
    right, usual, total = 0, 0, 0
    for held, codes, done in days:
        for act, verb in acts(codes, done) if held else ():
            right += verbs[int((prior + score[:, act].sum(1)).argmax())] == verb
            usual += verbs[int(prior.argmax())] == verb
            total += 1
    return right / total, usual / total


def acts(codes, done):
    """(codes, verb) of each run of half seconds with one verb."""
    start = 0
    for number in range(1, len(done) + 1):
        if number == len(done) or done[number] != done[start]:
            if done[start] != "-":
                yield codes[start:number], done[start]
            start = number


@pytest.mark.slow
def test_codes_tell_what_hands_do_though_the_lens_moves_and_only_if_that_is_taken_off(footage):
    # 33 % of 140 acts, where the commonest verb names 14 % and codes of raw changes 10 %.
    right, usual = named(footage, compensated=True)
    without, _ = named(footage, compensated=False)
    assert right > 1.8 * usual
    assert right > 1.8 * without


def test_a_picture_that_only_moved_leaves_no_change():
    pictures = filmed(0, 0, 6)[0]
    luma = pictures[0][:3072].reshape(48, 64).astype(np.float32)
    assert np.abs(change(pictures[0], pictures[0], STILL)[0]).max() < 1
    shifted = np.concatenate([
        np.roll(luma, 4, axis=1).ravel(),
        *(np.roll(c.reshape(24, 32), 2, axis=1).ravel() for c in np.split(pictures[0][3072:], 2)),
    ])  # fmt: skip
    assert np.abs(change(pictures[0], shifted, Motion(4.0, 0.0))[0]).max() < 1
    assert np.abs(change(pictures[0], shifted, STILL)[0]).max() > 50
    assert np.isnan(change(pictures[0], pictures[0], None)).all()


def test_the_same_changes_and_seed_give_the_same_code():
    rows = changes_of(filmed(0, 0, 30, SHAKE)[0], compensated=False)
    hands, again = (fit_hands(rows, updates=30) for _ in range(2))
    assert hands.digest == again.digest == Hands.of(hands.tables).digest
    assert fit_hands(rows, updates=30, seed=1).digest != hands.digest
    rows[3] = np.nan
    codes = again.encode(rows)
    assert codes[3] == BLANK
    assert len(set(codes)) > 10
    assert hands.vocab == 256


def test_without_a_change_there_is_nothing_to_fit():
    with pytest.raises(Usage, match="no change"):
        fit_hands(np.full((5, 2, CHANGE), np.nan, dtype=np.float32))
