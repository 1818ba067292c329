"""Exact counts that predict: Kneser-Ney over any chain of contexts, shared or a person's own.

Counts are a function of the steps they saw, in the order seen: nothing is stored but the steps,
so that removing a person is removing that person's steps. How the experts are weighed is in
mix.py.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log1p

import numpy as np

from firsthand.learn.vocabulary import Codes

POOL, OWN, TODAY = "pool", "own", "today"
FIRST_DISCOUNT = 0.75
FEW = 12  # classes up to which a plain loop is faster than an array
Values = tuple[int, ...]


@dataclass
class Level:
    """Counts of one context length, with the counts of counts that set its discount."""

    contexts: dict[Hashable, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    once: int = 0
    twice: int = 0

    @property
    def discount(self) -> float:
        """Absolute discount n1 / (n1 + 2 n2) (Ney, Essen, Kneser 1994), kept within bounds."""
        if self.once < 4 or self.twice < 4:
            return FIRST_DISCOUNT
        return min(0.95, max(0.3, self.once / (self.once + 2 * self.twice)))

    def add(self, context: Hashable, joint: int) -> bool:
        """Count once; True where this was the first time."""
        seen = self.contexts[context]
        count = seen.get(joint, 0) + 1
        seen[joint] = count
        self.once += (count == 1) - (count == 2)
        self.twice += (count == 2) - (count == 3)
        return count == 1

    def take(self, context: Hashable, joint: int) -> bool:
        """Take back one count; True where it was the last."""
        seen = self.contexts[context]
        count = seen[joint] - 1
        self.once += (count == 1) - (count == 0)
        self.twice += (count == 2) - (count == 1)
        if count:
            seen[joint] = count
            return False
        del seen[joint]
        if not seen:
            del self.contexts[context]
        return True


class KneserNey:
    """Interpolated Kneser-Ney (Kneser & Ney 1995; Chen & Goodman 1999) on a chain of contexts.

    `names` are added one by one: the empty context, then (names[0]), (names[0], names[1]), ...
    Lower levels count in how many longer contexts a class was seen, not how often. The update is
    incremental: a count passes to the level below only when it was new above.
    """

    def __init__(self, names: Sequence[str], size: int) -> None:
        self.names = tuple(names)
        self.size = size
        self.levels = [Level() for _ in range(len(self.names) + 1)]

    def predict(self, values: Values, base: np.ndarray) -> tuple[np.ndarray, float]:
        """Distribution [C] after these values of `names`, backing off to `base` [C], and the
        evidence: ln(1 + count) of the longest known context, plus 1 for each level known."""
        probability, evidence = base, 0.0
        for depth, level in enumerate(self.levels):
            seen = level.contexts.get(values[:depth])
            if not seen:
                break
            total, discount = sum(seen.values()), level.discount
            probability = probability * (discount * len(seen) / total)
            if len(seen) <= FEW:
                for joint, count in seen.items():
                    probability[joint] += (count - discount) / total
            else:
                classes = np.fromiter(seen.keys(), dtype=np.int64, count=len(seen))
                counts = np.fromiter(seen.values(), dtype=np.float64, count=len(seen))
                probability[classes] += (counts - discount) / total
            evidence = depth + log1p(total)
        return probability, evidence

    def update(self, values: Values, joint: int) -> None:
        """Count `joint` as seen after these values of `names`."""
        for depth in range(len(self.names), -1, -1):
            if not self.levels[depth].add(values[:depth], joint):
                break

    def remove(self, values: Values, joint: int) -> None:
        """Take back a step that was counted: what is left is as if it had never been."""
        for depth in range(len(self.names), -1, -1):
            if not self.levels[depth].take(values[:depth], joint):
                break


@dataclass(frozen=True)
class Chain:
    """An expert by counts: which contexts it looks at, and whose steps it counts."""

    scope: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """For reports: the scope and the contexts."""
        return f"{self.scope}:{'+'.join(self.names) or 'unigram'}"


def contexts_of(codes: Codes, world_fields: Sequence[str]) -> list[dict[str, int]]:
    """Per step, the context values that a chain may name; all are known before the step.

    before1..before4 are the joint classes of the steps before within the recording (-1 where
    there is none), FIELD@1 an own field of the step before, and each world field has its name.
    """
    rows = []
    for t in range(len(codes)):
        row = {name: int(codes.world[t, w]) for w, name in enumerate(world_fields)}
        for back in range(1, 5):
            known = t >= back and codes.recording[t - back] == codes.recording[t]
            row[f"before{back}"] = int(codes.joint[t - back]) if known else -1
            if back == 1:
                for field_number in range(codes.own.shape[1]):
                    value = int(codes.own[t - 1, field_number]) if known else -1
                    row[f"field{field_number}@1"] = value
        rows.append(row)
    return rows


class Experts:
    """Count experts of several scopes, driven step by step: predict, then update.

    Pooled counts are shared. Own counts and those of today back off to the pooled prediction of
    the same chain, so a person without a past is predicted like everybody.
    """

    def __init__(self, chains: Sequence[Chain], size: int) -> None:
        self.chains = tuple(chains)
        self.size = size
        self.pool = {c.names: KneserNey(c.names, size) for c in self.chains}
        self.own: dict[str, list[KneserNey]] = {}
        self.today: dict[str, tuple[int, list[KneserNey]]] = {}
        self.uniform = np.full(size, 1.0 / size)

    def predict(
        self, person: str, recording: int, contexts: dict[str, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Natural log-probabilities [E, C] and evidence [E]."""
        rows, evidence = np.empty((len(self.chains), self.size)), np.empty(len(self.chains))
        values = self._values(contexts)
        pooled = {n: counts.predict(values[n], self.uniform) for n, counts in self.pool.items()}
        for number, (chain, counts) in enumerate(self._counts(person, recording)):
            said = pooled[chain.names]
            if chain.scope != POOL:
                said = counts.predict(values[chain.names], said[0])
            rows[number], evidence[number] = said
        return np.log(rows), evidence

    def update(self, person: str, recording: int, contexts: dict[str, int], joint: int) -> None:
        """Count the step in every scope that it belongs to."""
        values = self._values(contexts)
        for names, counts in self.pool.items():
            counts.update(values[names], joint)
        for chain, counts in self._counts(person, recording):
            if chain.scope != POOL:
                counts.update(values[chain.names], joint)

    def _values(self, contexts: dict[str, int]) -> dict[tuple[str, ...], Values]:
        """The values of each chain's contexts."""
        return {names: tuple([contexts[name] for name in names]) for names in self.pool}

    def _counts(self, person: str, recording: int) -> Iterator[tuple[Chain, KneserNey]]:
        """Each chain with its counts; those of today are forgotten with the day."""
        if person not in self.own:
            self.own[person] = [KneserNey(chain.names, self.size) for chain in self.chains]
        if self.today.get(person, (None,))[0] != recording:
            self.today[person] = recording, [KneserNey(c.names, self.size) for c in self.chains]
        own, today = self.own[person], self.today[person][1]
        for number, chain in enumerate(self.chains):
            yield chain, (own if chain.scope == OWN else today)[number]
