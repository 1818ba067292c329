"""The gate learns whom to trust; the ranking network adds what the gate cannot weigh."""

import numpy as np
import torch
from people import laid, people

from firsthand.learn.past import predictor, ranking
from firsthand.learn.past.gate import gate_of
from firsthand.learn.past.predictor import Board


def test_weights_move_towards_a_lower_loss():
    lives = laid(people(3))
    board = Board(lives, np.ones(len(lives), dtype=bool))
    nothing = np.zeros(len(lives), dtype=bool)
    gate = gate_of(len(board.desk.log_p), board.contexts_held)
    paid = []
    for _ in range(3):
        said = board.said(nothing, nothing)
        with board.without(0) as (start, stop):
            board.walk(gate, said, start, stop, nothing, 3e-4)
        paid.append(-said.truth[start:stop].mean())
    assert paid[0] > paid[1] > paid[2]


def test_without_a_rate_the_gate_stays_and_says_the_same():
    lives = laid(people(3))
    board = Board(lives, np.ones(len(lives), dtype=bool))
    scored = lives.person == 0
    gate = gate_of(len(board.desk.log_p), board.contexts_held)
    said = []
    for _ in range(2):
        said.append(board.said(scored, scored))
        with board.without(0) as (start, stop):
            board.walk(gate, said[-1], start, stop, scored, 0.0)
    assert np.array_equal(said[0].log_p, said[1].log_p)
    assert np.array_equal(gate.by_context, gate_of(*gate.by_context.shape[:0:-1]).by_context)


def test_the_network_learns_what_is_said_of_candidates(monkeypatch):
    """The truth is always the second candidate: the gate cannot know, the network can."""
    monkeypatch.setattr(ranking, "FEWEST_STEPS", 10)
    chance = np.random.default_rng(1)
    steps, kept, classes = 3000, 5, 9
    candidates = np.stack([chance.permutation(classes)[:kept] for _ in range(steps)])
    note = np.zeros((steps, kept, 3), np.int16)
    note[:, 1, 2] = 3000
    base = np.full((steps, kept), np.log(0.15), np.float32)
    zeros = torch.zeros
    shown = ranking.Shown(
        torch.from_numpy(candidates.astype(np.int32)), torch.from_numpy(base),
        torch.from_numpy(note), zeros(steps, kept, 4, dtype=torch.int16),
        zeros(steps, ranking.BACK, dtype=torch.int64), zeros(steps, 8),
        torch.from_numpy(candidates[:, 1].copy()), torch.full((steps,), np.log(0.15)),
        torch.arange(classes)[:, None],
    )  # fmt: skip
    every = np.arange(steps)
    ranker = ranking.fit_ranker(shown, [classes], 2)
    log_p = np.full((steps, classes), np.log(0.25 / 4), np.float32)
    np.put_along_axis(log_p, candidates, base, 1)
    out = ranking.rank(ranker, shown, log_p)
    assert -out[every, candidates[:, 1]].mean() < 0.5
    np.testing.assert_allclose(np.exp(out).sum(1), 1, atol=1e-4)


def test_too_few_steps_fit_no_network():
    lives = laid(people(2, steps=10))
    board = Board(lives, np.ones(len(lives), dtype=bool))
    assert predictor.fit_shared(board, [0, 1]).ranker is None


def test_nobody_to_learn_from_still_foretells():
    lives = laid(people(1))
    known = lives.lived < 100
    board = Board(lives, known)
    shared = predictor.fit_shared(board, [])
    log_p = predictor.foretell(board, shared, 0, ~known)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-3)
