"""A snapshot is an index of the log: it stands while everyone in it still allows the run."""

import pytest

from firsthand import log
from firsthand.consent.runs import answers, proposals, snapshots
from firsthand.consent.seen import Stale
from firsthand.consent.terms import consents, text
from firsthand.errors import NotFound

TRAIN = "fh:train-general-model"
DAY_NS = 86_400 * 10**9
PROPOSAL = proposals.Proposal("next actions", (TRAIN,), "small", "nobody", 900)


@pytest.fixture
def run(connection, ana, ben, now_ns):
    found = proposals.propose(connection, PROPOSAL, now_ns)
    for person in (ana, ben):
        consents.give(connection, person, [TRAIN], now_ns=now_ns)
    answers.vote(connection, found, ana, "yes", now_ns)
    return found


def test_a_snapshot_names_who_allows_the_run_and_stands_in_the_log(
    connection, ana, ben, run, now_ns
):
    taken = snapshots.take(connection, run, now_ns)
    assert taken.allowed == {ana.id}
    (entry,) = log.read(connection, start=taken.log_index)
    said = {"run": run.id, "proposal_sha256": run.proposal_sha256, "people": 1}
    assert (entry.kind, {name: entry.public[name] for name in said}) == ("run_snapshot", said)
    answers.vote(connection, run, ben, "yes", now_ns)  # a later yes waits for the next one
    assert snapshots.require(connection, run, taken.log_index, now_ns) == taken
    with pytest.raises(NotFound):
        snapshots.require(connection, run, taken.log_index + 1, now_ns)


@pytest.mark.parametrize("how", ["ballot", "consent", "leave", "text", "time", "edit"])
def test_a_snapshot_is_stale_once_someone_in_it_no_longer_allows_the_run(
    connection, ana, run, now_ns, how
):
    taken = snapshots.take(connection, run, now_ns)
    (consent,) = consents.of(connection, ana.id)
    ended = {"material": True, "older": {"effect": "end"}}
    if how == "ballot":
        answers.vote(connection, run, ana, "no", now_ns)
    elif how == "consent":
        consents.withdraw(connection, ana, consent.id, now_ns)
    elif how == "leave":
        consents.leave(connection, ana, now_ns)
    elif how == "text":
        text.adopt(connection, text.Text("3", "Other words.", ended), now_ns)
    elif how == "time":
        now_ns += 366 * DAY_NS
    else:
        wider = '{"title": "t", "permissions": ["fh:train-general-model", "fh:human-view"]'
        wider += ', "model": "m", "who_gets_weights": "all", "retention_days": 9}'
        connection.exec_driver_sql("UPDATE run SET proposal = ?", (wider,))
        run = proposals.find(connection, run.id)
    with pytest.raises(Stale):
        snapshots.require(connection, run, taken.log_index, now_ns)
