"""What a proposal says in full, and what it binds the run to."""

from dataclasses import replace

import pytest

from firsthand import log
from firsthand.consent import ask
from firsthand.consent.runs import answers, proposals
from firsthand.consent.runs.proposals import Proposal
from firsthand.consent.terms import consents
from firsthand.errors import Usage

DAY_NS = 86_400 * 10**9
TRAIN = "fh:train-general-model"
PROPOSAL = Proposal(
    "next actions",
    (TRAIN,),
    "small",
    "nobody",
    30,
    streams=("motion", "events"),
    licence="research only",
    offers=("GS=NL", "PUB"),
    bonus_cents=500,
)


def test_a_proposal_is_in_the_log_in_full(connection, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    (entry,) = log.read(connection, start=run.log_index)
    said = entry.public["proposal"]
    assert said["streams"] == ["motion", "events"]
    assert said["offers"] == ["DUO:0000019", "DUO:0000022=NL"]
    assert (said["licence"], said["bonus_cents"]) == ("research only", 500)
    assert run.proposal == replace(PROPOSAL, offers=("DUO:0000019", "DUO:0000022=NL"))


@pytest.mark.parametrize(
    "change",
    [
        {"streams": ()},
        {"streams": ("smell",)},
        {"streams": ("sound", "motion")},
        {"offers": ("NCU",)},
        {"offers": ("GS",)},
        {"bonus_cents": -1},
        {"bonus_cents": 1.5},
        {"model": " "},
        {"who_gets_weights": ""},
        {"licence": ""},
    ],
)
def test_a_proposal_that_leaves_out_what_people_decide_on_is_none(connection, change):
    with pytest.raises(Usage):
        proposals.propose(connection, replace(PROPOSAL, **change))
    assert log.size(connection) == 0


def test_conditions_are_met_by_what_the_proposal_says(connection, ana, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    answers.vote(connection, run, ana, "yes")
    narrow = ["GS=BE,NL", "PUB", "NCU", "TS=1", "fh:streams=motion,events"]
    given = consents.give(connection, ana, [TRAIN], narrow, now_ns=now_ns)
    assert ask.for_run(connection, run, ana, now_ns).allowed
    consents.withdraw(connection, ana, given.id)
    for unmet in ("GS=BE", "COL", "fh:streams=motion", "IRB", "NMDS"):
        consents.give(connection, ana, [TRAIN], [unmet], now_ns=now_ns)
        assert not ask.for_run(connection, run, ana, now_ns).allowed


def test_a_run_is_over_when_its_time_is(connection, ana, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    answers.vote(connection, run, ana, "yes")
    consents.give(connection, ana, [TRAIN], now_ns=now_ns)
    assert ask.for_run(connection, run, ana, run.ends_ns - 1).allowed
    over = ask.for_run(connection, run, ana, run.ends_ns)
    assert over.reasons == ("the time that the run was to last is over",)
    assert run.ends_ns == now_ns + 30 * DAY_NS


def test_the_bonus_is_for_deciding_and_nobody_is_told_how(connection, ana, ben, now_ns):
    """Row 16: a yes and a no are worth the same, and silence is no decision."""
    run = proposals.propose(connection, PROPOSAL, now_ns)
    assert answers.deciders(connection, run) == []
    for choice in ("yes", "no", "yes"):
        answers.vote(connection, run, ana, choice)
        assert answers.deciders(connection, run) == [ana.id]
    answers.set_rule(connection, ben, TRAIN, "no")
    assert set(answers.deciders(connection, run)) == {ana.id, ben.id}
    consents.leave(connection, ben)  # who let a rule speak, which speaks no more
    assert answers.deciders(connection, run) == [ana.id]
    consents.leave(connection, ana)  # who had voted, and loses nothing by leaving
    assert answers.deciders(connection, run) == [ana.id]


def test_a_proposal_from_before_streams_were_named_still_reads(connection, ana, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    new = ("streams", "licence", "offers", "bonus_cents")
    old = {name: value for name, value in vars(PROPOSAL).items() if name not in new}
    old["permissions"] = [TRAIN]
    row = type("Row", (), {"id": run.id, "proposal": old, "proposed_ns": 1, "log_index": 0})
    read = proposals._run(row)
    assert read.proposal.streams == ("video", "motion", "sound", "events")
    assert read.proposal_sha256 == log.digest(old)
