"""The one invariant, whatever people do in whatever order.

What the room would let a run have is compared with two other tellings: one kept by this test as
things happen, and one replayed from the log alone, as an auditor would.
"""

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import ask, erasure, people
from firsthand.consent.capture import withhold
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents
from firsthand.db import Database

TRAIN, VIEW, EARN = "fh:train-general-model", "fh:human-view", "fh:commercial"
NON_COMMERCIAL, ETHICS, TIME_LIMIT = "DUO:0000046", "DUO:0000021", "DUO:0000025"
LIFE = range(20)  # the instants of footage that each person has
DAY_NS = 86_400 * 10**9

who = st.integers(0, 1)
# Drawn so that about every fourth question is answered with a yes, and each act can turn one.
permissions = st.sampled_from([{TRAIN}, {TRAIN, EARN}, {VIEW}, {EARN}, {TRAIN, VIEW, EARN}])
modifiers = st.sampled_from([set(), set(), {NON_COMMERCIAL}, {ETHICS}, {TIME_LIMIT}])
instants = st.tuples(st.integers(0, 19), st.integers(1, 6)).map(lambda t: (t[0], t[0] + t[1]))


@dataclass
class Told:
    """What this test remembers of one person."""

    consents: dict[str, dict] = field(default_factory=dict)
    ballots: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    withheld: dict[str, tuple[int, int]] = field(default_factory=dict)
    gone: list[tuple[int, int]] = field(default_factory=list)
    erased: bool = False

    def gives(self, run: str, proposal: dict, now_ns: int) -> set[int]:
        """The instants that a run may have, by the design's sentence."""
        wanted = set(proposal["permissions"]) | ({EARN} if proposal["commercial"] else set())
        earns = EARN in wanted
        holds = {NON_COMMERCIAL: not earns, ETHICS: bool(proposal["ethics_approval"])}
        holds[TIME_LIMIT] = True  # every run here says when it ends
        covered: set[str] = set()
        for consent in self.consents.values():
            lives = consent["from"] <= now_ns < consent["until"] and not consent["withdrawn"]
            if lives and all(holds[code] for code in consent["modifiers"]):
                covered |= set(consent["permissions"])
        said = self.ballots.get(run) or self._standing(proposal["permissions"])
        over = now_ns >= proposal["until"]
        if self.erased or over or said != "yes" or not wanted <= covered:
            return set()
        kept_back = [*self.withheld.values(), *self.gone]
        return {at for at in LIFE if not any(begin <= at < end for begin, end in kept_back)}

    def _standing(self, purposes: list[str]) -> str:
        choices = {self.rules.get(code, "") for code in purposes}
        return "yes" if choices == {"yes"} else "no"


def replay(db: Database, person: str) -> Told:
    """The same, from the log and its openings."""
    told = Told()
    with db.read() as connection:
        for entry in log.read(connection, person):
            said = entry.private or {}
            match entry.kind:
                case "consent_given":
                    consent = {"from": entry.time_ns, "until": said["expires_ns"]}
                    consent |= {name: said[name] for name in ("permissions", "modifiers")}
                    told.consents[said["id"]] = consent | {"withdrawn": False}
                case "consent_withdrawn":
                    told.consents[said["consent"]]["withdrawn"] = True
                case "ballot_cast":
                    told.ballots[entry.public["run"]] = said["choice"]
                case "rule_set":
                    told.rules[said["permission"]] = said["choice"]
                case "withheld":
                    told.withheld[said["withhold"]] = (said["start_ns"], said["stop_ns"])
                case "withhold_lifted":
                    del told.withheld[said["withhold"]]
                case "erasure_ordered" if said["scope"] == "interval":
                    told.gone.append((said["start_ns"], said["stop_ns"]))
    return told


class Programme(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.db = Database("sqlite://")
        self.now_ns = 1000 * DAY_NS
        self.told = [Told(), Told()]
        self.proposals: dict[str, dict] = {}
        with self.db.write() as connection:
            self.people = [
                people.add(connection, name, "sim", self.now_ns) for name in ("ana", "ben")
            ]
            purposes, until_ns = [TRAIN, VIEW, EARN], self.now_ns + 10_000 * DAY_NS
            approvals.add(connection, "IRB-7", purposes, "the board", until_ns, self.now_ns)
            self.entries = log.size(connection)

        for number in (0, 1):
            self.give(number, {TRAIN, EARN}, set(), 9)
            self.set_rule(number, TRAIN, "yes")
        self.propose({TRAIN}, False, "")

    def living(self, number: int) -> bool:
        return not self.told[number].erased

    @rule(number=who, allow=permissions, narrow=modifiers, days=st.integers(2, 9))
    def give(self, number: int, allow: set[str], narrow: set[str], days: int) -> None:
        if self.living(number):
            until = self.now_ns + days * DAY_NS
            with self.db.write() as connection:
                given = consents.give(
                    connection,
                    self.people[number],
                    allow,
                    narrow,
                    expires_ns=until,
                    now_ns=self.now_ns,
                )
            consent = {"from": self.now_ns, "until": until, "withdrawn": False}
            consent |= {"permissions": allow, "modifiers": narrow}
            self.told[number].consents[given.id] = consent

    @rule(number=who, data=st.data())
    def withdraw(self, number: int, data: st.DataObject) -> None:
        if self.living(number) and self.told[number].consents:
            consent = data.draw(st.sampled_from(sorted(self.told[number].consents)))
            with self.db.write() as connection:
                consents.withdraw(connection, self.people[number], consent, self.now_ns)
            self.told[number].consents[consent]["withdrawn"] = True

    @precondition(lambda self: len(self.proposals) < 3)
    @rule(purposes=permissions, paid=st.booleans(), ethics=st.sampled_from(["", "IRB-7"]))
    def propose(self, purposes: set[str], paid: bool, ethics: str) -> None:
        proposal = proposals.Proposal("t", tuple(purposes), "m", "w", 30, paid, ethics)
        with self.db.write() as connection:
            run = proposals.propose(connection, proposal, self.now_ns)
        said = {"permissions": sorted(purposes), "commercial": paid, "ethics_approval": ethics}
        self.proposals[run.id] = said | {"until": self.now_ns + 30 * DAY_NS}

    @rule(number=who, choice=st.sampled_from(["yes", "yes", "no"]), data=st.data())
    def vote(self, number: int, choice: str, data: st.DataObject) -> None:
        if self.living(number):
            run = data.draw(st.sampled_from(sorted(self.proposals)))
            with self.db.write() as connection:
                found = proposals.find(connection, run)
                answers.vote(connection, found, self.people[number], choice, self.now_ns)
            self.told[number].ballots[run] = choice

    @rule(
        number=who,
        code=st.sampled_from([TRAIN, VIEW, EARN]),
        choice=st.sampled_from(["yes", "yes", "no", "ask"]),
    )
    def set_rule(self, number: int, code: str, choice: str) -> None:
        if self.living(number):
            with self.db.write() as connection:
                answers.set_rule(connection, self.people[number], code, choice, self.now_ns)
            self.told[number].rules[code] = choice

    @rule(number=who, bounds=instants)
    def keep_back(self, number: int, bounds: tuple[int, int]) -> None:
        if self.living(number):
            with self.db.write() as connection:
                held = withhold.withhold(connection, self.people[number], *bounds, self.now_ns)
            self.told[number].withheld[held.id] = bounds

    @rule(number=who, data=st.data())
    def lift(self, number: int, data: st.DataObject) -> None:
        if self.living(number) and self.told[number].withheld:
            held = data.draw(st.sampled_from(sorted(self.told[number].withheld)))
            with self.db.write() as connection:
                withhold.lift(connection, self.people[number], held, self.now_ns)
            del self.told[number].withheld[held]

    @rule(number=who, bounds=instants)
    def erase_interval(self, number: int, bounds: tuple[int, int]) -> None:
        if self.living(number):
            with self.db.write() as connection:
                order = erasure.order(connection, self.people[number], bounds, self.now_ns)
                erasure.done(connection, order, self.now_ns)
            self.told[number].gone.append(bounds)

    @precondition(lambda self: sum(len(told.consents) for told in self.told) > 5)
    @rule(number=who)
    def erase_person(self, number: int) -> None:
        if self.living(number):
            with self.db.write() as connection:
                order = erasure.order(connection, self.people[number], now_ns=self.now_ns)
                erasure.forget(connection, self.people[number].id)
                erasure.done(connection, order, self.now_ns)
            self.told[number] = Told(erased=True)

    @rule(days=st.integers(1, 2))
    def time_passes(self, days: int) -> None:
        self.now_ns += days * DAY_NS

    @invariant()
    def a_run_gets_what_the_sentence_allows_and_nothing_else(self) -> None:
        for told, person in zip(self.told, self.people, strict=True):
            audited = replay(self.db, person.id)
            released = self.released(person)
            for run, proposal in self.proposals.items():
                expected = told.gives(run, proposal, self.now_ns)
                assert released.get(run, set()) == expected
                assert audited.gives(run, proposal, self.now_ns) == expected

    def released(self, person: people.Person) -> dict[str, set[int]]:
        """What this room says, as a release would ask it: of a person looked up long before."""
        with self.db.read() as connection:
            allowed = [
                run
                for run in self.proposals
                if ask.for_run(
                    connection, proposals.find(connection, run), person, self.now_ns
                ).allowed
            ]
            if not allowed:
                return {}
            taken = [(each.start_ns, each.stop_ns) for each in withhold.of(connection, person.id)]
            left = withhold.subtract(LIFE.start, LIFE.stop, taken)
            instants_left = {at for begin, end in left for at in range(begin, end)}
            gone = {at for at in LIFE if erasure.covers(connection, person.id, at, at + 1)}
            return dict.fromkeys(allowed, instants_left - gone)

    def asked(self, connection: Connection, run: str, person: people.Person) -> bool:
        found = proposals.find(connection, run)
        return ask.for_run(connection, found, person, self.now_ns).allowed

    def teardown(self) -> None:
        with self.db.read() as connection:
            assert log.verify(connection) >= self.entries
            for told, person in zip(self.told, self.people, strict=True):
                if not told.erased:
                    assert log.verify_openings(connection, {person.id: person.salt or b""})
        self.db.close()


TestProgramme = Programme.TestCase
TestProgramme.settings = settings(max_examples=6, stateful_step_count=25, deadline=None)
