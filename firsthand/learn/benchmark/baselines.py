"""Baselines of the benchmark: what needs no fitting but counting, and their best fixed mixture.

Each sees exactly what the model may see: other people's known lives, and the person's own steps
before the one foretold. Kneser-Ney counts are those of counts.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from firsthand.learn.counts import KneserNey
from firsthand.learn.mix import fit_linear_weights
from firsthand.learn.past.contexts import before
from firsthand.learn.past.lives import Lives
from firsthand.learn.past.predictor import recordings_of

ORDERS = (0, 1, 2, 3, 4)  # steps before that the longest context of a Kneser-Ney expert holds
NAMES = ("uniform", "unigram", "kn_pooled", "kn_own", "kn_recording", "knn", "mixture")
SCOPES = ("pooled", "own", "recording")
BASE = 2  # of the pooled experts the one that neighbours are mixed with
SAMPLE = 4  # of training steps one in so many is foretold, to fit the mixture on
LIVED, POSITION = (100, 500, 2000), (1, 10, 50)  # the mixture has weights for each part of these
SIMILAR = (2.0, 1.0, 0.5)  # nats of likeness for the same class one, two and three steps before
SIMILAR_FIELD = (1.0, 0.5, 0.25)
FEWEST = 200  # steps that the weights of a part are fitted on
NEIGHBOUR_PRIOR = 3.0  # what the pooled prediction counts beside the neighbours


@dataclass
class Truths:
    """What each expert gave the truth of N steps: chances [N, E], whose the columns are, and the
    part of the mixture's weights [N] that each step belongs to."""

    steps: np.ndarray
    chance: np.ndarray
    part: np.ndarray
    names: list[str] = field(default_factory=list)


def count_all(
    lives: Lives,
    known: np.ndarray,
    people: Sequence[int],
    scored: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> dict[int, Truths]:
    """Every expert's chances for the truth of people's scored steps and of a sample of the known.

    `known` [T] marks what others may learn from, `scored` [T] what is judged. What is counted of
    a person is taken back while that person is foretold.
    """
    tell = progress or (lambda _: None)
    counted = _Counted(lives)
    every = np.flatnonzero(known)
    for done, step in enumerate(every.tolist()):
        counted.teach(counted.pool, step)
        if done % 5000 == 0:
            tell(0.5 * done / len(every))
    found = {}
    for done, person in enumerate(people):
        start, stop = map(int, lives.span[person])
        mine = (np.flatnonzero(known[start:stop]) + start).tolist()
        for step in mine:
            counted.unteach(step)
        found[person] = _foretell(counted, known, scored, start, stop)
        for step in mine:
            counted.teach(counted.pool, step)
        tell(0.5 + 0.5 * (done + 1) / len(people))
    return found


def _foretell(
    counted: "_Counted", known: np.ndarray, scored: np.ndarray, start: int, stop: int
) -> Truths:
    """A life from start to stop, each step foretold before it is counted."""
    lives = counted.lives
    counted.own = counted.fresh()
    rows, steps = [], []
    for begin, end in recordings_of(lives, start, stop):
        counted.here = counted.fresh()
        for step in range(begin, end):
            if scored[step] or (known[step] and lives.lived[step] % SAMPLE == 0):
                rows.append(counted.chances(step, start))
                steps.append(step)
            counted.teach(counted.own, step)
            counted.teach(counted.here, step)
    part = np.digitize(lives.lived, LIVED) * (len(POSITION) + 1)
    part += np.digitize(lives.position, POSITION)
    kept = np.array(steps, dtype=np.int64)
    chance = np.array(rows).reshape(len(steps), len(counted.names))
    return Truths(kept, chance, part[kept], counted.names)


class _Counted:
    """Kneser-Ney experts of three scopes over the same contexts."""

    def __init__(self, lives: Lives) -> None:
        self.lives, self.size = lives, lives.size
        a = [before(lives.joint, lives.position, back) for back in ORDERS[1:]]
        fields = lives.own.shape[1]
        f = [[before(lives.own[:, i], lives.position, back) for back in (1, 2, 3)]
             for i in range(fields)]  # fmt: skip
        nothing = np.zeros((len(lives), 0), dtype=np.int64)
        self.contexts = [nothing, *(np.stack(a[:order], 1) for order in ORDERS[1:])]
        for i in range(fields if fields > 1 else 0):
            self.contexts.append(np.stack([f[i][0], a[0], f[i][1], a[1]], 1))
        self.values = [list(map(tuple, rows.tolist())) for rows in self.contexts]
        self.joint = lives.joint.tolist()
        self.uniform = np.full(self.size, 1.0 / self.size)
        self.likeness = np.stack([*a[:3], *(column for rows in f for column in rows)], 1)
        weights = [*SIMILAR, *(w for _ in f for w in SIMILAR_FIELD)]
        self.weights = np.array(weights if fields > 1 else SIMILAR + (0.0,) * 3 * fields)
        self.pool, self.own, self.here = self.fresh(), self.fresh(), self.fresh()
        experts = range(len(self.values))
        self.names = ["uniform", *(f"kn_{s}.{i}" for s in SCOPES for i in experts), "knn"]

    def fresh(self) -> list[KneserNey]:
        """Experts that have counted nothing."""
        return [
            KneserNey([str(i) for i in range(rows.shape[1])], self.size) for rows in self.contexts
        ]

    def teach(self, experts: list[KneserNey], step: int) -> None:
        """Count a step."""
        for expert, values in zip(experts, self.values, strict=True):
            expert.update(values[step], self.joint[step])

    def unteach(self, step: int) -> None:
        """Take a step out of what all people's counts hold."""
        for expert, values in zip(self.pool, self.values, strict=True):
            expert.remove(values[step], self.joint[step])

    def chances(self, step: int, start: int) -> list[float]:
        """Each expert's chance of the truth, in the order of `names`."""
        truth = self.joint[step]
        bases = [self.uniform] * len(self.values)
        row = [1.0 / self.size]
        pooled: list[np.ndarray] = []
        for experts in (self.pool, self.own, self.here):
            bases = [
                expert.predict(values[step], base)[0]
                for expert, values, base in zip(experts, self.values, bases, strict=True)
            ]
            pooled = pooled or bases
            row += [float(p[truth]) for p in bases]
        like = (self.likeness[start:step] == self.likeness[step]) @ self.weights
        weight = np.exp(like) - 1.0
        hit = weight[self.lives.joint[start:step] == truth].sum()
        base = NEIGHBOUR_PRIOR * pooled[BASE][truth]
        row.append(float((hit + base) / (weight.sum() + NEIGHBOUR_PRIOR)))
        return row


@dataclass(frozen=True)
class Chosen:
    """What was chosen on training steps: of each scope the best single expert, and the mixture's
    weights [E] for each part of lives (part -1: for all)."""

    best: dict[str, str]
    weights: dict[int, np.ndarray]


def choose(truths: Sequence[Truths], masks: Sequence[np.ndarray]) -> Chosen:
    """Choose what gives the truth of those steps (masks [N]) most probability."""
    chance = np.concatenate([t.chance[m] for t, m in zip(truths, masks, strict=True)])
    part = np.concatenate([t.part[m] for t, m in zip(truths, masks, strict=True)])
    names, nats = truths[0].names, -np.log(chance).mean(0)
    best = {}
    for scope in SCOPES:
        rows = [i for i, name in enumerate(names) if name.startswith(f"kn_{scope}.")]
        best[f"kn_{scope}"] = names[min(rows, key=lambda i: nats[i])]
    weights = {-1: fit_linear_weights(chance)}
    for number in np.unique(part).tolist():
        if (part == number).sum() >= FEWEST:
            weights[number] = fit_linear_weights(chance[part == number])
    return Chosen(best, weights)


def named(truths: Truths, mask: np.ndarray, chosen: Chosen) -> dict[str, np.ndarray]:
    """Log-chance of the truth of the steps in `mask` [N], by NAMES."""
    chance, weights = truths.chance[mask], chosen.weights
    which = [weights.get(part, weights[-1]) for part in truths.part[mask].tolist()]
    mixed = (chance * np.array(which).reshape(chance.shape)).sum(1)
    columns = {"uniform": "uniform", "unigram": "kn_pooled.0", **chosen.best, "knn": "knn"}
    found = {name: chance[:, truths.names.index(column)] for name, column in columns.items()}
    return {name: np.log(value) for name, value in (found | {"mixture": mixed}).items()}
