from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting import RECIPE, curve, lines, school

from firsthand.errors import Failed, Usage
from firsthand.learn.network import fit
from firsthand.learn.network.flops import position_flops
from firsthand.learn.network.model import Network, shape_for


class Cut(Exception):
    pass


def test_an_interrupted_fit_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    _, shape, lives = school()
    whole = fit.fit(shape, lives, RECIPE, tmp_path / "whole").network.state_dict()
    monkeypatch.setattr(fit, "SAVE_EVERY_S", 0.0)

    def cut(fraction):
        if fraction >= 0.5:
            raise Cut

    with pytest.raises(Cut):
        fit.fit(shape, lives, RECIPE, tmp_path / "cut", progress=cut)
    rest = []
    torch.manual_seed(99)  # chance elsewhere must not matter
    again = fit.fit(shape, lives, RECIPE, tmp_path / "cut", progress=rest.append)
    assert len(rest) < 12
    assert all(torch.equal(whole[k], v) for k, v in again.network.state_dict().items())


def test_an_interrupted_fit_keeps_the_best_weights_of_before(tmp_path, monkeypatch):
    _, shape, lives = school()
    monkeypatch.setattr(fit, "CHECK_EVERY", 2)
    train, dev = [(1, lives[0][1].cut(0, 6))], [(2, *lives[1][1:], 0)]  # somebody else's life
    recipe = replace(RECIPE, rate=0.01, warmup=1)  # soon worse

    def run(name, updates=12):
        return fit.fit(shape, train, replace(recipe, updates=updates), tmp_path / name, dev)

    whole = run("whole")
    assert whole.updates == 4
    run("cut", updates=9)
    again = run("cut")
    assert (again.updates, again.dev_nats) == (whole.updates, whole.dev_nats)
    assert again.history == whole.history
    weights = whole.network.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in again.network.state_dict().items())


def test_the_time_spent_before_an_interruption_counts(tmp_path):
    _, shape, lives = school()
    fit.fit(shape, lives, replace(RECIPE, updates=4), tmp_path / "a")
    again = fit.fit(shape, lives, replace(RECIPE, seconds=1e-6), tmp_path / "a")
    assert again.updates == 4


def test_fitting_lowers_the_loss_and_keeps_the_best_weights(tmp_path):
    _, shape, lives = school()
    recipe = replace(RECIPE, updates=100)
    dev = [(person, codes, 90) for person, codes in lives]
    train = [(person, codes.cut(0, 90)) for person, codes in lives]
    fitted = fit.fit(shape, train, recipe, tmp_path / "a", dev)
    losses = [row["dev"] for row in fitted.history]
    assert fitted.dev_nats == min(losses) < losses[0]
    nats = [fit.step_nats(fitted.network, codes, p)[90:] for p, codes in lives]
    assert np.concatenate(nats).mean() == pytest.approx(fitted.dev_nats)


def test_long_lives_are_predicted_window_by_window_without_looking_ahead(tmp_path):
    vocabulary, shape, lives = school()
    shape = replace(shape, window=16)
    network = fit.fit(shape, lives, RECIPE, tmp_path / "a").network
    codes = lives[0][1]
    whole = fit.predict(network, codes, 1, vocabulary.class_codes)
    part = fit.predict(network, codes.cut(0, 70), 1, vocabulary.class_codes)
    assert whole.shape == (len(codes), vocabulary.size)
    assert np.allclose(whole[:70], part, atol=1e-5)
    assert np.allclose(np.exp(whole).sum(1), 1, atol=1e-4)


def test_a_life_shorter_than_a_window_can_be_fitted_and_predicted(tmp_path):
    vocabulary, shape, lives = school()
    short = lives[0][1].cut(0, 3)
    network = fit.fit(shape, [(1, short)], replace(RECIPE, updates=2), tmp_path / "a").network
    assert fit.predict(network, short, 1, vocabulary.class_codes).shape[0] == 3


def test_an_update_in_parts_is_the_update(tmp_path, monkeypatch):
    _, shape, lives = school()
    around = [fit.Around(metrics=tmp_path / f"{name}.jsonl") for name in "ab"]
    fit.fit(shape, lives, RECIPE, tmp_path / "a", (), None, around[0])
    assert fit.parts_of(shape, 4, 32) == 1
    monkeypatch.setattr(fit, "ACTIVATION_BYTES", 1e6)
    assert fit.parts_of(shape, 4, 32) == 2
    fit.fit(shape, lives, RECIPE, tmp_path / "b", (), None, around[1])
    whole, parts = (curve(a.metrics) for a in around)
    assert [loss for _, loss in parts] == pytest.approx([x for _, x in whole], rel=1e-5)
    monkeypatch.setattr(fit, "ACTIVATION_BYTES", 1.0)
    assert fit.parts_of(shape, 4, 32) == 4  # a row at a time is the least


def test_the_dial_reaches_a_billion_parameters_with_memory_to_spare():
    shape = shape_for(24, [1001] * 16, [17, 9], 1000, window=512)
    with torch.device("meta"):
        assert 0.9e9 < sum(p.numel() for p in Network(shape).parameters()) < 1.2e9
    recipe = fit.recipe_for(24, 0, 1, 1.0, window=512)
    assert recipe.batch % fit.parts_of(shape, recipe.batch, 512) == 0
    assert fit.parts_of(shape, recipe.batch, 512) == 6


def test_bf16_learns_what_float32_learns(tmp_path):
    _, shape, lives = school()
    ends = []
    for precision in fit.PRECISIONS:
        recipe = replace(RECIPE, updates=60, precision=precision)
        around = fit.Around(metrics=tmp_path / f"{precision}.jsonl")
        fit.fit(shape, lives, recipe, tmp_path / precision, (), None, around)
        losses = [loss for _, loss in curve(around.metrics)]
        assert np.mean(losses[-10:]) < losses[0] - 0.3
        ends.append(losses)
    assert ends[0] != ends[1]
    assert np.mean(ends[1][-10:]) == pytest.approx(np.mean(ends[0][-10:]), rel=0.02)


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_network_that_diverges_is_told_and_not_saved(tmp_path, monkeypatch, log_every):
    _, shape, lives = school()
    fit.fit(shape, lives, replace(RECIPE, updates=4), tmp_path / "a")
    step = fit._Fit.step

    def broken(self):
        if self.update == 6:
            next(self.network.parameters()).data.fill_(float("nan"))
        return step(self)

    monkeypatch.setattr(fit._Fit, "step", broken)
    if log_every > 1:
        monkeypatch.setattr(fit, "SAVE_EVERY_S", -1.0)
        monkeypatch.setattr(fit, "SAVE_SHARE", 1e9)
    around, recipe = fit.Around("scout-0"), replace(RECIPE, log_every=log_every)
    with pytest.raises(Failed, match=r"scout-0 diverged by update 7: its gradient is nan"):
        fit.fit(shape, lives, recipe, tmp_path / "a", (), None, around)
    assert max(p.name for p in (tmp_path / "a").iterdir()) in ("step-4", "step-6")


def test_each_update_is_told_with_speed_and_the_share_of_the_peak(tmp_path):
    _, shape, lives = school()
    seen = []
    around = fit.Around("net", None, tmp_path / "m.jsonl", watch=seen.append, peak=1e9)
    fit.fit(shape, lives, RECIPE, tmp_path / "a", (), None, around)
    assert seen == lines(tmp_path / "m.jsonl")
    assert [row["update"] for row in seen] == list(range(1, 13))
    for row in seen:
        assert row["tokens"] == row["update"] * 4 * 32 * 2
        assert row["loss"] == pytest.approx(np.mean(row["fields"]), rel=1e-5)
        per_position = row["tokens_per_s"] / 2 * position_flops(shape, 32)
        assert row["mfu"] == pytest.approx(per_position / 1e9, rel=0.01)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"updates": 0}, {"rate": 0.0}, {"seed": -1}, {"precision": "fp8"}]
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(Usage):
        replace(RECIPE, **wrong)


def test_blocks_and_heads_are_compiled_once_each_and_learn_the_same(tmp_path, monkeypatch):
    _, shape, lives = school()
    shape = replace(shape, depth=3)
    compile_module = torch.nn.Module.compile

    def quickly(module) -> None:  # without a compiler: what is captured counts here
        compile_module(module, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch.nn.Module, "compile", quickly)
    torch._dynamo.utils.counters.clear()
    curves = []
    for compiled in (False, True):
        around = fit.Around(metrics=tmp_path / f"{compiled}.jsonl", compiled=compiled)
        fit.fit(shape, lives, RECIPE, tmp_path / str(compiled), (), None, around)
        curves.append(curve(around.metrics))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    losses = [[loss for _, loss in each] for each in curves]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
