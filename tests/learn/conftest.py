import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from lives import lives

from firsthand.learn.past import compiled, predictor
from firsthand.learn.tokens import latent, scene
from firsthand.learn.train import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A small model of three people, fitted for a few updates."""
    out = tmp_path_factory.mktemp("model") / "m"
    train(None, lives(), out, updates=15)
    return out


@pytest.fixture(scope="module")
def few_updates() -> Iterator[None]:
    """Tokenisers that are hardly fitted, for tests of what holds however well they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "UPDATES", 30)
        patch.setattr(latent, "UPDATES", 30)
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """One process compiles, the others wait: side by side they would round otherwise."""
    with (compiled.FOLDER / "__pycache__" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        predictor.warm_up()
