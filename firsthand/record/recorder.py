"""The recorder: a camera's samples become segments of 60 s, each sealed, signed and in a chain.

A segment is cut at a picture (a key picture, where they come coded), and sound is split at that
very sample: nothing is lost or repeated. That a live camera goes on is the watchdog's business.
"""

import contextlib
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from firsthand.errors import Error
from firsthand.record.cameras.camera import Camera, Coded, Gap, Picture, Sample, Sound, Tick
from firsthand.record.card.card import Card, card_error
from firsthand.record.card.outage import Outage
from firsthand.record.card.salvage import salvage_all
from firsthand.record.device import Device
from firsthand.record.sealing.chain import Chain, folder_name, open_chain
from firsthand.record.sealing.open_segment import OpenSegment
from firsthand.record.sealing.opening import Opening
from firsthand.record.stop import stop_on_signals as stop_on_signals
from firsthand.record.wearer import forget
from firsthand.record.wearer.allowed import Allowed
from firsthand.record.wearer.control import Control
from firsthand.record.wearer.heartbeat import Heart
from firsthand.record.wearer.ladder import Ladder
from firsthand.record.wearer.obey import Obeyed
from firsthand.record.wearer.policy import Left, follow, require_taking_part
from firsthand.segment import SEGMENT_S, Record

# A segment ends at the next picture; when pictures stall, it ends this much later without one.
STALL_S = 1.0
# Coded pictures can be cut at a key picture only, which comes each second; this late at any.
KEY_PATIENCE_S = 12.0
# A wall clock that moved this far against the boot clock was set; less is the jitter of reading.
STEP_S = 0.5


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
    outage: str = ""  # why the card takes nothing now: "full", or "card" if it fails


def record(
    camera: Camera,
    card: Card,
    device: Device,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Recorded], None] | None = None,
    event: Callable[..., None] = lambda name, **fields: None,
    segment_s: float = SEGMENT_S,
    control: Control | None = None,
    ladder: Ladder | None = None,
    obey: bool = True,
) -> Recorded:
    """Record until the camera ends or `stop` says so; what was taken in is then on the card.

    What the wearer asks through `control` holds at the next sample; without `obey` nobody is asked,
    as for footage that was taken earlier. A card that is full or fails is a gap to a live camera,
    and recording goes on by itself; of another camera nothing is passed over.

    Raises Locked, Failed and whatever the camera raises; each time with all that came before
    closed, or left for salvage at the next start. Refused, or stopped, once the wearer has left.
    """
    require_taking_part(device)
    device, left = follow(device), Left(device)
    with card.lock("recorder"), open_chain(device) as chain:
        salvaged = salvage_all(card, chain)
        forget.carry_out(card, device, [item.seq for item in salvaged], here=True)
        control = control or Control(device.folder)
        recorder = _Recorder(camera, card, chain, segment_s, progress, event, control, ladder)
        recorder.count(salvaged=len(salvaged))
        recorder.run(lambda: stop() or left(), obey)
        return recorder.recorded


class _Recorder:
    def __init__(
        self,
        camera: Camera,
        card: Card,
        chain: Chain,
        segment_s: float,
        progress: Callable[[Recorded], None] | None,
        event: Callable[..., None],
        control: Control,
        ladder: Ladder | None,
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
        self._outage = Outage(card, chain, self.recorded.session, self._opening, event)
        self._now_ns = 0
        self._heart = Heart(chain.device.folder, self.recorded.session, control.clock)
        allowed = Allowed(camera, chain.device)
        rest = ladder, self._why_not, allowed.at
        self._obeyed = Obeyed(camera, control, self._heart, self._forget, *rest)
        self._stop_ns = 0  # where the last record ends
        # Coded pictures that no decoder can begin with: since when, how many.
        self._skipped: tuple[int, int] | None = None
        self._wall = _wall_of(camera)
        self._wall_read_ns = 0
        self._wall_reason = ""  # why the wall clock is another since the last record

    def count(self, **more: int) -> None:
        """Add to what was recorded."""
        now = vars(self.recorded)
        self.recorded = replace(self.recorded, **{key: now[key] + more[key] for key in more})

    def run(self, stop: Callable[[], bool], obey: bool = True) -> None:
        """Take every sample that may be kept; always leaves the card in order."""
        samples = self._obeyed.samples() if obey else iter(self._camera.samples())
        try:
            while not stop():
                try:
                    sample = next(samples)
                except StopIteration:
                    break
                except Error:
                    self._guard(self._end)  # the camera failed: keep what it gave
                    raise
                try:
                    self._keep(sample)
                except OSError as error:
                    raise card_error(self._card.path, error) from error
            else:
                self.recorded = replace(self.recorded, stopped=True)
            self._guard(self._end)
            self._heart.stop()
        except BaseException as error:
            self._heart.stop(str(error) or type(error).__name__)
            if self._open:
                self._open.abandon()
                with contextlib.suppress(Error):  # else at the next start
                    salvage_all(self._card, self._chain)
            raise

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            raise card_error(self._card.path, error) from error

    def _keep(self, sample: Sample) -> None:
        """Take a sample; of a live camera, time in which the card takes nothing becomes a gap."""
        self._now_ns = sample.stop_ns if isinstance(sample, Gap) else sample.time_ns
        was_out = self._outage.reason
        if self._outage.lasts(self._now_ns):
            self._tell(self._now_ns)
            return
        if was_out:
            self._stop_ns = self._now_ns
            self.count(gaps=1)
        try:
            if self._open and self._outage.must_close(self._now_ns):
                self._push_sound(until_ns=None)
                self._close(self._open.stop_ns)
            self._take(sample)
        except OSError as error:
            self._break_off(error)

    def _break_off(self, error: OSError) -> None:
        """The card failed a live camera: let go of what is open, and begin a gap."""
        if not self._camera.live:
            raise error
        if self._open:
            self._open.abandon()
            self._open = None
        self._sounds.clear()
        self._outage.begin(error, self._stop_ns or self._now_ns, self._now_ns)

    def _why_not(self) -> str:
        """Why the card takes nothing; empty if it does."""
        return self._outage.reason

    def _take(self, sample: Sample) -> None:
        self._watch_clock(sample.time_ns)
        if isinstance(sample, Gap):
            self._add_gap(sample)
            return
        if self._open and self._is_over(sample):
            self._push_sound(until_ns=sample.time_ns)
            self._close(sample.time_ns)
        if not self._open and not self._can_begin(sample):
            return
        if not self._open:
            self._begin(sample)
        if self._sounds:
            self._pass_sound(sample.time_ns)
        if isinstance(sample, Sound):
            self._sounds.append(sample)
        elif self._open:
            self._open.add(sample)
        self._tell(sample.time_ns)

    def _tell(self, now_ns: int) -> None:
        if self._progress and now_ns - self._told_ns >= 10**9:
            self._told_ns = now_ns
            self._progress(replace(self._so_far(), outage=self._outage.reason))

    def _is_over(self, sample: Sample) -> bool:
        assert self._open
        picture = isinstance(sample, (Picture, Coded))
        over_ns = sample.time_ns - self._open.start_ns - self._segment_ns
        if self._open.avcc:
            if isinstance(sample, Coded) and sample.key:
                anew = self._wall_reason or sample.avcc != self._open.avcc
                return over_ns >= 0 or bool(anew)
            return over_ns >= KEY_PATIENCE_S * 1e9
        if picture and self._wall_reason:
            return True
        return over_ns >= (0 if picture else STALL_S * 1e9)

    def _can_begin(self, sample: Sample) -> bool:
        """Whether a segment may begin with this; what can't be decoded alone is skipped."""
        if not getattr(self._camera, "coded", False):
            return not isinstance(sample, Tick)
        if isinstance(sample, Coded) and sample.key:
            return True
        if isinstance(sample, Coded):
            self._skipped = self._skipped or (sample.time_ns, 0)
            self._skipped = (self._skipped[0], self._skipped[1] + 1)
        return False

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

    def _begin(self, sample: Sample) -> None:
        self._outage.prepare()
        if self._skipped:
            (since_ns, count), self._skipped = self._skipped, None
            self._sounds.clear()
            self._commit_gap(Gap(since_ns, sample.time_ns, "dropped"), dropped=count)
        self._say_clock(sample.time_ns)
        # The vault's key changes each month, and a device may record for longer without a stop.
        self._chain.device = follow(self._chain.device)
        opening = self._opening(sample.time_ns)
        self._name = folder_name(opening.seq, opening.session)
        folder = self._card.begin(self._name)
        avcc = sample.avcc if isinstance(sample, Coded) else b""
        self._open = OpenSegment(
            self._card, folder, opening, self._camera, self._chain.device, avcc
        )

    def _opening(self, start_ns: int) -> Opening:
        device, (offset_ns, quality) = self._chain.device, self._wall
        receipt = self._card.last_receipt()
        return Opening(
            device=device.name,
            person=device.person,
            session=self.recorded.session,
            seq=self._chain.take(self._card),
            boot_ns_start=start_ns,
            wall_offset_ns=offset_ns,
            wall_quality=quality,
            media={"fps_milli": round(self._camera.fps * 1000)}
            | getattr(self._camera, "media", {}),
            recipient=device.recipient.key_id,
            policy=device.policy,
            checkpoint=f"{receipt.log_index} {receipt.log_root}" if receipt else "",
        )

    def _close(self, stop_ns: int) -> None:
        if not self._open:
            return
        done = self._open.close(stop_ns)
        self._stop_ns = done.boot_ns_end
        done = self._chain.commit(self._card, self._name, done)
        self._open = None
        self.count(
            segments=1,
            frames=done.frames,
            dropped=done.dropped,
            footage_ns=done.boot_ns_end - done.boot_ns_start,
            size_bytes=done.object_size,
        )

    def _end(self) -> None:
        try:
            self._push_sound(until_ns=None)
            if self._open:
                self._close(self._open.stop_ns)
            if (gap := self._obeyed.rest()) and not self._outage.reason:
                self._add_gap(gap)
        except OSError as error:
            self._break_off(error)
        if self._outage.end(self._now_ns):
            self.count(gaps=1)
        if self._progress:
            self._progress(self.recorded)

    def _forget(self) -> None:
        self._guard(self._drop_open)
        forget.carry_out(self._card, self._chain.device, here=True)

    def _drop_open(self) -> None:
        self._sounds.clear()
        if self._open:
            dropped, self._open = self._open.discard(), None
            self._stop_ns = dropped.boot_ns_end
            self._chain.commit(self._card, self._name, dropped)

    def _add_gap(self, gap: Gap) -> None:
        self._push_sound(until_ns=None)
        if self._open:
            self._close(self._open.stop_ns)
        start_ns = max(gap.start_ns, self._stop_ns)
        self._skipped = None
        if gap.stop_ns > start_ns:
            self._say_clock(start_ns)
            self._commit_gap(replace(gap, start_ns=start_ns))

    def _commit_gap(self, gap: Gap, dropped: int = 0) -> None:
        opening = self._opening(gap.start_ns)
        row = opening.record("gap", gap.stop_ns)
        self._commit_bare(replace(row, reason=gap.reason, dropped=gap.dropped + dropped))
        self.count(gaps=1, dropped=gap.dropped + dropped)

    def _commit_bare(self, row: Record) -> None:
        self._stop_ns = row.boot_ns_end
        name = folder_name(row.seq, row.session)
        self._card.begin(name)
        self._chain.commit(self._card, name, row)

    def _watch_clock(self, now_ns: int) -> None:
        """Notice, once a second, that the wall clock was set; records before keep what they say."""
        if abs(now_ns - self._wall_read_ns) < 10**9:
            return
        self._wall_read_ns = now_ns
        (offset_ns, quality), before = _wall_of(self._camera), self._wall
        if quality == before[1] and abs(offset_ns - before[0]) < STEP_S * 1e9:
            return
        self._wall = offset_ns, quality
        unknown = before[1] in ("none", "fake") and quality != "fake"
        self._wall_reason = "lost" if quality == "none" else "learned" if unknown else "stepped"

    def _say_clock(self, now_ns: int) -> None:
        """A record of kind `clock`: from here on the wall clock is another, and this is why."""
        if self._wall_reason:
            row = self._opening(now_ns).record("clock", now_ns)
            self._commit_bare(replace(row, reason=self._wall_reason))
            self._wall_reason = ""

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


def _wall_of(camera: Camera) -> tuple[int, str]:
    """What to add to the camera's time to get wall time, and how far to believe it."""
    if camera.wall_ns is None:
        return 0, "none"
    return camera.wall_ns, camera.wall_quality


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
