from pathlib import Path

import pytest
from lives import lives

from firsthand.learn.train import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A small model of three people, fitted for a few updates."""
    out = tmp_path_factory.mktemp("model") / "m"
    train(None, lives(), out, updates=15)
    return out
