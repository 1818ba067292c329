from dataclasses import replace

import numpy as np
import pytest
import torch
from seconds import ticking

from firsthand.learn import slots
from firsthand.learn.network.model import Network, shape_for
from firsthand.learn.slots import NONE, Counts
from firsthand.learn.tokens.ticks import KINDS, WEARER, to_predict, weights
from firsthand.learn.vocabulary import fit_vocabulary

FIELDS = to_predict(ticking("ann")).own
MOTION1, MOTION0, SOUND, AHEAD3 = (
    FIELDS.index(f) for f in ("motion1", "motion0", "sound", "ahead3")
)


def known(*streams):
    """The vocabulary of these ticks and the ticks as numbers."""
    told = [to_predict(s) for s in streams]
    vocabulary = fit_vocabulary(told, KINDS.values(), listed=False)
    return vocabulary, [vocabulary.encode(s) for s in told]


def network(vocabulary, seed=0):
    """An unfitted network of random weights."""
    torch.manual_seed(seed)
    sizes = vocabulary.own_sizes, vocabulary.world_sizes
    made = Network(shape_for(1, *sizes, 2, weights=weights(tuple(vocabulary.own))))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def test_tokens_of_a_kind_have_the_same_number_in_every_slot():
    vocabulary, _ = known(ticking("ann"))
    assert vocabulary.own["motion0"] == vocabulary.own["motion3"] == ("m0", "m1", "m2", "m3")
    assert vocabulary.own["ahead2"] == vocabulary.world["scene2"]
    assert vocabulary.own["word"] != vocabulary.own["sound"]


def test_what_a_token_is_compared_with_is_what_came_just_before_it():
    vocabulary, (life,) = known(ticking("ann"))
    counts = Counts(vocabulary)
    motion = life.own[:, [FIELDS.index(f"motion{n}") for n in range(4)]].ravel().tolist()
    scene = life.world[:, list(vocabulary.world).index("scene3")].tolist()
    sound = life.own[:, SOUND].tolist()
    for t in (5, 39):
        done = life.own[t].tolist()
        at = 4 * t
        assert counts.before(life, t, MOTION0, done) == (motion[at - 1], motion[at - 2])
        assert counts.before(life, t, MOTION1, done) == (motion[at], motion[at - 1])
        assert counts.before(life, t, SOUND, done) == (sound[t - 1], sound[t - 2])
        assert counts.before(life, t, AHEAD3, done) == (scene[t], scene[t - 1])


def test_nothing_before_a_gap_is_remembered():
    vocabulary, (life,) = known(ticking("ann"))
    counts, first = Counts(vocabulary), 40  # of the second day
    done = life.own[first].tolist()
    assert counts.before(life, first, MOTION0, done) == (NONE, NONE)
    assert counts.before(life, first, MOTION1, done) == (done[MOTION0], NONE)
    # But what is in sight as the second begins is known.
    assert counts.before(life, first, AHEAD3, done)[0] == life.world[first, 3]
    assert counts.before(life, first, AHEAD3, done)[1] == NONE
    assert counts.before(life, first + 1, SOUND, done) == (life.own[first, SOUND], NONE)


def test_every_prediction_of_a_slot_is_a_distribution_that_learns():
    vocabulary, (life,) = known(ticking("ann"))
    counts = Counts(vocabulary)
    counts.live(life, own=True)
    followed = 0.0
    for t in range(100, 120):
        done = life.own[t].tolist()
        for slot in range(len(FIELDS)):
            chances = counts.ngram(slot, counts.before(life, t, slot, done))
            assert chances.sum() == pytest.approx(1)
            assert chances.min() > 0
            assert counts.unigram(slot).sum() == pytest.approx(1)
        followed += counts.ngram(MOTION1, counts.before(life, t, MOTION1, done)).max() / 20
    assert followed > 0.7  # the head turns in the usual order in 85 % of all quarters


def test_the_baselines_are_what_counting_by_hand_gives():
    vocabulary, (life, other) = known(ticking("ann"), ticking("bob"))
    told = slots.listen(vocabulary, [network(vocabulary)], 1, life, 80, [other])
    size = len(vocabulary.own["word"]) + 1
    word, seen = WEARER.index("word"), [*other.own[:, 7], *life.own[:80, 7]]
    for t in range(80, 120):
        counts = np.bincount(seen, minlength=size)
        discount = 0.75  # of two values neither is rare
        by_hand = (counts - discount * (counts > 0) + discount * (counts > 0).sum() / size) / len(
            seen
        )
        assert told.given["unigram"][t - 80, word] == pytest.approx(by_hand[life.own[t, word]])
        if t > 80:
            same = life.own[t, word] == life.own[t - 1, word]
            assert told.given["last"][t - 80, word] == same
        seen.append(life.own[t, word])
    assert told.given["last"][0, word] == told.given["unigram"][0, word]


def test_the_likeliest_second_has_the_probability_that_it_is_judged_with():
    vocabulary, (life, other) = known(ticking("ann", days=2), ticking("bob", days=1))
    networks = [network(vocabulary, seed) for seed in range(2)]
    shares = {kind: [0.7, 0.3] for kind in KINDS}
    found = slots.likeliest(vocabulary, networks, 1, life, [other], shares, len(WEARER), 6)
    chances = [chance for _, chance in found]
    assert chances == sorted(chances, reverse=True)
    assert len({values for values, _ in found}) == 6
    assert sum(chances) < 1
    last = len(life) - 1
    for values, chance in found:
        own = life.own.copy()
        own[last, : len(WEARER)] = values
        guessed = replace(life, own=own)
        told = slots.listen(vocabulary, networks, 1, guessed, last, [other], shares)
        given = slots.mixed(FIELDS, shares, told, slots.MODEL)[0, : len(WEARER)]
        assert chance == pytest.approx(float(given.prod()), rel=1e-4)
        assert (given <= told.sure[0, : len(WEARER)] + 1e-12).all()


def test_of_two_predictors_the_better_one_gets_the_weight():
    given = {name: np.full((50, len(FIELDS)), p) for name, p in (("good", 0.8), ("bad", 0.1))}
    given["bad"][:, SOUND] = 0.9
    none = np.zeros((50, len(FIELDS)))
    told = slots.Told(given, none, none, none, none)
    found = slots.fit_weights(FIELDS, [told], "good", "bad")
    assert found["motion"][0] > 0.99
    assert found["sound"][1] > 0.99
    assert all(sum(pair) == pytest.approx(1) for pair in found.values())
