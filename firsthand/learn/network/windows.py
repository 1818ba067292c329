"""What a network is shown: random windows to learn from, overlapping ones to be judged on.

The windows of an update follow from (seed, update), so a loader's whole state is one number.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import Usage
from firsthand.learn.network.chance import WINDOWS, keys_of, source
from firsthand.learn.vocabulary import Codes

Batch = tuple[Tensor, Tensor, Tensor]  # own [B,T,O], world [B,T,W], person [B]


class Windows:
    """Random windows of lives; every step of every life is equally likely to be in one."""

    def __init__(self, lives: Sequence[tuple[int, Codes]], window: int, seed: int) -> None:
        self.lives = [(person, codes.own, codes.world) for person, codes in lives if len(codes)]
        if not self.lives:
            raise Usage("there is no step to learn from", "record more, or give other lives")
        lengths = np.array([len(own) for _, own, _ in self.lives])
        self.window, self.seed = min(window, int(lengths.max())), seed
        self.ends = lengths.cumsum()

    def draw(self, update: int, batch: int, rows: slice = slice(None)) -> tuple[Batch, Tensor]:
        """These rows of the global batch of an update, and their keys [B] for dropout.

        A life shorter than the window is repeated.
        """
        numbers = source(self.seed, update, WINDOWS)
        lives = np.searchsorted(self.ends, numbers.integers(self.ends[-1], size=batch), "right")
        where = numbers.random(batch)
        picked = [self._cut(*pick) for pick in list(zip(lives, where, strict=True))[rows]]
        own, world, person = (torch.stack(part) for part in zip(*picked, strict=True))
        return (own, world, person), keys_of(self.seed, update, batch)[rows]

    def _cut(self, life: int, where: float) -> tuple[Tensor, Tensor, Tensor]:
        person, own, world = self.lives[life]
        start = int(where * max(1, len(own) - self.window + 1))
        index = (start + np.arange(self.window)) % len(own)
        return torch.from_numpy(own[index]), torch.from_numpy(world[index]), torch.tensor(person)


class Looks:
    """Every window that a judged step is predicted in; see `overlapping`."""

    def __init__(self, dev: Sequence[tuple[int, Codes, int]], window: int) -> None:
        """`dev` holds (person number, steps, index of the first step that counts)."""
        self.rows = [
            (person, codes, start, max(counted, first))
            for person, codes, first in dev
            for start, counted in overlapping(len(codes), window)
            if min(start + window, len(codes)) > max(counted, first)
        ]
        longest = max((len(codes) for _, codes, _ in dev), default=0)
        self.window = min(window, longest)

    def batches(self, size: int, rank: int, world: int) -> Iterator[tuple[Batch, Tensor]]:
        """Batches of at most `size` windows and the mask [B,T] of the steps that count.

        Each process gets its share, and all get as many batches, if need be of nothing.
        """
        most = -(-len(self.rows) // world)
        mine = self.rows[rank::world]
        for start in range(0, most, size):
            yield self._batch(mine[start : start + size] or self.rows[:1], start < len(mine))

    def _batch(self, rows: list[tuple[int, Codes, int, int]], real: bool) -> tuple[Batch, Tensor]:
        fields = rows[0][1]
        own = torch.zeros(len(rows), self.window, fields.own.shape[1], dtype=torch.long)
        world = torch.zeros(len(rows), self.window, fields.world.shape[1], dtype=torch.long)
        counts = torch.zeros(len(rows), self.window, dtype=torch.bool)
        for row, (_, codes, start, counted) in enumerate(rows):
            part = slice(start, start + self.window)
            steps = len(codes.own[part])  # what is missing at the end, no step before can see
            own[row, :steps] = torch.from_numpy(codes.own[part])
            world[row, :steps] = torch.from_numpy(codes.world[part])
            counts[row, counted - start : steps] = real
        person = torch.tensor([person for person, *_ in rows])
        return (own, world, person), counts


def overlapping(steps: int, window: int) -> list[tuple[int, int]]:
    """(start, first step that counts) of windows that overlap by half, so that each step sees
    at least half a window of the past: of the first window all steps count, then the second
    half (its smaller one where the window is odd)."""
    past = window - window // 2
    starts = range(0, max(1, steps - past), window - past)
    return [(start, start if start == 0 else start + past) for start in starts]


def digest_of(lives: Sequence[tuple[int, Codes]], dev: Sequence[tuple[int, Codes, int]]) -> str:
    """SHA-256 of all that is learned from or looked at; about a second for 100 M values."""
    sums = hashlib.sha256()
    rows = [(person, codes, 0) for person, codes in lives]
    for person, codes, first in (*rows, *dev):
        sums.update(repr((person, codes.own.shape, codes.world.shape, first)).encode())
        sums.update(np.ascontiguousarray(codes.own).data)
        sums.update(np.ascontiguousarray(codes.world).data)
    return sums.hexdigest()
