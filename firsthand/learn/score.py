"""How good predictions are, in a few figures: intervals, ranks, calibration."""

from collections.abc import Sequence

import numpy as np

DRAWS = 2000  # of the bootstrap
BLOCK = 10  # neighbouring steps drawn together, for they are alike
FEWEST_BLOCKS = 8  # where steps are few, blocks are shorter
BINS = 15  # of confidence, for the calibration error


def bootstrap(gain: np.ndarray, lengths: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of paired differences [T], drawn in blocks within people."""
    blocks, start = [], 0
    size = max(1, min(BLOCK, len(gain) // FEWEST_BLOCKS))
    for length in lengths:
        stop = start + length
        blocks += [gain[i : min(i + size, stop)] for i in range(start, stop, size)]
        start += length
    sums = np.array([b.sum() for b in blocks])
    counts = np.array([len(b) for b in blocks])
    draws = np.random.default_rng(seed).integers(0, len(blocks), (DRAWS, len(blocks)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def top(log_p: np.ndarray, joint: np.ndarray, k: int) -> float:
    """Share of steps whose truth is among the k most probable listed classes."""
    listed = log_p[:, :-1]  # the class of the unseen names nothing
    best = np.argsort(-listed, axis=1)[:, :k]
    return float((best == joint[:, None]).any(1).mean())


def calibration_error(log_p: np.ndarray, joint: np.ndarray) -> float:
    """Expected calibration error of the most probable class, over bins of confidence of equal
    width (Guo et al. 2017)."""
    return calibration_of(np.exp(log_p.max(1)), log_p.argmax(1) == joint)


def calibration_of(sure: np.ndarray, right: np.ndarray) -> float:
    """The same of first guesses [N]: how sure each was, and whether it was right."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(bins, sure - right, BINS))
    return float(gaps.sum() / len(right))
