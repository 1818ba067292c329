"""A model of ticks, run: the next second's slots, and how true the day was."""

import numpy as np
import pytest
from seconds import DAY_NS, SECOND_NS, tickings

from firsthand.emulate import predict
from firsthand.emulate.fidelity import day
from firsthand.learn import store
from firsthand.learn.evaluate_slots import judge
from firsthand.learn.tokens.ticks import WEARER
from firsthand.learn.train import train


def yes(person, purpose):
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    out = tmp_path_factory.mktemp("ticks") / "m"
    train(None, tickings(seconds=24)[:2], out, updates=6)
    return out


def test_the_next_second_is_foretold_slot_by_slot(model):
    said = predict.predict(model, "ann", k=4, ask=yes)
    shares = [share for _, share in said.top]
    assert len(shares) == 4
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1
    assert all(tuple(fields) == WEARER for fields, _ in said.top)
    known = store.load(model).vocabulary.own
    assert all(value in known[name] for name, value in said.top[0][0].items())
    assert said.when == "1970-01-03T00:00:24+00:00"
    assert abs(said.novelty) < 5


def test_a_second_of_the_held_out_day_is_foretold_as_it_was_judged(model):
    loaded = store.load(model)
    judged = judge(loaded, "ann")
    said = predict.predict(model, "ann", k=1, ask=yes, at=2 * DAY_NS + 10 * SECOND_NS)
    # A beam of one is the first guess of the first slot; the later ones follow from it.
    motion0 = loaded.vocabulary.own["motion0"][judged.told.best[10, 0] - 1]
    assert said.top[0][0]["motion0"] == motion0
    excess = (judged.nats["model"] - judged.told.entropy)[9, : len(WEARER)].sum()
    assert said.surprise == pytest.approx(excess, abs=1e-4)


def test_what_the_model_was_trained_on_is_no_proof_of_ticks_either(model):
    for at in (0, DAY_NS + 5 * SECOND_NS):
        assert predict.predict(model, "ann", ask=yes, at=at).abstain


def test_fidelity_of_ticks_lists_every_held_out_second(model):
    rows = day(model, "bob", yes)
    assert len(rows) == 24
    assert [len(row["real"].split()) for row in rows] == [len(WEARER)] * 24
    assert all(0 < row["p_real"] <= row["p_top1"] + 1e-12 for row in rows)
    judged = judge(store.load(model), "bob")
    assert [row["nats"] for row in rows] == pytest.approx(judged.nats["model"][:, :8].mean(1))
    assert np.mean([row["real"] == row["top1"] for row in rows]) < 1
