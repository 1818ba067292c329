"""How fast the network is fitted on tick streams of 16 own slots a second, and whether it resumes.

On a GPU: tokens a second and the share of the matrix peak for about 0.1 and 1 B parameters
(`--sizes`), with weights, optimiser and batches as in real training. On a CPU, or with --small,
a tiny network shows only that it runs. Then a small fit is interrupted and taken up again: its
loss curve must be that of the unbroken one. Prints one line of JSON; 1 if the curves differ.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

# Set before the GPU is first used: the resumed run is compared bit for bit.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch

from firsthand.learn.network import fit
from firsthand.learn.network.distributed import here
from firsthand.learn.network.flops import multiplied, peak_of
from firsthand.learn.network.model import Network, Shape, shape_for
from firsthand.learn.vocabulary import Codes

SLOTS, CODES = 16, 1000  # own slots a second, values of each
WORLD = (17, 9, 9, 5)  # the clock's fields
SIZES = (10, 24)  # 0.11 and 1.01 B parameters
WINDOW = 512  # seconds
SKIPPED, LINES, EVERY = 2, 4, 5  # lines of metrics left out, then measured; updates of each
UPDATES = 24  # of the resumed fit


class Enough(Exception):
    """Measured, or interrupted."""


def ticks(seconds: int, slots: int = SLOTS, values: int = CODES, seed: int = 0) -> Codes:
    """A made-up life, a step each second: every slot keeps its value nine times in ten."""
    chance = np.random.default_rng(seed)
    drawn = chance.integers(1, values + 1, (seconds, slots))
    stays = chance.random((seconds, slots)) < 0.9
    stays[0] = False
    since = np.maximum.accumulate(np.where(stays, 0, np.arange(seconds)[:, None]))
    own = np.take_along_axis(drawn, since, 0)
    world = np.stack([chance.integers(0, size, seconds) for size in WORLD], axis=1)
    zeros = np.zeros(seconds, dtype=np.int64)
    return Codes("somebody", own, world, zeros, zeros, np.arange(seconds) * 10**9)


def stop_at(share: float) -> Callable[[float], None]:
    """For fit's progress: ends it there, before anything more is written."""

    def stop(done: float) -> None:
        if done >= share:
            raise Enough

    return stop


def measure(shape: Shape, recipe: fit.Recipe, device: str | None, folder: Path) -> dict[str, Any]:
    """Fit until enough is measured: medians over the lines of metrics after the first."""
    rows: list[dict[str, Any]] = []

    fit.SAVE_EVERY_S, kept = 1e9, fit.SAVE_EVERY_S
    lives = [(1, ticks(20 * recipe.window, len(shape.own_sizes), shape.own_sizes[0] - 1))]
    around = fit.Around("bench", device=device, watch=rows.append)
    with suppress(Enough):
        fit.fit(shape, lives, recipe, folder, (), stop_at(1.0), around)
    fit.SAVE_EVERY_S = kept
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Network(shape).parameters())
    result: dict[str, Any] = {
        "parameters": parameters, "multiplied": multiplied(shape), "depth": shape.depth,
        "width": shape.width, "window": recipe.window, "batch": recipe.batch,
        "parts": fit.parts_of(shape, recipe.batch, recipe.window),
        "loss_first": rows[0]["loss"], "loss_last": rows[-1]["loss"],
    }  # fmt: skip
    for name in ("tokens_per_s", "mfu"):
        result[name] = round(statistics.median(row[name] for row in rows[-LINES:]), 4)
    if here(device).device.type == "cuda":
        result["memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return result


def resumed(device: str | None, folder: Path) -> dict[str, Any]:
    """Interrupt a small fit twice and take it up again, beside an unbroken one."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    shape = replace(shape_for(2, [65] * 4, list(WORLD), 1, window=32), dropout=0.0)
    recipe = fit.Recipe(UPDATES, batch=8, window=32, log_every=1)
    lives = [(1, ticks(2000, 4, 64))]

    def run(name: str, stop: float = 2.0) -> fit.Fitted:
        around = fit.Around(name, None, folder / f"{name}.jsonl", None, device, compiled=False)
        return fit.fit(shape, lives, recipe, folder / name, (), stop_at(stop), around)

    whole = run("whole")
    fit.SAVE_EVERY_S, fit.SAVE_SHARE = -1.0, 1e9  # save at each update
    for stop in (0.3, 0.7):
        with suppress(Enough):
            run("broken", stop)
    again = run("broken")
    torch.use_deterministic_algorithms(False)
    curves = []
    for name in ("whole", "broken"):
        rows = map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())
        curves.append([(row["update"], row["loss"]) for row in rows])
    weights = [result.network.state_dict() for result in (whole, again)]
    return {
        "updates": len(curves[0]),
        "same_curve": curves[0] == curves[1],
        "largest_difference": max(abs(a - b) for (_, a), (_, b) in zip(*curves, strict=False)),
        "same_weights": all(torch.equal(weights[0][k], v) for k, v in weights[1].items()),
    }


def main() -> int:
    """Prints one line of JSON; 1 if the resumed run is not the unbroken one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny network on the CPU")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="of the dial")
    parser.add_argument("--window", type=int, default=WINDOW, help="seconds in a window")
    parser.add_argument("--batch", type=int, help="windows an update, instead of the dial's")
    given = parser.parse_args()
    small = given.small or not torch.cuda.is_available()
    device, sizes, window, values = None, given.sizes, given.window, CODES
    if small:
        device, sizes, window, values = "cpu", (2,), 64, 64
    result: dict[str, Any] = {"bench": "train", "small": small}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            shape = shape_for(size, [values + 1] * SLOTS, list(WORLD), 1, window=window)
            recipe = fit.recipe_for(size, 0, (SKIPPED + LINES) * EVERY, 1e9, window)
            recipe = replace(recipe, log_every=EVERY, batch=given.batch or recipe.batch)
            result[f"size_{size}"] = measure(shape, recipe, device, folder / f"size-{size}")
        result["resume"] = resumed(device, folder)
    print(json.dumps(result | machine(here(device).device)))
    return 0 if result["resume"]["same_curve"] and result["resume"]["same_weights"] else 1


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on, and the commit."""
    gpu = device.type == "cuda"
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {
        "device": torch.cuda.get_device_name(device) if gpu else cpu(),
        "peak_tflops": round(peak_of(device, gpu) / 1e12, 4),
        "torch": torch.__version__,
        "commit": commit or None,
    }


def cpu() -> str:
    """The processor's name, one core of which is used."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"one core of {names[0] if names else platform.processor() or platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
