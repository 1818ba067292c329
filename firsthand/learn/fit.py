"""Fits one network: windows of steps, AdamW, averaged weights, and a state that resumes exactly.

Which steps are fitted, and for how long, is decided in train.py; the network is in model.py.
"""

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import Damaged
from firsthand.learn.model import Network, Shape
from firsthand.learn.vocabulary import Codes

# One thread: at demo size a second one saves a tenth when the machine is idle (28 against 31 ms
# an update) and costs eight times the time when anything else runs (350 against 46 ms).
THREADS = 1
SAVE_EVERY_S = 3.0
CHECK_EVERY = 25  # updates between two looks at the development part
PATIENCE = 6  # looks without a better one before stopping
AVERAGE = 0.98  # weights are averaged over about 50 updates


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted. `updates` bounds it exactly, `seconds` by the clock."""

    updates: int = 300
    seconds: float = 1e9
    batch: int = 8
    window: int = 64
    rate: float = 3e-3
    decay: float = 0.1
    warmup: int = 20
    seed: int = 0


def recipe_for(size: int, seed: int, updates: int, seconds: float) -> Recipe:
    """The dial's other half: batch and rate for a network of this size."""
    batch, rate = 8 * max(1, size // 2), 2e-3 * size**-0.5
    return Recipe(updates=updates, seconds=seconds, batch=batch, rate=rate, seed=seed)


@dataclass(frozen=True)
class Fitted:
    """A fitted network (averaged weights), how many updates it had, and its dev loss if asked."""

    network: Network
    updates: int
    dev_nats: float | None
    history: tuple[dict[str, float], ...]


def fit(
    shape: Shape,
    lives: Sequence[tuple[int, Codes]],
    recipe: Recipe,
    state: Path,
    dev: Sequence[tuple[int, Codes, int]] = (),
    progress: Callable[[float], None] | None = None,
) -> Fitted:
    """Fit a network to lives (person number, steps); continue from `state` where it exists.

    With `dev` (person number, steps, index of the first step that counts) the weights with the
    lowest loss there are kept, and fitting stops when they no longer improve. The state is
    written every few seconds, between two updates: a run that was cut and one that was not end
    alike when `updates` bounds them.
    """
    torch.set_num_threads(THREADS)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return _Fit(shape, lives, recipe, state, dev).run(progress or (lambda _: None))


class _Fit:
    """The loop and all that it must remember between two updates."""

    def __init__(self, shape, lives, recipe, state, dev) -> None:
        self.recipe, self.path, self.dev = recipe, state, dev
        self.network = Network(shape)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        matrices = [p for p in self.network.parameters() if p.dim() >= 2]
        vectors = [p for p in self.network.parameters() if p.dim() < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.decay},
             {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.rate, betas=(0.9, 0.95),
        )  # fmt: skip
        self.windows = Windows(lives, recipe.window)
        self.update, self.spent_s = 0, 0.0
        self.best: dict | None = None
        self.best_nats, self.best_update = float("inf"), 0
        self.history: list[dict[str, float]] = []
        if state.exists():
            self.load()

    def run(self, progress: Callable[[float], None]) -> Fitted:
        """Update until it is over; the weights to keep."""
        recipe = self.recipe
        began = saved = time.monotonic()
        already_s = self.spent_s
        while not self.over():
            loss = self.step()
            if self.dev and self.update % CHECK_EVERY == 0:
                self.look(loss)
            now = time.monotonic()
            self.spent_s = already_s + now - began
            progress(max(self.update / recipe.updates, self.spent_s / recipe.seconds))
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = now
        self.save()
        if self.best is None:
            return Fitted(self.average, self.update, None, tuple(self.history))
        self.average.load_state_dict(self.best)
        return Fitted(self.average, self.best_update, self.best_nats, tuple(self.history))

    def over(self) -> bool:
        """Whether the budget is spent, or the development loss has stopped falling."""
        if self.update >= self.recipe.updates or self.spent_s >= self.recipe.seconds:
            return True
        return bool(self.dev) and self.update - self.best_update >= PATIENCE * CHECK_EVERY

    def step(self) -> float:
        """One update; the mean loss in nats per own field."""
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, (self.update + 1) / recipe.warmup)
        self.network.train()
        own, world, person = self.windows.draw(recipe.batch)
        loss = self.network.nats(self.network(own, world, person), own).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.update += 1
        # Short at first, so that a short run is not stuck at its start.
        keep = min(AVERAGE, self.update / (self.update + 10))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for average, weight in pairs:
                average.lerp_(weight, 1 - keep)
        return float(loss.detach())

    def look(self, train_loss: float) -> None:
        """Note the development loss, in nats per step, and keep the best weights."""
        losses = [
            step_nats(self.average, codes, person)[first:] for person, codes, first in self.dev
        ]
        nats = float(np.concatenate(losses).mean())
        self.history.append({"update": self.update, "train": train_loss, "dev": nats})
        if nats < self.best_nats:
            self.best_nats, self.best_update = nats, self.update
            self.best = {k: v.clone() for k, v in self.average.state_dict().items()}

    def save(self) -> None:
        """Write all of it in one go, so that a cut leaves the state before."""
        value = {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(), "update": self.update,
            "spent_s": self.spent_s, "best": self.best, "best_nats": self.best_nats,
            "best_update": self.best_update, "history": self.history,
            "rng": torch.get_rng_state(),
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(value, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def load(self) -> None:
        """Continue exactly where the state was written."""
        try:
            value = torch.load(self.path, weights_only=True)
            self.network.load_state_dict(value["network"])
            self.average.load_state_dict(value["average"])
            self.optimiser.load_state_dict(value["optimiser"])
            self.update, self.spent_s = value["update"], value["spent_s"]
            self.best, self.best_nats = value["best"], value["best_nats"]
            self.best_update, self.history = value["best_update"], value["history"]
            torch.set_rng_state(value["rng"])
        except Exception as error:
            hint = "delete it, and the training starts this network again"
            raise Damaged(f"the training state {self.path} is damaged", hint) from error


class Windows:
    """Random windows of lives; every step of every life is equally likely to be in one."""

    def __init__(self, lives: Sequence[tuple[int, Codes]], window: int) -> None:
        self.lives = [
            (person, torch.from_numpy(codes.own), torch.from_numpy(codes.world))
            for person, codes in lives
            if len(codes)
        ]
        longest = max(len(own) for _, own, _ in self.lives)
        self.window = min(window, longest)
        lengths = torch.tensor([len(own) for _, own, _ in self.lives], dtype=torch.float)
        self.chance = lengths / lengths.sum()

    def draw(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """own [B,T,O], world [B,T,W], person [B]; a life shorter than T is repeated."""
        rows = []
        for number in torch.multinomial(self.chance, batch, replacement=True).tolist():
            person, own, world = self.lives[number]
            start = int(torch.randint(0, max(1, len(own) - self.window + 1), ()))
            index = (start + torch.arange(self.window)) % len(own)
            rows.append((own[index], world[index], torch.tensor(person)))
        own, world, person = (torch.stack(part) for part in zip(*rows, strict=True))
        return own, world, person


@torch.no_grad()
def states(network: Network, codes: Codes, person: int) -> Tensor:
    """The network's state before each step, [T, D]; each sees at least half a window of the past.

    Windows of the network's length overlap by half, and only their second half is used (of the
    first window, all).
    """
    network.eval()
    window, half = network.shape.window, network.shape.window // 2
    own, world = torch.from_numpy(codes.own), torch.from_numpy(codes.world)
    who = torch.tensor([person])
    parts = []
    for start in range(0, max(1, len(codes) - half), half):
        part = slice(start, start + window)
        state = network(own[None, part], world[None, part], who)[0]
        parts.append(state if start == 0 else state[half:])
    return torch.cat(parts)


@torch.no_grad()
def step_nats(network: Network, codes: Codes, person: int) -> np.ndarray:
    """Loss of each step, all own fields together, [T]; unknown values are charged as one."""
    torch.set_num_threads(THREADS)
    losses = network.nats(states(network, codes, person)[None], torch.from_numpy(codes.own)[None])
    return losses[0].sum(-1).numpy()


@torch.no_grad()
def predict(network: Network, codes: Codes, person: int, classes: np.ndarray) -> np.ndarray:
    """Log-probabilities [T, C] over the closed list before each step, in nats."""
    torch.set_num_threads(THREADS)
    listed = torch.from_numpy(classes)
    chunks = states(network, codes, person).split(512)
    return torch.cat([network.joint(chunk, listed) for chunk in chunks]).double().numpy()
