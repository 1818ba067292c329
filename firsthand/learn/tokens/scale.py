"""A scale: measurements in a few rounded levels, fitted in closed form, without gradients.

Whitened principal components, then finite scalar quantisation (FSQ: Mentzer et al. 2023), which
rounds each bounded component to a few levels. What has a trained code instead is in bottleneck.py.
"""

from dataclasses import dataclass

import numpy as np

from firsthand.learn.tokens.algebra import dot, spectrum

SPREAD = 0.8  # of a standard deviation per unit before tanh: fills the levels about evenly
BLANK = "-"  # the token of what was not measured


@dataclass(frozen=True)
class Scale:
    """Principal components [K, D] of measurements [., D], whitened, and levels to round to."""

    mean: np.ndarray
    axes: np.ndarray
    levels: np.ndarray

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[T, D] -> level numbers [T, K]; each is between 0 and levels - 1."""
        parts = dot(values.astype(np.float64) - self.mean, self.axes.T)
        bounded = np.tanh(SPREAD * parts)
        return np.rint((bounded + 1) / 2 * (self.levels - 1)).astype(np.int64)

    def tokens(self, name: str, values: np.ndarray) -> list[str]:
        """One token for each row of values [T, D], such as name:2.0.1; BLANK where one is NaN."""
        known = np.isfinite(values).all(1)
        digits = self.encode(np.where(known[:, None], values, self.mean))
        return [
            f"{name}:" + ".".join(map(str, row)) if ok else BLANK
            for row, ok in zip(digits.tolist(), known, strict=True)
        ]


def fit_scale(values: np.ndarray, levels: tuple[int, ...]) -> Scale:
    """The whitened components of largest variance of values [T, D]; fewer where T is small."""
    values = values.astype(np.float64)
    mean = values.mean(0)
    count = min(len(levels), values.shape[1])
    axes = np.zeros((len(levels), values.shape[1]))
    centred = values - mean
    # The smaller Gram matrix has the same spectrum.
    if len(values) <= values.shape[1]:
        variance, vectors = spectrum(dot(centred, centred.T))
        vectors = dot(centred.T, vectors.copy())
        vectors /= np.linalg.norm(vectors, axis=0) + 1e-12
    else:
        variance, vectors = spectrum(dot(centred.T, centred))
    deviation = np.sqrt(np.maximum(variance[:count], 0) / len(values))
    # The sign of a component is arbitrary: fix it, so that the same data give the same tokens.
    found = vectors[:, :count].T
    found = found * np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])[:, None]
    known = deviation > 1e-6 * (deviation[:1].max(initial=0) + 1e-12)
    axes[: len(found)] = np.where(known[:, None], found / (deviation[:, None] + 1e-12), 0.0)
    return Scale(mean, axes, np.array(levels))
