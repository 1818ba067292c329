import hashlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firsthand.consent import erasure, people
from firsthand.consent.estate import death, directive
from firsthand.consent.terms import consents
from firsthand.db import Database
from firsthand.errors import Refused, Usage

DAY_NS = 86_400 * 10**9
NOW_NS = 1_793_520_000 * 10**9
MAY = {"run": ["bea"], "stop": ["cem"], "delete": ["dana"]}


def paper(name):
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def ada(connection):
    return people.add(connection, "ada", now_ns=NOW_NS)


def die(connection, ada, now_ns=NOW_NS):
    death.attest(connection, ada, "dr lu", "Elm 1", paper("a"), now_ns)
    return death.attest(connection, ada, "bea", "Oak 2", paper("b"), now_ns)


def test_two_attestations_and_a_wait_put_the_directive_in_force(connection, ada):
    directive.write(connection, ada, MAY, 3, NOW_NS)
    found = die(connection, ada)
    assert found.in_force_ns == NOW_NS + 30 * DAY_NS
    assert people.find(connection, ada.id).status == "deceased"
    with pytest.raises(Refused, match="30 more days"):
        death.require(connection, ada, "run", "bea", NOW_NS)
    later = NOW_NS + 30 * DAY_NS
    death.require(connection, ada, "run", "bea", later)
    for act, who in (("run", "cem"), ("delete", "bea"), ("run", "ada"), ("stop", "dana")):
        with pytest.raises(Refused, match="does not name"):
            death.require(connection, ada, act, who, later)
    death.require(connection, ada, "stop", "cem", later)
    with pytest.raises(Refused, match="stopped"):
        death.require(connection, ada, "run", "bea", later)
    death.require(connection, ada, "delete", "dana", later)


def test_one_relative_alone_does_nothing(connection, ada):
    directive.write(connection, ada, MAY, 3, NOW_NS)
    for _ in range(3):
        death.attest(connection, ada, "bea", "Oak 2", paper("b"), NOW_NS)
    assert people.find(connection, ada.id).status == "active"
    with pytest.raises(Refused, match="by two"):
        death.require(connection, ada, "run", "bea", NOW_NS + 400 * DAY_NS)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (("cem", "Oak 2", "c"), "lives with"),
        (("cem", "Elm 1", "b"), "document"),
        (("eve", "Elm 1", "c"), "may run"),
        (("ada", "Elm 1", "c"), "their own"),
    ],
)
def test_a_second_who_is_not_independent_is_refused(connection, ada, second, why):
    directive.write(connection, ada, {"run": ["bea", "eve"]}, 3, NOW_NS)
    death.attest(connection, ada, "bea", "Oak 2", paper("b"), NOW_NS)
    who, house, document = second
    with pytest.raises(Refused, match=why):
        death.attest(connection, ada, who, house, paper(document), NOW_NS)
    assert people.find(connection, ada.id).status == "active"


def test_without_a_directive_nobody_may_and_five_years_are_the_end(connection, ada):
    found = die(connection, ada)
    for act in directive.ACTS:
        with pytest.raises(Refused, match="no directive"):
            death.require(connection, ada, act, "bea", found.in_force_ns)
    assert death.due(connection, found.in_force_ns) == []
    assert [one.id for one in death.due(connection, found.destroyed_ns)] == [ada.id]
    assert round((found.destroyed_ns - found.in_force_ns) / DAY_NS) == 1826


def test_after_the_years_given_nobody_runs_it_any_more(connection, ada):
    directive.write(connection, ada, MAY, 1, NOW_NS)
    found = die(connection, ada)
    death.require(connection, ada, "run", "bea", found.destroyed_ns - 1)
    with pytest.raises(Refused, match="over"):
        death.require(connection, ada, "run", "bea", found.destroyed_ns)


def test_who_lives_denies_it_and_takes_part_as_before(connection, ada):
    directive.write(connection, ada, MAY, 3, NOW_NS)
    die(connection, ada)
    with pytest.raises(Refused):
        directive.write(connection, ada, {}, 3, NOW_NS)
    death.deny(connection, ada, "she called", NOW_NS)
    assert people.find(connection, ada.id).status == "active"
    assert death.state(connection, ada.id).attestors == ()
    with pytest.raises(Refused):
        death.require(connection, ada, "run", "bea", NOW_NS + 31 * DAY_NS)
    with pytest.raises(Usage):
        death.deny(connection, ada, "again", NOW_NS)


def test_a_directive_that_makes_no_sense_is_refused(connection, ada):
    for may in ({"sell": ["bea"]}, {"run": [" "]}, {"run": ["ada"]}):
        with pytest.raises(Usage):
            directive.write(connection, ada, may, 3, NOW_NS)
    for years in (-1, 101):
        with pytest.raises(Usage):
            directive.write(connection, ada, MAY, years, NOW_NS)
    for bad in (("", "x", paper("a")), ("x", " ", paper("a")), ("x", "y", "abc")):
        with pytest.raises(Usage):
            death.attest(connection, ada, *bad, NOW_NS)


class Lives(RuleBasedStateMachine):
    """In whatever order people write, attest, deny and act, only the directive's own acts pass."""

    def __init__(self) -> None:
        super().__init__()
        self.db = Database("sqlite://")
        self.day = 0
        with self.db.write() as connection:
            self.ada = people.add(connection, "ada", now_ns=NOW_NS)
        self.may: dict | None = None
        self.attested: dict[str, int] = {}
        self.stopped = False
        self.years = 5

    @property
    def now_ns(self):
        return NOW_NS + self.day * DAY_NS

    @rule(days=st.integers(1, 400))
    def wait(self, days):
        self.day += days

    @rule(run=st.sets(st.sampled_from(["bea", "cem"])), years=st.integers(0, 2))
    def write(self, run, years):
        with self.db.write() as connection:
            try:
                directive.write(connection, self.ada, {"run": run}, years, self.now_ns)
                self.may, self.years = {"run": run, "stop": run, "delete": set()}, years
                assert len(self.attested) < 2
            except Refused:
                assert len(self.attested) >= 2

    @rule(who=st.sampled_from(["bea", "cem", "dr lu"]), house=st.sampled_from("xyz"))
    def attest(self, who, house):
        with self.db.write() as connection:
            try:
                death.attest(connection, self.ada, who, house, paper(who), self.now_ns)
                self.attested.setdefault(who, self.now_ns)
            except Refused:
                return

    @rule()
    def deny(self):
        with self.db.write() as connection:
            try:
                death.deny(connection, self.ada, "here I am", self.now_ns)
            except Usage:
                assert not self.attested
        self.attested, self.stopped = {}, False

    @rule(who=st.sampled_from(["bea", "cem", "dr lu", "ada"]), act=st.sampled_from(directive.ACTS))
    def act(self, who, act):
        times = sorted(self.attested.values())
        begins = times[1] + 30 * DAY_NS if len(times) > 1 else None
        allowed = (
            begins is not None
            and begins <= self.now_ns < begins + self.years * death.YEAR_NS
            and self.may is not None
            and who in self.may[act]
            and not (act == "run" and self.stopped)
        )
        with self.db.write() as connection:
            try:
                death.require(connection, self.ada, act, who, self.now_ns)
                assert allowed
                self.stopped = self.stopped or act == "stop"
            except Refused:
                assert not allowed

    @invariant()
    def the_dead_take_no_part(self):
        with self.db.read() as connection:
            status = people.find(connection, self.ada.id).status
        assert status == ("deceased" if len(self.attested) >= 2 else "active")

    def teardown(self) -> None:
        self.db.close()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


def test_who_had_left_comes_back_by_no_denial_and_is_run_by_nobody(connection, ada):
    directive.write(connection, ada, MAY, 3, NOW_NS)
    consents.leave(connection, ada, NOW_NS)
    found = die(connection, ada)
    with pytest.raises(Refused, match="had left"):
        death.require(connection, ada, "run", "bea", found.in_force_ns)
    death.require(connection, ada, "delete", "dana", found.in_force_ns)
    death.deny(connection, ada, "she called", NOW_NS)
    assert people.find(connection, ada.id).status == "withdrawn"


def test_nobody_runs_the_model_of_someone_who_is_to_be_erased(connection, ada):
    directive.write(connection, ada, MAY, 3, NOW_NS)
    erasure.order(connection, ada, None, NOW_NS, wait_ns=60 * DAY_NS)
    found = die(connection, ada)
    with pytest.raises(Refused, match="erased"):
        death.require(connection, ada, "run", "bea", found.in_force_ns)


def test_a_name_in_other_letters_is_the_same_name(connection, ada):
    directive.write(connection, ada, {"run": ["Bea", "Eve"]}, 3, NOW_NS)
    death.attest(connection, ada, "bea", "Oak 2", paper("b"), NOW_NS)
    death.attest(connection, ada, "BEA ", "Elm 1", paper("c"), NOW_NS)
    for who, house in (("cem", "oak  2"), ("eve", "Elm 1"), ("Ada", "Elm 1")):
        with pytest.raises(Refused):
            death.attest(connection, ada, who, house, paper("d"), NOW_NS)
    assert people.find(connection, ada.id).status == "active"
