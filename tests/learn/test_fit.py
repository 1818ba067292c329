from dataclasses import replace

import numpy as np
import pytest
import torch
from lives import life

from firsthand.errors import Damaged
from firsthand.learn import fit
from firsthand.learn.model import shape_for
from firsthand.learn.vocabulary import fit_vocabulary

RECIPE = fit.Recipe(updates=12, batch=4, window=32, seed=3)


def school():
    streams = [life("ann"), life("bob")]
    vocabulary = fit_vocabulary(streams)
    shape = shape_for(1, vocabulary.own_sizes, vocabulary.world_sizes, 2)
    return vocabulary, shape, [(i + 1, vocabulary.encode(s)) for i, s in enumerate(streams)]


class Cut(Exception):
    pass


def test_an_interrupted_fit_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    _, shape, lives = school()
    whole = fit.fit(shape, lives, RECIPE, tmp_path / "whole.pt").network.state_dict()
    monkeypatch.setattr(fit, "SAVE_EVERY_S", 0.0)

    def cut(fraction):
        if fraction >= 0.5:
            raise Cut

    with pytest.raises(Cut):
        fit.fit(shape, lives, RECIPE, tmp_path / "cut.pt", progress=cut)
    rest = []
    torch.manual_seed(99)  # chance elsewhere must not matter
    again = fit.fit(shape, lives, RECIPE, tmp_path / "cut.pt", progress=rest.append)
    assert len(rest) < 12
    assert all(torch.equal(whole[k], v) for k, v in again.network.state_dict().items())


def test_fitting_lowers_the_loss_and_keeps_the_best_weights(tmp_path):
    _, shape, lives = school()
    recipe = replace(RECIPE, updates=100)
    dev = [(person, codes, 90) for person, codes in lives]
    train = [(person, codes.cut(0, 90)) for person, codes in lives]
    fitted = fit.fit(shape, train, recipe, tmp_path / "a.pt", dev)
    losses = [row["dev"] for row in fitted.history]
    assert fitted.dev_nats == min(losses) < losses[0]
    nats = [fit.step_nats(fitted.network, codes, p)[90:] for p, codes in lives]
    assert np.concatenate(nats).mean() == pytest.approx(fitted.dev_nats)


@pytest.mark.parametrize(
    "break_it", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 99]
)
def test_a_damaged_state_is_told(tmp_path, break_it):
    _, shape, lives = school()
    path = tmp_path / "a.pt"
    fit.fit(shape, lives, replace(RECIPE, updates=1), path)
    path.write_bytes(break_it(path.read_bytes()))
    with pytest.raises(Damaged, match=r"a\.pt"):
        fit.fit(shape, lives, RECIPE, path)


def test_long_lives_are_predicted_window_by_window_without_looking_ahead(tmp_path):
    vocabulary, shape, lives = school()
    shape = replace(shape, window=16)
    network = fit.fit(shape, lives, RECIPE, tmp_path / "a.pt").network
    codes = lives[0][1]
    whole = fit.predict(network, codes, 1, vocabulary.class_codes)
    part = fit.predict(network, codes.cut(0, 70), 1, vocabulary.class_codes)
    assert whole.shape == (len(codes), vocabulary.size)
    assert np.allclose(whole[:70], part, atol=1e-5)
    assert np.allclose(np.exp(whole).sum(1), 1, atol=1e-4)


def test_a_life_shorter_than_a_window_can_be_fitted_and_predicted(tmp_path):
    vocabulary, shape, lives = school()
    short = lives[0][1].cut(0, 3)
    network = fit.fit(shape, [(1, short)], replace(RECIPE, updates=2), tmp_path / "a.pt").network
    assert fit.predict(network, short, 1, vocabulary.class_codes).shape[0] == 3
