"""The tokeniser: measurements of the world and of the body become a few discrete tokens.

Fitted on the training days of one release, without labels or gradients: principal components,
then finite scalar quantisation (FSQ: Mentzer et al. 2023), which rounds each bounded component
to a few levels. Pictures are taken apart first: `place` says where, `scene` what differs there.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from firsthand.errors import Damaged

PLACES = 12
SCENE_LEVELS = (5,) * 16
SOUND_LEVELS = (4, 3, 3)
BODY_LEVELS = (4, 3, 3)
SPREAD = 0.8  # of a standard deviation per unit before tanh: fills the levels about evenly
MOST_PICTURES = 1200  # that the tokeniser is fitted on
BLANK = "-"  # the token of what was not measured


@dataclass(frozen=True)
class Scale:
    """Principal components [K, D] of measurements [., D], whitened, and levels to round to."""

    mean: np.ndarray
    axes: np.ndarray
    levels: np.ndarray

    def encode(self, values: np.ndarray) -> np.ndarray:
        """[T, D] -> level numbers [T, K]; each is between 0 and levels - 1."""
        bounded = np.tanh(SPREAD * (values - self.mean) @ self.axes.T)
        return np.rint((bounded + 1) / 2 * (self.levels - 1)).astype(np.int64)


def fit_scale(values: np.ndarray, levels: tuple[int, ...]) -> Scale:
    """The whitened components of largest variance of values [T, D]; fewer where T is small."""
    mean = values.mean(0)
    count = min(len(levels), values.shape[1])
    axes = np.zeros((len(levels), values.shape[1]))
    centred = values - mean
    # The smaller Gram matrix has the same spectrum.
    if len(values) <= values.shape[1]:
        variance, vectors = np.linalg.eigh(centred @ centred.T)
        vectors = centred.T @ vectors
        vectors /= np.linalg.norm(vectors, axis=0) + 1e-12
    else:
        variance, vectors = np.linalg.eigh(centred.T @ centred)
    best = np.argsort(-variance)[:count]
    deviation = np.sqrt(np.maximum(variance[best], 0) / len(values))
    # The sign of a component is arbitrary: fix it, so that the same data give the same tokens.
    found = vectors[:, best].T
    found = found * np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])[:, None]
    known = deviation > 1e-6 * (deviation[:1].max(initial=0) + 1e-12)
    axes[: len(found)] = np.where(known[:, None], found / (deviation[:, None] + 1e-12), 0.0)
    return Scale(mean, axes, np.array(levels))


@dataclass
class Measured:
    """Measurements at T times: pictures [T, PICTURE], sound, IMU and image motion [T, .]."""

    pictures: list[np.ndarray] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)
    imu: list[np.ndarray] = field(default_factory=list)
    flow: list[np.ndarray] = field(default_factory=list)

    def add(self, look: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Append what Eye.look returned."""
        for column, value in zip(
            (self.pictures, self.sound, self.imu, self.flow), look, strict=True
        ):
            column.append(value)


@dataclass(frozen=True)
class Tokeniser:
    """The fitted tables by name; `encode` is the only thing that others need."""

    tables: dict[str, np.ndarray]

    @property
    def digest(self) -> str:
        """SHA-256 of the tables."""
        return hashlib.sha256(save(self.tables)).hexdigest()

    def scale(self, name: str) -> Scale | None:
        """One channel's scale, or None where the training days had no such channel."""
        if f"{name}.mean" not in self.tables:
            return None
        return Scale(*(self.tables[f"{name}.{part}"] for part in ("mean", "axes", "levels")))

    @property
    def scene_slots(self) -> list[str]:
        """Names of the scene's fields."""
        return ["place", *(f"scene{i}" for i in range(len(SCENE_LEVELS)))]

    def scenes(self, pictures: list[np.ndarray]) -> list[tuple[str, ...]]:
        """The place and scene tokens of pictures."""
        blank = (BLANK,) * len(self.scene_slots)
        coarse, fine = self.scale("coarse"), self.scale("scene")
        if coarse is None or fine is None or not pictures:
            return [blank] * len(pictures)
        rows = []
        for start in range(0, len(pictures), 256):
            stack = np.stack(pictures[start : start + 256]).astype(np.float64)
            spots = project(coarse, stack)
            place = nearest(spots, self.tables["places"])
            codes = fine.encode(stack - self.tables["views"][place])
            for picture, spot, code in zip(stack, place, codes, strict=True):
                seen = picture.any()
                rows.append((f"p{spot}", *(str(level) for level in code)) if seen else blank)
        return rows

    def sounds(self, sound: list[np.ndarray]) -> list[str]:
        """One token for the sound of a second."""
        return self._joint("sound", sound)

    def bodies(self, imu: list[np.ndarray], flow: list[np.ndarray]) -> list[str]:
        """One token for how the body moved: from motion samples, else from the picture."""
        felt, seen = self._joint("imu", imu), self._joint("flow", flow)
        return [a if a != BLANK else b for a, b in zip(felt, seen, strict=True)]

    def _joint(self, name: str, values: list[np.ndarray]) -> list[str]:
        """Level numbers written one after the other, such as imu:2.0.1."""
        scale = self.scale(name)
        if scale is None or not values:
            return [BLANK] * len(values)
        stack = np.stack(values)
        known = np.isfinite(stack).all(1)
        codes = scale.encode(np.where(known[:, None], stack, scale.mean))
        return [
            f"{name}:" + ".".join(map(str, row)) if ok else BLANK
            for row, ok in zip(codes, known, strict=True)
        ]


def project(scale: Scale, values: np.ndarray) -> np.ndarray:
    """Components [T, K] of values [T, D]."""
    return (values - scale.mean) @ scale.axes.T


def fit_tokeniser(measured: Measured, seed: int = 0) -> Tokeniser:
    """Fit on measurements of training days alone."""
    tables: dict[str, np.ndarray] = {}

    def keep(name: str, scale: Scale) -> None:
        tables.update(
            {f"{name}.{part}": getattr(scale, part) for part in ("mean", "axes", "levels")}
        )

    seen = [picture for picture in measured.pictures if picture.any()]
    if seen:
        # Enough for some thirty components, and it bounds time and memory.
        chance = np.random.default_rng(seed)
        if len(seen) > MOST_PICTURES:
            seen = [seen[i] for i in sorted(chance.choice(len(seen), MOST_PICTURES, replace=False))]
        stack = np.stack(seen).astype(np.float64)
        coarse = fit_scale(stack, (2,) * 8)
        # Where one is shows in the large components: they are not whitened for this.
        size = np.maximum(np.linalg.norm(coarse.axes, axis=1, keepdims=True), 1e-12)
        coarse = Scale(coarse.mean, coarse.axes / size, coarse.levels)
        spots = project(coarse, stack)
        places = cluster(spots, min(PLACES, len(stack)), chance)
        member = nearest(spots, places)
        views = np.stack([
            stack[member == p].mean(0) if (member == p).any() else stack.mean(0)
            for p in range(len(places))
        ])  # fmt: skip
        keep("coarse", coarse)
        keep("scene", fit_scale(stack - views[member], SCENE_LEVELS))
        tables |= {"places": places, "views": views}
    for name, values, levels in (
        ("sound", measured.sound, SOUND_LEVELS),
        ("imu", measured.imu, BODY_LEVELS),
        ("flow", measured.flow, BODY_LEVELS),
    ):
        known = [row for row in values if np.isfinite(row).all()]
        if len(known) >= 2:
            keep(name, fit_scale(np.stack(known), levels))
    return Tokeniser(tables)


def cluster(points: np.ndarray, count: int, chance: np.random.Generator) -> np.ndarray:
    """Centres [P, K] of clusters: k-means (Lloyd 1982) from k-means++ starts, best of four."""
    best, least = points[:1], np.inf
    for _ in range(4):
        centres = points[chance.integers(len(points))][None]
        while len(centres) < count:
            distance = ((points[:, None] - centres[None]) ** 2).sum(-1).min(1)
            if distance.sum() <= 0:
                break
            pick = chance.choice(len(points), p=distance / distance.sum())
            centres = np.concatenate([centres, points[pick][None]])
        for _ in range(30):
            member = nearest(points, centres)
            centres = np.stack([
                points[member == c].mean(0) if (member == c).any() else centres[c]
                for c in range(len(centres))
            ])  # fmt: skip
        loss = float(((points - centres[nearest(points, centres)]) ** 2).sum())
        if loss < least:
            best, least = centres, loss
    return best


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest centre of each point."""
    return ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)


def save_tokeniser(tokeniser: Tokeniser, folder: Path) -> None:
    """Write the tables into this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: np.ascontiguousarray(value) for name, value in tokeniser.tables.items()}
    (folder / "tables.safetensors").write_bytes(save(tables))


def load_tokeniser(folder: Path) -> Tokeniser:
    """The tokeniser written by `save_tokeniser`."""
    try:
        return Tokeniser(load((folder / "tables.safetensors").read_bytes()))
    except Exception as error:
        raise Damaged(f"the tokeniser in {folder} cannot be read", "train again") from error
