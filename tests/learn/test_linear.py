from dataclasses import replace

import numpy as np
from lives import life

from firsthand.learn.counts import OWN, POOL, Chain
from firsthand.learn.linear import fit_linear
from firsthand.learn.panel import lessons_of, strangers
from firsthand.learn.vocabulary import fit_vocabulary

CHAINS = (Chain(POOL, ("before1",)), Chain(OWN, ("before1",)))


def lessons(streams, vocabulary, most_bytes=1e9):
    codes = {stream.person: vocabulary.encode(stream) for stream in streams}
    return lessons_of(vocabulary, CHAINS, codes, most_bytes)


def fitted():
    streams = [life("ann"), life("bob")]
    vocabulary = fit_vocabulary(streams)
    made = lessons(streams, vocabulary)
    return streams, vocabulary, made, fit_linear(made, vocabulary.size, 1.0, 1.0)


def nats(log_p, joint):
    return -log_p[np.arange(len(joint)), joint].mean()


def test_predictions_are_distributions_and_tell_people_apart():
    _, _, made, linear = fitted()
    losses = {}
    for person in ("ann", "bob"):
        log_p = linear.predict(made["ann"], person)
        assert np.allclose(np.exp(log_p).sum(1), 1)
        losses[person] = nats(log_p, made["ann"].joint)
    assert losses["ann"] + 0.1 < losses["bob"]


def test_it_corrects_the_counts():
    _, _, made, linear = fitted()
    lesson = made["ann"]
    counted = min(nats(lesson.said[:, e].numpy(), lesson.joint) for e in range(len(CHAINS)))
    assert nats(linear.predict(lesson, "ann"), lesson.joint) < counted - 0.1


def test_a_step_is_predicted_from_the_steps_before_it_alone():
    streams, vocabulary, _, linear = fitted()
    t = 40
    other = replace(streams[0].steps[t], own=("open", "door"))
    changed = (*streams[0].steps[:t], other, *streams[0].steps[t + 1 :][::-1])
    later = lessons([replace(streams[0], steps=changed)], vocabulary)["ann"]
    alone = lessons(streams[:1], vocabulary)["ann"]
    before, after = linear.predict(alone, "ann"), linear.predict(later, "ann")
    assert np.array_equal(before[: t + 1], after[: t + 1])
    assert not np.array_equal(before[t + 1 :], after[t + 1 :])


def test_a_lesson_says_of_a_step_what_was_counted_before_it():
    _, vocabulary, made, _ = fitted()
    assert np.allclose(made["ann"].said[0].exp(), 1 / vocabulary.size)
    assert not np.allclose(made["ann"].said[40].exp(), 1 / vocabulary.size)


def test_a_lesson_too_long_for_memory_keeps_the_last_steps():
    streams, vocabulary, made, _ = fitted()
    short = lessons(streams, vocabulary, most_bytes=2 * 7 * 4 * len(CHAINS) * vocabulary.size)
    assert np.array_equal(short["ann"].joint, made["ann"].joint[-7:])
    assert np.array_equal(short["ann"].said, made["ann"].said[-7:])


def test_strangers_have_no_earlier_days():
    codes = fit_vocabulary([life("ann")]).encode(life("ann"))
    days = strangers({"ann": codes})
    assert len(days) == 4
    assert sum(map(len, days.values())) == len(codes)
    assert all(len(set(day.recording)) == 1 for day in days.values())
