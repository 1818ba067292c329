"""The one invariant: for every byte of every release, whatever was done in whatever order.

Two people, their devices, consents, runs, ballots, withheld intervals, erasures, recording law, a
clock that is put forward and back, restarts, and old databases put back. Each release that comes of
it is judged by the auditor, who has the log, the bundle and the log's key, and shares no code with
what decides and selects. At the end the log is held against every checkpoint seen on the way.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import pytest
from faults import FULL, Tally
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from programme import APPROVAL, DAY_NS, EARN, TRAIN, VIEW, begin
from wearer import NOW_NS, SECOND_NS

from firsthand import log
from firsthand.capture import Law
from firsthand.consent import erasure, people
from firsthand.consent.access import askers
from firsthand.consent.capture import bystanders, law, review, withhold, zones
from firsthand.consent.liability import agreement
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents, text
from firsthand.errors import NotFound, Refused, Usage
from firsthand.monitor import Seen
from firsthand.release.trace import records_in
from firsthand.tlog import log_name, open_checkpoint
from firsthand.vault import audit, catalog, erase

WORKERS = 4  # parts of the full sweep, which two processes share
EXAMPLES = 1250 if FULL else 8
STEPS = 12

who = st.sampled_from([0, 0, 0, 1])
permissions = st.sampled_from([[TRAIN], [TRAIN, EARN], [VIEW], [TRAIN, VIEW, EARN]])
modifiers = st.sampled_from([[], [], ["DUO:0000046"], ["DUO:0000021"], ["DUO:0000025"]])
# In steps of a quarter second around the footage, and a nanosecond to either side.
edges = st.tuples(st.integers(-2, 40), st.sampled_from([-1, 0, 0, 1])).map(
    lambda t: NOW_NS + t[0] * SECOND_NS // 4 + t[1]
)
intervals = st.tuples(edges, st.integers(1, 12)).map(lambda t: (t[0], t[0] + t[1] * SECOND_NS // 4))
counted: Counter[str] = Counter()


class Lives(RuleBasedStateMachine):
    """What people, devices, clocks and machines may do."""

    def __init__(self) -> None:
        super().__init__()
        self.made = begin()
        self.runs = [self.made.run]
        self.seen: list[Seen] = []
        self.backup: Path | None = None
        self.unplaced: dict[int, list[str]] = {0: [], 1: []}  # sessions without the time
        self.sessions = 0
        self.anew: set[str] = set()  # records of footage that came without the time

    # --- people

    def act(self, number: int, work: Callable[..., object]) -> None:
        """Something that a person does, unless they are erased."""
        vault = self.made.vault
        with vault.db.write() as connection:
            person = people.find(connection, self.made.people[number].id)
            if person.status == "active":
                work(connection, person)

    @rule(number=who, allow=permissions, narrow=modifiers, days=st.integers(1, 3))
    def give(self, number: int, allow: list[str], narrow: list[str], days: int) -> None:
        now_ns = self.made.clock.now_ns
        until = now_ns + (days if number == 0 else days + 7) * DAY_NS  # after a week to think

        def give(connection, person) -> None:  # type: ignore[no-untyped-def]
            with suppress(Refused):  # of another text than the one that the quiz was on
                consents.give(connection, person, allow, narrow, expires_ns=until, now_ns=now_ns)

        self.act(number, give)

    @rule(number=who, data=st.data())
    def withdraw(self, number: int, data: st.DataObject) -> None:
        self.act(number, lambda connection, person: self._withdraw(connection, person, data))

    def _withdraw(self, connection, person, data) -> None:  # type: ignore[no-untyped-def]
        given = consents.of(connection, person.id)
        if given:
            chosen = data.draw(st.sampled_from([each.id for each in given]))
            consents.withdraw(connection, person, chosen, self.made.clock.now_ns)

    @rule(purposes=permissions, paid=st.booleans(), ethics=st.sampled_from(["", APPROVAL]))
    def propose(self, purposes: list[str], paid: bool, ethics: str) -> None:
        if len(self.runs) < 3:
            proposal = proposals.Proposal("t", tuple(purposes), "m", "w", 30, paid, ethics)
            with self.made.vault.db.write() as connection, suppress(Refused):
                run = proposals.propose(connection, proposal, self.made.clock.now_ns)
                self.runs.append(run.id)

    @rule(days=st.sampled_from([0, 2]))
    def renew_or_end_approval(self, days: int) -> None:
        now_ns = self.made.clock.now_ns
        with self.made.vault.db.write() as connection:
            if days:
                until_ns = now_ns + days * DAY_NS
                scope = [TRAIN, VIEW, EARN]
                approvals.add(connection, APPROVAL, scope, "the board", until_ns, now_ns)
            else:
                approvals.end(connection, APPROVAL, now_ns)

    @rule(older=st.sampled_from(["keep", "limit", "end"]))
    def adopt_text(self, older: str) -> None:
        with self.made.vault.db.write() as connection, suppress(Usage):
            now = text.in_force(connection)
            change = {"effect": older, "days": 0}
            if older == "limit":
                change["drop"] = [EARN]
            version = f"n{len(text.changes(connection))}"
            words = text.Text(version, now.words, now.data | {"older": change})
            text.adopt(connection, words, self.made.clock.now_ns)

    @rule(sure=st.integers(0, 3))
    def leave(self, sure: int) -> None:
        if sure == 3:
            now_ns = self.made.clock.now_ns
            self.act(1, lambda c, person: consents.leave(c, person, now_ns))

    @rule(number=who, choice=st.sampled_from(["yes", "yes", "no"]), data=st.data())
    def vote(self, number: int, choice: str, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))

        def cast(connection, person) -> None:  # type: ignore[no-untyped-def]
            found = proposals.find(connection, run)
            answers.vote(connection, found, person, choice, self.made.clock.now_ns)

        self.act(number, cast)

    @rule(
        number=who,
        code=st.sampled_from([TRAIN, VIEW, EARN]),
        choice=st.sampled_from(["yes", "no", "ask"]),
    )
    def set_rule(self, number: int, code: str, choice: str) -> None:
        now_ns = self.made.clock.now_ns
        self.act(number, lambda c, person: answers.set_rule(c, person, code, choice, now_ns))

    @rule(number=who, bounds=intervals)
    def keep_back(self, number: int, bounds: tuple[int, int]) -> None:
        now_ns = self.made.clock.now_ns
        self.act(number, lambda c, person: withhold.withhold(c, person, *bounds, now_ns))

    @rule(number=who)
    def lift(self, number: int) -> None:
        def let(connection, person) -> None:  # type: ignore[no-untyped-def]
            for held in withhold.of(connection, person.id)[:1]:
                withhold.lift(connection, person, held.id, self.made.clock.now_ns)

        self.act(number, let)

    # --- what wearers sign

    @rule(older=st.sampled_from(["keep", "end"]), edge=edges)
    def ask_for_agreements(self, older: str, edge: int) -> None:
        with self.made.vault.db.write() as connection, suppress(Usage):
            version = f"a{len(text.changes(connection, 'agreement'))}"
            data = {"kind": "agreement", "older": {"effect": older, "days": 0}}
            text.adopt(connection, text.Text(version, "w", data), edge)

    @rule(edge=edges)
    def sign(self, edge: int) -> None:
        def sign(connection, person) -> None:  # type: ignore[no-untyped-def]
            with suppress(NotFound, Usage):
                now_ns = self.made.clock.now_ns
                agreement.sign(connection, person, stop_ns=edge, now_ns=now_ns)

        self.act(1, sign)

    @rule()
    def end_agreement(self) -> None:
        now_ns = self.made.clock.now_ns
        self.act(1, lambda c, person: agreement.end(c, person, now_ns))

    @rule(bounds=intervals)
    def sign_and_free(self, bounds: tuple[int, int]) -> None:
        """What was recorded before an agreement, and let through after it, by a reviewer."""

        clock = self.made.clock
        now_ns = clock.now_ns = max(clock.now_ns, NOW_NS + 60 * SECOND_NS)

        def free(connection, person) -> None:  # type: ignore[no-untyped-def]
            if agreement.since(connection) is None:
                first = text.Text("a0", "w", {"kind": "agreement"})
                text.adopt(connection, first, NOW_NS)
            name = f"r{log.size(connection)}"
            reviewer, _ = askers.give(connection, name, "reviewer", now_ns=now_ns)
            agreement.sign(connection, person, now_ns=now_ns)
            with suppress(Usage):  # of time to come, or of what is not in quarantine
                agreement.free(connection, person, *bounds, reviewer, now_ns)
                counted["freed"] += 1

        self.act(1, free)

    # --- devices, erasures, law

    @rule(number=who)
    def hand_in(self, number: int) -> None:
        self.made.hand_in(number)

    @rule(number=who, look=st.booleans())
    def hand_in_unplaced(self, number: int, look: bool) -> None:
        """Footage of a device that does not know the time."""
        if self.made.vault.person(self.made.people[number].id).status == "active":
            self.sessions += 1
            self.unplaced[number].append(f"dark{self.sessions}")
            self.anew.add(self.made.hand_in_unplaced(number, self.unplaced[number][-1]))
            if look:
                self.look(number)

    @rule(number=who, at_ns=edges, look=st.booleans())
    def learn_time(self, number: int, at_ns: int, look: bool) -> None:
        """It learns the time: that footage, and what came before it, is placed anew."""
        if not self.unplaced[number]:
            self.hand_in_unplaced(number, look)
        if self.unplaced[number]:
            self.made.learn_time(number, self.unplaced[number].pop(), at_ns)
            if look:
                self.look(number)

    @rule(number=who, bounds=intervals, segment=st.booleans())
    def erase(self, number: int, bounds: tuple[int, int], segment: bool) -> None:
        vault, person = self.made.vault, self.made.vault.person(self.made.people[number].id)
        if person.status != "active":
            return
        with vault.db.write() as connection:
            if segment:
                held = catalog.of_person(connection, person.id)
                chosen = [held[-1].id] if held else []
            else:
                chosen = []
            if segment and not chosen:
                return
            where = None if segment else bounds
            order = erasure.order(connection, person, where, vault.now_ns(), chosen)
        erase.carry_out(vault, order, chosen)

    @rule(sure=st.integers(0, 3))
    def erase_person(self, sure: int) -> None:
        vault, person = self.made.vault, self.made.vault.person(self.made.people[1].id)
        if sure == 3 and person.status == "active":
            with vault.db.write() as connection:
                order = erasure.order(connection, person, now_ns=vault.now_ns())
            erase.carry_out(vault, order)

    @rule(
        place=st.sampled_from(["sim", "nowhere"]),
        audio=st.sampled_from(["one", "all", "mixed"]),
        video=st.sampled_from(["yes", "yes", "no"]),
        closed=st.sampled_from(["", "clinic"]),
        as_of=st.sampled_from(["2026-10-01", "2026-10-31", "2026-11-01", "2026-11-02"]),
    )
    def add_law(self, place: str, audio: str, video: str, closed: str, as_of: str) -> None:
        row = Law(place, audio, video, closed, "a statute", as_of, "counsel", "2026-11-05")
        with self.made.vault.db.write() as connection:
            law.add(connection, row, self.made.clock.now_ns)

    @rule(
        number=who,
        kind=st.sampled_from(["home", "abroad", "work", "clinic", "bathroom"]),
        bounds=intervals,
        place=st.sampled_from(["", "nowhere", "sim"]),
    )
    def say_place(self, number: int, kind: str, bounds: tuple[int, int], place: str) -> None:
        def say(connection, person) -> None:  # type: ignore[no-untyped-def]
            # Borders are a minute wide, and the footage is seconds long.
            shift = 59 * SECOND_NS
            zones.say(
                connection,
                person,
                kind,
                bounds[0] + shift,
                bounds[1] + shift + 120 * SECOND_NS,
                jurisdiction=place,
                now_ns=self.made.clock.now_ns,
            )

        self.act(number, say)

    @rule(number=who)
    def end_place(self, number: int) -> None:
        def end(connection, person) -> None:  # type: ignore[no-untyped-def]
            for said in zones.of(connection, person.id)[:1]:
                zones.end(connection, person, said.id, self.made.clock.now_ns)

        self.act(number, end)

    @rule(number=who, audio=st.booleans())
    def permit(self, number: int, audio: bool) -> None:
        def enter(connection, person) -> None:  # type: ignore[no-untyped-def]
            if any(said.zone.label == "work" for said in zones.of(connection, person.id)):
                zones.permit(
                    connection,
                    person,
                    "work",
                    employer="a firm",
                    signed_by="its head",
                    document_sha256="0" * 64,
                    stop_ns=self.made.clock.now_ns + DAY_NS,
                    audio=audio,
                    now_ns=self.made.clock.now_ns,
                )

        self.act(number, enter)

    # --- bystanders and the wearer's second look

    @rule(bounds=intervals, number=st.sampled_from([0, 1, None]))
    def ask_as_bystander(self, bounds: tuple[int, int], number: int | None) -> None:
        now_ns = max(self.made.clock.now_ns, bounds[0])
        shift = 121 * SECOND_NS  # a hold reaches two minutes further than what was asked
        asked, code = (bounds[0] - shift, bounds[1] - shift), "ZZZZZZZZ"  # nobody's
        with self.made.vault.db.write() as connection:
            if number is not None:
                person = people.find(connection, self.made.people[number].id)
                code = bystanders.badge_code(person, bystanders.day_of(asked[0])) or code
            bystanders.ask(connection, *asked, code=code, now_ns=now_ns)

    @rule(number=who, decision=st.sampled_from(["keep", "erase"]))
    def decide_on_hold(self, number: int, decision: str) -> None:
        orders = []

        def decide(connection, person) -> None:  # type: ignore[no-untyped-def]
            bystanders.settle(connection, self.made.clock.now_ns)
            for held in bystanders.of(connection, person.id):
                if not held.decision:
                    now_ns = self.made.clock.now_ns
                    orders.append(bystanders.decide(connection, person, held.id, decision, now_ns))

        self.act(number, decide)
        for order in orders:
            if order is not None:
                erase.carry_out(self.made.vault, order)

    @rule(number=who)
    def look(self, number: int) -> None:
        now_ns = self.made.clock.now_ns
        self.act(number, lambda c, person: review.reviewed(c, person, now_ns=now_ns))

    @rule(number=who, days=st.integers(1, 3))
    def set_window(self, number: int, days: int) -> None:
        now_ns = self.made.clock.now_ns
        self.act(number, lambda c, person: review.set_window(c, person, days, now_ns))

    # --- clocks and machines

    @rule(hours=st.sampled_from([-60, -30, 5, 30, 60]))
    def set_clock(self, hours: int) -> None:
        self.made.clock.now_ns = max(NOW_NS - DAY_NS, self.made.clock.now_ns + hours * DAY_NS // 24)

    @rule()
    def restart(self) -> None:
        self.made.reopen()

    @rule()
    def back_up(self) -> None:
        self.backup = self.made.folder / "backup.db"
        source = sqlite3.connect(f"file:{self.made.database}?mode=ro", uri=True)
        with sqlite3.connect(self.backup) as target:
            source.backup(target)
        source.close()
        target.close()

    @rule()
    def restore(self) -> None:
        if self.backup is None:
            return
        assert self.made.recover(self.backup).left == []
        counted["restored"] += 1
        with self.made.vault.db.read() as connection:
            known = {run.id for run in proposals.listed(connection)}
        self.runs = [run for run in self.runs if run in known] or self.runs[:1]

    # --- releases

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.make(data.draw(st.sampled_from(self.runs)))

    @rule(act=st.sampled_from(["withdraw", "no", "keep back", "erase", "hand in"]), number=who)
    def release_meanwhile(self, act: str, number: int) -> None:
        """Something happens between the selection and the publication."""
        now_ns = self.made.clock.now_ns

        def withdraw(connection, person) -> None:  # type: ignore[no-untyped-def]
            for given in consents.of(connection, person.id):
                consents.withdraw(connection, person, given.id, now_ns)

        def refuse(connection, person) -> None:  # type: ignore[no-untyped-def]
            run = proposals.find(connection, self.runs[0])
            answers.vote(connection, run, person, "no", now_ns)

        def keep_back(connection, person) -> None:  # type: ignore[no-untyped-def]
            withhold.withhold(connection, person, NOW_NS, NOW_NS + SECOND_NS, now_ns)

        def meanwhile() -> None:
            if act == "erase":
                self.erase(number, (NOW_NS, NOW_NS + SECOND_NS), False)
            elif act == "hand in":
                self.made.hand_in(number)
            else:
                acts = {"withdraw": withdraw, "no": refuse, "keep back": keep_back}
                self.act(number, acts[act])

        self.make(self.runs[0], meanwhile)

    def make(self, run: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Makes a release, if anyone allows it, and audits every byte."""
        try:
            release = self.made.release(run, meanwhile)
        except Refused:
            counted["refused"] += 1
            return
        except NotFound:
            assert meanwhile is not None  # what was just erased can't be read any more
            counted["cut off"] += 1
            return
        told = self.made.audit(release.id)
        assert told["breaches"] == []
        assert told["samples"] == self.made.check_bytes(release) > 0
        counted["releases"] += 1
        counted["samples"] += told["samples"]
        counted["placed anew"] += len(self.anew & records_in(release.manifest))
        self.keep_checkpoint()

    def keep_checkpoint(self) -> None:
        """Somebody writes the checkpoint down."""
        key = self.made.vault.keyring.log_key().public
        seen = open_checkpoint(self.made.vault.checkpoint(), log_name(key), key)
        self.seen.append(Seen(seen.size, seen.root, "a kept checkpoint", False, lambda: None))

    def teardown(self) -> None:
        try:
            for run in self.runs:
                self.make(run)
            audit.verify(self.made.vault, self.seen)
            counted["lives"] += 1
        finally:
            self.made.close()


@pytest.mark.fault("C1")
@pytest.mark.fault("C2")
@pytest.mark.parametrize("part", range(WORKERS if FULL else 1))
def test_every_byte_of_every_release_was_allowed_at_its_place_in_the_log(part: int, tally: Tally):
    counted.clear()
    shape = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        derandomize=not FULL,
    )
    run_state_machine_as_test(Lives, settings=shape)
    tally.add(cases=counted["lives"])
    print(dict(counted))
    # A life without a release shows nothing.
    assert counted["releases"] > counted["lives"] / 2
