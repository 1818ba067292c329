import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "learn"))

from lives import lives

from firsthand.learn.train import train


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    """A small model of three people."""
    out = tmp_path_factory.mktemp("emulate") / "m"
    train(None, lives(), out, updates=10)
    return out
