from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting import RECIPE, school

from firsthand.learn import fit


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
