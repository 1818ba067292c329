import os
import subprocess
import sys

import numpy as np
import pytest
from looks import filmed

from firsthand.errors import Usage
from firsthand.learn.tokens.scale import fit_scale
from firsthand.learn.tokens.scene import Scene, fit_scene


@pytest.fixture(scope="module")
def days():
    """Pictures of simulated people on three days, and on a fourth."""
    seen = [filmed(person, day, 240)[0][::2] for person in range(2) for day in range(4)]
    train = np.concatenate([rows for n, rows in enumerate(seen) if n % 4 < 3])
    return train, np.concatenate([rows for n, rows in enumerate(seen) if n % 4 == 3])


def test_a_trained_code_shows_an_unseen_day_better_than_components_rounded_alone(days):
    train, test = days
    scene = fit_scene(train, updates=500)
    left = float(((scene.decode(scene.encode(test)) - test) ** 2).mean())
    # As many values a picture: sixteen whitened components of five levels.
    scale = fit_scale(train.astype(np.float64), (5,) * 16)
    middle = np.arctanh(np.clip(np.linspace(-1, 1, 5), -0.9, 0.9)) / 0.8
    size = np.linalg.norm(scale.axes, axis=1, keepdims=True)
    rounded = (middle[scale.encode(test)] / size.T) @ (scale.axes / size) + scale.mean
    assert left < 0.75 * float(((rounded - test) ** 2).mean())


def test_tokens_follow_from_the_pictures_and_the_seed_alone(days):
    train, test = days
    scene, again = (fit_scene(train[:80], updates=40) for _ in range(2))
    assert scene.digest == again.digest == Scene.of(scene.tables).digest
    assert np.array_equal(scene.encode(test), again.encode(test))
    assert scene.encode(test[:0]).shape == (0, 8)
    assert fit_scene(train[:80], updates=40, seed=1).digest != scene.digest


def test_without_a_picture_there_is_nothing_to_fit():
    with pytest.raises(Usage, match="no picture"):
        fit_scene(np.zeros((0, 4608), dtype=np.uint8))


FIT = """
import numpy as np
from firsthand.learn.tokens.scene import fit_scene
pictures = np.random.default_rng(0).integers(0, 255, (500, 4608)).astype(np.uint8)
print(fit_scene(pictures, updates=20).digest)
"""


def test_a_machine_that_computes_with_more_threads_gets_the_same_tokeniser():
    digests = set()
    for threads in ("1", "2"):
        settings = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", FIT]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1
