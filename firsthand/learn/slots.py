"""What each slot of a tick is expected to hold: by the network, and by what needs no labels.

The latter are the unigram, repeating the last token, and an n-gram of the tokens of the slot's
kind. The model is the network and the n-gram, mixed. Everything is test-then-train.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from firsthand.learn.counts import KneserNey
from firsthand.learn.mix import fit_linear_weights
from firsthand.learn.network import fit
from firsthand.learn.network.model import Network
from firsthand.learn.tokens.ticks import KINDS
from firsthand.learn.vocabulary import Codes, Vocabulary
from firsthand.shard import GAPS

NONE = -1  # before the first token after a gap
MODEL = ("network", "ngram")  # what the model mixes
REPEAT = ("last", "unigram")  # what repeating the last token mixes
CHUNK = 512  # ticks whose distributions are in memory at a time
KIND = {field: kind for kind, fields in KINDS.items() for field in fields}
Before = tuple[int, int]  # the last token of the kind, and the one before
Weights = dict[str, list[float]]  # by kind


@dataclass(frozen=True)
class Shares:
    """The weights of plain mixtures, by kind of slot, fitted on the development day: of network
    and n-gram in the model, with a person's past and without; of last token and unigram."""

    model: Weights
    without_past: Weights
    repeat_last: Weights


@dataclass(frozen=True)
class Told:
    """What was expected of each slot of each step, [T, O].

    `given` holds what each predictor gave to the truth. Of the model's distribution: the entropy,
    the variance of its nats, the likeliest value and its probability.
    """

    given: dict[str, np.ndarray]
    entropy: np.ndarray
    variance: np.ndarray
    best: np.ndarray
    sure: np.ndarray


class Counts:
    """Exact counts of tokens by kind, everybody's and one person's.

    To count a tick takes 0.05 ms and 0.75 kB, to predict one 1.2 ms (20,000 invented ticks on
    one core): a day of 14 h is 38 MB at most, a life of years would need a bound.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.fields, self.sizes = tuple(vocabulary.own), vocabulary.own_sizes
        self.kinds = [KIND[field] for field in self.fields]
        size = dict(zip(self.kinds, self.sizes, strict=True))
        names = ("before1", "before2")
        self.pool = {kind: KneserNey(names, size[kind]) for kind in size}
        self.own = {kind: KneserNey(names, size[kind]) for kind in size}
        self.single = {kind: KneserNey((), size[kind]) for kind in size}
        self.uniform = {kind: np.full(size[kind], 1 / size[kind]) for kind in size}
        self.slots = {kind: [s for s, k in enumerate(self.kinds) if k == kind] for kind in size}
        self.scene = {name: w for w, name in enumerate(vocabulary.world) if name in size}

    def before(self, codes: Codes, t: int, slot: int, done: Sequence[int]) -> Before:
        """The last two tokens of the slot's kind before it, given the slots `done` in step t."""
        kind = self.kinds[slot]
        if kind in self.scene:  # what is in sight as the second begins is known
            column = self.scene[kind]
            last = codes.world[t - 1, column] if follows(codes, t) else NONE
            return int(codes.world[t, column]), int(last)
        tokens = [int(done[s]) for s in self.slots[kind] if s < slot]
        while len(tokens) < 2 and follows(codes, t):
            t -= 1
            tokens = [*codes.own[t, self.slots[kind]].tolist(), *tokens]
        last, second = [NONE, NONE, *tokens][:-3:-1]
        return last, second

    def ngram(self, slot: int, before: Before) -> np.ndarray:
        """Interpolated Kneser-Ney of orders up to 3, [V]: the person's own, backing off to
        everybody's."""
        kind = self.kinds[slot]
        pooled, _ = self.pool[kind].predict(before, self.uniform[kind])
        return self.own[kind].predict(before, pooled)[0]

    def unigram(self, slot: int) -> np.ndarray:
        """How often each value was seen, [V]."""
        kind = self.kinds[slot]
        return self.single[kind].predict((), self.uniform[kind])[0]

    def update(self, slot: int, before: Before, value: int, own: bool) -> None:
        """Count a token; as one of the person's if `own`."""
        kind = self.kinds[slot]
        self.pool[kind].update(before, value)
        self.single[kind].update((), value)
        if own:
            self.own[kind].update(before, value)

    def live(self, codes: Codes, own: bool) -> None:
        """Count all steps of a life."""
        for t in range(len(codes)):
            done = codes.own[t].tolist()
            for slot, value in enumerate(done):
                self.update(slot, self.before(codes, t, slot, done), value, own)


def follows(codes: Codes, t: int) -> bool:
    """Whether step t comes at once after the one before."""
    return t > 0 and bool(codes.world[t, -1] == GAPS.index("none"))


def listen(
    vocabulary: Vocabulary,
    networks: Sequence[Network],
    number: int,
    life: Codes,
    first: int,
    others: Iterable[Codes],
    weights: Weights | None = None,
) -> Told:
    """What is expected of the steps of a life from `first` on; arguments as in Panel.listen.

    `weights` make the model out of network and n-gram; without them nothing is told of it.
    """
    counts = counts_of(vocabulary, life.cut(0, first), others)
    shape = (len(life) - first, len(counts.fields))
    given = {name: np.empty(shape) for name in ("network", "ngram", "unigram", "last")}
    given["uniform"] = np.broadcast_to(1 / np.array(counts.sizes), shape)
    model = [np.zeros(shape) for _ in range(4)]
    states = [fit.states(network, life, number)[first:] for network in networks]
    for start in range(0, shape[0], CHUNK):
        part = slice(start, min(start + CHUNK, shape[0]))
        own = life.own[first:][part]
        rows = np.arange(len(own))
        ngrams = _count(counts, life, first, part, given)
        said = _said(networks, [state[part] for state in states], own)
        for slot, (ngram, network) in enumerate(zip(ngrams, said, strict=True)):
            given["ngram"][part, slot] = ngram[rows, own[:, slot]]
            given["network"][part, slot] = network[rows, own[:, slot]]
            if weights:
                mixed = mix(weights[counts.kinds[slot]], network, ngram)
                for target, value in zip(model, _about(mixed), strict=True):
                    target[part, slot] = value
    entropy, variance, best, sure = model
    return Told(given, entropy, variance, best.astype(np.int64), sure)


def counts_of(vocabulary: Vocabulary, past: Codes, others: Iterable[Codes]) -> Counts:
    """The counts that saw these steps of a person, and of others."""
    counts = Counts(vocabulary)
    for other in others:
        counts.live(other, own=False)
    counts.live(past, own=True)
    return counts


def _count(
    counts: Counts, life: Codes, first: int, part: slice, given: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """The n-gram's distributions of each slot, [N, V] each, and what repeating and the unigram
    gave; counts each step after it was predicted."""
    steps = range(part.start, part.stop)
    rows = [np.empty((len(steps), size)) for size in counts.sizes]
    for t in steps:
        done = life.own[first + t].tolist()
        befores = [counts.before(life, first + t, slot, done) for slot in range(len(done))]
        for slot, (before, value) in enumerate(zip(befores, done, strict=True)):
            rows[slot][t - part.start] = counts.ngram(slot, before)
            unigram = counts.unigram(slot)[value]
            given["unigram"][t, slot] = unigram
            given["last"][t, slot] = unigram if before[0] == NONE else before[0] == value
        for slot, (before, value) in enumerate(zip(befores, done, strict=True)):
            counts.update(slot, before, value, own=True)
    return rows


@torch.no_grad()
def _said(
    networks: Sequence[Network], states: Sequence[Tensor], own: np.ndarray
) -> Iterator[np.ndarray]:
    """The networks' mean distribution of each slot in turn, [N, V], given the true slots before."""
    states, truth = list(states), torch.from_numpy(own)
    for slot in range(own.shape[1]):
        yield slot_of(networks, states, slot)
        states = after(networks, states, slot, truth[:, slot])


def slot_of(networks: Sequence[Network], states: Sequence[Tensor], slot: int) -> np.ndarray:
    """The networks' mean distribution of a slot, [N, V], after states [N, D]."""
    each = [
        network.heads[slot](state, network.own[slot].weight).double().softmax(-1)
        for network, state in zip(networks, states, strict=True)
    ]
    return torch.stack(each).mean(0).cpu().numpy()


def after(
    networks: Sequence[Network], states: Sequence[Tensor], slot: int, values: Tensor
) -> list[Tensor]:
    """The states after a slot is known to hold these values [N]."""
    return [
        state + network.own[slot](values.to(state.device))
        for network, state in zip(networks, states, strict=True)
    ]


def mix(weights: Sequence[float], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The plain mixture of two predictors."""
    return weights[0] * first + weights[1] * second


def _about(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of distributions [N, V]: entropy, variance of the nats, likeliest value, its probability."""
    log_p = np.log(p)
    entropy = -(p * log_p).sum(1)
    return entropy, (p * log_p**2).sum(1) - entropy**2, p.argmax(1), p.max(1)


def fit_weights(fields: Sequence[str], told: Sequence[Told], first: str, second: str) -> Weights:
    """The weights of two predictors, by kind, that give these steps most probability."""
    kinds = [KIND[field] for field in fields]
    weights = {}
    for kind in dict.fromkeys(kinds):
        slots = [slot for slot, other in enumerate(kinds) if other == kind]
        both = [
            np.concatenate([one.given[name][:, slots].ravel() for one in told])
            for name in (first, second)
        ]
        weights[kind] = fit_linear_weights(np.stack(both, axis=1)).tolist()
    return weights


def mixed(fields: Sequence[str], weights: Weights, told: Told, names: Sequence[str]) -> np.ndarray:
    """What the mixture of two predictors gave to the truth, [T, O]."""
    rows = [
        mix(weights[KIND[field]], *(told.given[name][:, slot] for name in names))
        for slot, field in enumerate(fields)
    ]
    return np.stack(rows, axis=1)


@torch.no_grad()
def likeliest(
    vocabulary: Vocabulary,
    networks: Sequence[Network],
    number: int,
    life: Codes,
    others: Iterable[Codes],
    weights: Weights,
    slots: int,
    k: int,
) -> list[tuple[tuple[int, ...], float]]:
    """About the k likeliest values of the first `slots` slots of the last step of a life, with
    the probability of each; found by a beam of k. The last step's own values are not looked at."""
    t = len(life) - 1
    counts = counts_of(vocabulary, life.cut(0, t), others)
    states = [fit.states(network, life, number)[t:] for network in networks]
    beam: list[tuple[int, ...]] = [()]
    log_p = np.zeros(1)
    for slot in range(slots):
        ngrams = [counts.ngram(slot, counts.before(life, t, slot, done)) for done in beam]
        share = weights[counts.kinds[slot]]
        scores = log_p[:, None] + np.log(
            mix(share, slot_of(networks, states, slot), np.stack(ngrams))
        )
        best = np.argsort(-scores, axis=None, kind="stable")[:k]
        rows, values = np.unravel_index(best, scores.shape)
        log_p = scores[rows, values]
        beam = [(*beam[row], int(value)) for row, value in zip(rows, values, strict=True)]
        states = after(networks, [state[rows] for state in states], slot, torch.from_numpy(values))
    return list(zip(beam, np.exp(log_p).tolist(), strict=True))
