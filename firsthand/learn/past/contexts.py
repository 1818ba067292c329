"""Which contexts the count experts look at: chains that grow from the coarse to the fine.

A context is a number for each step, made of steps before it and of its world fields alone. The
same list serves every stream: it follows from the number of own fields and from the world's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from firsthand.learn.past.lives import Lives

SEEN = ("clock", "gap")  # world fields that say nothing by themselves about what is around
MOST_WORLD = 6  # world fields that get a chain each
POSITIONS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 100, 200, 400)
SLOTS = 96  # positions in a recording that have a context of their own


@dataclass(frozen=True)
class Chain:
    """What is foretold (0: the joint class, else 1 + the number of an own field), and the contexts
    [T] from the coarsest on, each refining the one before."""

    name: str
    target: int
    levels: tuple[np.ndarray, ...]


def chains_of(lives: Lives) -> list[Chain]:
    """The chains of these lives; the first of each target begins with the empty context."""
    past = _Past(lives)
    a, fields = past.joint, past.fields
    nothing = np.zeros(len(lives), dtype=np.int64)
    weekday = lives.day % 7
    slot = np.minimum(lives.position, SLOTS)
    clock = past.world("clock")
    chains = [
        ("order", 0, [nothing, a(1), a(1, 2), a(1, 2, 3), a(1, 2, 3, 4), a(1, 2, 3, 4, 5)]),
        ("skip1", 0, [a(2), a(2, 3), a(2, 3, 4)]),
        ("skip2", 0, [a(3), a(3, 4)]),
        ("around", 0, [a(1, 3), a(1, 3, 4)]),
        ("slot", 0, [slot, pair(slot, a(1))]),
        ("weekday", 0, [slot, pair(slot, weekday)]),
        ("clock", 0, [clock, pair(clock, a(1)), pair(clock, a(1, 2))]),
        ("lasted", 0, [past.world("lasted"), pair(past.world("lasted"), a(1)),
                       pair(past.world("lasted"), past.world("since"), a(1))]),
        ("since", 0, [pair(past.world("since"), a(1))]),
        ("position", 0, [np.digitize(lives.position, POSITIONS)]),
    ]  # fmt: skip
    for number, f in enumerate(fields if len(fields) > 1 else []):
        other = fields[number - 1]
        turned = last_other(lives.own[:, number], lives.position)
        chains += [
            (f"field{number}", 0, [f(1), f(1, 2), f(1, 2, 3)]),
            (f"field{number}-skip", 0, [f(2), pair(f(2), other(1))]),
            (f"field{number}-set", 0, [_unordered(past, number, 2), _unordered(past, number, 3)]),
            (f"field{number}-other", 0, [turned, pair(turned, f(1)), pair(turned, a(1))]),
            (f"field{number}-mixed", 0, [pair(a(1), f(2)), pair(a(1), f(2), f(3))]),
        ]
    for number, f in enumerate(fields if len(fields) > 1 else []):
        other, target = fields[number - 1], 1 + number
        chains += [
            (f"own{number}", target, [nothing, f(1), f(1, 2), f(1, 2, 3)]),
            (f"own{number}-joint", target, [a(1), pair(a(1), f(2)), pair(a(1, 2))]),
            (f"own{number}-skip", target, [f(2), f(2, 3)]),
            (f"own{number}-cross", target, [other(1), other(1, 2)]),
        ]
    shown = [n for n in lives.world_fields if n not in (*SEEN, "since", "lasted")]
    for name in shown[:MOST_WORLD]:
        chains.append((f"world-{name}", 0, [past.world(name), pair(past.world(name), a(1))]))
    return [Chain(name, target, tuple(map(number_of, levels))) for name, target, levels in chains]


class _Past:
    """Contexts by how many steps back they look."""

    def __init__(self, lives: Lives) -> None:
        self.lives = lives
        self.joint = self._looker(lives.joint)
        self.fields = [self._looker(lives.own[:, i]) for i in range(lives.own.shape[1])]

    def _looker(self, values: np.ndarray):
        def look(*back: int) -> np.ndarray:
            return pair(*(before(values, self.lives.position, k) for k in back))

        return look

    def world(self, name: str) -> np.ndarray:
        """A world field [T]; all alike where the stream has none of that name."""
        if name not in self.lives.world_fields:
            return np.zeros(len(self.lives), dtype=np.int64)
        return self.lives.world[:, self.lives.world_fields.index(name)]


def before(values: np.ndarray, position: np.ndarray, back: int) -> np.ndarray:
    """The value so many steps before, [T]; -1 where the recording had not begun."""
    found = np.full(len(values), -1, dtype=np.int64)
    found[back:] = values[: len(values) - back]
    found[position < back] = -1
    return found


def last_other(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """The last value in the recording that differs from the one before the step, [T]; else -1."""
    found = np.full(len(values), -1, dtype=np.int64)
    latest = other = -1
    for step, value in enumerate(values.tolist()):
        if position[step] == 0:
            latest = other = -1
        found[step] = other
        if latest not in (-1, value):
            other = latest
        latest = value
    return found


def _unordered(past: _Past, field: int, count: int) -> np.ndarray:
    values = past.lives.own[:, field]
    recent = [before(values, past.lives.position, k + 1) for k in range(count)]
    return pair(*np.sort(np.stack(recent), axis=0))


def pair(*columns: np.ndarray) -> np.ndarray:
    """One number for each combination of the columns' values, [T]."""
    joined = columns[0].astype(np.int64)
    for column in columns[1:]:
        joined = number_of(joined) * (int(column.max(initial=0)) + 2) + column + 1
    return joined


def number_of(values: np.ndarray) -> np.ndarray:
    """The values as numbers from 0 on, [T]."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def names_of(chains: Iterable[Chain]) -> list[str]:
    """A name for each level of each chain."""
    return [f"{chain.name}.{depth}" for chain in chains for depth in range(len(chain.levels))]
