"""The recorder: a camera's samples become segments of 60 s, each sealed, signed and in a chain.

A segment is cut at a picture, and sound is split at that very sample: nothing is lost or repeated.
"""

import contextlib
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import FrameType

from firsthand.errors import Error
from firsthand.record.camera import Camera, Gap, Picture, Sample, Sound
from firsthand.record.card import Card, card_error
from firsthand.record.chain import Chain, folder_name, open_chain
from firsthand.record.device import Device
from firsthand.record.open_segment import Opening, OpenSegment
from firsthand.record.salvage import salvage_all
from firsthand.segment import SEGMENT_S

# A segment ends at the next picture; when pictures stall, it ends this much later without one.
STALL_S = 1.0


@dataclass(frozen=True)
class Recorded:
    """What one recording left on the card; a gap is time in which the camera saw nothing."""

    session: str
    segments: int = 0
    gaps: int = 0
    frames: int = 0
    dropped: int = 0
    footage_ns: int = 0
    size_bytes: int = 0
    salvaged: int = 0  # left open by an earlier recorder, closed now
    stopped: bool = False  # by request, before the camera ended


def record(
    camera: Camera,
    card: Card,
    device: Device,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Recorded], None] | None = None,
    segment_s: float = SEGMENT_S,
) -> Recorded:
    """Record until the camera ends or `stop` says so; what was taken in is then on the card.

    Raises Locked, Failed (a full card, say) and whatever the camera raises; each time with all
    that came before closed, or left for salvage at the next start.
    """
    with card.lock("recorder"), open_chain(device) as chain:
        salvaged = salvage_all(card, chain)
        recorder = _Recorder(camera, card, chain, segment_s, progress)
        recorder.count(salvaged=len(salvaged))
        recorder.run(stop)
        return recorder.recorded


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a `stop` that turns true on SIGINT or SIGTERM; a second signal interrupts at once."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Recorder:
    def __init__(
        self,
        camera: Camera,
        card: Card,
        chain: Chain,
        segment_s: float,
        progress: Callable[[Recorded], None] | None,
    ) -> None:
        self.recorded = Recorded(session=secrets.token_hex(8))
        self._camera = camera
        self._card = card
        self._chain = chain
        self._segment_ns = round(segment_s * 1e9)
        self._progress = progress
        self._told_ns = 0
        self._open: OpenSegment | None = None
        self._name = ""
        self._sounds: deque[Sound] = deque()  # not yet known to lie before the next cut

    def count(self, **more: int) -> None:
        """Add to what was recorded."""
        now = vars(self.recorded)
        self.recorded = replace(self.recorded, **{key: now[key] + more[key] for key in more})

    def run(self, stop: Callable[[], bool]) -> None:
        """Take every sample; always leaves the card in order."""
        samples = iter(self._camera.samples())
        try:
            while not stop():
                try:
                    sample = next(samples)
                except StopIteration:
                    break
                except Error:
                    self._guard(self._end)  # the camera failed: keep what it gave
                    raise
                self._guard(self._take, sample)
            else:
                self.recorded = replace(self.recorded, stopped=True)
            self._guard(self._end)
        except BaseException:
            if self._open:
                self._open.abandon()
                with contextlib.suppress(Error):  # else at the next start
                    salvage_all(self._card, self._chain)
            raise

    def _guard(self, step: Callable[..., None], *args: Sample) -> None:
        try:
            step(*args)
        except OSError as error:
            raise card_error(self._card.path, error) from error

    def _take(self, sample: Sample) -> None:
        if isinstance(sample, Gap):
            self._add_gap(sample)
            return
        if self._open and self._is_over(sample):
            self._push_sound(until_ns=sample.time_ns)
            self._close(sample.time_ns)
        if not self._open:
            self._begin(sample.time_ns)
        self._pass_sound(sample.time_ns)
        if isinstance(sample, Sound):
            self._sounds.append(sample)
        elif self._open:
            self._open.add(sample)
        if self._progress and sample.time_ns - self._told_ns >= 10**9:
            self._told_ns = sample.time_ns
            self._progress(self._so_far())

    def _is_over(self, sample: Sample) -> bool:
        assert self._open
        over_ns = sample.time_ns - self._open.start_ns - self._segment_ns
        return over_ns >= (0 if isinstance(sample, Picture) else STALL_S * 1e9)

    def _pass_sound(self, now_ns: int) -> None:
        """Samples come in order, so no cut can fall before now: sound that ended is safe."""
        while self._sounds and self._open and self._sounds[0].stop_ns <= now_ns:
            self._open.add(self._sounds.popleft())

    def _push_sound(self, until_ns: int | None) -> None:
        """All sound before a time, to the sample, goes into the open segment."""
        while self._sounds and self._open:
            if until_ns is not None and self._sounds[0].time_ns >= until_ns:
                return
            before, after = _split(self._sounds.popleft(), until_ns)
            self._open.add(before)
            if after:
                self._sounds.appendleft(after)
                return

    def _begin(self, start_ns: int) -> None:
        self._card.require_room()
        opening = self._opening(start_ns)
        self._name = folder_name(opening.seq, opening.session)
        folder = self._card.begin(self._name)
        self._open = OpenSegment(self._card, folder, opening, self._camera, self._chain.device)

    def _opening(self, start_ns: int) -> Opening:
        device, camera = self._chain.device, self._camera
        receipt = self._card.last_receipt()
        return Opening(
            device=device.name,
            person=device.person,
            session=self.recorded.session,
            seq=self._chain.take(self._card),
            boot_ns_start=start_ns,
            wall_offset_ns=camera.wall_ns or 0,
            wall_quality="none" if camera.wall_ns is None else camera.wall_quality,
            media={"fps_milli": round(camera.fps * 1000)},
            recipient=device.recipient.key_id,
            policy=device.policy,
            checkpoint=f"{receipt.log_index} {receipt.log_root}" if receipt else "",
        )

    def _close(self, stop_ns: int) -> None:
        if not self._open:
            return
        done = self._chain.commit(self._card, self._name, self._open.close(stop_ns))
        self._open = None
        self.count(
            segments=1,
            frames=done.frames,
            dropped=done.dropped,
            footage_ns=done.boot_ns_end - done.boot_ns_start,
            size_bytes=done.object_size,
        )

    def _end(self) -> None:
        self._push_sound(until_ns=None)
        if self._open:
            self._close(self._open.stop_ns)
        if self._progress:
            self._progress(self.recorded)

    def _add_gap(self, gap: Gap) -> None:
        self._push_sound(until_ns=None)
        start_ns = gap.start_ns
        if self._open:
            start_ns = max(start_ns, self._open.stop_ns)
            self._close(self._open.stop_ns)
        if gap.stop_ns > start_ns:
            opening = self._opening(start_ns)
            name = folder_name(opening.seq, opening.session)
            self._card.begin(name)
            row = opening.record("gap", gap.stop_ns)
            self._chain.commit(self._card, name, replace(row, reason=gap.reason))
            self.count(gaps=1)

    def _so_far(self) -> Recorded:
        if not self._open:
            return self.recorded
        now = self.recorded
        return replace(
            now,
            frames=now.frames + self._open.frames,
            footage_ns=now.footage_ns + self._open.stop_ns - self._open.start_ns,
            size_bytes=now.size_bytes + self._open.size_bytes,
        )


def _split(sound: Sound, at_ns: int | None) -> tuple[Sound, Sound | None]:
    """The sound before a time and the rest, exact to the sample."""
    frame_size = 2 * sound.channels
    total = len(sound.pcm) // frame_size
    if at_ns is None:
        return sound, None
    # the first sample at or after at_ns
    count = -((sound.time_ns - at_ns) * sound.rate_hz // 10**9)
    if count >= total:
        return sound, None
    rest_ns = sound.time_ns + count * 10**9 // sound.rate_hz
    before = replace(sound, pcm=sound.pcm[: count * frame_size])
    return before, replace(sound, time_ns=rest_ns, pcm=sound.pcm[count * frame_size :])
