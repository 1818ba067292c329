"""Device, link and server fail in any order: nothing is lost or doubled, and bytes are bounded.

One stateful property over the real carrier, the real application and a real vault.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from backends import both
from faults import FULL
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from way import Died, InlineLink, Pack, Served, Time

from firsthand.record.home.upload import carry_home
from firsthand.vault import catalog, ingest
from firsthand.vault.check import check

# In full 2000 over files, in four tests, so that they can run beside each other.
EXAMPLES = {"files": 500 if FULL else 12, "servers": 60 if FULL else 2}
QUARTERS = range(4 if FULL else 1)
FAULTS = (
    "",
    "down",
    "cut",
    "answer lost",
    "answer cut",
    "portal",
    "empty",
    "502",
    "flipped",
    "twice",
    "device dies before",
    "device dies after",
)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is any: an example has 50 fsyncs, and power is cut elsewhere."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


class Home(RuleBasedStateMachine):
    """A card and its carrier, a link and a server."""

    part: int
    served: Served
    clock: Time
    new_pack: Callable[[], Pack]
    count: Callable[[], None]

    def __init__(self) -> None:
        super().__init__()
        self.pack = self.new_pack()
        self.sent = self.allowed = 0
        self.random = random.Random(0)

    @rule(size=st.integers(1, 3500), motion=st.booleans())
    def capture(self, size: int, motion: bool) -> None:
        plain = {"video": self.random.randbytes(size)} | ({"motion": bytes(32)} if motion else {})
        made = self.pack.capture(plain, start_s=60 * self.pack.wearer.seq)
        self.allowed += len(made.sealed)

    @rule()
    def capture_gap(self) -> None:
        self.pack.capture({}, reason="paused")

    @precondition(lambda self: self.pack.card.waiting())
    @rule(faults=st.lists(st.sampled_from(FAULTS), max_size=12), skip=st.integers(0, 6))
    def carry(self, faults: list[str], skip: int) -> None:
        """Carry; the requests after the first `skip` meet these faults, one each."""
        left = [""] * skip + faults
        self._carry(lambda method, target: left.pop(0) if left else "")

    @precondition(lambda self: self.pack.card.waiting())
    @rule(steps=st.integers(0, 150))
    def carry_while_the_server_dies(self, steps: int) -> None:
        """The server is killed after so many calls of store and database, and comes back."""
        self.served.left = steps
        self._carry(lambda method, target: "", deaths=1)
        self.served.left = None

    @precondition(lambda self: self.pack.card.waiting())
    @rule(steps=st.integers(0, 20))
    def carry_while_the_device_dies(self, steps: int) -> None:
        """The carrier is killed after so many changes to its card's folders."""
        with dying_at(str(self.pack.card.path), steps):
            self._carry(lambda method, target: "")

    @rule(hours=st.sampled_from([0.01, 1.5]))
    def let_time_pass(self, hours: float) -> None:
        """Long enough, perhaps, for the URLs given out to end."""
        self.clock.sleep(hours * 3600)

    @rule()
    def lose_uploads(self) -> None:
        """The vault gives up what was begun: its parts are sent again."""
        vault, device = self.pack.wearer.vault, self.pack.wearer.id
        with vault.db.read() as connection:
            query = catalog.uploads.select().where(catalog.uploads.c.device == device)
            begun = [row.id for row in connection.execute(query)]
        for upload in begun:
            have, _ = ingest.missing_parts(vault, upload, device)
            self.allowed += sum(part["size"] for part in have)
            ingest.abort(vault, upload, device)

    @invariant()
    def nothing_is_lost(self) -> None:
        self.pack.assert_nothing_lost()
        assert self.sent <= self.allowed, "more bytes than a part for each fault"

    def teardown(self) -> None:
        self._carry(lambda method, target: "")
        self.pack.assert_home()
        self.count()

    def _carry(self, fault: Callable[[str, str], str], deaths: int = 0) -> None:
        link = InlineLink(self.pack.device, self.clock, self.served, fault)
        chance = random.Random(1)
        options = {"clock": self.clock, "chance": chance, "patience_s": 600.0, "link": link}
        with suppress(Died):
            carry_home(self.pack.card, self.pack.device, **options)  # type: ignore[arg-type]
        self.sent += link.sent_bytes
        self.allowed += (link.faults + deaths) * self.part
        # What changed on its way is found when all parts are there: all of them are sent again.
        largest = max((len(made.sealed) for made in self.pack.captured.values()), default=0)
        self.allowed += link.flips * largest


@contextmanager
def dying_at(folder: str, steps: int) -> Iterator[None]:
    """The process dies before its change number `steps` to names in a folder."""
    left = [steps]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "rmdir", "rename", "replace"):
            real = getattr(os, name)

            def step(path, *given, real=real, **options):  # type: ignore[no-untyped-def]
                if str(path).startswith(folder):
                    left[0] -= 1
                    if left[0] < 0:
                        raise Died
                return real(path, *given, **options)

            patch.setattr(os, name, step)
        yield


@both
@pytest.mark.parametrize("quarter", QUARTERS)
@pytest.mark.fault("U1")
@pytest.mark.fault("U2")
@pytest.mark.fault("U3")
@pytest.mark.fault("U9")
def test_u1_to_u9_whatever_fails_in_whatever_order_nothing_is_lost(
    quarter, backend, served, clock, make_pack, small_parts, tally
):
    class Case(Home):
        number = 0

        @staticmethod
        def new_pack() -> Pack:
            Case.number += 1
            return make_pack(f"d{Case.number}")

        @staticmethod
        def count() -> None:
            tally.add()

    Case.served, Case.clock, Case.part = served, clock, small_parts
    chosen = settings(
        max_examples=EXAMPLES["servers" if backend else "files"],
        stateful_step_count=8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(Case, settings=chosen)
    assert check(served.vault).faults == []
