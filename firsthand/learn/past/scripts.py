"""Hidden scripts: a person's own hidden Markov model, whose states are places in a routine.

What is done next depends on where in a routine one is, and a slip in between does not change
that. States begin as the pairs of acts that this person often does in a row; Baum-Welch (Baum et
al. 1970) with priors then fits chances to the recordings so far. Fitted anew after every seventh
recording on the last sixty, so that its cost does not grow with a life. For short lists only.
"""

from collections.abc import Sequence

import numpy as np

from firsthand.learn.past.compiled import compiled

MOST_CLASSES = 256
FIRST, EVERY, LAST = 5, 7, 60  # recordings before the first fit, between fits, looked at
PAIRS = 60  # states that stand for two acts in a row; every act alone is a state as well
SLIP = 0.2  # chance at first of any other act in a state
ROUNDS = 12
# Absolute discount of transitions, its prior, and the prior of what a state emits: on simulated
# people priors of 1, 8 and none gave 2.12 nats where these gave 2.05.
DISCOUNT, FOLLOW_PRIOR, EMIT_PRIOR, EMIT_SLIP = 1.0, 1.0, 30.0, 0.4

Model = tuple[np.ndarray, np.ndarray, np.ndarray]  # first [S], follow [S, S], emit [S, C]


def foresee(recordings: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Log-probability of every class before each step, [T, C], each recording's from the
    recordings before it alone."""
    said, model = [], None
    for number, acts in enumerate(recordings):
        if number >= FIRST and (number - FIRST) % EVERY == 0:
            model = fit(recordings[max(0, number - LAST) : number], classes)
        out = np.full((len(acts), classes), 1.0 / classes, np.float32)
        if model is not None:
            _filter(acts, *model, out)
        said.append(out)
    return np.log(np.concatenate(said) + np.float32(1e-6))


def fit(recordings: Sequence[np.ndarray], classes: int) -> Model:
    """The model of these recordings, each an array of classes."""
    shares = np.bincount(np.concatenate(recordings), minlength=classes) + 0.5
    shares = shares / shares.sum()
    model, acts = _begin(recordings, classes)
    states = len(acts)
    wanted = EMIT_SLIP * np.repeat(shares[None], states, 0)
    wanted[np.arange(states), acts] += 1 - EMIT_SLIP
    for _ in range(ROUNDS):
        first = np.zeros(states, np.float32)
        follow, emit = (
            np.zeros((states, states), np.float32),
            np.zeros((states, classes), np.float32),
        )
        for acts_done in recordings:
            _expect(acts_done, *model, first, follow, emit)
        usual = follow.sum(0) + 0.01
        kept = np.maximum(follow - DISCOUNT, 0)
        lost = follow.sum(1, keepdims=True) - kept.sum(1, keepdims=True)
        share = (FOLLOW_PRIOR + lost) * usual / usual.sum()
        model = _model(
            first + 0.05,
            (kept + share) / (follow.sum(1, keepdims=True) + FOLLOW_PRIOR),
            emit + EMIT_PRIOR * wanted,
        )
    return model


def _begin(recordings: Sequence[np.ndarray], classes: int) -> tuple[Model, np.ndarray]:
    """A first model, and the act that each state stands for."""
    pairs = np.zeros((classes, classes))
    for acts in recordings:
        np.add.at(pairs, (acts[:-1], acts[1:]), 1)
    often = np.argsort(-pairs, axis=None, kind="stable")[:PAIRS]
    often = often[pairs.ravel()[often] >= 2]
    meant = np.concatenate([often % classes, np.arange(classes)])
    place = np.tile(np.arange(classes) + len(often), (classes, 1))  # [before, act] -> state
    place[often // classes, often % classes] = np.arange(len(often))
    states = len(meant)
    first, follow = np.full(states, 0.1), np.full((states, states), 0.01 / states)
    for acts in recordings:
        path = np.concatenate([[len(often) + acts[0]], place[acts[:-1], acts[1:]]])
        first[path[0]] += 1
        np.add.at(follow, (path[:-1], path[1:]), 1)
    emit = np.full((states, classes), SLIP / classes)
    emit[np.arange(states), meant] += 1 - SLIP
    return _model(first, follow, emit), meant


def _model(first: np.ndarray, follow: np.ndarray, emit: np.ndarray) -> Model:
    made = [table / table.sum(-1, keepdims=True) for table in (first, follow, emit)]
    return tuple(np.ascontiguousarray(table, dtype=np.float32) for table in made)  # type: ignore[return-value]


@compiled(fastmath=True)
def _filter(acts, first, follow, emit, out) -> None:  # type: ignore[no-untyped-def]
    """The forward algorithm: chances before each step, given the acts before it."""
    states = len(first)
    belief = first.copy()
    for step in range(len(acts)):
        if step:
            moved = np.zeros(states, np.float32)
            for i in range(states):
                if belief[i] > 1e-8:
                    for j in range(states):
                        moved[j] += belief[i] * follow[i, j]
            belief = moved
        out[step, :] = 0
        for s in range(states):
            if belief[s] > 1e-8:
                for c in range(out.shape[1]):
                    out[step, c] += belief[s] * emit[s, c]
        heap = np.float32(1e-30)
        for s in range(states):
            belief[s] *= emit[s, acts[step]]
            heap += belief[s]
        for s in range(states):
            belief[s] /= heap


@compiled(fastmath=True)
def _expect(acts, first, follow, emit, first_sum, follow_sum, emit_sum) -> None:  # type: ignore[no-untyped-def]
    """Add the expected visits of a recording (forward and backward, scaled: Rabiner 1989)."""
    steps, states = len(acts), len(first)
    ahead = np.zeros((steps, states), np.float32)
    scale = np.zeros(steps, np.float32)
    for step in range(steps):
        if step == 0:
            for s in range(states):
                ahead[0, s] = first[s]
        else:
            for i in range(states):
                if ahead[step - 1, i] > 1e-7:
                    for j in range(states):
                        ahead[step, j] += ahead[step - 1, i] * follow[i, j]
        for s in range(states):
            ahead[step, s] *= emit[s, acts[step]]
        scale[step] = ahead[step].sum() + np.float32(1e-30)
        for s in range(states):
            ahead[step, s] /= scale[step]
    back, moved = np.ones(states, np.float32), np.zeros(states, np.float32)
    into = np.zeros(states, np.float32)
    for step in range(steps - 1, -1, -1):
        for s in range(states):
            emit_sum[s, acts[step]] += ahead[step, s] * back[s]
        if step == 0:
            for s in range(states):
                first_sum[s] += ahead[0, s] * back[s]
            break
        for j in range(states):
            into[j] = emit[j, acts[step]] * back[j] / scale[step]
        for i in range(states):
            heap = np.float32(0)
            for j in range(states):
                heap += follow[i, j] * into[j]
            moved[i] = heap
            if ahead[step - 1, i] > 1e-7:
                for j in range(states):
                    follow_sum[i, j] += ahead[step - 1, i] * follow[i, j] * into[j]
        back[:] = moved
