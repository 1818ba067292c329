"""Runs and answers: a ballot counts for the words it was cast on, and silence is no."""

import json
from dataclasses import asdict, replace

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.runs import answers, proposals
from firsthand.consent.runs.proposals import Proposal
from firsthand.consent.tables import runs as runs_table
from firsthand.consent.terms import consents
from firsthand.errors import NotFound, Refused, Usage

TRAIN, VIEW = "fh:train-general-model", "fh:human-view"
PROPOSAL = Proposal("next actions", (TRAIN,), "small", "nobody", 30)


def said(connection: Connection, run: proposals.Run, *who: people.Person) -> list[str]:
    again = proposals.find(connection, run.id)
    return [answers.answer(connection, again, person.id) for person in who]


def edit(connection: Connection, run: proposals.Run, **changes: object) -> None:
    """Changes a proposal behind its back."""
    fields = asdict(run.proposal) | {"permissions": list(run.proposal.permissions)} | changes
    statement = sa.text("UPDATE run SET proposal = :proposal WHERE id = :id")
    connection.execute(statement, {"proposal": json.dumps(fields), "id": run.id})


def test_silence_is_silence(connection, ana, ben):
    run = proposals.propose(connection, PROPOSAL)
    assert said(connection, run, ana, ben) == ["silent", "silent"]


def test_a_ballot_is_its_casters_own_and_the_last_one_counts(connection, ana, ben):
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, ana, "yes")
    assert said(connection, run, ana, ben) == ["yes", "silent"]
    answers.vote(connection, run, ana, "no")
    assert said(connection, run, ana, ben) == ["no", "silent"]
    answers.vote(connection, run, ana, "yes")
    assert said(connection, run, ana, ben) == ["yes", "silent"]


def test_a_ballot_on_one_run_says_nothing_on_the_next(connection, ana):
    first = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, first, ana, "yes")
    second = proposals.propose(connection, PROPOSAL)
    assert said(connection, second, ana) == ["silent"]


@pytest.mark.parametrize(
    "change",
    [
        {"title": "something else"},
        {"permissions": [TRAIN, VIEW]},
        {"model": "large"},
        {"who_gets_weights": "everybody"},
        {"retention_days": 3650},
        {"commercial": True},
        {"ethics_approval": "forged"},
    ],
)
def test_an_edited_proposal_has_no_answers(connection, ana, ben, change):
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, ana, "yes")
    answers.set_rule(connection, ben, TRAIN, "yes")
    answers.set_rule(connection, ben, VIEW, "yes")
    assert said(connection, run, ana, ben) == ["yes", "yes"]
    edit(connection, run, **change)
    assert said(connection, run, ana, ben) == ["silent", "silent"]


def test_an_edit_hidden_by_a_new_hash_in_run_and_ballot_has_no_answers_either(connection, ana, ben):
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, ana, "yes")
    answers.set_rule(connection, ben, TRAIN, "yes")
    edit(connection, run, commercial=True)
    digest = proposals.find(connection, run.id).proposal_sha256
    for table in ("run", "ballot"):
        statement = sa.text(f"UPDATE {table} SET proposal_sha256 = :digest")
        connection.execute(statement, {"digest": digest})
    assert said(connection, run, ana, ben) == ["silent", "silent"]


def test_a_run_that_was_never_put_to_anyone_has_no_answers(connection, ana, now_ns):
    run = proposals.propose(connection, PROPOSAL)
    answers.set_rule(connection, ana, TRAIN, "yes")
    connection.execute(
        runs_table.insert().values(
            id="r-forged",
            proposal=asdict(PROPOSAL) | {"permissions": [TRAIN]},
            proposal_sha256=run.proposal_sha256,
            proposed_ns=now_ns,
            log_index=run.log_index,
        )
    )
    assert said(connection, proposals.find(connection, "r-forged"), ana) == ["silent"]
    missing = replace(run, log_index=10**6)
    assert answers.answer(connection, missing, ana.id) == "silent"


def test_an_unedited_proposal_keeps_its_answers_after_the_edit_is_undone(connection, ana):
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, ana, "yes")
    edit(connection, run, commercial=True)
    edit(connection, run)
    assert said(connection, run, ana) == ["yes"]


def test_standing_rules_say_yes_only_if_every_purpose_has_one(connection, ana):
    both = proposals.propose(connection, replace(PROPOSAL, permissions=(TRAIN, VIEW)))
    answers.set_rule(connection, ana, TRAIN, "yes")
    assert said(connection, both, ana) == ["silent"]
    answers.set_rule(connection, ana, VIEW, "yes")
    assert said(connection, both, ana) == ["yes"]
    answers.set_rule(connection, ana, VIEW, "no")
    assert said(connection, both, ana) == ["no"]
    answers.set_rule(connection, ana, VIEW, "ask")
    assert said(connection, both, ana) == ["silent"]


def test_a_rule_covers_its_purpose_alone(connection, ana):
    answers.set_rule(connection, ana, VIEW, "yes")
    assert said(connection, proposals.propose(connection, PROPOSAL), ana) == ["silent"]


def test_a_ballot_beats_a_rule(connection, ana, ben):
    run = proposals.propose(connection, PROPOSAL)
    answers.set_rule(connection, ana, TRAIN, "yes")
    answers.vote(connection, run, ana, "no")
    answers.set_rule(connection, ben, TRAIN, "no")
    answers.vote(connection, run, ben, "yes")
    assert said(connection, run, ana, ben) == ["no", "yes"]


@pytest.mark.parametrize("choice", ["", "YES", "y", "silent", "self", "ask", None, True])
def test_a_ballot_is_yes_or_no(connection, ana, choice):
    run = proposals.propose(connection, PROPOSAL)
    with pytest.raises(Usage):
        answers.vote(connection, run, ana, choice)
    assert said(connection, run, ana) == ["silent"]


@pytest.mark.parametrize("choice", ["", "YES", "silent", "self", None])
def test_a_rule_is_yes_no_or_ask(connection, ana, choice):
    with pytest.raises(Usage):
        answers.set_rule(connection, ana, TRAIN, choice)
    with pytest.raises(Usage):
        answers.set_rule(connection, ana, "fh:everything", "yes")


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"title": "  "},
        {"permissions": ()},
        {"permissions": ("fh:everything",)},
        {"permissions": "fh:human-view"},
        {"retention_days": 0},
        {"retention_days": -1},
    ],
)
def test_a_proposal_without_title_purpose_or_end_is_refused(connection, change):
    with pytest.raises(Usage):
        proposals.propose(connection, replace(PROPOSAL, **change))
    assert (proposals.listed(connection), log.size(connection)) == ([], 0)


def test_a_run_is_found_and_listed_as_it_was_proposed(connection, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    assert proposals.find(connection, run.id) == run
    assert proposals.listed(connection) == [run]
    assert run.use().ends_ns == now_ns + 30 * 86_400 * 10**9
    with pytest.raises(NotFound):
        proposals.find(connection, "r-none")


def test_the_log_holds_the_proposal_in_full_and_ballots_sealed_to_it(connection, ana):
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, ana, "yes")
    *_, proposed, ballot = log.read(connection)
    assert log.digest(proposed.public["proposal"]) == run.proposal_sha256
    assert ballot.private == {
        "person": ana.id,
        "choice": "yes",
        "proposal_sha256": run.proposal_sha256,
    }
    assert "choice" not in ballot.public


def test_a_yes_without_consent_and_a_consent_without_yes_are_both_no(connection, ana, ben, now_ns):
    run = proposals.propose(connection, PROPOSAL, now_ns)
    answers.vote(connection, run, ana, "yes", now_ns)
    consents.give(connection, ben, [TRAIN], now_ns=now_ns)
    assert not ask.for_run(connection, run, ana, now_ns).allowed
    assert not ask.for_run(connection, run, ben, now_ns).allowed
    consents.give(connection, ana, [TRAIN], now_ns=now_ns)
    assert ask.for_run(connection, run, ana, now_ns).allowed


def test_who_has_left_cannot_vote_though_the_caller_looked_them_up_before(connection, ana):
    run = proposals.propose(connection, PROPOSAL)
    connection.execute(people.people.update().values(status="withdrawn"))
    with pytest.raises(Refused):
        answers.vote(connection, run, ana, "yes")
