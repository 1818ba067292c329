from dataclasses import replace

import numpy as np
from lives import life

from firsthand.learn.linear import features_of, fit_linear
from firsthand.learn.vocabulary import fit_vocabulary


def fitted(people=("ann", "bob")):
    streams = {person: life(person) for person in people}
    vocabulary = fit_vocabulary(streams.values())
    lives = {}
    for person, stream in streams.items():
        codes = vocabulary.encode(stream)
        lives[person] = features_of(codes, vocabulary), codes.joint
    return streams, vocabulary, lives, fit_linear(lives, vocabulary.size, 1.0, 1.0)


def test_predictions_are_distributions_and_tell_people_apart():
    _, _, lives, linear = fitted()
    features, joint = lives["ann"]
    losses = {}
    for person in ("ann", "bob"):
        log_p = linear.predict(features, person, joint)
        assert np.allclose(np.exp(log_p).sum(1), 1)
        losses[person] = -log_p[np.arange(len(joint)), joint].mean()
    assert losses["ann"] + 0.2 < losses["bob"]


def test_a_step_is_predicted_from_the_steps_before_it_alone():
    streams, vocabulary, lives, linear = fitted()
    stream, t = streams["ann"], 40
    other = replace(stream.steps[t], own=("open", "door"), world=stream.steps[t].world)
    changed = replace(stream, steps=(*stream.steps[:t], other, *stream.steps[t + 1 :][::-1]))
    codes = vocabulary.encode(changed)
    features, joint = lives["ann"]
    before = linear.predict(features, "ann", joint)
    after = linear.predict(features_of(codes, vocabulary), "ann", codes.joint)
    assert np.array_equal(before[: t + 1], after[: t + 1])
