"""All chance of training as a pure function of (seed, update, row of the global batch).

So nothing of it need be saved, and it is the same on any number of processes. What is drawn
for a row (its window, its dropout) depends on no other row.
"""

import numpy as np
import torch
from torch import Tensor

WINDOWS, MASKS = 0, 1  # separate sources of one (seed, update)


def source(seed: int, update: int, purpose: int) -> np.random.Generator:
    """The numbers of one update for one purpose."""
    return np.random.default_rng([seed, update, purpose])


def keys_of(seed: int, update: int, batch: int) -> Tensor:
    """One key for each row of the global batch, [batch] int32; dropout follows from it."""
    drawn = source(seed, update, MASKS).integers(-(2**31), 2**31, batch, dtype=np.int64)
    return torch.from_numpy(drawn.astype(np.int32))


def turned(keys: Tensor, number: int) -> Tensor:
    """Other keys for another place in the network: [B] int32 -> the same."""
    return scramble(keys ^ (number * 0x632BE5AB & 0x7FFFFFFF))


def drop(x: Tensor, keys: Tensor | None, site: int, share: float) -> Tensor:
    """Dropout (Srivastava et al. 2014) of x [B, ...] by the rows' keys [B]; none without keys."""
    if keys is None or share == 0.0:
        return x
    return x * (kept(x.shape, keys, site, share).to(x.dtype) * (1 / (1 - share)))


def kept(shape: torch.Size, keys: Tensor, site: int, share: float) -> Tensor:
    """Booleans of `shape` [B, ...], False for `share` of them; row b depends on keys[b] alone."""
    # 0.15 ms for 65,000 of them where torch.rand takes 0.22 (one CPU core).
    places = torch.arange(shape[1:].numel(), dtype=torch.int32, device=keys.device)
    drawn = scramble(turned(keys, site + 1)[:, None] ^ places)
    threshold = round(share * 2**32) - 2**31
    return (drawn >= threshold).view(shape)


def scramble(x: Tensor) -> Tensor:
    """A permutation of the int32 whose outputs look random (lowbias32, Wellons 2018)."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)
