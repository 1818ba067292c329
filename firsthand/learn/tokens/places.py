"""Where a picture was taken: a few places, as clusters of what is large in a picture.

Events are told the place besides the scene: their model counts what was done where.
"""

from dataclasses import dataclass

import numpy as np

from firsthand.learn.tokens.algebra import dot
from firsthand.learn.tokens.bottleneck import Tables
from firsthand.learn.tokens.scale import fit_scale

PLACES = 12
AXES = 8  # principal components that tell places apart


@dataclass(frozen=True)
class Places:
    """Mean [D] and axes [AXES, D] of pictures, and the centre of each place [P, AXES]."""

    mean: np.ndarray
    axes: np.ndarray
    centres: np.ndarray

    @property
    def tables(self) -> Tables:
        """All numbers by name; `Places(**tables)` reads them back."""
        return dict(vars(self))

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """The number of the place that each of pictures [N, D] shows, [N]."""
        return nearest(_spots(pictures, self.mean, self.axes), self.centres)


def fit_places(pictures: np.ndarray, seed: int) -> Places:
    """Clusters of pictures [N, D] by their large components; fewer than PLACES if N is."""
    stack = pictures.astype(np.float64)
    coarse = fit_scale(stack, (2,) * AXES)
    # Where one is shows in the large components: they are not whitened for this.
    axes = coarse.axes / np.maximum(np.linalg.norm(coarse.axes, axis=1, keepdims=True), 1e-12)
    spots = _spots(stack, coarse.mean, axes)
    centres = cluster(spots, min(PLACES, len(stack)), np.random.default_rng(seed))
    return Places(coarse.mean, axes, centres)


def _spots(pictures: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return dot(pictures.astype(np.float64) - mean, axes.T)


def cluster(points: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Centres [P, K] of clusters: k-means (Lloyd 1982) from k-means++ starts, best of four."""
    best, least = points[:1], np.inf
    for _ in range(4):
        centres = points[chance.integers(len(points))][None]
        while len(centres) < count:
            distance = ((points[:, None] - centres[None]) ** 2).sum(-1).min(1)
            if distance.sum() <= 0:
                break
            pick = chance.choice(len(points), p=distance / distance.sum())
            centres = np.concatenate([centres, points[pick][None]])
        for _ in range(30):
            member = nearest(points, centres)
            centres = np.stack([
                points[member == c].mean(0) if (member == c).any() else centres[c]
                for c in range(len(centres))
            ])  # fmt: skip
        loss = float(((points - centres[nearest(points, centres)]) ** 2).sum())
        if loss < least:
            best, least = centres, loss
    return best


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre of each point."""
    return ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
