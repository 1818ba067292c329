from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from lives import lives

from firsthand.errors import Usage
from firsthand.learn import store
from firsthand.learn.evaluate import bootstrap, calibration_error, evaluate, judge, top


def test_the_model_beats_every_baseline_and_the_past_is_worth_something(trained):
    result = evaluate(trained)
    assert result["target"] == "action"
    assert result["nats_per_action"] < min(result["baselines"].values())
    gain = result["history_gain"]
    assert 0 < gain["low"] < gain["nats"] < gain["high"]
    assert result["oracle"] is None
    assert set(result["per_person"]) == {"ann", "bob", "cat"}
    assert 0 <= result["ece"] <= 1
    assert result["top1"] <= result["top5"]


def test_altering_the_future_changes_no_prediction_before_it(trained):
    model = store.load(trained)
    before = judge(model, "ann")
    stream, test = model.streams["ann"], model.split("ann")[1]
    cut = test + 12
    future = [replace(s, own=("open", "door"), world=("off",)) for s in stream.steps[cut:]]
    model.streams["ann"] = replace(stream, steps=(*stream.steps[:cut], *future))
    after = judge(model, "ann")
    assert np.allclose(before.log_p[:12], after.log_p[:12], atol=1e-5)
    for name in before.models:
        assert np.allclose(before.models[name][:12], after.models[name][:12], atol=1e-5), name
    assert not np.allclose(before.log_p[13:], after.log_p[13:], atol=1e-3)


def test_without_the_past_means_without_any_of_it(trained):
    model = store.load(trained)
    before = judge(model, "ann").models["without_past"]
    stream, test = model.streams["ann"], model.split("ann")[1]
    past = [replace(s, own=("open", "door")) for s in stream.steps[:test]]
    model.streams["ann"] = replace(stream, steps=(*past, *stream.steps[test:]))
    assert np.array_equal(before, judge(model, "ann").models["without_past"])


def test_every_prediction_is_a_distribution_and_the_per_step_file_has_it(trained):
    result = evaluate(trained)
    table = pyarrow.parquet.read_table(result["per_step"]).to_pydict()
    assert len(table["person"]) == result["steps"] == 90
    assert np.mean(table["nats.model"]) == pytest.approx(result["nats_per_action"])
    assert np.mean(table["nats.ngram"]) == pytest.approx(result["baselines"]["ngram"])
    judged = judge(store.load(trained), "bob")
    assert np.allclose(np.exp(judged.log_p).sum(1), 1)


def test_the_oracle_is_joined_by_person_and_start(trained):
    result = evaluate(trained)
    table = pyarrow.parquet.read_table(result["per_step"]).to_pydict()
    rows = [
        {"person": person, "start_ns": start + 3, "nats": 0.5}
        for person, start in zip(table["person"], table["start_ns"], strict=True)
    ]
    judged = evaluate(trained, oracle_rows=rows)
    assert judged["oracle"] == pytest.approx(0.5)
    assert judged["oracle_steps"] == 90
    assert judged["excess"] == pytest.approx(result["nats_per_action"] - 0.5)
    unigram = result["baselines"]["unigram"]
    share = (unigram - result["nats_per_action"]) / (unigram - 0.5)
    assert judged["recovered"] == pytest.approx(share)
    with pytest.raises(Usage, match="no oracle row"):
        evaluate(trained, oracle_rows=[{"person": "ann", "start_ns": 5, "nats": 1.0}])


def test_an_action_never_seen_is_charged_its_fair_share(trained):
    model = store.load(trained)
    stream, test = model.streams["ann"], model.split("ann")[1]
    odd = replace(stream.steps[test], own=("fry", "egg"))
    model.streams["ann"] = replace(stream, steps=(*stream.steps[:test], odd))
    judged = judge(model, "ann")
    unseen = judged.log_p[0, -1] - np.log(model.vocabulary.unseen_ways)
    assert judged.models["model"][0] == pytest.approx(unseen)
    size = model.vocabulary.size
    uniform = -np.log(size) - np.log(model.vocabulary.unseen_ways)
    assert judged.models["uniform"][0] == pytest.approx(uniform)


def test_other_streams_of_the_same_people_can_be_judged(trained):
    other = evaluate(trained, streams=lives(seed=9))
    assert other["nats_per_action"] < other["baselines"]["unigram"]
    with pytest.raises(Usage, match="zoe"):
        evaluate(trained, streams=[replace(lives()[0], person="zoe")])


def test_the_interval_holds_the_mean_and_narrows_with_more_steps():
    chance = np.random.default_rng(0)
    short, long = chance.normal(1, 1, 100), chance.normal(1, 1, 10_000)
    low, high = bootstrap(short, [60, 40])
    assert low < short.mean() < high
    narrow = bootstrap(long, [10_000])
    assert narrow[1] - narrow[0] < (high - low) / 3


def test_calibration_and_ranking_of_known_predictions():
    p = np.tile([0.7, 0.2, 0.1], (100, 1))
    joint = np.repeat([0, 1, 2], [70, 20, 10])
    chance = np.random.default_rng(0).permutation(100)
    assert calibration_error(np.log(p), joint) == pytest.approx(0)
    assert top(np.log(p), joint[chance], 1) == pytest.approx(0.7)
    assert top(np.log(p), joint[chance], 2) == pytest.approx(0.9)
    sure = np.tile([0.98, 0.01, 0.01], (100, 1))
    assert calibration_error(np.log(sure), np.zeros(100, dtype=int)) == pytest.approx(0.02)
