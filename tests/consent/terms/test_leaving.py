"""Leaving the programme: every consent ends, nothing is asked any more, and there's no way back."""

import pytest

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents, quiz, text
from firsthand.crypto import SigningKey
from firsthand.errors import Refused

VIEW = "fh:human-view"
DAY_NS = 86_400 * 10**9


def test_who_leaves_allows_nothing_any_more(connection, ana, now_ns):
    for days in (10, 20):
        until = now_ns + days * DAY_NS
        consents.give(connection, ana, [VIEW], expires_ns=until, now_ns=now_ns)
    assert consents.leave(connection, ana, now_ns) == 2
    assert people.find(connection, ana.id).status == "withdrawn"
    assert all(each.withdrawn_ns == now_ns for each in consents.of(connection, ana.id))
    assert not ask.for_self(connection, VIEW, ana, now_ns).allowed
    kinds = [entry.kind for entry in log.read(connection, ana.id)]
    assert kinds[-3:] == ["consent_withdrawn", "consent_withdrawn", "person_withdrawn"]


def test_leaving_twice_is_once(connection, ana):
    consents.leave(connection, ana)
    size = log.size(connection)
    assert consents.leave(connection, ana) == 0
    assert log.size(connection) == size


@pytest.mark.fault("C1")
def test_c1_nothing_undoes_a_withdrawal_from_the_programme(connection, ana, now_ns, tally):
    """Whatever a stale client sends, or sends again: each act that would allow more is refused."""
    run = proposals.propose(connection, proposals.Proposal("t", (VIEW,), "m", "w", 30), now_ns)
    answers.vote(connection, run, ana, "yes", now_ns)
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    assert ask.for_run(connection, run, ana, now_ns).allowed
    consents.leave(connection, ana, now_ns)
    size = log.size(connection)
    words = text.in_force(connection)
    for act in (
        lambda: consents.give(connection, ana, [VIEW], now_ns=now_ns),
        lambda: consents.confirm(connection, ana, given.id, now_ns),
        lambda: consents.choose(connection, ana, {VIEW: True}),
        lambda: answers.vote(connection, run, ana, "yes", now_ns),
        lambda: answers.set_rule(connection, ana, VIEW, "yes", now_ns),
        lambda: quiz.attest(connection, ana, adult=True, own_hand=True),
        lambda: quiz.take(connection, ana, words, [0] * 5),
        lambda: people.enrol(connection, ana, "d-new", SigningKey.generate().public),
    ):
        with pytest.raises(Refused):
            act()
        tally.add()
    assert log.size(connection) == size
    assert not ask.for_run(connection, run, ana, now_ns).allowed


def test_an_erased_person_cannot_leave_any_more(connection, ana):
    from firsthand.consent import erasure

    erasure.forget(connection, ana.id)
    with pytest.raises(Refused):
        consents.leave(connection, ana)


@pytest.mark.fault("C2")
def test_c2_a_clock_that_is_set_back_brings_no_expired_consent_to_life(connection, ana, now_ns):
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns, expires_ns=now_ns + DAY_NS)
    consents.give(connection, ana, ["commercial"], now_ns=now_ns)
    assert consents.close_expired(connection, now_ns + DAY_NS - 1) == 0
    assert consents.close_expired(connection, now_ns + DAY_NS) == 1
    assert consents.close_expired(connection, now_ns + DAY_NS) == 0
    for skew_ns in (-2 * DAY_NS, -1, 0, DAY_NS):
        decision = ask.for_self(connection, VIEW, ana, now_ns + skew_ns)
        assert not decision.allowed
    assert decision.reasons == (f"consent to {VIEW} has expired or not begun",)
    assert ask.for_self(connection, "commercial", ana, now_ns).allowed
    (entry,) = log.read(connection, ana.id, start=log.size(connection) - 1)
    assert (entry.kind, entry.private["consent"]) == ("consent_expired", given.id)
    with pytest.raises(Refused):
        consents.confirm(connection, ana, given.id, now_ns)


@pytest.mark.fault("C2")
def test_c2_the_order_of_the_log_decides_and_not_the_clock(connection, ana, now_ns):
    given = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    consents.withdraw(connection, ana, given.id, now_ns + 300 * DAY_NS)  # by a clock far ahead
    for skew_ns in (0, DAY_NS, 301 * DAY_NS):
        assert not ask.for_self(connection, VIEW, ana, now_ns + skew_ns).allowed
