"""Ethics approvals: with a scope, a reviewer and an end; none that has ended counts."""

import pytest

from firsthand import log
from firsthand.consent import ask
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.runs.proposals import Proposal
from firsthand.consent.terms import consents
from firsthand.errors import NotFound, Refused, Usage

DAY_NS = 86_400 * 10**9
TRAIN, VIEW, ETHICS = "fh:train-general-model", "fh:human-view", "DUO:0000021"
PROPOSAL = Proposal("next actions", (TRAIN,), "small", "nobody", 300, ethics_approval="IRB-7")


@pytest.fixture
def run(connection, ana, now_ns):
    """A run under an approval of ten days, for whom ana said yes and asks for an approval."""
    approvals.add(connection, "IRB-7", [TRAIN], "the board", now_ns + 10 * DAY_NS, now_ns)
    found = proposals.propose(connection, PROPOSAL, now_ns)
    consents.give(connection, ana, [TRAIN, VIEW], [ETHICS], now_ns=now_ns)
    answers.vote(connection, found, ana, "yes", now_ns)
    return found


def allowed(connection, run, person, now_ns):
    return ask.for_run(connection, run, person, now_ns).allowed


def test_a_consent_that_asks_for_approval_holds_while_the_approval_does(
    connection, ana, run, now_ns
):
    assert allowed(connection, run, ana, now_ns + 10 * DAY_NS - 1)
    assert not allowed(connection, run, ana, now_ns + 10 * DAY_NS)
    ends_ns = now_ns + 40 * DAY_NS
    approvals.add(connection, "IRB-7", [TRAIN], "the board", ends_ns, now_ns + 20 * DAY_NS)
    assert allowed(connection, run, ana, now_ns + 20 * DAY_NS)
    approvals.end(connection, "IRB-7", now_ns + 21 * DAY_NS)
    assert not allowed(connection, run, ana, now_ns + 21 * DAY_NS)


def test_an_approval_is_for_the_purposes_that_it_names(connection, ana, now_ns):
    approvals.add(connection, "IRB-8", ["HMB"], "the board", now_ns + DAY_NS, now_ns)
    purposes = ("DUO:0000007=MONDO:1",)
    assert approvals.holds(connection, "IRB-8", purposes, now_ns)
    assert not approvals.holds(connection, "IRB-8", (*purposes, TRAIN), now_ns)
    assert not approvals.holds(connection, " ", purposes, now_ns)
    assert not approvals.holds(connection, "IRB-9", purposes, now_ns)


def test_a_run_names_an_approval_that_is_there_and_holds(connection, now_ns):
    with pytest.raises(NotFound):
        proposals.propose(connection, PROPOSAL, now_ns)
    approvals.add(connection, "IRB-7", [VIEW], "the board", now_ns + DAY_NS, now_ns)
    with pytest.raises(Refused, match="not for"):
        proposals.propose(connection, PROPOSAL, now_ns)
    with pytest.raises(Refused, match="expired"):
        proposals.propose(connection, PROPOSAL, now_ns + DAY_NS)
    assert proposals.listed(connection) == []


@pytest.mark.parametrize(
    "change",
    [
        {"approval": ""},
        {"approval": "IRB 7"},
        {"reviewer": " "},
        {"scope": []},
        {"scope": ["everything"]},
        {"expires_ns": 5},
    ],
)
def test_an_approval_says_what_for_by_whom_and_until_when(connection, now_ns, change):
    fields = {"approval": "IRB-7", "scope": [TRAIN], "reviewer": "b", "expires_ns": now_ns + 1}
    with pytest.raises(Usage):
        approvals.add(connection, **(fields | change), now_ns=now_ns)
    assert (approvals.listed(connection), log.size(connection)) == ([], 0)


def test_an_approval_is_ended_once(connection, run):
    size = log.size(connection)
    approvals.end(connection, "IRB-7")
    approvals.end(connection, "IRB-7")
    assert log.size(connection) == size + 1
    with pytest.raises(NotFound):
        approvals.end(connection, "IRB-9")
