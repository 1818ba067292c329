"""Products and spectra that come out bit for bit alike each time.

NumPy's follow the machine's setting: with two threads instead of one, the same release gave
another tokeniser. So do torch's on an array that begins elsewhere in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread; as many as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def aligned(values: np.ndarray) -> torch.Tensor:
    """A copy where torch's own arrays begin: how a product rounds depends on that, too."""
    return torch.from_numpy(np.ascontiguousarray(values)).clone()


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of [N, K] and [K, M], of one type of floats."""
    with one_thread():
        return (aligned(a) @ aligned(b)).numpy()


def spectrum(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [K] of a symmetric matrix [K, K], the largest first, and eigenvectors in
    columns [K, K]; float64."""
    with one_thread():
        values, vectors = torch.linalg.eigh(aligned(gram.astype(np.float64)))
    return values.numpy()[::-1], vectors.numpy()[:, ::-1]
