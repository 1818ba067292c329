"""A device as it is worn for a day in simulated time: boots, power cuts, a card that fills.

The recorder is the real one, in a process of its own that is killed where the power goes. Time is
what the camera says: it gives its pictures as fast as they are taken.
"""

import ctypes
import itertools
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import Failed
from firsthand.record.cameras.camera import Picture, Sample, Tick
from firsthand.record.card.card import Card
from firsthand.record.clock import Clock
from firsthand.record.device import load_device
from firsthand.record.recorder import Recorded, record
from firsthand.record.wearer.control import Control
from firsthand.simulate.camera import SimCamera
from firsthand.simulate.people import policies
from firsthand.simulate.picture import HEIGHT, WIDTH, render

SECOND_NS = 10**9
PowerCut = Callable[[], AbstractContextManager[object]]
TICK_S = 0.25  # how often a camera that is slow says that it is still there
LOOK_S = 0.0005  # how often it is looked whether the power goes now


@dataclass(frozen=True)
class Boot:
    """One time that the device is on: times are ns of the true wall clock, stops excluded."""

    booted_ns: int
    start_ns: int  # the camera gives its first picture
    stop_ns: int
    cut: bool = False  # it ends by a power cut
    told_ns: int | None = None  # when it learns the time; None: never
    patience_ns: int = 0  # how long the wearer lets a full card be; 0: for ever


@dataclass(frozen=True)
class Took:
    """What the camera of one boot gave, by its own word; times are of the true wall clock."""

    first_ns: int
    stop_ns: int  # when it said something last: the power went, or it ended
    pictures: int


class _Told(ctypes.Structure):
    """What the camera gave so far; it outlives the recorder, as it is no part of the device."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("first_ns", "stop_ns", "pictures"))


class WornCamera:
    """Pictures of a simulated person's day, on the clock of a device that boots in 1970."""

    live = True
    sound_hz = 0
    size = (WIDTH, HEIGHT)

    def __init__(self, seed: int, fps: float, boot: Boot, told: _Told) -> None:
        self.name, self.fps = f"sim:0?seed={seed}", fps
        self._sim = SimCamera(policies(1, seed)[0], 0, seed, fps=fps)
        self._boot, self._told = boot, told
        self._ticks = math.ceil(1 / fps / TICK_S)  # of them one is a picture
        self.now_ns = boot.start_ns
        told.first_ns = told.stop_ns = boot.start_ns

    @property
    def _knows(self) -> bool:
        told_ns = self._boot.told_ns
        return told_ns is not None and self.now_ns >= told_ns

    @property
    def wall_ns(self) -> int | None:
        """The wall clock where the boot clock began; 0, in 1970, until the device is told."""
        return self._boot.booted_ns if self._knows else 0

    @property
    def wall_quality(self) -> str:
        """ntp once it was told, else none."""
        return "ntp" if self._knows else "none"

    def samples(self) -> Iterator[Sample]:
        """Pictures from start to stop, or until the power goes, each at its time of this boot."""
        boot, step_ns = self._boot, round(SECOND_NS / self.fps / self._ticks)
        for number in itertools.count():
            self.now_ns = boot.start_ns + number * step_ns
            if self.now_ns >= boot.stop_ns and not boot.cut and not number % self._ticks:
                self._told.stop_ns = self.now_ns
                return
            at_ns, self._told.stop_ns = self.now_ns - boot.booted_ns, self.now_ns
            if number % self._ticks:
                yield Tick(at_ns)
                continue
            second = number * step_ns / SECOND_NS % self._sim.day_s  # the same minutes, over again
            self._told.pictures += 1
            image = render(self._sim.view(second)).tobytes()
            yield Picture(at_ns, WIDTH, HEIGHT, rgb=image)

    def close(self) -> None:
        """Nothing is held open."""


class WornClock(Clock):
    """The device's clocks, which stand where its camera stands."""

    def __init__(self, camera: WornCamera, boot: Boot) -> None:
        self._camera, self._boot = camera, boot

    def boot_ns(self) -> int:
        """Since it booted."""
        return self._camera.now_ns - self._boot.booted_ns

    def wall_ns(self) -> int:
        """What it believes, which is 1970 until it is told."""
        return (self._camera.wall_ns or 0) + self.boot_ns()

    def wall_quality(self) -> str:
        """The camera's."""
        return self._camera.wall_quality

    def boot_id(self) -> str:
        """Another one each boot."""
        return f"boot-{self._boot.booted_ns}"

    def sleep(self, seconds: float) -> None:
        """Nothing to wait for: time passes with the pictures."""


def wear(
    device: Path,
    card: Path,
    boot: Boot,
    *,
    seed: int,
    fps: float,
    delay_s: float = 0.0,
    power_cut: PowerCut = nullcontext,
) -> Took:
    """Records one boot of a device onto a card; Failed if the recorder ends as it must not.

    Where the boot ends by a cut, the recorder is killed at some instant: when delay_s of real time
    have passed since its stop. That happens within `power_cut`: a disk that forgets what was not
    synced forgets it as that is entered.
    """
    # No fork of this process: it may have threads, and a lock of theirs may stay locked in a fork.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    told = context.RawValue(_Told)
    args = (device, card, boot, seed, fps, told)
    process = context.Process(target=_record, args=args)
    process.start()
    try:
        if boot.cut:
            while told.stop_ns < boot.stop_ns and process.is_alive():
                time.sleep(LOOK_S)
            time.sleep(delay_s)
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGSTOP)  # this is the instant
            with power_cut():
                process.kill()
                process.join()
        process.join()
    finally:
        process.kill()
    wanted = -signal.SIGKILL if boot.cut else 0
    if process.exitcode != wanted:
        raise Failed(f"the recorder ended with {process.exitcode}, not {wanted}", "see its output")
    return Took(told.first_ns, told.stop_ns, told.pictures)


def _record(device: Path, card: Path, boot: Boot, seed: int, fps: float, told: _Told) -> None:
    camera = WornCamera(seed, fps, boot, told)
    full_ns: int | None = None

    def see(recorded: Recorded) -> None:
        nonlocal full_ns
        full_ns = (full_ns or camera.now_ns) if recorded.outage else None

    def is_over() -> bool:
        waited_ns = 0 if full_ns is None else camera.now_ns - full_ns
        return bool(boot.patience_ns) and waited_ns >= boot.patience_ns

    kept = load_device(device)
    control = Control(kept.folder, WornClock(camera, boot))
    record(camera, Card(card), kept, stop=is_over, progress=see, control=control)
