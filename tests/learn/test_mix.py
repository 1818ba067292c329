import numpy as np
import pytest

from firsthand.learn.mix import fit_linear_weights, fit_mixture


def experts(steps=200, classes=4, seed=0):
    """A good expert, one that guesses, and one that is good only where it has evidence."""
    chance = np.random.default_rng(seed)
    joint = chance.integers(0, classes, steps)
    good = chance.random((steps, classes)) + 2.0 * np.eye(classes)[joint]
    guess = chance.random((steps, classes)) + 1.0
    known = chance.random(steps) < 0.5
    fickle = np.where(
        known[:, None], np.eye(classes)[joint] * 9 + 1, chance.random((steps, classes)) + 0.1
    )
    p = np.stack([row / row.sum(1, keepdims=True) for row in (good, guess, fickle)], axis=1)
    evidence = np.stack([np.zeros(steps), np.zeros(steps), 5.0 * known], axis=1)
    return np.log(p), evidence, joint


def nats(log_p, joint):
    return -log_p[np.arange(len(joint)), joint].mean()


def test_the_mixture_is_a_distribution_and_beats_each_expert_on_new_steps():
    names = ("good", "guess", "fickle")
    mixture = fit_mixture(names, *experts(seed=0))
    log_p, evidence, joint = experts(seed=1)
    mixed = mixture.predict(log_p, evidence, joint)
    assert np.allclose(np.exp(mixed).sum(1), 1)
    assert nats(mixed, joint) < min(nats(log_p[:, e], joint) for e in range(3)) - 0.1


def test_a_step_is_mixed_before_its_truth_is_known():
    mixture = fit_mixture(("a", "b", "c"), *experts())
    log_p, evidence, joint = experts(seed=1)
    other = joint.copy()
    other[100:] = (other[100:] + 1) % 4
    same = mixture.predict(log_p, evidence, joint), mixture.predict(log_p, evidence, other)
    assert np.array_equal(same[0][:101], same[1][:101])
    assert not np.array_equal(same[0][101:], same[1][101:])


def test_weights_of_the_plain_mixture_find_the_better_half():
    p = np.stack([np.full(100, 0.5), np.full(100, 0.1)], axis=1)
    assert fit_linear_weights(p) == pytest.approx([0.995, 0.005], abs=1e-3)
