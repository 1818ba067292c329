"""The life of consents in any order: texts adopted, approvals ended, quizzes, time, leaving.

After every step, what a run may have is what a second telling allows: one that is kept by this
test as things happen, in plain dictionaries, and shares no code with the room.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from faults import FULL
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firsthand.consent import ask, people
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents, quiz, text
from firsthand.db import Database
from firsthand.errors import Refused

DAY_NS = 86_400 * 10**9
TRAIN, VIEW, HEALTH, GENERAL = (
    "fh:train-general-model",
    "fh:human-view",
    "DUO:0000006",
    "DUO:0000042",
)
CONTAINED = {(GENERAL, HEALTH), *((code, code) for code in (TRAIN, VIEW, HEALTH, GENERAL))}
IRB, PLACE, MONTHS, STREAMS = "DUO:0000021", "DUO:0000022=NL", "DUO:0000025=2", "fh:streams=motion"
purposes = st.sets(st.sampled_from([TRAIN, VIEW, HEALTH, GENERAL]), min_size=1, max_size=2)
conditions = st.sets(st.sampled_from([IRB, PLACE, MONTHS, STREAMS]), max_size=2)


@dataclass
class Told:
    """What this test remembers of one consent."""

    permits: set[str]
    conditions: set[str]
    from_ns: int
    until_ns: int
    number: int  # how many texts had been adopted when it was given
    gone: bool = False


@dataclass
class Asked:
    """A run as this test remembers it."""

    run: proposals.Run
    purposes: set[str]
    place: bool
    motion_only: bool
    irb: bool
    days: int
    ends_ns: int
    says: str = "silent"


@dataclass
class Adopted:
    """A text: when it works, and what it does to what came before."""

    from_ns: int
    ends: bool
    drops: set[str] = field(default_factory=set)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.db = Database("sqlite://")
        self.now_ns = 1000 * DAY_NS
        self.consents: dict[str, Told] = {}
        self.runs: list[Asked] = []
        self.texts: list[Adopted] = []
        self.approved_until_ns = 0
        self.cooling_days = 0
        self.clear, self.left = False, False
        with self.db.write() as connection:
            self.ana = people.add(connection, "ana", "NL", self.now_ns)
            quiz.attest(connection, self.ana, adult=True, own_hand=True, now_ns=self.now_ns)
        self.pass_quiz()
        self.renew(days=40)
        self.propose({TRAIN}, place=True, motion_only=True, irb=True, days=50)
        self.vote("yes", 0)
        self.give({TRAIN}, {IRB, PLACE}, days=60)  # allowed, so that each act can turn it

    @rule(permits=purposes, narrow=conditions, days=st.integers(5, 60))
    def give(self, permits: set[str], narrow: set[str], days: int) -> None:
        until_ns = self.now_ns + days * DAY_NS
        options = {"expires_ns": until_ns, "now_ns": self.now_ns}
        with self.db.write() as connection:
            try:
                given = consents.give(connection, self.ana, permits, narrow, **options)
            except Refused:
                assert self.left or not self.clear
                return
        assert self.clear
        assert not self.left
        from_ns = self.now_ns + self.cooling_days * DAY_NS
        number = len(self.texts)
        self.consents[given.id] = Told(permits, narrow, from_ns, until_ns, number)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.consents and not self.left:
            chosen = data.draw(st.sampled_from(sorted(self.consents)))
            with self.db.write() as connection:
                consents.withdraw(connection, self.ana, chosen, self.now_ns)
            self.consents[chosen].gone = True

    @rule(
        ends=st.booleans(),
        drops=st.sampled_from([{TRAIN}, {VIEW}, {HEALTH}, {GENERAL}]),
        wait=st.sampled_from([0, 10]),
        cooling=st.sampled_from([0, 0, 3]),
    )
    def adopt(self, ends: bool, drops: set[str], wait: int, cooling: int) -> None:
        older = {"effect": "end"} if ends else {"effect": "limit", "drop": sorted(drops)}
        data = text.read_text().data | {"material": True, "older": older | {"days": wait}}
        number = len(self.texts) + 3
        new = text.Text(str(number), f"Words {number}.", data | {"cooling_days": cooling})
        with self.db.write() as connection:
            text.adopt(connection, new, self.now_ns)
        self.texts.append(Adopted(self.now_ns + wait * DAY_NS, ends, drops))
        self.cooling_days, self.clear = cooling, False

    @rule()
    def pass_quiz(self) -> None:
        if not self.left:
            with self.db.write() as connection:
                words = text.in_force(connection)
                chosen = [question["right"] for question in words.questions]
                quiz.take(connection, self.ana, words, chosen, self.now_ns)
            self.clear = True

    @rule(days=st.integers(1, 40))
    def renew(self, days: int) -> None:
        self.approved_until_ns = self.now_ns + days * DAY_NS
        scope = [TRAIN, VIEW, GENERAL]
        with self.db.write() as connection:
            ends_ns = self.approved_until_ns
            approvals.add(connection, "IRB-7", scope, "the board", ends_ns, self.now_ns)

    @rule()
    def end_approval(self) -> None:
        with self.db.write() as connection:
            approvals.end(connection, "IRB-7", self.now_ns)
        self.approved_until_ns = 0

    @rule(
        wanted=purposes,
        place=st.booleans(),
        motion_only=st.booleans(),
        irb=st.booleans(),
        days=st.sampled_from([20, 60, 61]),
    )
    def propose(
        self, wanted: set[str], place: bool, motion_only: bool, irb: bool, days: int
    ) -> None:
        irb = irb and self.now_ns < self.approved_until_ns
        proposal = proposals.Proposal(
            "t",
            tuple(wanted),
            "m",
            "w",
            days,
            ethics_approval="IRB-7" if irb else "",
            streams=("motion",) if motion_only else ("video", "motion"),
            offers=("GS=NL",) if place else (),
        )
        with self.db.write() as connection:
            run = proposals.propose(connection, proposal, self.now_ns)
        ends_ns = self.now_ns + days * DAY_NS
        self.runs.append(Asked(run, wanted, place, motion_only, irb, days, ends_ns))

    @rule(choice=st.sampled_from(["yes", "yes", "no"]), number=st.integers(0, 9))
    def vote(self, choice: str, number: int) -> None:
        asked = self.runs[number % len(self.runs)]
        with self.db.write() as connection:
            try:
                answers.vote(connection, asked.run, self.ana, choice, self.now_ns)
            except Refused:
                assert self.left
                return
        asked.says = choice

    @rule(days=st.integers(1, 15))
    def time_passes(self, days: int) -> None:
        self.now_ns += days * DAY_NS

    @rule(sure=st.sampled_from([False] * 9 + [True]))
    def leave(self, sure: bool) -> None:
        if sure and len(self.consents) > 2:
            with self.db.write() as connection:
                consents.leave(connection, self.ana, self.now_ns)
            self.left = True

    @rule()
    def note_what_ran_out(self) -> None:
        with self.db.write() as connection:
            consents.close_expired(connection, self.now_ns)

    @invariant()
    def a_run_gets_what_was_told_and_nothing_else(self) -> None:
        with self.db.read() as connection:
            for asked in self.runs[-4:]:
                decision = ask.for_run(connection, asked.run, self.ana, self.now_ns)
                assert decision.allowed == self.expected(asked), decision.reasons

    def expected(self, asked: Asked) -> bool:
        if self.left or asked.says != "yes" or self.now_ns >= asked.ends_ns:
            return False
        return all(
            any(self.covers(told, purpose, asked) for told in self.consents.values())
            for purpose in asked.purposes
        )

    def covers(self, told: Told, purpose: str, asked: Asked) -> bool:
        if told.gone or not told.from_ns <= self.now_ns < told.until_ns:
            return False
        if not any((given, purpose) in CONTAINED for given in told.permits):
            return False
        for new in self.texts[told.number :]:
            near = {pair for pair in CONTAINED if set(pair) & new.drops and purpose in pair}
            if self.now_ns >= new.from_ns and (new.ends or near):
                return False
        met = {
            IRB: asked.irb and self.now_ns < self.approved_until_ns,
            PLACE: asked.place,
            MONTHS: asked.days <= 60,
            STREAMS: asked.motion_only,
        }
        return all(met[condition] for condition in told.conditions)

    def teardown(self) -> None:
        self.db.close()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=1500 if FULL else 5, stateful_step_count=25, deadline=None
)
