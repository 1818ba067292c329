"""The eye: what is sensed of a person's life at a given time, from one clip after the other.

Nothing that happens at or after a time is in what is sensed before it. What the measurements
become is in tokeniser.py.
"""

from dataclasses import dataclass

import numpy as np

from firsthand.learn.tokens.clips import HIGH, PICTURE, SOUND_HZ, WIDE, Clip
from firsthand.learn.tokens.egomotion import FELT, SEEN, STILL, Motion, estimate, felt, seen
from firsthand.learn.tokens.latent import CHANGE, change

SECOND_NS = 1_000_000_000
QUARTER_NS, HALF_NS = SECOND_NS // 4, SECOND_NS // 2
# A window of AAC reaches 2048 samples: what sounds later can be heard that much too early.
SOUND_MARGIN_NS = 2048 * 1_000_000_000 // SOUND_HZ
BANDS = 8
MOST_WAIT_NS = 30 * SECOND_NS  # that a word waits for a second of its own


@dataclass(frozen=True)
class Sight:
    """A picture [PICTURE], all 0 where there is none, and the same large [height, width, 3]."""

    picture: np.ndarray
    large: np.ndarray | None


@dataclass(frozen=True)
class Look:
    """What was sensed in the second before a time: sound [BANDS], motion felt [FELT] and motion
    seen [SEEN]; NaN is what was not measured."""

    sound: np.ndarray
    felt: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Second:
    """What happened in a second: motion felt [4, FELT] and seen [4, SEEN] in its quarters,
    changes [2, 2, CHANGE] in its halves, sound [BANDS], and a word or none."""

    felt: np.ndarray
    seen: np.ndarray
    changes: np.ndarray
    sound: np.ndarray
    word: str


@dataclass(frozen=True)
class Shot:
    """A picture and the time at which the span that it stands for had ended."""

    ended_ns: int
    picture: np.ndarray
    large: np.ndarray | None

    @property
    def luma(self) -> np.ndarray:
        """[HIGH, WIDE]"""
        return self.picture[: HIGH * WIDE].reshape(HIGH, WIDE)


class Eye:
    """Looks at a person's clips one after the other and remembers the clip before."""

    def __init__(self) -> None:
        self.before: Clip | None = None
        self.clip: Clip | None = None
        self.words: list[tuple[int, str]] = []

    def turn_to(self, clip: Clip) -> None:
        """Go on to the next clip; across a gap nothing is remembered."""
        joined = self.clip is not None and clip.gap == "none"
        self.before = self.clip if joined else None
        self.clip = clip
        self.words = [*(self.words if joined else []), *_labels_of(clip)]

    def sight(self, at_ns: int) -> Sight:
        """What was in sight just before `at_ns`."""
        shot = self._shot(at_ns)
        if shot is None:
            return Sight(np.zeros(PICTURE, dtype=np.uint8), None)
        return Sight(shot.picture, shot.large)

    def look(self, at_ns: int) -> Look:
        """What was sensed just before `at_ns`."""
        felt_then = self._felt(at_ns - SECOND_NS, at_ns)
        seen_then = np.full(SEEN, np.nan)
        # Where motion samples tell how the body moved, pictures need not.
        if np.isnan(felt_then).any():
            rows = np.stack([self._seen(at_ns - n * QUARTER_NS, QUARTER_NS)[0] for n in range(4)])
            known = np.isfinite(rows).all(1)
            seen_then = rows[known].mean(0) if known.any() else seen_then
        return Look(self._heard(at_ns), felt_then, seen_then)

    def watch(self, start_ns: int) -> Second:
        """What happens in the second that starts at `start_ns`; call it in order of time."""
        quarters = [start_ns + n * QUARTER_NS for n in range(1, 5)]
        felt_then = np.stack([self._felt(q - QUARTER_NS, q) for q in quarters])
        rows, moved = np.full((4, SEEN), np.nan), [STILL] * 4
        if np.isnan(felt_then).any():
            for n, stop_ns in enumerate(quarters):
                rows[n], moved[n] = self._seen(stop_ns, QUARTER_NS)
        changes = [
            self._change(start_ns + HALF_NS, moved[0].then(moved[1])),
            self._change(start_ns + SECOND_NS, moved[2].then(moved[3])),
        ]
        stop_ns = start_ns + SECOND_NS
        heard, word = self._heard(stop_ns), self._word(stop_ns)
        return Second(felt_then, rows, np.stack(changes), heard, word)

    def _shot(self, at_ns: int) -> Shot | None:
        """The last picture that has ended at this time."""
        for clip in (self.clip, self.before):
            if clip is None:
                continue
            ended = clip.picture_ns + clip.picture_span_ns
            number = int(np.searchsorted(ended, at_ns, "right")) - 1
            if number >= 0:
                large = None if clip.large is None else clip.large[number]
                return Shot(int(ended[number]), clip.pictures[number], large)
        return None

    def _pair(self, stop_ns: int, span_ns: int) -> tuple[Shot, Shot] | None:
        """The pictures at the start and at the end of a span; none where one is missing there."""
        before, after = self._shot(stop_ns - span_ns), self._shot(stop_ns)
        # A picture may be late by its own span; one older than that shows another time.
        if before is None or after is None or after.ended_ns <= stop_ns - span_ns:
            return None
        return None if before.ended_ns <= stop_ns - 2 * span_ns else (before, after)

    def _seen(self, stop_ns: int, span_ns: int) -> tuple[np.ndarray, Motion]:
        pair = self._pair(stop_ns, span_ns)
        if pair is None:
            return np.full(SEEN, np.nan), STILL
        moved = estimate(pair[0].luma, pair[1].luma)
        return seen(pair[0].luma, pair[1].luma, moved), moved or STILL

    def _change(self, stop_ns: int, guess: Motion) -> np.ndarray:
        pair = self._pair(stop_ns, HALF_NS)
        if pair is None:
            return np.full((2, CHANGE), np.nan, dtype=np.float32)
        # Pictures too bare to tell a motion are compared as they are.
        moved = estimate(pair[0].luma, pair[1].luma, guess) or STILL
        return change(pair[0].picture, pair[1].picture, moved)

    def _felt(self, start_ns: int, stop_ns: int) -> np.ndarray:
        rows = [clip.motion for clip in (self.before, self.clip) if clip is not None]
        return felt(np.concatenate(rows), start_ns, stop_ns) if rows else np.full(FELT, np.nan)

    def _heard(self, at_ns: int) -> np.ndarray:
        """Log energy of the bands of the second before."""
        heard = []
        at_ns -= SOUND_MARGIN_NS
        for clip in (self.before, self.clip):
            if clip is not None:
                start = round((at_ns - SECOND_NS - clip.sound_ns) * SOUND_HZ / 1e9)
                stop = (at_ns - clip.sound_ns) * SOUND_HZ // 1_000_000_000
                heard.append(clip.sound[max(start, 0) : max(stop, 0)])
        sound = np.concatenate(heard) if heard else np.zeros(0)
        if len(sound) < SOUND_HZ // 8:
            return np.full(BANDS, np.nan)
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2 / len(sound)
        # Bands of equal ratio from 60 Hz to half the rate.
        hertz = np.fft.rfftfreq(len(sound), 1 / SOUND_HZ)
        edges = np.geomspace(60, SOUND_HZ / 2, BANDS + 1)
        band = np.digitize(hertz, edges) - 1
        return np.log([power[band == b].sum() + 1e-6 for b in range(BANDS)])

    def _word(self, stop_ns: int) -> str:
        """The next word that had begun before this time; what comes too fast waits its turn."""
        late_ns = stop_ns - MOST_WAIT_NS
        self.words = [row for row in self.words if row[0] >= late_ns]
        if not self.words or self.words[0][0] >= stop_ns:
            return ""
        (_, word), *self.words = self.words
        return word


def _labels_of(clip: Clip) -> list[tuple[int, str]]:
    """Words of a clip in order of time: its transcript, and each labelled action as one word
    at its start. What began before the clip was told with the one before."""
    named = [(start_ns, " ".join(fields.values())) for start_ns, _, fields in clip.events]
    return sorted(row for row in (*clip.words, *named) if row[0] >= clip.start_ns)
