"""A live camera under watch: one that stalls, fails, ends or freezes is opened anew, in 5 s.

It is read in a thread of its own, into a bounded buffer: a slow card costs no picture until the
buffer is full, and a camera that never returns holds nobody up. Each gap says why it is there.
"""

import os
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firsthand.errors import Error, Failed, NotFound
from firsthand.record.cameras.camera import Camera, Coded, Gap, Picture, Sample, Sound, Tick
from firsthand.record.cameras.sight import FROZEN_S, Freeze
from firsthand.record.clock import Clock

TICK_S = 0.25  # at least so often the recorder gets to do something else
STALL_S = 2.5  # without a picture for so long, and for 5 pictures, a camera is given up
OPEN_S = 15.0  # so long it may take to open
RETRY_S = 3.0  # the longest mean wait between two tries to open; jittered by half
HEALTHY_S = 5.0  # a camera that ran so long is opened anew at once when it fails
STUCK_MAX = 4  # cameras that never came back, after which only a new process helps
DROPPED_S = 1.0  # pictures dropped for so long leave a gap; for less they are counted
GAP_S = 60.0  # a gap that lasts is told in pieces, so that a power cut loses none of it
BUFFER_BYTES = 128 * 2**20  # 5 s of pictures as pixels in 640x480, 2 min of coded ones at 3 GB/h


class Watched:
    """The camera that `open_` opens, again and again; opening it the first time may raise Error."""

    live = True

    def __init__(
        self,
        name: str,
        open_: Callable[[], Camera],
        *,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        stall_s: float = STALL_S,
        open_s: float = OPEN_S,
        buffer_bytes: int | None = None,
    ) -> None:
        self.name = name
        self._clock = clock or Clock()
        self._chance = chance or random.Random()
        self._open, self._stall_s, self._open_s = open_, stall_s, open_s
        self._buffer_bytes = _affordable() if buffer_bytes is None else buffer_bytes
        self._closed = False
        self._stuck: list[_Reader] = []
        self._failures = 0
        self._reader: _Reader | None = self._start()
        first = self._reader.inbox.get(open_s)
        if not isinstance(first, _Opened):
            self.close()
            if isinstance(first, _Over) and first.error:
                raise first.error
            raise Failed(f"the camera {name} does not answer", "check its cable, or restart it")
        self._meet(first)

    @property
    def wall_ns(self) -> int | None:
        """What the wall clock is ahead of the boot clock, right now."""
        return self._clock.wall_ns() - self._clock.boot_ns()

    @property
    def wall_quality(self) -> str:
        """How far to believe the wall clock, right now."""
        return self._clock.wall_quality()

    def close(self) -> None:
        """Let go of the camera; one that is stuck is left behind."""
        self._closed = True
        if self._reader:
            self._reader.inbox.close()

    def samples(self) -> Iterator[Sample]:
        """The camera's samples, with ticks while nothing comes and gaps while it is away."""
        self._reach_ns = self._clock.boot_ns()  # all is told up to here
        self._away = ""  # why nothing comes
        self._seen_ns = self._opened_ns = self._reach_ns
        self._freeze, self._gave_up_frozen = Freeze(), False
        while not self._closed:
            item = self._next()
            now_ns = self._clock.boot_ns()
            if item is None:
                yield from self._wait(now_ns)
            elif isinstance(item, _Opened):
                self._meet(item)
            elif isinstance(item, _Over):
                yield from self._give_up(item.reason)
            else:
                yield from self._pass(item)

    def _next(self) -> "Sample | _Opened | _Over | None":
        if self._reader is None and self._clock.boot_ns() >= self._retry_ns:
            self._reader = self._start()
            self._seen_ns = self._opened_ns = self._clock.boot_ns()
            self._limit_s = self._open_s
        if self._reader is None:
            self._clock.sleep(min(TICK_S, max(0, self._retry_ns - self._clock.boot_ns()) / 1e9))
            return None
        return self._reader.inbox.get(TICK_S)

    def _wait(self, now_ns: int) -> Iterator[Sample]:
        if self._reader:
            seen_ns = max(self._seen_ns, self._reader.inbox.picture_ns)
            if now_ns - seen_ns > self._limit_s * 1e9:
                yield from self._give_up("stalled")
                return
        if self._away and now_ns - self._reach_ns >= GAP_S * 1e9:
            yield self._gap_until(now_ns, self._away)
        yield Tick(now_ns)

    def _pass(self, sample: Sample) -> Iterator[Sample]:
        if sample.time_ns < self._reach_ns and self._away:
            return  # of before the gap that was told
        if self._away:
            yield self._gap_until(sample.time_ns, self._away)
            self._away = ""
        yield sample
        if isinstance(sample, Gap):
            self._reach_ns = max(self._reach_ns, sample.stop_ns)
        if not isinstance(sample, (Picture, Coded)):
            return
        self._reach_ns = sample.time_ns + self._frame_ns
        self._limit_s = max(self._stall_s, 5 * self._frame_ns / 1e9)
        if sample.time_ns - self._opened_ns > HEALTHY_S * 1e9:
            self._failures = 0
        same_ns = self._freeze.note(sample)
        if self._freeze.changed:
            self._gave_up_frozen = False
        if same_ns < FROZEN_S * 1e9:
            return
        # The same again after opening anew: then that is what there is to see.
        shown = not self._gave_up_frozen and self._freeze.shows_something(sample)
        self._freeze = Freeze()
        if shown:
            self._gave_up_frozen = True
            yield from self._give_up("frozen")

    def _give_up(self, reason: str) -> Iterator[Sample]:
        """Let go of this opening of the camera, and say what is missing so far."""
        now_ns = self._clock.boot_ns()
        if self._reader:
            self._reader.inbox.close()
            self._stuck = [reader for reader in [*self._stuck, self._reader] if reader.is_alive()]
            self._reader = None
        if len(self._stuck) > STUCK_MAX:
            raise Failed(
                f"the camera {self.name} is stuck in its driver", "restart the recorder, or the Pi"
            )
        # at once, then 0.5, 1, 2, 3, 3 ... seconds
        wait_s = min(RETRY_S, 0.25 * 2 ** min(self._failures, 9)) if self._failures else 0.0
        self._retry_ns = now_ns + round(wait_s * self._chance.uniform(0.5, 1.5) * 1e9)
        self._failures += 1
        if self._away and reason != "unplugged":
            return  # the reason of what is going on stands
        if self._away != reason:
            gap = self._gap_until(now_ns, self._away or reason)
            self._away = reason
            yield gap

    def _gap_until(self, now_ns: int, reason: str) -> Gap:
        gap = Gap(self._reach_ns, max(now_ns, self._reach_ns), reason)
        self._reach_ns = gap.stop_ns
        return gap

    def _start(self) -> "_Reader":
        reader = _Reader(self._open, _Inbox(self._buffer_bytes, self._clock))
        reader.start()
        return reader

    def _meet(self, opened: "_Opened") -> None:
        camera = opened.camera
        self.fps, self.size, self.sound_hz = camera.fps, camera.size, camera.sound_hz
        self.coded = getattr(camera, "coded", False)
        self._seen_ns = self._opened_ns = self._clock.boot_ns()
        self._freeze = Freeze()
        self._frame_ns = round(1e9 / self.fps) if self.fps else 0
        self._limit_s = max(self._stall_s, 5 * self._frame_ns / 1e9)


@dataclass(frozen=True)
class _Opened:
    """A reader has the camera open."""

    camera: Camera


@dataclass(frozen=True)
class _Over:
    """A reader gives no more, and why."""

    reason: str
    error: Error | None = None


class _Reader(threading.Thread):
    """Reads one opening of a camera until it ends, fails, or nobody listens any more."""

    def __init__(self, open_: Callable[[], Camera], inbox: "_Inbox") -> None:
        super().__init__(name="camera", daemon=True)  # a stuck one must not hold up the exit
        self._open = open_
        self.inbox = inbox

    def run(self) -> None:
        """The thread's own work."""
        try:
            camera = self._open()
            try:
                self.inbox.put(_Opened(camera))
                for sample in camera.samples():
                    if not self.inbox.put(sample):
                        return
                self.inbox.put(_Over("ended"))
            finally:
                camera.close()
        except NotFound as error:
            self.inbox.put(_Over("unplugged", error))
        except Error as error:
            self.inbox.put(_Over("failed", error))
        except Exception as error:  # a driver's own: whatever it is, the camera is opened anew
            reason = f"the camera failed: {error or type(error).__name__}"
            self.inbox.put(_Over("failed", Failed(reason, "check its cable, or restart it")))


class _Inbox:
    """What a reader gave and nobody took yet; when it is full, pictures are dropped and counted."""

    def __init__(self, limit_bytes: int, clock: Clock) -> None:
        self._items: deque[tuple[Sample | _Opened | _Over, int]] = deque()  # with its bytes
        self._limit_bytes, self._size_bytes = limit_bytes, 0
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False
        self._kept_ns = 0  # time of the last picture that was kept
        self._dropped = 0  # pictures since then
        self.picture_ns = 0  # when a picture came in last

    def put(self, item: "Sample | _Opened | _Over") -> bool:
        """Take in what came; False once nobody listens any more."""
        with self._changed:
            if self._closed:
                return False
            size = _size_of(item)
            if isinstance(item, (Coded, Picture)):
                self.picture_ns = self._clock.boot_ns()
                if not self._keep(item, size):
                    self._dropped += 1
                    return True
            self._items.append((item, size))
            self._size_bytes += size
            self._changed.notify()
            return True

    def get(self, timeout_s: float) -> "Sample | _Opened | _Over | None":
        """The next item, or None when there is none for so long."""
        with self._changed:
            if not self._items:
                self._changed.wait(timeout_s)
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._size_bytes -= size
            return item

    def close(self) -> None:
        """Take nothing more, and forget what is here."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify()

    def _keep(self, picture: Picture | Coded, size: int) -> bool:
        if self._size_bytes + size > self._limit_bytes:
            return False
        if self._dropped:
            if isinstance(picture, Coded) and not picture.key:
                return False  # it builds on one that was dropped
            if picture.time_ns - self._kept_ns > DROPPED_S * 1e9:
                gap = Gap(self._kept_ns, picture.time_ns, "dropped", self._dropped)
                self._items.append((gap, 0))
            self._dropped = 0
        self._kept_ns = picture.time_ns
        return True


def _size_of(item: "Sample | _Opened | _Over") -> int:
    match item:
        case Coded():
            return len(item.data)
        case Picture():
            return item.width * item.height * 3 // 2 if item.rgb is None else len(item.rgb)
        case Sound():
            return len(item.pcm)
    return 0


def _affordable() -> int:
    """The buffer's size on this machine: at most an eighth of its memory."""
    try:
        return min(BUFFER_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
    except (ValueError, OSError):
        return BUFFER_BYTES // 4
