"""Latent actions: what hands and things did between two pictures, as one token without labels.

The picture before is moved as the wearer's body moved (egomotion.py); what then still differs is
brought through a narrow trained code, whose decoder sees the picture before, so that the code
says only what happened (Genie: Bruce et al. 2024, LAPA: Ye et al. 2025; FSQ instead of VQ).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save

from firsthand.errors import Usage
from firsthand.learn.tokens.bottleneck import (
    Basis,
    Bottleneck,
    Tables,
    choose,
    fit_basis,
    fit_bottleneck,
    join,
    of_prefix,
    updates_for,
    with_prefix,
)
from firsthand.learn.tokens.egomotion import Motion, warp
from firsthand.learn.tokens.scale import BLANK

HAND_LEVELS = (4, 4, 4, 4)  # 256 values of one token
SIDE_WIDE, SIDE_HIGH = 32, 24  # changes are looked at in this size
CHANGE = SIDE_WIDE * SIDE_HIGH * 3
COMPONENTS, CONTEXT = 64, 32
UPDATES = 600
MOST_CHANGES = 4000  # that a code is fitted on: bounds its time and memory
MOST_BASIS = 1000  # that its principal components are taken from


def change(before: np.ndarray, after: np.ndarray, motion: Motion | None) -> np.ndarray:
    """What `motion` (pixels of the pictures' luma) leaves unexplained: pictures [PICTURE] (YUV
    4:2:0, 64x48) -> [2, CHANGE] float32, the rest and the moved picture before. NaN without
    motion. Where the picture before shows nothing, the rest is 0."""
    if motion is None:
        return np.full((2, CHANGE), np.nan, dtype=np.float32)
    small = Motion(motion.across / 2, motion.down / 2, motion.turn, motion.zoom)
    moved, known = warp(_small(before), small)
    rest = (_small(after) - moved) * known[..., None]
    return np.stack([rest.reshape(-1), moved.reshape(-1)]).astype(np.float32)


def _small(picture: np.ndarray) -> np.ndarray:
    """YUV 4:2:0 [PICTURE] -> [SIDE_HIGH, SIDE_WIDE, 3], the luma at half its size."""
    cut = 4 * SIDE_WIDE * SIDE_HIGH
    luma = picture[:cut].astype(np.float32).reshape(SIDE_HIGH, 2, SIDE_WIDE, 2).mean((1, 3))
    chroma = picture[cut:].astype(np.float32).reshape(2, SIDE_HIGH, SIDE_WIDE)
    return np.stack([luma, *chroma], axis=-1)


@dataclass(frozen=True)
class Hands:
    """The trained code of changes."""

    rest: Basis
    context: Basis
    scale: np.ndarray  # of the rest's and of the context's components, and the usual size [3]
    bottleneck: Bottleneck

    @property
    def vocab(self) -> int:
        """How many values a token has, the blank not counted."""
        return int(self.bottleneck.levels.prod())

    @property
    def tables(self) -> Tables:
        """All numbers by name; `Hands.of` reads them back."""
        return (
            with_prefix("rest", vars(self.rest))
            | with_prefix("context", vars(self.context))
            | {"scale": self.scale}
            | with_prefix("code", self.bottleneck.tables)
        )

    @classmethod
    def of(cls, tables: Tables) -> "Hands":
        """The code with these tables."""
        rest, context = (Basis(**of_prefix(name, tables)) for name in ("rest", "context"))
        return cls(rest, context, tables["scale"], Bottleneck(of_prefix("code", tables)))

    @property
    def digest(self) -> str:
        """SHA-256 of the tables."""
        return hashlib.sha256(save(self.tables)).hexdigest()

    def encode(self, changes: np.ndarray) -> list[str]:
        """One token, such as h17, for each of changes [N, 2, CHANGE]; BLANK where it is NaN."""
        known = np.isfinite(changes[:, 0, 0])
        tokens = [BLANK] * len(changes)
        if known.any():
            rest, context = self._parts(changes[known])
            digits = self.bottleneck.encode(np.concatenate([rest, context], axis=1))
            codes = join(digits, self.bottleneck.levels)
            for place, code in zip(np.flatnonzero(known), codes.tolist(), strict=True):
                tokens[place] = f"h{code}"
        return tokens

    def _parts(self, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rest = self.rest.project(soften(changes[:, 0], self.scale[2])) / self.scale[0]
        return rest, self.context.project(changes[:, 1]) / self.scale[1]


def soften(rest: np.ndarray, usual: float) -> np.ndarray:
    """Changes [N, CHANGE] brought to about one size: a walk to another room changes the whole
    picture and would have the code for itself."""
    size = np.sqrt((rest.astype(np.float32) ** 2).mean(1, keepdims=True))
    return rest / (size + np.float32(usual))


def fit_hands(
    changes: np.ndarray,
    levels: tuple[int, ...] = HAND_LEVELS,
    updates: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Hands:
    """Train on changes [N, 2, CHANGE] of training days; rows with NaN do not count. Usage where
    none is left. The same arguments give the same code."""
    changes = changes[np.isfinite(changes[:, 0, 0])]
    if not len(changes):
        raise Usage("there is no change of a picture to fit a code on", "record longer")
    changes = choose(changes, MOST_CHANGES, seed)
    usual = float(np.median(np.sqrt((changes[:, 0] ** 2).mean(1)))) + 0.5
    few = choose(changes, MOST_BASIS, seed)
    rest = fit_basis(soften(few[:, 0], usual), COMPONENTS)
    context = fit_basis(few[:, 1], CONTEXT)
    parts = rest.project(soften(changes[:, 0], usual)), context.project(changes[:, 1])
    sizes = [
        max(float(np.sqrt((part**2).sum(1).mean() / count)), 1e-6)
        for part, count in zip(parts, (len(levels), CONTEXT), strict=True)
    ]
    scale = np.array([*sizes, usual], dtype=np.float32)
    done, seen = parts[0] / scale[0], parts[1] / scale[1]
    inputs = np.concatenate([done, seen], axis=1)
    many = updates or updates_for(len(changes), UPDATES)
    code = fit_bottleneck(inputs, done, levels, seen, many, seed, progress)
    return Hands(rest, context, scale, code)
