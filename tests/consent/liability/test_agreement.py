"""Agreements: who signs what, for how long, and what lies in quarantine without one."""

import pytest
from faults import FULL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firsthand import log
from firsthand.consent import ask, people, tables
from firsthand.consent.access import askers
from firsthand.consent.liability import agreement
from firsthand.consent.terms import consents, quiz, text
from firsthand.errors import NotFound, Refused, Usage

DAY_NS = 86_400 * 10**9
HOUR_NS = 3600 * 10**9


def words(version="w1", **data):
    return text.Text(version, f"Words of {version}.\n", {"kind": "agreement"} | data)


@pytest.fixture
def cleo(connection, now_ns):
    """A real person: who lives in a simulation signs nothing."""
    return people.add(connection, "cleo", "NL", now_ns)


@pytest.fixture
def reviewer(connection, now_ns):
    return askers.give(connection, "rita", "reviewer", now_ns=now_ns)[0]


def adopt(connection, now_ns, new=None):
    return text.adopt(connection, new or words(), now_ns)


def test_nothing_is_asked_or_quarantined_before_a_text_is_adopted(connection, cleo, now_ns):
    assert agreement.quarantined(connection, cleo, 0, now_ns) == []
    with pytest.raises(NotFound, match="no agreement is asked"):
        agreement.sign(connection, cleo, now_ns=now_ns)


def test_the_simulated_are_never_asked(connection, ana, now_ns):
    adopt(connection, now_ns)
    assert agreement.quarantined(connection, ana, now_ns, now_ns + DAY_NS) == []


def test_what_was_recorded_before_the_first_text_or_in_its_notice_is_free(connection, cleo, now_ns):
    adopt(connection, now_ns, words(older={"effect": "keep", "days": 2}))
    bounds = (now_ns - DAY_NS, now_ns + 3 * DAY_NS)
    assert agreement.quarantined(connection, cleo, *bounds) == [(now_ns + 2 * DAY_NS, bounds[1])]


def test_a_signature_takes_the_quiz_of_these_very_words_and_is_bound_to_their_hash(
    connection, cleo, now_ns
):
    shipped = text.read_text("wearer1")
    adopt(connection, now_ns, shipped)
    assert text.in_force(connection).version == text.CURRENT  # consents are to their own text
    with pytest.raises(Refused) as refused:
        agreement.sign(connection, cleo, now_ns=now_ns)
    assert refused.value.hint.endswith("firsthand agreement quiz cleo")
    quiz.attest(connection, cleo, adult=True, own_hand=True, now_ns=now_ns)
    wrong = [(question["right"] + 1) % 3 for question in shipped.questions]
    quiz.take(connection, cleo, shipped, wrong, now_ns)
    with pytest.raises(Refused, match="quiz of text wearer1"):
        agreement.sign(connection, cleo, now_ns=now_ns)
    right = [question["right"] for question in shipped.questions]
    attempt = quiz.take(connection, cleo, shipped, right, now_ns)
    signed = agreement.sign(connection, cleo, now_ns=now_ns)
    (entry,) = log.read(connection, cleo.id, start=signed.log_index)
    assert entry.private["quiz"] == attempt.log_index
    assert (entry.private["text_sha256"], signed.text_sha256) == (shipped.sha256, shipped.sha256)
    assert signed.stop_ns - signed.start_ns == 365 * DAY_NS


def test_nobody_signs_for_another_nor_for_longer_than_the_text_allows(connection, cleo, now_ns):
    adopt(connection, now_ns, words(most_days=10))
    with pytest.raises(Refused, match="ben cannot sign for cleo"):
        agreement.sign(connection, cleo, now_ns=now_ns, by="ben")
    for stop_ns in (now_ns, now_ns + 10 * DAY_NS + 1):
        with pytest.raises(Usage, match="1 to 10 days"):
            agreement.sign(connection, cleo, stop_ns=stop_ns, now_ns=now_ns)


def test_signing_again_reaches_back_over_nothing_whatever_the_clock_says(connection, cleo, now_ns):
    adopt(connection, now_ns)
    agreement.sign(connection, cleo, stop_ns=now_ns + HOUR_NS, now_ns=now_ns)
    lapse = (now_ns + HOUR_NS, now_ns + 3 * HOUR_NS)
    people.note(connection, "read", cleo, lapse[1])  # the log has come so far
    again = agreement.sign(connection, cleo, now_ns=now_ns)  # by a clock that was put back
    assert again.start_ns == lapse[1]
    assert agreement.quarantined(connection, cleo, now_ns, now_ns + DAY_NS) == [lapse]


def test_a_newer_text_ends_an_older_agreement_when_it_says_and_no_consent(connection, cleo, now_ns):
    adopt(connection, now_ns)
    agreement.sign(connection, cleo, stop_ns=now_ns + 9 * DAY_NS, now_ns=now_ns)
    ben = people.add(connection, "ben", "sim", now_ns)
    consents.give(connection, ben, ["fh:human-view"], now_ns=now_ns)
    adopt(connection, now_ns + 1, words("w2", material=True, older={"effect": "end", "days": 2}))
    stop_ns = now_ns + 1 + 2 * DAY_NS
    assert agreement.periods(connection, cleo.id) == [(now_ns, stop_ns)]
    assert ask.for_self(connection, "fh:human-view", ben, now_ns + 5 * DAY_NS).allowed


def test_a_newer_text_that_keeps_older_agreements_asks_for_no_new_one(connection, cleo, now_ns):
    adopt(connection, now_ns)
    signed = agreement.sign(connection, cleo, now_ns=now_ns)
    adopt(connection, now_ns + 1, words("w2", older={"effect": "keep", "days": 2}))
    assert agreement.periods(connection, cleo.id) == [(now_ns, signed.stop_ns)]
    assert agreement.since(connection) == now_ns  # and nothing of before is let through by it


def test_what_was_ended_is_in_quarantine_from_then_on(connection, cleo, now_ns):
    adopt(connection, now_ns)
    agreement.sign(connection, cleo, now_ns=now_ns)
    assert agreement.end(connection, cleo, now_ns + HOUR_NS) == 1
    assert agreement.end(connection, cleo, now_ns + 2 * HOUR_NS) == 0
    alone = [(now_ns + HOUR_NS, now_ns + DAY_NS)]
    assert agreement.quarantined(connection, cleo, now_ns, now_ns + DAY_NS) == alone


def test_only_another_who_is_a_reviewer_frees_and_only_once_it_is_signed(
    connection, cleo, reviewer, now_ns
):
    adopt(connection, now_ns)
    later = now_ns + DAY_NS
    bounds = (now_ns, now_ns + HOUR_NS)
    with pytest.raises(Refused, match="no agreement in force"):
        agreement.free(connection, cleo, *bounds, reviewer, later)
    agreement.sign(connection, cleo, now_ns=later)
    desk = askers.give(connection, "desk", "organisation", now_ns=now_ns)[0]
    own = askers.give(connection, "mine", "wearer", person=cleo, household="elm", now_ns=now_ns)[0]
    kin = askers.give(connection, "kin", "reviewer", household="elm", now_ns=now_ns)[0]
    self_ = askers.give(connection, "me", "reviewer", human="cleo", now_ns=now_ns)[0]
    for unfit, why in ((desk, "no reviewer"), (own, "no reviewer"), (kin, "near"), (self_, "near")):
        with pytest.raises(Refused, match=why):
            agreement.free(connection, cleo, *bounds, unfit, later)
    with pytest.raises(Usage, match="past"):
        agreement.free(connection, cleo, now_ns, later + HOUR_NS, reviewer, later)
    done = agreement.free(connection, cleo, *bounds, reviewer, later)
    assert agreement.quarantined(connection, cleo, now_ns, later) == [(bounds[1], later)]
    freed, named = log.read(connection, cleo.id, start=done.log_index)
    assert (freed.kind, freed.private["key"]) == ("quarantine_freed", reviewer.id)
    assert named.private == {"person": cleo.id, "freed": done.id, "reviewer": "rita"}
    assert "rita" not in str(freed.private)
    with pytest.raises(Usage, match="nothing of cleo"):
        agreement.free(connection, cleo, *bounds, reviewer, later)


@pytest.mark.parametrize(
    "data",
    [
        {"older": {"effect": "limit", "drop": ["fh:human-view"]}},
        {"most_days": 0},
        {"most_days": "long"},
        {"bundle": True},
        {"kind": "contract"},
    ],
)
def test_an_unfit_text_is_not_adopted(connection, now_ns, data):
    with pytest.raises((Usage, Refused)):
        adopt(connection, now_ns, words(**data))


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=5)


@settings(
    max_examples=500 if FULL else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(signed=spans, freed=spans, begun=st.integers(0, 40))
def test_every_moment_is_signed_for_freed_before_the_first_text_or_quarantined(
    connection, cleo, signed, freed, begun
):
    """Against the plainest model there is: one moment after the other."""
    connection.execute(tables.texts.delete())
    text.put(connection, 1, vars(words()) | {"older": "keep", "dropped": [], "from_ns": begun})
    for table, rows, extra in (
        (agreement.agreements, signed, {"text_version": "w1", "text_sha256": ""}),
        (agreement.freed, freed, {"reviewer": "rita", "freed_ns": 1}),
    ):
        connection.execute(table.delete())
        for number, (start_ns, length) in enumerate(rows):
            bounds = {"start_ns": start_ns, "stop_ns": start_ns + length}
            row = {"id": str(number), "person": cleo.id, "log_index": 9} | bounds | extra
            connection.execute(table.insert().values(**row))
    alone = agreement.quarantined(connection, cleo, 0, 60)
    for at in range(60):
        covered = any(start <= at < start + length for start, length in signed + freed)
        assert any(a <= at < b for a, b in alone) == (at >= begun and not covered)
