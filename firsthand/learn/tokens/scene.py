"""The scene: a picture becomes eight tokens, by an autoencoder trained on the release itself.

It takes rows of numbers: pictures as clips.py has them, or what a pretrained encoder says of
them (encoders.py); then it is that encoder's head.
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
    part,
    updates_for,
    with_prefix,
)

SCENE_TOKENS = 8
TOKEN_LEVELS = (5, 5)  # of each token: 25 values
COMPONENTS = 128  # of simulated pictures, 256 left no less error
MOST_PICTURES = 2400  # that a tokeniser is fitted on: bounds its time and memory
UPDATES = 1200


@dataclass(frozen=True)
class Scene:
    """The trained tokeniser of pictures: principal components, then a trained bottleneck."""

    basis: Basis
    scale: float
    bottleneck: Bottleneck

    @property
    def token_levels(self) -> np.ndarray:
        """The levels that make up one token."""
        return self.bottleneck.levels[: len(self.bottleneck.levels) // SCENE_TOKENS]

    @property
    def vocab(self) -> tuple[int, ...]:
        """How many values each of the eight slots has."""
        return (int(self.token_levels.prod()),) * SCENE_TOKENS

    @property
    def rate(self) -> float:
        """Tokens per second: one picture a second is coded."""
        return float(SCENE_TOKENS)

    @property
    def tables(self) -> Tables:
        """All numbers by name; `Scene.of` reads them back."""
        own = {"mean": self.basis.mean, "axes": self.basis.axes, "scale": np.array([self.scale])}
        return own | with_prefix("code", self.bottleneck.tables)

    @classmethod
    def of(cls, tables: Tables) -> "Scene":
        """The tokeniser with these tables."""
        basis = Basis(tables["mean"], tables["axes"])
        return cls(basis, float(tables["scale"][0]), Bottleneck(of_prefix("code", tables)))

    @property
    def digest(self) -> str:
        """SHA-256 of the tables."""
        return hashlib.sha256(save(self.tables)).hexdigest()

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures [N, PICTURE] -> tokens [N, 8]."""
        rows = [np.zeros((0, SCENE_TOKENS), dtype=np.int64)]
        for start in range(0, len(pictures), 256):
            parts = self.basis.project(pictures[start : start + 256]) / self.scale
            digits = self.bottleneck.encode(parts)
            each = digits.reshape(len(digits) * SCENE_TOKENS, -1)
            rows.append(join(each, self.token_levels).reshape(-1, SCENE_TOKENS))
        return np.concatenate(rows)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens [N, 8] -> what the pictures looked like, [N, PICTURE] from 0 to 255; features
        cannot be shown."""
        digits = part(tokens.reshape(-1), self.token_levels).reshape(len(tokens), -1)
        parts = self.bottleneck.decode(digits) * self.scale
        return np.clip(self.basis.restore(parts), 0, 255)


def fit_scene(
    pictures: np.ndarray,
    levels: tuple[int, ...] = TOKEN_LEVELS,
    updates: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Scene:
    """Train on pictures [N, PICTURE], or on an encoder's features [N, D], of training days; Usage
    where there are none. The same rows and seed give the same tokeniser.

    `levels` are those of one token; `updates` by default follow from how many pictures there are.
    With 8 tokens of 25 values (37 bits) the mean squared error on a held-out day of simulated
    people was 130, where 16 whitened components of 5 levels, the same bits, left 274. On the last
    quarter of four real clips, fitted on only 69 pictures: 536 against 595.
    """
    if not len(pictures):
        raise Usage("there is no picture to fit a tokeniser on", "record longer")
    few = choose(pictures, MOST_PICTURES, seed)
    basis = fit_basis(few, COMPONENTS)
    parts = basis.project(few)
    count = SCENE_TOKENS * len(levels)
    many = updates or updates_for(len(few), UPDATES)
    # One scale for all: the error stays that of the picture.
    scale = max(float(np.sqrt((parts**2).sum(1).mean() / count)), 1e-6)
    parts = parts / scale
    code = fit_bottleneck(parts, parts, levels * SCENE_TOKENS, None, many, seed, progress)
    return Scene(basis, scale, code)
