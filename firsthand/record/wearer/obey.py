"""A camera's samples as far as the wearer, law and place, heat and battery let them through.

The wearer's word is asked after a sample came and before anything else sees it: what the camera
took after the press is never kept. What is held back becomes a gap with its reason.
"""

from collections.abc import Callable, Iterator

from firsthand.capture import Capture
from firsthand.record.cameras.camera import Camera, Coded, Event, Gap, Picture, Sample, Sound, Tick
from firsthand.record.wearer.allowed import ANYTHING
from firsthand.record.wearer.control import Asked, Control
from firsthand.record.wearer.heartbeat import RECORDING, STALE_S, Heart
from firsthand.record.wearer.ladder import STEPS, Ladder, Step

# A gap that lasts is written down in pieces: a power cut forgets no more of it than this.
PIECE_NS = 600 * 10**9
PLACE = "place"  # the reason of a gap where no pictures may be taken


class Obeyed:
    """Wraps the samples of one recording; `forget` drops what the recorder has open."""

    def __init__(
        self,
        camera: Camera,
        control: Control,
        heart: Heart,
        forget: Callable[[], None],
        ladder: Ladder | None = None,
        outage: Callable[[], str] = str,
        allowed: Callable[[int], Capture] = lambda _: ANYTHING,
    ) -> None:
        self._camera, self._control, self._heart = camera, control, heart
        self._forget, self._ladder = forget, ladder
        self._allowed = allowed
        self._outage = outage  # why the card takes nothing, or empty
        self._reason = ""
        self._since_ns = self._until_ns = 0  # of what is held back, so far as it isn't told
        self._not_before_ns = -(2**63)
        self._asked = Asked()  # what the wearer had asked when the last sample came
        self._step = self._told_step = Step()
        self._seen_ns: int | None = None  # the last picture
        self._lost = ""  # why there are no pictures, by the camera's own word

    def samples(self) -> Iterator[Sample]:
        """What may be kept, in order, with gaps for what may not."""
        for sample in self._camera.samples():
            reason = self._hold(sample.time_ns)
            held = bool(reason)  # once, and it stays so: the wearer may resume at this instant
            while reason != self._reason:
                yield from self._turn(reason, sample.time_ns)
                reason = self._hold(sample.time_ns)
                held = held or bool(reason)
            self._beat(sample)
            if reason:
                yield from self._withhold(sample)
            elif not held and self._may_pass(sample):
                yield sample
                if self._has_news():
                    yield from self._labels(sample)
            else:
                yield Tick(sample.time_ns)

    def rest(self) -> Gap | None:
        """What is held back and not told yet, when the recording ends."""
        if self._reason and self._until_ns > self._since_ns:
            return Gap(self._since_ns, self._until_ns, self._reason)
        return None

    def _hold(self, now_ns: int) -> str:
        asked = self._asked = self._control.asked()
        if self._control.must_forget(asked):
            self._forget()
        if self._ladder:
            self._step = self._ladder.step()
        told = self._control.hold(asked)
        spent = self._step.reason if self._step.number == len(STEPS) - 1 else ""
        return told or spent or ("" if self._allowed(now_ns).video else PLACE)

    def _turn(self, reason: str, now_ns: int) -> Iterator[Sample]:
        """Another reason to hold back from now on, or none any more."""
        if self._reason:
            stop_ns = max(now_ns, self._until_ns)
            yield Gap(self._since_ns, stop_ns, self._reason)
            now_ns = stop_ns
            if self._camera.live:  # what came just before the wearer resumed is still theirs
                self._not_before_ns = self._control.resumed_ns()
        else:
            yield Gap(now_ns, now_ns, reason)  # ends the segment, and is no gap yet
        self._reason = reason
        self._since_ns = self._until_ns = now_ns

    def _withhold(self, sample: Sample) -> Iterator[Sample]:
        ends_ns = sample.stop_ns if isinstance(sample, Gap) else sample.time_ns
        self._until_ns = max(self._until_ns, ends_ns)
        if self._until_ns - self._since_ns >= PIECE_NS:
            yield Gap(self._since_ns, self._until_ns, self._reason)
            self._since_ns = self._until_ns
        yield Tick(sample.time_ns)  # so that a request to stop is heard

    def _may_pass(self, sample: Sample) -> bool:
        if sample.time_ns < self._not_before_ns and not isinstance(sample, Gap):
            return False
        if isinstance(sample, Sound):
            return self._allowed(sample.time_ns).audio
        if self._ladder and isinstance(sample, Picture | Coded):
            return self._ladder.keeps(sample, self._step)
        return True

    def _has_news(self) -> bool:
        return self._step is not self._told_step or self._control.is_marked(self._asked)

    def _labels(self, sample: Sample) -> Iterator[Sample]:
        """What the wearer marked, and how far the device went down its ladder."""
        now_ns, clock = sample.time_ns, self._control.clock
        for mark in self._control.new_marks(self._asked):
            late_ns = max(0, clock.boot_ns() - mark.boot_ns) if self._camera.live else 0
            at_ns = max(0, now_ns - late_ns)
            # At its own time, where the camera keeps the boot clock.
            yield Event(at_ns, at_ns, {"bookmark": mark.label})
        if self._step != self._told_step:
            self._told_step = self._step
            told = {"device": STEPS[self._step.number], "why": self._step.reason or "recovered"}
            yield Event(now_ns, now_ns, told)

    def _beat(self, sample: Sample) -> None:
        now_ns = sample.time_ns
        if isinstance(sample, Picture | Coded):
            self._seen_ns, self._lost = now_ns, ""
        elif isinstance(sample, Gap):
            self._lost, now_ns = sample.reason, sample.stop_ns
        elif self._seen_ns is None:
            self._seen_ns = now_ns
        elif not self._lost and now_ns - self._seen_ns > STALE_S * 1e9:
            self._lost = "stalled"
        self._heart.beat(self._reason or self._lost or self._outage() or RECORDING, now_ns)
