"""Each kind of expert alone: counts, states of objects, hidden scripts, echoes of earlier days."""

import numpy as np
import pytest
from people import laid, people, person

from firsthand.learn.past import contexts, echoes, scripts, states, tables
from firsthand.learn.past.tables import HERE, LATE, OWN, POOL


def test_counts_are_those_of_a_dictionary():
    lives = laid(people(2))
    chains = contexts.chains_of(lives)
    index, counts = tables.index_of(lives, chains)
    tables.count(index, counts, POOL, 0, 200, 1.0)
    levels = [(c.target, level) for c in chains for level in c.levels]
    for number, (target, context) in enumerate(levels):
        truth = lives.joint if target == 0 else lives.own[:, target - 1]
        for step in (3, 77, 150):
            alike = context[:200] == context[step]
            slot, entry = index.slot[step, number], index.entry[step, number]
            assert counts.slot[POOL, slot] == alike.sum()
            assert counts.entry[POOL, entry] == (alike & (truth[:200] == truth[step])).sum()
            assert counts.kinds[POOL, slot] == len(set(truth[:200][alike]))
    tables.count(index, counts, POOL, 0, 200, -1.0)
    assert not any(array.any() for array in counts)


def test_each_expert_says_chances_that_sum_to_one():
    lives = laid(people(2))
    chains = contexts.chains_of(lives)
    index, counts = tables.index_of(lives, chains)
    tables.count(index, counts, POOL, 0, 240, 1.0)
    for scope in (OWN, LATE, HERE):
        tables.count(index, counts, scope, 240, 300, 1.0)
    rows = 4 * index.slot.shape[1]
    chance = np.zeros((rows, lives.size), np.float32)
    log_p, evidence = np.zeros_like(chance), np.zeros(rows, np.int64)
    tables.say(index, counts, 300, True, chance, log_p, evidence, np.zeros(lives.size, np.float32))
    assert chance.sum(1) == pytest.approx(1, abs=1e-4)
    joint = np.repeat(index.target == 0, 4)
    assert log_p[joint] == pytest.approx(np.log(chance[joint]), abs=2e-4)
    assert evidence.min() >= 0
    assert evidence.max() < tables.BUCKETS


def test_contexts_hold_only_what_came_before():
    whole = laid([person("A")])
    half = laid([person("A")])
    cut = 100
    for field in ("joint", "own"):
        getattr(half, field)[cut:] = 0
    for one, other in zip(contexts.chains_of(whole), contexts.chains_of(half), strict=True):
        for mine, theirs in zip(one.levels, other.levels, strict=True):
            same_mine = mine[: cut + 1, None] == mine[None, : cut + 1]
            same_theirs = theirs[: cut + 1, None] == theirs[None, : cut + 1]
            assert np.array_equal(same_mine, same_theirs), one.name


def test_logarithms_are_close():
    x = np.geomspace(1e-9, 1, 5000).astype(np.float32)
    out = np.zeros_like(x)
    tables.log(x, out)
    assert np.abs(out - np.log(x)).max() < 5e-5


def test_states_tell_what_follows_for_objects_never_seen():
    """Everywhere a thing that was taken is cut next: so is a thing that nobody ever took."""
    lives = laid([person("A")])
    objects = states.objects_of(lives)
    rates, scene = states.rates_of(objects)
    acts, count = objects.acts, objects.objects
    chain = np.tile([1, 2], 200)
    shown = np.repeat(np.arange(200) % (count - 1), 2)  # the last object never occurs
    one = objects._replace(object_=shown, act=chain)
    states.replay(rates, scene, one, np.arange(400), 0, 0, 400, 1.0)
    states.clear(scene)
    new = np.array([count - 1]), np.array([1])
    states.move(scene, one._replace(object_=new[0], act=new[1]), 0, 0)
    log_p = np.zeros((states.ROWS, lives.size), np.float32)
    rate = np.zeros((states.KINDS, 2, count, acts), np.float32)
    share = np.full(count, 1 / count, np.float32)
    states.say(rates, scene, one, 1, 1, count - 1, True, share, rate, log_p, 0)
    assert rate[1, 0, count - 1].argmax() == 2
    assert rate[1, 0, count - 1, 2] > 0.5


def test_states_are_taken_back_exactly():
    lives = laid(people(2))
    objects = states.objects_of(lives)
    rates, scene = states.rates_of(objects)
    states.replay(rates, scene, objects, lives.position, 0, 0, 480, 1.0)
    assert rates.hits[0].sum() == 480 * states.KINDS
    states.replay(rates, scene, objects, lives.position, 0, 0, 480, -1.0)
    assert not rates.hits.any()
    assert not rates.exposures.any()


def slips(recordings: int, chance: np.random.Generator) -> list[np.ndarray]:
    """Two scripts that share their middle, with one act in six a slip."""
    lived = []
    for _ in range(recordings):
        acts: list[int] = []
        while len(acts) < 40:
            acts += [0, 2, 3, 4, 5] if chance.random() < 0.5 else [1, 2, 3, 4, 6]
        noisy = [int(chance.integers(8)) if chance.random() < 1 / 6 else a for a in acts]
        lived.append(np.array(noisy))
    return lived


def test_a_script_is_followed_through_slips():
    lived = slips(40, np.random.default_rng(3))
    said = scripts.foresee(lived, 8)
    steps = np.concatenate(lived)
    paid = -said[np.arange(len(steps)), steps][-800:].mean()
    pairs = np.full((8, 8), 0.5)
    np.add.at(pairs, (steps[:-801], steps[1:-800]), 1)
    bigram = -np.log((pairs / pairs.sum(1, keepdims=True))[steps[-801:-1], steps[-800:]]).mean()
    assert np.exp(said).sum(1) == pytest.approx(1, abs=1e-3)
    assert paid < bigram - 0.2


def test_a_script_sees_no_later_recording():
    lived = slips(20, np.random.default_rng(4))
    said = scripts.foresee(lived, 8)
    until = sum(map(len, lived[:13]))
    changed = [*lived[:13], *slips(7, np.random.default_rng(5))]
    assert np.array_equal(scripts.foresee(changed, 8)[:until], said[:until])


def test_an_echo_of_two_days_before_is_found():
    chance = np.random.default_rng(0)
    days, steps, classes = 60, 12, 10
    acts = chance.integers(0, classes - 1, (days, steps))
    acts[:, 9] = 1
    for day in range(2, days):
        acts[day, 9] = 9 if 4 in acts[day - 2] else 1
    joint, position = acts.ravel(), np.tile(np.arange(steps), days)
    day = np.repeat(np.arange(days), steps)
    said, evidence = echoes.foresee(joint, position, day, classes)
    late = (day >= 40) & (position == 9)
    assert -said[late, joint[late]].mean() < 0.1
    assert (evidence[late] >= 8).all()  # something of earlier days is what tells it
    assert -said[~late & (day >= 40)][:, 0].mean() > 1.5
    assert evidence.max() < tables.BUCKETS
    half = len(joint) // 2
    joint[half:] = 0
    assert np.array_equal(echoes.foresee(joint, position, day, classes)[0][:half], said[:half])


def test_too_many_objects_and_acts_are_not_told_apart_by_act(monkeypatch):
    lives = laid(people(2))
    told = states.objects_of(lives)
    monkeypatch.setattr(states, "MOST_PAIRS", told.objects * told.acts - 1)
    monkeypatch.setattr(states, "MOST_CELLS", 60)
    folded = states.objects_of(lives)
    rates, _ = states.rates_of(folded)
    assert told.acts > 1
    assert folded.acts == 1
    assert folded.objects == told.objects
    assert not folded.act.any()
    assert not folded.class_act.any()
    assert rates.hits.size <= 2 * 60
