"""One process builds the shards of all tests: to start one for each release takes 1 s."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from firsthand.release import make
from firsthand.release.pool import processes


@pytest.fixture(scope="session", autouse=True)
def _shared_process() -> Iterator[None]:
    """Kept for releases that one process builds; others start their own."""
    with processes(1) as kept, pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "processes", lambda n: nullcontext(kept) if n == 1 else processes(n))
        yield
