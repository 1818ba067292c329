"""Random lives of orders against a few lines that say what must be seen, hidden and gone."""

import random

import pytest
from faults import FULL, Tally

from firsthand.errors import Error, Refused
from firsthand.release import erase as releasing
from firsthand.vault import catalog, epoch, erase, reading
from firsthand.vault.check import check

pytestmark = [pytest.mark.files, pytest.mark.usefixtures("cheap_seal")]
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
WAIT_NS = 10 * HOUR_NS
LIVES, STEPS = (150, 40) if FULL else (3, 20)


class Life:
    """One person's orders and footage, in the program and in the model."""

    def __init__(self, chance: random.Random, vault, person, device, clock) -> None:  # type: ignore[no-untyped-def]
        self.chance, self.vault, self.person = chance, vault, person
        self.device, self.clock, self.start_ns = device, clock, clock.now_ns
        self.there: dict[int, str] = {}  # minute -> segment, of all that was taken in
        self.gone: set[int] = set()
        self.open: dict[str, tuple[set[int], int]] = {}  # order -> the minutes it names, when due
        self.intervals: set[str] = set()  # of the orders those that name one
        self.closed: list[set[int]] = []  # minutes of intervals that were carried out

    def hand_in(self) -> None:
        minute = self.chance.randrange(20)
        if minute in self.there:
            return
        made = self.device.seal({"video": b"%d" % minute}, 60 * minute)
        receipt = self.device.hand_in(made)["receipt"]
        # An interval whose time has come counts, whether or not it was carried out yet.
        due = [
            named
            for each, (named, at) in self.open.items()
            if at <= self.clock() and each in self.intervals
        ]
        if any(minute in each for each in [*self.closed, *due]):
            assert (receipt["kind"], receipt["reason"]) == ("refused", "erased")
            return
        assert receipt["kind"] == "stored"
        with self.vault.db.read() as connection:
            found = catalog.find_record(connection, self.device.id, made.record.seq)
        assert found is not None
        self.there[minute] = found.id

    def interval(self) -> None:
        first = self.chance.randrange(20)
        last = first + self.chance.randrange(3)
        bounds = (self.start_ns + first * MINUTE_NS + 1, self.start_ns + (last + 1) * MINUTE_NS)
        order = erase.place(self.vault, self.person, bounds, wait_ns=WAIT_NS)
        self.intervals.add(order.id)
        due = self.open.get(order.id, (0, 2**63))[1]
        self.open[order.id] = set(range(first, last + 1)), min(due, self.clock() + WAIT_NS)

    def segment(self) -> None:
        left = sorted(self.there.keys() - self.gone)
        if left:
            minute = self.chance.choice(left)
            listed = [self.there[minute]]
            order = erase.place(self.vault, self.person, listed=listed, wait_ns=WAIT_NS)
            due = self.open.get(order.id, (0, 2**63))[1]
            self.open[order.id] = {minute}, min(due, self.clock() + WAIT_NS)

    def undo(self) -> None:
        if self.open:
            order = self.chance.choice(sorted(self.open))
            if self.open[order][1] <= self.clock():
                with pytest.raises(Refused):
                    releasing.undo(self.vault, order)
            else:
                releasing.undo(self.vault, order)
                del self.open[order]

    def wait(self) -> None:
        self.clock.now_ns += self.chance.randrange(1, 8) * HOUR_NS

    def sweep(self) -> None:
        due = {each for each, (_, at) in self.open.items() if at <= self.clock()}
        assert {each.id for each in releasing.sweep(self.vault)} == due
        for order in due:
            named, _ = self.open.pop(order)
            self.gone |= named & self.there.keys()
            if order in self.intervals:
                self.closed.append(named)

    def rotate(self) -> None:
        epoch.rotate(self.vault)

    def agree(self) -> None:
        hidden = {minute for named, _ in self.open.values() for minute in named}
        with self.vault.db.read() as connection:
            seen = {each.id for each in catalog.of_person(connection, self.person.id)}
        for minute, segment in self.there.items():
            wanted = minute not in hidden | self.gone
            assert (segment in seen) == wanted, minute
            try:
                plain = reading.read_part(self.vault, segment, "video", "self", "x")
                assert wanted
                assert plain == b"%d" % minute
            except Error:
                assert not wanted, minute


@pytest.mark.parametrize("seed", range(LIVES))
def test_what_is_seen_hidden_and_gone_is_what_the_orders_say(
    vault, make_device, clock, seed, tally: Tally
):
    chance = random.Random(seed)
    person = vault.add_person(f"person {seed}", "sim")
    life = Life(chance, vault, person, make_device(person, f"d{seed}"), clock)
    steps = [life.hand_in] * 6 + [life.interval, life.segment, life.undo, life.wait, life.sweep]
    for number in range(STEPS):
        chance.choice(steps)()
        if chance.random() < 0.06:
            life.rotate()
        if number % 5 == 4:
            life.agree()
    clock.now_ns += WAIT_NS
    life.sweep()
    life.agree()
    found = check(vault, days=None)
    assert (found.faults, found.orphans) == ([], [])
