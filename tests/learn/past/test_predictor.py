"""What is said of a step depends on nothing later; people are taken out exactly."""

from dataclasses import replace

import numpy as np
import pytest
from people import halves, laid, people

from firsthand.learn.past import predictor, ranking, scripts
from firsthand.learn.past.predictor import Board, Shared
from firsthand.learn.streams import Stream
from firsthand.learn.vocabulary import fit_vocabulary

TRAIN = 4  # recordings


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(ranking, "FEWEST_STEPS", 100)
    monkeypatch.setattr(scripts, "FIRST", 2)
    monkeypatch.setattr(scripts, "EVERY", 2)


STREAMS = people(4)
VOCABULARY = fit_vocabulary([halves(s, TRAIN)[0] for s in STREAMS])


def known_of(streams: list[Stream]) -> np.ndarray:
    """The first recordings of everybody."""
    marks = [
        np.array([s.recording in stream.recordings()[:TRAIN] for s in stream.steps])
        for stream in streams
    ]
    return np.concatenate(marks)


def board(streams: list[Stream], own: bool = True) -> tuple[Board, np.ndarray]:
    known = known_of(streams)
    return Board(laid(streams, VOCABULARY), known, own), known


def told(streams: list[Stream], own: bool = True, person: int = 0) -> tuple[np.ndarray, Shared]:
    """Fitted on all but the person, and what is said of that person's test steps."""
    made, known = board(streams, own)
    others = [p for p in range(len(streams)) if p != person]
    shared = predictor.fit_shared(made, others)
    scored = ~known & (made.lives.person == person)
    return predictor.foretell(made, shared, person, scored), shared


@pytest.fixture(scope="module")
def usual() -> tuple[np.ndarray, Shared]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FEWEST_STEPS", 100)
        patch.setattr(scripts, "FIRST", 2)
        patch.setattr(scripts, "EVERY", 2)
        return told(STREAMS)


def test_chances_sum_to_one_and_beat_guessing(usual):
    log_p, shared = usual
    assert shared.ranker is not None
    assert np.exp(log_p.astype(np.float64)).sum(1) == pytest.approx(1, abs=2e-4)
    truth = [s.own for s in halves(STREAMS[0], TRAIN)[1].steps]
    classes = {row: i for i, row in enumerate(VOCABULARY.classes)}
    paid = [-log_p[i, classes.get(own, len(classes))] for i, own in enumerate(truth)]
    assert np.mean(paid) < 0.75 * np.log(VOCABULARY.size)


def test_the_same_lives_give_the_same_predictions(usual):
    assert np.array_equal(told(STREAMS)[0], usual[0])


@pytest.mark.parametrize("at", [1, 25, 60])
def test_an_altered_future_alters_no_prediction_before(usual, at):
    first, second = halves(STREAMS[0], TRAIN)
    chance = np.random.default_rng(at)
    changed = [
        replace(step, own=VOCABULARY.classes[chance.integers(len(VOCABULARY.classes))],
                stop_ns=step.stop_ns + 5_000_000_000)
        for step in second.steps[at:]
    ]  # fmt: skip
    steps = (*first.steps, *second.steps[:at], *changed)
    other = [replace(STREAMS[0], steps=steps), *STREAMS[1:]]
    log_p, _ = told(other)
    # The step itself is changed too: what is said of it was said before.
    assert np.array_equal(log_p[: at + 1], usual[0][: at + 1])
    assert not np.array_equal(log_p[at + 1 :], usual[0][at + 1 :])


def test_a_future_that_is_cut_off_alters_no_prediction_before(usual):
    first, second = halves(STREAMS[0], TRAIN)
    cut = replace(STREAMS[0], steps=(*first.steps, *second.steps[:30]))
    assert np.array_equal(told([cut, *STREAMS[1:]])[0], usual[0][:30])


def test_what_is_shared_never_saw_the_person(usual):
    shuffled = replace(
        STREAMS[0],
        steps=tuple(
            replace(s, own=o.own)
            for s, o in zip(STREAMS[0].steps, STREAMS[0].steps[::-1], strict=True)
        ),
    )
    _, shared = told([shuffled, *STREAMS[1:]])
    for mine, theirs in zip(shared.gate, usual[1].gate, strict=True):
        assert np.array_equal(mine, theirs)
    weights = usual[1].ranker.state_dict()
    assert all(bool((v == weights[k]).all()) for k, v in shared.ranker.state_dict().items())


def test_people_are_taken_out_of_the_pool_exactly():
    with_all, _ = board(STREAMS)
    emptied = known_of(STREAMS)
    start, stop = with_all.lives.span[2]
    emptied[start:stop] = False
    without = Board(with_all.lives, emptied)
    with_all.pool(2, -1.0)
    for mine, theirs in zip(with_all.counts, without.counts, strict=True):
        assert np.array_equal(mine, theirs)
    assert np.array_equal(with_all.rates.hits, without.rates.hits)
    assert np.array_equal(with_all.rates.exposures, without.rates.exposures)


def test_following_a_life_leaves_the_board_as_it_was(usual):
    made, known = board(STREAMS)
    before = [array.copy() for array in (*made.counts, made.rates.hits, made.rates.exposures)]
    scored = ~known & (made.lives.person == 1)
    predictor.foretell(made, usual[1], 1, scored)
    predictor.foretell_as(made, usual[1], 1, 2, scored)
    predictor.likelihoods(made, usual[1], 1, [1, 0, 2], scored)
    after = (*made.counts, made.rates.hits, made.rates.exposures)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_without_own_history_no_earlier_recording_counts(usual):
    log_p, _ = told(STREAMS, own=False)
    first, second = halves(STREAMS[0], TRAIN)
    mirrored = replace(STREAMS[0], steps=(*(replace(s, own=o.own) for s, o in zip(
        first.steps, first.steps[::-1], strict=True)), *second.steps))  # fmt: skip
    again, _ = told([mirrored, *STREAMS[1:]], own=False)
    assert np.array_equal(log_p, again)
    assert not np.array_equal(log_p, usual[0])


def test_the_own_past_helps_and_another_persons_hurts(usual):
    """Everybody has an order of things of their own here, so this must be so."""
    made, known = board(STREAMS)
    scored = ~known & (made.lives.person == 0)
    truth = made.lives.joint[scored]
    rows = np.arange(len(truth))
    own = -usual[0][rows, truth].mean()
    other = -predictor.foretell_as(made, usual[1], 0, 1, scored)[rows, truth].mean()
    none = -told(STREAMS, own=False)[0][rows, truth].mean()
    assert own < none < other


def test_the_wearer_is_named_by_likelihood(usual):
    made, known = board(STREAMS)
    scored = ~known & (made.lives.person == 0)
    sums = predictor.likelihoods(made, usual[1], 0, [0, 1, 2, 3], scored)
    assert sums.shape == (2, 4)
    assert (sums.argmax(1) == 0).all()


def test_who_is_given_up_early_was_far_behind(usual, monkeypatch):
    made, known = board(STREAMS)
    scored = ~known & (made.lives.person == 0)
    monkeypatch.setattr(predictor, "FIRST", 5)
    monkeypatch.setattr(predictor, "BEHIND", np.inf)
    whole = predictor.likelihoods(made, usual[1], 0, [0, 1, 2, 3], scored)
    monkeypatch.setattr(predictor, "BEHIND", 3.0)
    sums = predictor.likelihoods(made, usual[1], 0, [0, 1, 2, 3], scored)
    kept = np.isfinite(sums)
    assert np.isfinite(whole).all()
    assert not kept.all()
    assert np.array_equal(sums[kept], whole[kept])
