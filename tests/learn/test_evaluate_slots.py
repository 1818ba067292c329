import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from lives import lives
from seconds import ticking, tickings

from firsthand.errors import Usage
from firsthand.learn import store
from firsthand.learn.evaluate import evaluate
from firsthand.learn.evaluate_slots import judge
from firsthand.learn.streams import split
from firsthand.learn.tokens.ticks import AHEAD, WEARER
from firsthand.learn.train import train


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model of three people's ticks, fitted for a few updates."""
    out = tmp_path_factory.mktemp("ticks") / "m"
    train(None, tickings(), out, updates=12)
    return out


def test_the_wearers_slots_are_judged_apart_from_the_worlds_beside_baselines(model):
    result = evaluate(model)
    assert (result["target"], result["steps"], result["claim"]) == ("own_slots", 120, "none")
    for absent in ("nats_per_action", "oracle", "excess", "recovered", "classes"):
        assert result[absent] is None
    names = {"uniform", "unigram", "repeat_last", "ngram", "network", "model", "without_past"}
    assert set(result["slots"]) == names
    for name, said in result["slots"].items():
        for whose, fields in (("own", WEARER), ("world", AHEAD)):
            mean = np.mean([said["fields"][field] for field in fields])
            assert said[whose] == pytest.approx(mean), name
    ours = result["slots"]["model"]
    assert result["nats_per_slot"] == {"own": ours["own"], "world": ours["world"]}
    assert result["nats_per_own_slot"] == ours["own"]
    assert result["network_alone"] == result["slots"]["network"]["own"]
    assert result["baselines"]["ngram"] == result["slots"]["ngram"]["own"]
    for whose in ("own", "world"):
        said = {name: losses[whose] for name, losses in result["slots"].items()}
        assert said["model"] < said["ngram"], whose
        assert said["ngram"] < said["repeat_last"] < said["unigram"] < said["uniform"], whose
    assert result["nats_per_own_slot"] < result["network_alone"]
    # A slot that always holds the same costs next to nothing, and never less.
    assert 0 <= ours["fields"]["sound"] < 0.05 < ours["fields"]["hand1"]


def test_every_slot_is_learned_and_the_worlds_weigh_less(model):
    shape = json.loads((model / "config.json").read_text())["shape"]
    assert shape["weights"] == [1.0] * 8 + [0.25] * 8
    loaded = store.load(model)
    assert tuple(loaded.vocabulary.own) == (*WEARER, *AHEAD)
    assert loaded.streams["ann"] == replace(ticking("ann"), lineage=loaded.streams["ann"].lineage)


def test_altering_the_future_changes_no_expectation_before_it(model):
    loaded = store.load(model)
    before = judge(loaded, "ann")
    stream, first = loaded.streams["ann"], loaded.split("ann")[1]
    cut = 12
    future = [replace(s, own=("m0",) * 8, world=("4",) * 8) for s in stream.steps[first + cut :]]
    loaded.streams["ann"] = replace(stream, steps=(*stream.steps[: first + cut], *future))
    after = judge(loaded, "ann")
    for name in before.nats:
        left, right = before.nats[name], after.nats[name]
        assert np.allclose(left[: cut - 1], right[: cut - 1], atol=1e-5), name
        # The scene that the altered seconds begin with is what the last one before them foretold.
        assert np.allclose(left[cut - 1, :8], right[cut - 1, :8], atol=1e-5), name
        if name != "uniform":
            assert not np.allclose(left[cut:], right[cut:], atol=1e-3), name
    left, right = before.told, after.told
    assert np.array_equal(left.best[: cut - 1], right.best[: cut - 1])
    assert np.allclose(left.entropy[: cut - 1], right.entropy[: cut - 1], atol=1e-5)
    # Of the second before, up to the first slot of that scene: the next one knows the one before.
    assert np.allclose(left.entropy[cut - 1, :9], right.entropy[cut - 1, :9], atol=1e-5)
    assert not np.allclose(left.entropy[cut:], right.entropy[cut:], atol=1e-3)


def test_without_the_past_means_without_any_of_it(model):
    loaded = store.load(model)
    before = judge(loaded, "ann").nats
    stream, first = loaded.streams["ann"], loaded.split("ann")[1]
    past = [replace(s, own=("m0",) * 8) for s in stream.steps[:first]]
    loaded.streams["ann"] = replace(stream, steps=(*past, *stream.steps[first:]))
    after = judge(loaded, "ann").nats
    assert np.array_equal(before["without_past"], after["without_past"])
    assert not np.allclose(before["model"], after["model"], atol=1e-3)


def test_nothing_of_the_held_out_part_is_read_in_training(tmp_path):
    """One recording: the last training second is followed at once by the first held-out one."""
    stream = ticking("ann", days=1, seconds=60)
    first = split(stream)[1]
    rest = [replace(s, own=("x",) * 8, world=("y",) * 8) for s in stream.steps[first:]]
    altered = replace(stream, steps=(*stream.steps[:first], *rest))
    for name, life in (("a", stream), ("b", altered)):
        train(None, [life], tmp_path / name, updates=2)
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in "ab"]
    assert configs[0]["shares"] == configs[1]["shares"]
    for file in ("shared.safetensors", "vocabulary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    # What was never seen in training costs much at first, and no predictor is ruined by it.
    for name, nats in judge(store.load(tmp_path / "b"), "ann").nats.items():
        assert np.isfinite(nats).all(), name
        assert nats[0, :3].mean() > 1, name


def test_somebody_of_whom_nothing_could_be_learned_is_judged_all_the_same(tmp_path):
    few = [ticking("ann", days=1, seconds=30), ticking("bob", days=1, seconds=1)]
    train(None, few, tmp_path / "m", updates=2)
    result = evaluate(tmp_path / "m")
    assert result["per_person"]["bob"]["steps"] == 1
    assert 0 < result["per_person"]["bob"]["model"] < 20


def test_a_row_for_each_second_adds_up_to_the_figures(model):
    result = evaluate(model)
    table = pyarrow.parquet.read_table(result["per_step"]).to_pydict()
    assert len(table["person"]) == result["steps"]
    for name, losses in result["slots"].items():
        assert np.mean(table[f"nats.{name}"]) == pytest.approx(losses["own"])
    for field, nats in result["slots"]["model"]["fields"].items():
        assert np.mean(table[f"slot.{field}"]) == pytest.approx(nats)
    words = [
        (real.split(), guess.split())
        for real, guess in zip(table["real"], table["top1"], strict=True)
    ]
    right = np.mean([a == b for real, guess in words for a, b in zip(real, guess, strict=True)])
    assert right == pytest.approx(result["top1"])


def test_a_model_asked_for_fields_that_it_never_saw_names_them(model, trained):
    with pytest.raises(Usage, match=r"ahead7.*stream of ann has \('verb', 'noun', 'lamp'\)"):
        evaluate(model, streams=lives())
    with pytest.raises(Usage, match=r"'verb', 'noun', 'lamp'\).*motion0"):
        evaluate(trained, streams=[ticking("ann")])


def test_forgetting_a_person_leaves_a_model_of_the_others(model, tmp_path):
    out = tmp_path / "m"
    shutil.copytree(model, out)
    with_bob = judge(store.load(out), "ann").nats
    store.forget(out, "bob")
    left = store.load(out)
    assert sorted(left.streams) == ["ann", "cat"]
    without = judge(left, "ann").nats
    # The counts of bob's tokens are gone; the shared weights are as they were.
    assert np.array_equal(with_bob["network"], without["network"])
    assert not np.array_equal(with_bob["ngram"], without["ngram"])


def test_a_kind_or_an_encoder_goes_with_a_release_only(tmp_path):
    with pytest.raises(Usage, match="only a release"):
        train(None, tickings(), tmp_path / "m", kind="ticks")
    with pytest.raises(Usage, match="only a release"):
        train(None, tickings(), tmp_path / "m", encoder=tmp_path)
