from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import life

from firsthand.learn.counts import OWN, POOL, TODAY, Chain, Experts, KneserNey, contexts_of
from firsthand.learn.vocabulary import fit_vocabulary

SIZE = 5
UNIFORM = np.full(SIZE, 1 / SIZE)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, SIZE - 1))))
def test_every_prediction_is_a_distribution(seen):
    counts = KneserNey(("a", "b"), SIZE)
    for a, b, joint in seen:
        counts.update((a, b), joint)
    for a in range(4):
        probability, _ = counts.predict((a, 1), UNIFORM)
        assert probability.sum() == pytest.approx(1)
        assert (probability > 0).all()


def test_two_levels_agree_with_the_textbook_formula():
    chance = np.random.default_rng(0)
    pairs = [
        (int(a), int(w))
        for a, w in zip(chance.integers(0, 4, 60), chance.integers(0, 4, 60), strict=True)
    ]
    counts = KneserNey(("a",), SIZE)
    for a, joint in pairs:
        counts.update((a,), joint)
    high, low = Counter(pairs), Counter(w for _, w in set(pairs))
    d_high, d_low = counts.levels[1].discount, counts.levels[0].discount
    for a in range(4):
        row = {w: c for (b, w), c in high.items() if b == a}
        total = sum(row.values())
        for w in range(SIZE):
            kinds = sum(low.values())
            below = max(low[w] - d_low, 0) / kinds + d_low * len(low) / kinds / SIZE
            expected = max(row.get(w, 0) - d_high, 0) / total + d_high * len(row) / total * below
            assert counts.predict((a,), UNIFORM)[0][w] == pytest.approx(expected)


def test_a_person_without_a_past_is_predicted_like_everybody():
    stream = life("ann")
    vocabulary = fit_vocabulary([stream])
    codes = vocabulary.encode(stream)
    contexts = contexts_of(codes, vocabulary.world_fields)
    chains = [Chain(scope, ("before1",)) for scope in (POOL, OWN, TODAY)]
    experts = Experts(chains, vocabulary.size)
    for t in range(60):
        experts.update("ann", 0, contexts[t], int(codes.joint[t]))
    stranger, _ = experts.predict("zoe", 0, contexts[60])
    assert np.allclose(stranger, stranger[0])
    herself, _ = experts.predict("ann", 0, contexts[60])
    assert not np.allclose(herself[1], herself[0])


def test_the_counts_of_today_are_forgotten_with_the_day():
    experts = Experts([Chain(POOL, ()), Chain(TODAY, ())], 3)
    for _ in range(5):
        experts.update("ann", 0, {}, 1)
    tomorrow, evidence = experts.predict("ann", 1, {})
    assert np.allclose(tomorrow[0], tomorrow[1])
    assert evidence[1] == 0


def test_contexts_stop_at_the_start_of_a_recording():
    stream = life("ann", steps=10)
    vocabulary = fit_vocabulary([stream])
    contexts = contexts_of(vocabulary.encode(stream), vocabulary.world_fields)
    assert contexts[10]["before1"] == -1
    assert contexts[11]["before1"] >= 0
    assert contexts[11]["before2"] == -1


def test_what_is_removed_was_never_counted():
    chance = np.random.default_rng(2)
    steps = [((int(a), int(b)), int(c)) for a, b, c in chance.integers(0, 4, (300, 3))]
    both, half = KneserNey(("a", "b"), 4), KneserNey(("a", "b"), 4)
    for values, joint in steps:
        both.update(values, joint)
    for values, joint in steps[150:]:
        half.update(values, joint)
    for values, joint in steps[:150]:
        both.remove(values, joint)
    for mine, theirs in zip(both.levels, half.levels, strict=True):
        assert dict(mine.contexts) == dict(theirs.contexts)
        assert (mine.once, mine.twice) == (theirs.once, theirs.twice)
