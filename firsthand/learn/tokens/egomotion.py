"""Ego-motion: how the wearer's body moved, from motion samples or else from the pictures.

Pictures: one shift, turn and zoom of the whole picture, fitted by Gauss-Newton (inverse
compositional: Baker & Matthews 2004) from coarse to fine, with weights that a hand moving on its
own cannot drag along (Geman & McClure 1987). What is left after it is for latent.py.
"""

from dataclasses import dataclass

import numpy as np

from firsthand.errors import Usage
from firsthand.learn.tokens.bottleneck import Tables, of_prefix, with_prefix
from firsthand.learn.tokens.scale import BLANK, Scale, fit_scale

LEVELS = (5, 5, 3, 3)
FELT, SEEN = 8, 5  # how many numbers say how the body moved
STEPS, LAST_STEPS = 12, 5  # of Gauss-Newton on the smallest and on each larger size
SMALLEST = 12  # pixels: pictures are halved no further
LEAST_TEXTURE = 1.0  # mean squared slope in grey levels; a blank wall tells no motion
NOISE = 0.3  # grey levels that a codec alone makes of a picture that stands still
LEAST_ROWS = 3  # motion samples in a quarter of a second


@dataclass(frozen=True)
class Motion:
    """What moved every point of a picture: pixels across (right) and down, radians of turn
    (clockwise as seen), and zoom, the logarithm of the scale; turn and zoom about the centre."""

    across: float
    down: float
    turn: float = 0.0
    zoom: float = 0.0

    def then(self, other: "Motion") -> "Motion":
        """Both, one after the other."""
        scale = np.exp(other.zoom + 1j * other.turn)
        moved = scale * complex(self.across, self.down) + complex(other.across, other.down)
        return Motion(moved.real, moved.imag, self.turn + other.turn, self.zoom + other.zoom)


STILL = Motion(0.0, 0.0)


def estimate(before: np.ndarray, after: np.ndarray, start: Motion | None = None) -> Motion | None:
    """The motion that brings picture `before` [H, W] (grey levels) over `after`.

    None where the pictures show too little to tell. `start` is a first guess besides those made
    here. Usage unless both are of one size.
    """
    if before.ndim != 2 or before.shape != after.shape or min(before.shape) < 8:
        raise Usage(f"pictures of {before.shape} and {after.shape} cannot be compared", "")
    sizes = [(before.astype(np.float32), after.astype(np.float32))]
    while min(sizes[-1][0].shape) >= 2 * SMALLEST and not any(n % 2 for n in sizes[-1][0].shape):
        sizes.append((_halve(sizes[-1][0]), _halve(sizes[-1][1])))
    if min(_texture(picture) for picture in sizes[0]) < LEAST_TEXTURE:
        return None
    if np.abs(before - sizes[0][1]).mean() < NOISE:
        return STILL
    factor = 2 ** (len(sizes) - 1)
    across, down = shift(*sizes[0])
    guesses = [STILL, Motion(across, down), *([start] if start else [])]
    best, least = STILL, np.inf
    # The coarsest picture decides between the guesses: it is small and its basin is wide.
    for guess in guesses:
        fitted = _fit(*sizes[-1], _scaled(guess, 1 / factor), STEPS)
        left = _left(*sizes[-1], fitted)
        if left < least:
            best, least = fitted, left
    for pair in sizes[-2::-1]:
        best = _fit(*pair, _scaled(best, 2.0), LAST_STEPS)
    # On a road that stands still beneath a sky, a fit can end worse than where it began.
    return best if _left(*sizes[0], best) <= _left(*sizes[0], STILL) else STILL


def warp(picture: np.ndarray, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """The picture [H, W] or [H, W, C] after the motion, and where it is known [H, W] (elsewhere
    its edge is repeated)."""
    height, width = picture.shape[:2]
    back = np.exp(-motion.zoom - 1j * motion.turn)
    points = _points(height, width)
    return _sample(picture, back * (points - complex(motion.across, motion.down)))


def shift(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Shift (across, down) in whole pixels between two pictures [H, W], by phase correlation
    (Kuglin & Hines 1975) on windowed pictures."""
    high, wide = before.shape
    window = np.outer(np.hanning(high), np.hanning(wide))
    a, b = (np.fft.rfft2((p - p.mean()) * window) for p in (before, after))
    cross = b * a.conj()
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), s=(high, wide))
    down, across = np.unravel_index(int(peak.argmax()), peak.shape)
    return (
        float(across - wide if across > wide // 2 else across),
        float(down - high if down > high // 2 else down),
    )


def felt(rows: np.ndarray, start_ns: int, stop_ns: int) -> np.ndarray:
    """Motion samples [R, 7] (ns, gyroscope rad/s, accelerometer m/s^2) in this span as [FELT]:
    the mean of the six axes and the log spread of either sensor; NaN where they are too few."""
    part = rows[(rows[:, 0] >= start_ns) & (rows[:, 0] < stop_ns), 1:]
    if len(part) < LEAST_ROWS:
        return np.full(FELT, np.nan)
    spread = part.std(0)
    both = [np.log(np.linalg.norm(spread[axes]) + 1e-3) for axes in (slice(0, 3), slice(3, 6))]
    return np.concatenate([part.mean(0), both])


def seen(before: np.ndarray, after: np.ndarray, motion: Motion | None) -> np.ndarray:
    """The motion between two pictures as [SEEN]: across and down in pixels, turn, zoom, and the
    log of what it leaves unexplained; NaN where there is none."""
    if motion is None:
        return np.full(SEEN, np.nan)
    moved, known = warp(before.astype(np.float32), motion)
    left = np.abs(moved - after)[known].mean() if known.any() else 255.0
    return np.array([motion.across, motion.down, motion.turn, motion.zoom, np.log(left + 1.0)])


@dataclass(frozen=True)
class EgoMotion:
    """Motion as tokens: each channel whitened and rounded to FSQ levels; fitted without labels."""

    scales: dict[str, Scale]

    def encode(self, felt: np.ndarray, seen: np.ndarray) -> list[str]:
        """One token for each row of felt [N, FELT], else of seen [N, SEEN]; BLANK for neither."""
        first, second = self._channel("imu", felt), self._channel("flow", seen)
        return [a if a != BLANK else b for a, b in zip(first, second, strict=True)]

    def _channel(self, name: str, values: np.ndarray) -> list[str]:
        if name not in self.scales:
            return [BLANK] * len(values)
        return self.scales[name].tokens(name, values)

    @property
    def tables(self) -> Tables:
        """All numbers by name; `EgoMotion.of` reads them back."""
        found: Tables = {}
        for name, scale in self.scales.items():
            found |= with_prefix(name, vars(scale))
        return found

    @classmethod
    def of(cls, tables: Tables) -> "EgoMotion":
        """The tokeniser with these tables."""
        names = sorted({name.split(".")[0] for name in tables})
        return cls({name: Scale(**of_prefix(name, tables)) for name in names})


def fit_egomotion(felt: np.ndarray, seen: np.ndarray) -> EgoMotion:
    """Fit on felt [N, FELT] and seen [M, SEEN] of training days; rows with NaN do not count."""
    scales = {}
    for name, values in (("imu", felt), ("flow", seen)):
        known = values[np.isfinite(values).all(1)]
        if len(known) >= 2:
            # In units of their usual size: a turn is small in radians, not in what it means.
            spread = np.maximum(known.std(0), 1e-6)
            scale = fit_scale((known - known.mean(0)) / spread, LEVELS)
            scales[name] = Scale(known.mean(0), scale.axes / spread, scale.levels)
    return EgoMotion(scales)


def _points(height: int, width: int) -> np.ndarray:
    """Each pixel's place as a complex number, across + i down, from the centre, [H, W]."""
    across, down = np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2
    return (across[None] + 1j * down[:, None]).astype(np.complex64)


def _sample(picture: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture at places (as `_points` counts them), bilinear; and where those are in it."""
    height, width = picture.shape[:2]
    x, y = places.real + (width - 1) / 2, places.imag + (height - 1) / 2
    known = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, below = (x - column).astype(np.float32), (y - row).astype(np.float32)
    if picture.ndim == 3:
        right, below = right[..., None], below[..., None]
    flat, corner = picture.reshape(height * width, *picture.shape[2:]), row * width + column
    top = flat[corner] * (1 - right) + flat[corner + 1] * right
    corner += width
    bottom = flat[corner] * (1 - right) + flat[corner + 1] * right
    return top * (1 - below) + bottom * below, known


def _fit(before: np.ndarray, after: np.ndarray, start: Motion, steps: int) -> Motion:
    """Gauss-Newton on one size of the pictures."""
    points = _points(*after.shape)
    down, across = np.gradient(after)
    # How a picture changes with shift, turn and zoom: [4, H * W].
    slopes = np.stack([
        across, down,
        down * points.real - across * points.imag,
        across * points.real + down * points.imag,
    ]).reshape(4, -1)  # fmt: skip
    scale = np.exp(-start.zoom - 1j * start.turn)
    place = -scale * complex(start.across, start.down)
    spread = 0.0
    for number in range(steps):
        moved, known = _sample(before, np.complex64(scale) * points + np.complex64(place))
        if known.mean() < 0.2:
            break
        error = (moved - after).reshape(-1)
        error -= error[known.reshape(-1)].mean()
        # Only now and then: a median takes as long as the rest of a step.
        if number % 4 == 0:
            spread = max(1.48 * float(np.median(np.abs(error))), 1.0)
        weight = known.reshape(-1) / (1 + (error / (2 * spread)) ** 2) ** 2
        weighted = slopes * weight
        hessian = (weighted @ slopes.T).astype(np.float64)
        hessian += np.diag(1e-4 * np.diag(hessian) + 1e-6)
        step = np.linalg.solve(hessian, (weighted @ error).astype(np.float64))
        change = 1 + step[3] + 1j * step[2]
        place = place - scale / change * complex(step[0], step[1])
        scale = scale / change
        if np.abs(step[:2]).max() < 0.02 and np.abs(step[2:]).max() < 3e-4:
            break
    if not 0.25 < abs(scale) < 4:
        return start
    moved_by = -place / scale
    return Motion(
        float(moved_by.real), float(moved_by.imag),
        -float(np.angle(scale)), -float(np.log(abs(scale))),
    )  # fmt: skip


def _left(before: np.ndarray, after: np.ndarray, motion: Motion) -> float:
    """What the motion leaves unexplained; an error of the size of the signal counts no more."""
    moved, known = warp(before, motion)
    if known.mean() < 0.2:
        return np.inf
    return float(np.minimum(np.abs(moved - after), 40)[known].mean())


def _scaled(motion: Motion, factor: float) -> Motion:
    """The same motion of a picture so many times as large."""
    return Motion(motion.across * factor, motion.down * factor, motion.turn, motion.zoom)


def _halve(picture: np.ndarray) -> np.ndarray:
    """Half the size, each pixel the mean of four."""
    height, width = picture.shape
    return picture.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def _texture(picture: np.ndarray) -> float:
    """Mean squared slope in the direction in which the picture tells least."""
    down, across = np.gradient(picture)
    return float(min((across**2).mean(), (down**2).mean()))
