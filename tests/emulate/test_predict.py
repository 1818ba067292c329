from dataclasses import replace

import numpy as np
import pytest

from firsthand.emulate import expect, memory, predict
from firsthand.emulate.fidelity import day
from firsthand.errors import NotFound, Refused, Usage
from firsthand.learn import store
from firsthand.learn.evaluate import judge


def yes(person, purpose):
    pass


def test_nothing_is_read_of_a_person_who_says_no(tmp_path):
    asked = []

    def no(person, purpose):
        asked.append((person, purpose))
        raise Refused(f"{person} does not allow {purpose}")

    # The folder holds no model: the refusal comes first.
    for query in (
        lambda: predict.predict(tmp_path, "ann", ask=no),
        lambda: day(tmp_path, "ann", no),
    ):
        with pytest.raises(Refused):
            query()
    assert asked == [("ann", "emulate-self")] * 2


def test_the_likeliest_actions_come_first_and_share_one_distribution(model_dir):
    said = predict.predict(model_dir, "ann", k=3, ask=yes)
    shares = [share for _, share in said.top]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    every = predict.predict(model_dir, "ann", k=99, ask=yes)
    assert 0.9 < sum(share for _, share in every.top) < 1
    assert set(said.top[0][0]) == {"verb", "noun"}
    assert not said.abstain
    assert abs(said.novelty) < 3


def test_a_prediction_in_the_held_out_day_is_the_one_that_was_judged(model_dir):
    model = store.load(model_dir)
    judged = judge(model, "bob")
    at = int(judged.start_ns[10])
    said = predict.predict(model_dir, "bob", k=1, ask=yes, at=at)
    best = int(judged.log_p[10, :-1].argmax())
    assert tuple(said.top[0][0].values()) == model.vocabulary.classes[best]
    assert said.top[0][1] == pytest.approx(float(np.exp(judged.log_p[10, best])), rel=1e-3)


def test_the_future_is_not_in_the_memory_of_a_moment(model_dir):
    held = memory.remember(model_dir, "ann", yes)
    steps = held.stream.steps
    stream, index = held.moment(steps[95].start_ns)
    assert (index, len(stream)) == (95, 96)
    assert stream.steps[:95] == steps[:95]
    assert stream.steps[95].own == ("", "")
    assert stream.steps[95].world == steps[95].world


def test_what_the_model_was_trained_on_is_no_proof(model_dir):
    said = predict.predict(model_dir, "ann", ask=yes, at="1970-01-02T00:01:00")
    assert said.abstain
    assert "trained on this moment" in said.reason
    assert said.surprise is None


def test_a_day_out_of_the_ordinary_is_noticed(model_dir):
    held = memory.remember(model_dir, "ann", yes)
    vocabulary = held.model.vocabulary
    steps = list(held.stream.steps)
    for i in range(held.held_out, len(steps)):  # every action is the least likely one so far
        life = vocabulary.encode(replace(held.stream, steps=tuple(steps[: i + 1])))
        log_p = expect.joint_log_p(held.model, "ann", life, held.held_out)
        worst = int(log_p[-1, :-1].argmin())
        steps[i] = replace(steps[i], own=vocabulary.classes[worst])
        if i > held.held_out + 8:
            break
    life = vocabulary.encode(replace(held.stream, steps=tuple(steps[: i + 1])))
    log_p = expect.joint_log_p(held.model, "ann", life, held.held_out)
    surprise, novelty = predict.surprises(*expect.beyond(log_p, life.joint[held.held_out :]))
    assert surprise > 0
    assert novelty > predict.NOVEL


def test_novelty_of_a_calibrated_prediction_is_about_one_standard_deviation():
    chance = np.random.default_rng(0)
    p = chance.dirichlet(np.ones(5), 2000)
    joint = np.array([chance.choice(5, p=row) for row in p])
    scores = [
        predict.surprises(*expect.beyond(np.log(p[i : i + 20]), joint[i : i + 20]))[1]
        for i in range(0, 2000, 20)
    ]
    assert abs(np.mean(scores)) < 0.3
    assert 0.8 < np.std(scores) < 1.2


def test_fidelity_lists_every_held_out_step(model_dir):
    rows = day(model_dir, "cat", yes)
    assert len(rows) == 30
    assert all(0 <= row["p_real"] <= row["p_top1"] <= 1 for row in rows)
    assert all(row["p_real"] == row["p_top1"] for row in rows if row["real"] == row["top1"])
    assert rows[0]["time"] == "1970-01-04T00:00:00+00:00"


def test_strange_questions_are_told(model_dir):
    with pytest.raises(NotFound, match="zoe"):
        predict.predict(model_dir, "zoe", ask=yes)
    with pytest.raises(Usage, match="no time"):
        predict.predict(model_dir, "ann", ask=yes, at="soon")
    with pytest.raises(Usage, match="positive"):
        predict.predict(model_dir, "ann", 0, ask=yes)
