"""Model FLOPs utilisation: what the network's own multiplications are of the machine's peak.

After Chowdhery et al. 2022 (PaLM), appendix B: 6 N FLOPs a position forward and backward, plus
12 L D T for attention over T positions, causality not discounted; no credit for recomputation.
"""

import time
from functools import lru_cache

import torch

from firsthand.learn.network.model import Shape

# Dense bf16 peaks of the makers' data sheets (NVIDIA; SXM where there is a choice), FLOP/s.
PEAKS = {
    "H200": 989e12, "H100": 989e12, "H800": 989e12, "A100": 312e12, "A800": 312e12,
    "L40S": 362e12, "L4": 121e12, "A10": 125e12,
}  # fmt: skip
MATMUL_S = 0.02  # how long the peak is measured on a CPU


def multiplied(shape: Shape) -> int:
    """N: the weights that every position is multiplied with. A step is one position; its own
    fields share the layers and have a head and an output table each. Tables that are only
    looked up (world, person) do not count."""
    inner = (8 * shape.width // 3 + 15) // 16 * 16
    feed = 3 * shape.width * inner
    layers = shape.depth * (4 * shape.width**2 + feed)
    return layers + sum(feed + size * shape.width for size in shape.own_sizes)


def position_flops(shape: Shape, window: int) -> float:
    """FLOPs of one step of a window, forward and backward."""
    return 6.0 * multiplied(shape) + 12.0 * shape.depth * shape.width * window


def peak_of(device: torch.device, bf16: bool) -> float:
    """The device's peak in FLOP/s: of the data sheet for known GPUs, else measured, once, by a
    matrix product of the precision of training (on a CPU, on as many threads as it uses)."""
    if device.type == "cuda" and bf16:
        name = torch.cuda.get_device_name(device)
        for model in sorted(PEAKS, key=len, reverse=True):
            if model in name.replace("-", " ").split():
                return PEAKS[model]
    return _measured(str(device), bf16, torch.get_num_threads())


@lru_cache
def _measured(device: str, bf16: bool, threads: int) -> float:
    """FLOP/s of the best of repeated square products."""
    gpu = device.startswith("cuda")
    side = 8192 if gpu else 512
    a = torch.ones(side, side, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    best, began, rounds = 0.0, time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - began < MATMUL_S:
        start = time.perf_counter()
        _ = a @ a
        if gpu:
            torch.cuda.synchronize(device)
        best = max(best, 2.0 * side**3 / (time.perf_counter() - start))
        rounds += 1
    return best
