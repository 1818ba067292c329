"""Simulated people filmed with a lens that shakes: pictures as clips.py has them, and labels."""

import numpy as np

from firsthand.simulate.camera import SimCamera
from firsthand.simulate.people import policies
from firsthand.simulate.picture import render


def filmed(
    person: int, day: int, seconds: int, shake: float = 0.0
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Two pictures [N, PICTURE] a second, cut out of what the lens sees with a shake of so many
    of its pixels; the verb done in the half second before each, "-" for none; and how far the
    picture was moved across and down in its own pixels, [N, 2]."""
    camera = SimCamera(policies(3, 1)[person], day, 1, day_s=seconds)
    chance, off = np.random.default_rng((person, day, 5)), np.zeros(2)
    middle = np.array([16, 12])
    pictures, verbs, moved = [], [], []
    for number in range(2 * seconds):
        off = 0.6 * off + shake * chance.normal(size=2)
        x, y = np.clip(np.rint(middle + off), 0, (32, 24)).astype(int)
        moved.append((-x / 2, -y / 2))
        part = render(camera.view(number / 2))[y : y + 96, x : x + 128]
        pictures.append(_yuv(part.reshape(48, 2, 64, 2, 3).mean((1, 3))))
        second = number / 2 - 0.25
        verbs.append(next((a.verb for a in camera.acts if a.start_s <= second < a.stop_s), "-"))
    return np.stack(pictures), verbs, np.array(moved)


def _yuv(rgb: np.ndarray) -> np.ndarray:
    """RGB [48, 64, 3] -> YUV 4:2:0 [PICTURE] (BT.601)."""
    luma = rgb @ (0.299, 0.587, 0.114)
    chroma = [(rgb[..., 2] - luma) * 0.564 + 128, (rgb[..., 0] - luma) * 0.713 + 128]
    halves = [part.reshape(24, 2, 32, 2).mean((1, 3)).ravel() for part in chroma]
    return np.clip(np.concatenate([luma.ravel(), *halves]), 0, 255).astype(np.uint8)
