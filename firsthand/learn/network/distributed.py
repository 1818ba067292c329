"""Where training runs: the device, this process's place among those that torchrun started, and
the sharding of a network over them (FSDP2). One process without torchrun is a place as well.

Every collective of training is here or in checkpoint.py.
"""

import atexit
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from firsthand.errors import Usage
from firsthand.learn.network.model import Losses

# The others wait while the first one reads a release; torchrun ends all when one of them fails.
PATIENCE = timedelta(hours=12)
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """One process of a training run. Its methods are collective: all processes call them alike."""

    device: torch.device
    rank: int = 0
    world: int = 1
    mesh: DeviceMesh | None = None

    @property
    def main(self) -> bool:
        """Whether this process writes the files and talks."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's rows of the global batch. Raises Usage where some would have none."""
        if batch < self.world:
            raise Usage(
                f"a batch of {batch} windows cannot be shared by {self.world} processes",
                "start fewer processes, or train a larger size",
            )
        return slice(self.rank * batch // self.world, (self.rank + 1) * batch // self.world)

    def put(self, value: Tensor) -> Tensor:
        """On this process's device, without waiting for what a GPU is at."""
        if self.device.type == "cuda":
            value = value.pin_memory()
        return value.to(self.device, non_blocking=True)

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value

    def first_says(self, values: Sequence[float]) -> list[float]:
        """What the first process gave, so that all decide alike."""
        if self.world == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(told, 0)
        return told.tolist()

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank; small picklable things only."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all are here."""
        self.first_says([0.0])


def device_of(name: str | None = None) -> torch.device:
    """The device to train on: the named one, else this process's GPU, else the CPU.

    Raises Usage for a device that this machine or this build of PyTorch does not have.
    """
    local = _environment("LOCAL_RANK", 0)
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Usage(f"there is no device {name!r}", 'give "cpu", "cuda" or "cuda:0"') from error
    if device.type not in ("cpu", "cuda"):
        raise Usage(f"training does not run on {name!r}", 'give "cpu", "cuda" or "cuda:0"')
    if device.type == "cpu":
        return torch.device("cpu")
    device = torch.device("cuda", local if device.index is None else device.index)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= found:
        raise Usage(
            f"there is no device {device}: this machine shows {found} to PyTorch",
            "start no more processes than GPUs, or install PyTorch's CUDA build",
        )
    return device


@lru_cache
def here(device: str | None = None) -> Place:
    """This process's place. The first call under torchrun joins the group: all must call it."""
    world, rank = _environment("WORLD_SIZE", 1), _environment("RANK", 0)
    chosen = device_of(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world == 1:
        return Place(chosen)
    if not dist.is_initialized():
        # The processor's half carries what all must agree on without waiting for the GPU.
        backend = "gloo" if chosen.type == "cpu" else "cpu:gloo,cuda:nccl"
        dist.init_process_group(backend, timeout=PATIENCE)
        atexit.register(_leave)
    return Place(chosen, rank, world, init_device_mesh(chosen.type, (world,)))


def _environment(name: str, default: int) -> int:
    """A number that torchrun sets."""
    text = os.environ.get(name, str(default))
    if not text.isdigit() or (name == "WORLD_SIZE" and text == "0"):
        raise Usage(f"{name}={text} is no number of a process", "start with torchrun, or unset it")
    return int(text)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def shard(losses: Losses, place: Place, trained: bool = True) -> Losses:
    """Split the weights over all processes, layer by layer (FSDP2; Zhao et al. 2023), in place.

    Each layer is moved to the device and split before the next, so that the whole need not fit
    there. On one process nothing changes. A network that is only `trained`'s average gives its
    gathered weights back after each forward pass.
    """
    if place.mesh is not None:
        for block in losses.network.blocks:
            fully_shard(block, mesh=place.mesh)
        fully_shard(losses, mesh=place.mesh, reshard_after_forward=None if trained else True)
    return losses


def local(value: Tensor) -> Tensor:
    """This process's part of a sharded tensor; any other tensor itself."""
    return value.to_local() if isinstance(value, DTensor) else value


def whole(value: Tensor) -> Tensor:
    """The full tensor of a sharded one (collective); any other tensor itself."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def gathered(module: nn.Module) -> dict[str, Tensor]:
    """All weights of a sharded module, whole, on every process (collective)."""
    return {name: whole(value.detach()) for name, value in module.state_dict().items()}


def in_turn(place: Place, work: Callable[[], T]) -> T:
    """The first process works alone; the others do the same when it is done and find it there."""
    if not place.main:
        place.wait()
        return work()
    done = work()
    place.wait()
    return done
