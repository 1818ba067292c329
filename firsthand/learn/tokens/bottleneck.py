"""A trained bottleneck: numbers go in, a few rounded levels come out, and back.

Finite scalar quantisation (FSQ: Mentzer et al. 2023) between two small networks that look at
principal components; gradients pass the rounding straight through. Scenes and the movements of
hands are coded with it. Fitting needs torch, coding only numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from firsthand.errors import Damaged, Usage
from firsthand.learn.tokens.algebra import aligned, dot, one_thread, spectrum

HIDDEN = 256
BATCH = 128
RATE = 5e-3  # on simulated pictures 2e-3 left a twelfth more error after as many updates
START_SPREAD = 0.8  # of a standard deviation per unit before tanh, as in scale.py
Tables = dict[str, np.ndarray]


@dataclass(frozen=True)
class Basis:
    """The principal components of largest variance: mean [D], orthonormal axes [K, D]."""

    mean: np.ndarray
    axes: np.ndarray

    def project(self, values: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, K]"""
        return dot(values.astype(np.float32) - self.mean, self.axes.T)

    def restore(self, parts: np.ndarray) -> np.ndarray:
        """[N, K] -> [N, D]"""
        return dot(parts.astype(np.float32), self.axes) + self.mean


def fit_basis(values: np.ndarray, most: int) -> Basis:
    """At most `most` components of values [N, D], and at most a third as many as there are rows:
    on 108 real pictures 107 components left a fifth more error on others than 32 did."""
    values = values.astype(np.float32)
    mean = values.mean(0)
    centred = values - mean
    count = max(1, min(most, len(values) // 3, values.shape[1]))
    # The smaller Gram matrix has the same spectrum.
    wide = len(values) <= values.shape[1]
    gram = dot(centred, centred.T) if wide else dot(centred.T, centred)
    found = spectrum(gram)[1][:, :count]
    axes = dot(centred.T.astype(np.float64), found.copy()).T if wide else found.T
    axes = axes / (np.linalg.norm(axes, axis=1, keepdims=True) + 1e-9)
    axes *= np.sign(axes[np.arange(count), np.abs(axes).argmax(1)])[:, None]
    return Basis(mean, axes.astype(np.float32))


class Coder(nn.Module):
    """Encoder and decoder, each a linear map plus a network of two hidden layers."""

    def __init__(self, inputs: int, given: int, outputs: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        count = len(levels)
        self.steps: Tensor  # from one end of a part's range to its middle
        steps = (torch.tensor(levels, dtype=torch.float32) - 1) / 2
        self.register_buffer("steps", steps, persistent=False)
        self.lift, self.look = nn.Linear(inputs, count), _layers(inputs, count)
        self.drop, self.show = nn.Linear(count + given, outputs), _layers(count + given, outputs)

    def forward(self, inputs: Tensor, given: Tensor) -> Tensor:
        """[B, I], [B, G] -> [B, O], through the rounded code."""
        bounded = torch.tanh(self.lift(inputs) + self.look(inputs))
        rounded = torch.round((bounded + 1) * self.steps) / self.steps - 1
        code = torch.cat([bounded + (rounded - bounded).detach(), given], dim=1)
        return self.drop(code) + self.show(code)


def _layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, HIDDEN), nn.SiLU(),
        nn.Linear(HIDDEN, HIDDEN), nn.SiLU(),
        nn.Linear(HIDDEN, outputs),
    )  # fmt: skip


@dataclass(frozen=True)
class Bottleneck:
    """A fitted coder as tables of numbers; `encode` and `decode` are what others need."""

    tables: Tables

    @property
    def levels(self) -> np.ndarray:
        """How many levels each part of the code has, [K]."""
        return self.tables["levels"]

    def encode(self, inputs: np.ndarray) -> np.ndarray:
        """[N, I] -> levels [N, K], each from 0 to its number of levels - 1."""
        bounded = np.tanh(self._run("lift", "look", inputs.astype(np.float32)))
        return np.rint((bounded + 1) / 2 * (self.levels - 1)).astype(np.int64)

    def decode(self, digits: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
        """Levels [N, K] and what the decoder is given besides [N, G] -> [N, O]."""
        code = (digits * 2 / (self.levels - 1) - 1).astype(np.float32)
        if given is not None:
            code = np.concatenate([code, given.astype(np.float32)], axis=1)
        return self._run("drop", "show", code)

    def _run(self, line: str, layers: str, x: np.ndarray) -> np.ndarray:
        """The linear map plus the layers, as `Coder` has them."""
        t = self.tables
        flat = dot(x, t[f"{line}.weight"].T) + t[f"{line}.bias"]
        for number in (0, 2, 4):
            x = dot(x, t[f"{layers}.{number}.weight"].T) + t[f"{layers}.{number}.bias"]
            if number < 4:
                # The largest float32 that exp takes is 88.
                x = x / (1 + np.exp(-np.clip(x, -80, 80)))
        return flat + x


def fit_bottleneck(
    inputs: np.ndarray,
    outputs: np.ndarray,
    levels: tuple[int, ...],
    given: np.ndarray | None = None,
    updates: int = 1200,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Bottleneck:
    """Fit to bring inputs [N, I] through the code to outputs [N, O] with least squared error.

    The decoder sees `given` [N, G] too. Rows should be of variance about 1 in sum over a code's
    parts, largest first. The same arguments give the same tables. Usage where nothing can be
    fitted.
    """
    if not len(inputs) or updates < 1 or min(levels, default=0) < 2:
        raise Usage("a bottleneck needs rows, updates and at least two levels", "record longer")
    known = np.zeros((len(inputs), 0)) if given is None else given
    x, g, y = (aligned(values.astype(np.float32)) for values in (inputs, known, outputs))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        coder = Coder(x.shape[1], g.shape[1], y.shape[1], levels)
        _start(coder, x, len(levels))
        optimiser = torch.optim.AdamW(coder.parameters(), lr=RATE, weight_decay=0.0)
        plan = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, RATE, total_steps=max(updates, 2), pct_start=0.1
        )
        for update in range(updates):
            rows = torch.randint(len(x), (min(BATCH, len(x)),))
            loss = ((coder(x[rows], g[rows]) - y[rows]) ** 2).sum(1).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
            optimiser.step()
            plan.step()
            if progress:
                progress((update + 1) / updates)
    tables = {name: value.detach().numpy().copy() for name, value in coder.state_dict().items()}
    return Bottleneck(tables | {"levels": np.array(levels, dtype=np.int64)})


def updates_for(rows: int, most: int) -> int:
    """How many updates so few rows are worth; `most` where they are many."""
    return min(most, max(100, 4 * rows))


@torch.no_grad()
def _start(coder: Coder, inputs: Tensor, count: int) -> None:
    """Begin as whitened principal components: the first inputs go straight to the code."""
    coder.lift.weight.zero_()
    coder.lift.bias.zero_()
    for part in range(min(count, inputs.shape[1])):
        spread = float(inputs[:, part].std(unbiased=False))
        coder.lift.weight[part, part] = START_SPREAD / max(spread, 1e-3)


def join(digits: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """One number from 0 to prod(levels) - 1 for the levels [N, K] of a code, the last fastest."""
    weights = np.array([prod(levels[i + 1 :]) for i in range(len(levels))], dtype=np.int64)
    return digits @ weights


def part(codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The levels [N, K] that `join` made the numbers [N] of."""
    weights = np.array([prod(levels[i + 1 :]) for i in range(len(levels))], dtype=np.int64)
    return codes[:, None] // weights % np.asarray(levels)


def choose(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many of the rows, in their order, drawn evenly by chance."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))]


def with_prefix(name: str, tables: Tables) -> Tables:
    """The tables under names that begin with `name.`."""
    return {f"{name}.{key}": value for key, value in tables.items()}


def of_prefix(name: str, tables: Tables) -> Tables:
    """The tables whose names begin with `name.`, without it; Damaged where there are none."""
    found: dict[str, Any] = {
        key.removeprefix(f"{name}."): value
        for key, value in tables.items()
        if key.startswith(f"{name}.")
    }
    if not found:
        raise Damaged(f"the tokeniser has no part {name!r}", "train again")
    return found
