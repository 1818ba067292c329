"""Fits one network: windows of steps, AdamW, averaged weights, and checkpoints that resume exactly.

The same code runs as one process and as many under torchrun. Which steps are fitted, and for how
long, is decided in train.py; the network is in model.py, the windows and their chance in
windows.py and chance.py, what is written in checkpoint.py and metrics.py.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firsthand.errors import Failed, Usage
from firsthand.learn.network import checkpoint
from firsthand.learn.network.distributed import Place, gathered, here, local, shard, whole
from firsthand.learn.network.flops import peak_of, position_flops
from firsthand.learn.network.metrics import Metrics
from firsthand.learn.network.model import Losses, Network, Shape
from firsthand.learn.network.windows import Looks, Windows, digest_of, overlapping
from firsthand.learn.vocabulary import Codes

# One thread: at demo size a second one saves a tenth when the machine is idle (28 against 31 ms
# an update) and costs eight times the time when anything else runs (350 against 46 ms).
THREADS = 1
SAVE_EVERY_S = 3.0
SAVE_SHARE = 0.05  # of the time may go into checkpoints: those of a large network are slow
CHECK_EVERY = 25  # updates between two looks at the development part
LOOK_BATCH = 16  # windows of the development part at a time
PATIENCE = 6  # looks without a better one before stopping
AVERAGE = 0.98  # weights are averaged over about 50 updates
# What a position keeps for the backward pass, for each feature of a layer or head and for each
# value of a field: counted at 38 to 42 and 4 with bf16 by autocast, not compiled.
FEATURE_BYTES, SCORE_BYTES = 42, 4
ACTIVATION_BYTES = 24e9  # a GPU of 80 GB holds a network of 1 B parameters beside it
PRECISIONS = ("fp32", "bf16")
FREE = ("updates", "seconds", "log_every")  # what may differ when a run goes on
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted. `updates` bounds it exactly, `seconds` by the clock.

    `batch` is of all processes together. `precision` is "fp32", "bf16" (by autocast; weights and
    optimiser stay float32) or None: bf16 on a GPU.
    """

    updates: int = 300
    seconds: float = 1e9
    batch: int = 8
    window: int = 64
    rate: float = 3e-3
    decay: float = 0.1
    warmup: int = 20
    seed: int = 0
    precision: str | None = None
    log_every: int = 10

    def __post_init__(self) -> None:
        """Raises Usage for what cannot be fitted with."""
        whole_numbers = (self.updates, self.batch, self.window, self.warmup, self.log_every)
        if min(whole_numbers) < 1 or self.seed < 0 or self.rate <= 0 or self.decay < 0:
            raise Usage(f"nothing can be fitted with {self}", "give positive numbers")
        if self.precision not in (None, *PRECISIONS):
            raise Usage(f"unknown precision {self.precision!r}", f"one of {PRECISIONS}")


def recipe_for(
    size: int, seed: int, updates: int, seconds: float, window: int = Recipe.window
) -> Recipe:
    """The dial's other half: batch and rate for a network of this size."""
    batch, rate = 8 * max(1, size // 2), 2e-3 * size**-0.5
    return Recipe(updates, seconds, batch, window, rate, seed=seed)


@dataclass(frozen=True)
class Fitted:
    """A fitted network (averaged weights), how many updates it had, and its dev loss if asked.

    `history` has a row for each look at the development part: update, train and dev loss.
    """

    network: Network
    updates: int
    dev_nats: float | None
    history: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Around:
    """What a fit is given beside the lives: where it runs and what is told of it.

    `name` and `lineage` go into the checkpoint and the metrics; a checkpoint of another lineage
    is refused. `compiled` None: on a GPU. `peak` in FLOP/s; None: known or measured.
    """

    name: str = "network"
    lineage: Mapping[str, Any] | None = None
    metrics: Path | None = None
    watch: Callable[[Mapping[str, Any]], None] | None = None
    device: str | None = None
    compiled: bool | None = None
    peak: float | None = None


def fit(
    shape: Shape,
    lives: Sequence[tuple[int, Codes]],
    recipe: Recipe,
    state: Path,
    dev: Sequence[tuple[int, Codes, int]] = (),
    progress: Callable[[float], None] | None = None,
    around: Around | None = None,
) -> Fitted:
    """Fit a network to lives (person number, steps); continue from the folder `state`.

    With `dev` (person number, steps, index of the first step that counts) the weights with the
    lowest loss there are kept, and fitting stops when they no longer improve. Checkpoints are
    written every few seconds, between two updates: on one CPU process a run that was cut and one
    that was not end bit for bit alike when `updates` bounds them; on several, or on another
    number of them, the losses differ by rounding alone (float32: less than 1e-4 of their value).
    Under torchrun all processes call this alike, and all get the fitted network.

    Raises Usage where `state` was made with other data or another recipe or lineage (what bounds
    the fit may differ), Damaged where no checkpoint in it is whole.
    """
    torch.set_num_threads(THREADS)
    around = around or Around()
    place = here(around.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = Network(shape)
    run = _Fit(network, lives, recipe, state, dev, around, place)
    return run.run(progress or (lambda _: None))


class _Fit:
    """The loop and all that it must remember between two updates."""

    def __init__(self, network, lives, recipe, state, dev, around, place: Place) -> None:
        self.recipe, self.path, self.around, self.place = recipe, state, around, place
        self.shape: Shape = network.shape
        self.windows = Windows(lives, recipe.window, recipe.seed)
        self.looks = Looks(dev, self.shape.window) if dev else None
        self.rows = place.share(recipe.batch)
        self.parts = parts_of(self.shape, recipe.batch // place.world, self.windows.window)
        self.bf16 = (recipe.precision or PRECISIONS[place.device.type == "cuda"]) == "bf16"
        self._build(network if place.mesh else network.to(place.device))
        self.weights = torch.tensor(self.shape.field_weights, device=place.device)
        self.norm = torch.zeros(())
        self.update, self.spent_s, self.saved, self.saving_s = 0, 0.0, -1, 0.0
        self.best_nats: float | None = None
        self.best: dict[str, Tensor] | None = None
        self.best_update = 0
        self.history: list[dict[str, Any]] = []
        recipe_kept = {k: v for k, v in asdict(recipe).items() if k not in FREE}
        self.config = {
            "shape": self.shape.to_json(), "recipe": recipe_kept,
            "data": digest_of(lives, dev), "lineage": dict(around.lineage or {}),
        }  # fmt: skip
        self.load()
        self.metrics = Metrics(around.metrics if place.main else None, around.name)
        self.metrics.rewind(self.update)

    def _build(self, network: Network) -> None:
        """The network, its average and the optimiser, sharded where there are processes."""
        recipe, gpu = self.recipe, self.place.device.type == "cuda"
        average = copy.deepcopy(network).requires_grad_(False).eval()
        if gpu if self.around.compiled is None else self.around.compiled:
            compile_(network)
        self.network, self.average = network, average
        self.losses = shard(Losses(network), self.place)
        self.average_losses = shard(Losses(average), self.place, trained=False)
        matrices = [p for p in self.network.parameters() if p.dim() >= 2]
        vectors = [p for p in self.network.parameters() if p.dim() < 2]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe.decay},
             {"params": vectors, "weight_decay": 0.0}],
            lr=recipe.rate, betas=(0.9, 0.95), fused=gpu or None,
        )  # fmt: skip
        for parameter in self.network.parameters():  # as AdamW starts, but there to be loaded
            moments = {name: torch.zeros_like(parameter) for name in MOMENTS}
            step = torch.zeros((), device=self.place.device if gpu else None)
            self.optimiser.state[parameter] = {"step": step, **moments}

    def run(self, progress: Callable[[float], None]) -> Fitted:
        """Update until it is over; the weights to keep."""
        recipe = self.recipe
        began, already_s = time.monotonic(), self.spent_s
        self._mark()
        saved = began
        while not self.over():
            loss = self.step()
            if self.looks and self.update % CHECK_EVERY == 0:
                self.look(loss)
            now = time.monotonic()
            due = max(SAVE_EVERY_S, self.saving_s / SAVE_SHARE)
            spent_s, save = self.place.first_says([already_s + now - began, now - saved > due])
            self.spent_s = spent_s
            progress(max(self.update / recipe.updates, self.spent_s / recipe.seconds))
            if save:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.result()

    def over(self) -> bool:
        """Whether the budget is spent, or the development loss has stopped falling."""
        if self.update >= self.recipe.updates or self.spent_s >= self.recipe.seconds:
            return True
        return bool(self.looks) and self.update - self.best_update >= PATIENCE * CHECK_EVERY

    def step(self) -> Tensor:
        """One update; the nats of each own field, summed over this process's rows, [O]."""
        began, recipe = time.perf_counter(), self.recipe
        rate = recipe.rate * min(1.0, (self.update + 1) / recipe.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch, keys = self.windows.draw(self.update, recipe.batch, self.rows)
        drawn = [self.place.put(part).tensor_split(self.parts) for part in (*batch, keys)]
        # Gradients are averaged over the processes: hence times their number.
        share = self.place.world / (recipe.batch * self.windows.window * self.weights.sum())
        self.optimiser.zero_grad(set_to_none=True)
        fields = torch.zeros_like(self.weights)
        for part in zip(*drawn, strict=True):
            with self.cast():
                nats = self.losses(*part).sum((0, 1))
            ((nats * self.weights).sum() * share).backward()
            fields += nats.detach()
        self.norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.update += 1
        self._average()
        self.busy_s += time.perf_counter() - began
        if self.update % recipe.log_every == 0 or self.update in (1, recipe.updates):
            self.log(fields, rate)
        return fields

    def cast(self) -> AbstractContextManager:
        """bf16 where asked for."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.place.device.type, torch.bfloat16)

    @torch.no_grad()
    def _average(self) -> None:
        # Short at first, so that a short run is not stuck at its start.
        keep = min(AVERAGE, self.update / (self.update + 10))
        averages = [local(p) for p in self.average.parameters()]
        weights = [local(p) for p in self.network.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - keep)

    def mean(self, fields: Tensor) -> tuple[float, list[float]]:
        """Of an update's summed nats: the loss in nats per own field, and that of each."""
        nats = self.place.total(fields.clone()) / (self.recipe.batch * self.windows.window)
        loss = (nats * self.weights).sum() / self.weights.sum()
        return float(loss), nats.tolist()

    def _mark(self) -> None:
        self.busy_s, self.marked = 0.0, self.update

    def finite_norm(self) -> float:
        """The gradient's length at the last update. Raises Failed where it is no number any
        more, so that no such weights are ever saved; a look each time would stall a GPU."""
        norm = float(whole(self.norm))
        if not math.isfinite(norm):
            raise Failed(
                f"the training of {self.around.name} diverged by update {self.update}: "
                f"its gradient is {norm}",
                "train another size or with another seed; the last checkpoint is sound",
            )
        return norm

    def log(self, fields: Tensor, rate: float) -> None:
        """One line of metrics.jsonl."""
        began, place = time.perf_counter(), self.place
        loss, each = self.mean(fields)
        grad_norm = self.finite_norm()
        # On a GPU the updates are done only now.
        busy_s = self.busy_s + time.perf_counter() - began
        steps = self.recipe.batch * self.windows.window
        tokens = steps * len(self.weights)
        done = self.update - self.marked
        peak = (self.around.peak or peak_of(place.device, self.bf16)) * place.world
        flops = position_flops(self.shape, self.windows.window) * steps * done
        line = self.metrics.tell({
            "update": self.update, "tokens": self.update * tokens, "loss": loss, "fields": each,
            "rate": rate, "grad_norm": grad_norm, "tokens_per_s": round(tokens * done / busy_s, 1),
            "mfu": round(flops / busy_s / peak, 4), "wall_s": round(self.spent_s, 3),
        })  # fmt: skip
        if self.around.watch and place.main:
            self.around.watch(line)
        self._mark()

    @torch.no_grad()
    def look(self, fields: Tensor) -> None:
        """Note the development loss, in nats per step, and keep the best weights."""
        assert self.looks is not None
        place = self.place
        total = torch.zeros(len(self.weights) + 1, dtype=torch.float64, device=place.device)
        for batch, counts in self.looks.batches(LOOK_BATCH, place.rank, place.world):
            losses = self.average_losses(*map(place.put, batch)).double()
            mask = place.put(counts)
            total[:-1] += (losses * mask[..., None]).sum((0, 1))
            total[-1] += mask.sum()
        nats = place.total(total)[:-1] / total[-1]
        dev = float((nats * self.weights).sum())
        row = {"update": self.update, "train": self.mean(fields)[0], "dev": dev}
        self.history.append(row)
        self.metrics.tell({**row, "dev_fields": nats.tolist()})
        if self.best_nats is None or dev < self.best_nats:
            self.best_nats, self.best_update = dev, self.update
            self.best = {k: v.clone() for k, v in self.average.state_dict().items()}

    def result(self) -> Fitted:
        """The weights to keep, whole, on every process."""
        if self.best is not None:
            self.average.load_state_dict(self.best)
        network = self.average
        if self.place.world > 1:
            with torch.random.fork_rng(devices=[]):
                network = Network(self.shape).to(self.place.device)
            network.load_state_dict(gathered(self.average))
            network.requires_grad_(False).eval()
        update = self.update if self.best is None else self.best_update
        return Fitted(network, update, self.best_nats, tuple(self.history))

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that a checkpoint holds, by name; loading writes into them."""
        named = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        named |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            state = self.optimiser.state[parameter]
            named |= {f"optimiser.{moment}.{name}": state[moment] for moment in MOMENTS}
        if self.best is not None:
            named |= {f"best.{k}": v for k, v in self.best.items()}
        return named

    def save(self) -> None:
        """Write a checkpoint, unless that of this update is there."""
        if self.saved == self.update:
            return
        self.finite_norm()
        began = time.monotonic()
        notes = {
            "name": self.around.name, "config": self.config, "spent_s": self.spent_s,
            "best_nats": self.best_nats, "best_update": self.best_update, "history": self.history,
            "world": self.place.world, "device": str(self.place.device),
        }  # fmt: skip
        checkpoint.save(self.path, self.update, self.tensors(), notes, self.place)
        self.saved = self.update
        self.saving_s = time.monotonic() - began

    def load(self) -> None:
        """Continue exactly where the last whole checkpoint was written."""
        found = checkpoint.last(self.path, self.place)
        if found is None:
            return
        checkpoint.compare(found, self.config)
        notes = found.notes
        self.update = self.saved = found.update
        self.spent_s, self.history = notes["spent_s"], notes["history"]
        self.best_nats, self.best_update = notes["best_nats"], notes["best_update"]
        if self.best_nats is not None:
            average = self.average.state_dict()
            self.best = {k: torch.zeros_like(v) for k, v in average.items()}
        checkpoint.read(found, self.tensors(), self.place)
        for state in self.optimiser.state.values():
            state["step"].fill_(self.update)


def parts_of(shape: Shape, rows: int, window: int) -> int:
    """In how many equal parts a process takes its rows of an update, for memory's sake."""
    features = shape.width * (shape.depth + len(shape.own_sizes))
    row_bytes = window * (FEATURE_BYTES * features + SCORE_BYTES * sum(shape.own_sizes))
    least = math.ceil(rows * row_bytes / ACTIVATION_BYTES)
    return next((parts for parts in range(max(1, least), rows) if rows % parts == 0), rows)


def compile_(network: Network) -> None:
    """torch.compile the parts that repeat: one graph for all blocks, one for the heads of fields
    of one size. By itself only where a GPU is.

    On one CPU core the first update costs 20 to 40 s more; after that size 1 gains nothing
    (13.2 against 13.6 ms an update), size 4 a tenth (185 against 206 ms), size 6 a fifteenth.
    """
    for module in (*network.blocks, *network.heads):
        module.compile()


@torch.no_grad()
def states(network: Network, codes: Codes, person: int) -> Tensor:
    """The network's state before each step, [T, D]; each sees at least half a window of the past.

    Windows of the network's length overlap by half, and only their second half is used (of the
    first window, all).
    """
    network.eval()
    device, window = network.start.device, network.shape.window
    own = torch.from_numpy(codes.own).to(device)
    world = torch.from_numpy(codes.world).to(device)
    who = torch.tensor([person], device=device)
    parts = []
    for start, counted in overlapping(len(codes), window):
        part = slice(start, start + window)
        parts.append(network(own[None, part], world[None, part], who)[0][counted - start :])
    return torch.cat(parts)


@torch.no_grad()
def field_nats(network: Network, codes: Codes, person: int) -> np.ndarray:
    """Loss of each own field of each step, [T, O]; unknown values are charged as one."""
    torch.set_num_threads(THREADS)
    state = states(network, codes, person)
    own = torch.from_numpy(codes.own).to(state.device)
    return network.nats(state[None], own[None])[0].cpu().numpy()


def step_nats(network: Network, codes: Codes, person: int) -> np.ndarray:
    """Loss of each step, all own fields together, [T]; unknown values are charged as one."""
    return field_nats(network, codes, person).sum(-1)


@torch.no_grad()
def predict(network: Network, codes: Codes, person: int, classes: np.ndarray) -> np.ndarray:
    """Log-probabilities [T, C] over the closed list before each step, in nats."""
    torch.set_num_threads(THREADS)
    listed = torch.from_numpy(classes).to(network.start.device)
    chunks = states(network, codes, person).split(512)
    return torch.cat([network.joint(chunk, listed) for chunk in chunks]).cpu().double().numpy()
