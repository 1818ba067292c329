"""A study's monitor: stops it, is stopped for by a rule, and alone lets it go on."""

import pytest

from firsthand import log
from firsthand.consent import ask, erasure, people, restore
from firsthand.consent.access import askers
from firsthand.consent.liability import incidents, safety, tables
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents
from firsthand.errors import NotFound, Refused, Usage

DAY_NS = 86_400 * 10**9
TRAIN, STUDY = "fh:train-general-model", "IRB-7"


@pytest.fixture
def monitor(connection, now_ns):
    """Of a study that three adverse events in ten days stop."""
    approvals.add(connection, STUDY, [TRAIN], "the board", now_ns + 900 * DAY_NS, now_ns)
    asker, _ = askers.give(connection, "mona", "monitor", now_ns=now_ns)
    safety.name(connection, STUDY, asker, 3, 10, now_ns)
    return asker


@pytest.fixture
def allowed(connection, ana, now_ns, monitor):
    """Tells whether a run of the study may have ana's footage."""
    proposal = proposals.Proposal("t", (TRAIN,), "m", "w", 90, ethics_approval=STUDY)
    run = proposals.propose(connection, proposal, now_ns)
    consents.give(connection, ana, [TRAIN], now_ns=now_ns)
    answers.vote(connection, run, ana, "yes", now_ns)
    return lambda: ask.for_run(connection, run, ana, now_ns).allowed


def harm(connection, person, at_ns, ago_days=0.5, study=STUDY):
    happened_ns = at_ns - int(ago_days * DAY_NS)
    said = {"happened_ns": happened_ns, "noted_by": "nurse", "study": study, "now_ns": at_ns}
    return incidents.note(connection, person, "adverse", "A fall.", **said)


def kinds(connection):
    return [each.kind for each in log.read(connection) if each.kind.startswith("study_")]


def test_so_many_adverse_events_within_so_many_days_stop_the_study_by_themselves(
    connection, ana, now_ns, monitor, allowed
):
    for ago_days in (0.5, 9, 10.5):
        harm(connection, ana, now_ns, ago_days)  # the last is too long ago
    assert allowed()
    harm(connection, ana, now_ns)
    assert safety.stopped(connection, STUDY) == "rule"
    assert not allowed()
    harm(connection, ana, now_ns)
    assert kinds(connection) == ["study_stopped"]  # once


def test_events_that_came_together_stop_it_however_late_they_are_noted(
    connection, ana, now_ns, monitor
):
    for hour in range(3):
        assert not safety.stopped(connection, STUDY)
        harm(connection, ana, now_ns, 40 + hour / 24)  # three in one afternoon, long ago
    assert safety.stopped(connection, STUDY) == "rule"


def test_events_that_a_stricter_rule_brings_together_stop_it(connection, ana, now_ns, monitor):
    for ago_days in (60, 45, 30):
        harm(connection, ana, now_ns, ago_days)
    assert not safety.stopped(connection, STUDY)
    safety.name(connection, STUDY, monitor, 3, 30, now_ns)  # the last ends just outside
    assert not safety.stopped(connection, STUDY)
    safety.name(connection, STUDY, monitor, 2, 16, now_ns)
    assert safety.stopped(connection, STUDY) == "rule"


def test_events_of_whoever_was_erased_since_count_and_name_nobody(
    connection, ana, ben, now_ns, monitor
):
    harm(connection, ana, now_ns)
    harm(connection, ana, now_ns)
    erasure.forget(connection, ana.id)
    assert incidents.listed(connection) == []
    kept = connection.execute(tables.past_events.select()).all()
    assert [row._mapping.keys() for row in kept] == [["id", "study", "happened_ns"]] * 2
    harm(connection, ben, now_ns)
    assert safety.stopped(connection, STUDY) == "rule"
    safety.resume(connection, STUDY, monitor, now_ns)
    erasure.forget(connection, ben.id)  # what the monitor let pass does not come back
    assert connection.execute(tables.past_events.select()).all() == []


def test_an_event_is_in_the_past_by_the_logs_time_though_a_clock_went_back(
    connection, ana, now_ns, monitor
):
    people.note(connection, "read", ana, now_ns + DAY_NS)
    said = {"happened_ns": now_ns + DAY_NS // 2, "noted_by": "nurse", "study": STUDY}
    noted = incidents.note(connection, ana, "adverse", "A fall.", **said, now_ns=now_ns)
    assert noted.noted_ns == now_ns + DAY_NS


def test_events_of_another_study_or_another_kind_do_not_count(connection, ana, now_ns, monitor):
    approvals.add(connection, "IRB-8", [TRAIN], "the board", now_ns + DAY_NS, now_ns)
    for _ in range(5):
        harm(connection, ana, now_ns, study="IRB-8")
        incidents.note(connection, ana, "law", "x", happened_ns=now_ns, noted_by="n", now_ns=now_ns)
    assert not safety.stopped(connection, STUDY)
    assert not safety.stopped(connection, "IRB-8")  # nobody watches over it


def test_the_monitor_alone_stops_and_lets_go_on(connection, ana, now_ns, monitor, allowed):
    other, _ = askers.give(connection, "otto", "monitor", now_ns=now_ns)
    assert allowed()
    with pytest.raises(Refused, match="otto is not the monitor"):
        safety.stop(connection, STUDY, other, now_ns)
    safety.stop(connection, STUDY, monitor, now_ns)
    safety.stop(connection, STUDY, monitor, now_ns)
    assert not allowed()
    with pytest.raises(Refused, match="otto is not the monitor"):
        safety.resume(connection, STUDY, other, now_ns)
    with pytest.raises(Refused, match="stands still"):  # nor by naming another
        safety.name(connection, STUDY, other, 3, 10, now_ns)
    safety.resume(connection, STUDY, monitor, now_ns)
    assert allowed()
    assert kinds(connection) == ["study_stopped", "study_resumed"]
    with pytest.raises(Usage, match="does not stand still"):
        safety.resume(connection, STUDY, monitor, now_ns)


def test_what_was_noted_before_it_went_on_counts_no_more(connection, ana, now_ns, monitor):
    for _ in range(3):
        harm(connection, ana, now_ns)
    safety.resume(connection, STUDY, monitor, now_ns)
    harm(connection, ana, now_ns)
    harm(connection, ana, now_ns)
    assert not safety.stopped(connection, STUDY)
    harm(connection, ana, now_ns)
    assert safety.stopped(connection, STUDY) == "rule"


def test_while_it_stands_still_nothing_is_proposed_under_it(connection, now_ns, monitor):
    safety.stop(connection, STUDY, monitor, now_ns)
    proposal = proposals.Proposal("t", (TRAIN,), "m", "w", 90, ethics_approval=STUDY)
    with pytest.raises(Refused, match="stands still"):
        proposals.propose(connection, proposal, now_ns)
    proposals.propose(connection, proposals.Proposal("t", (TRAIN,), "m", "w", 90), now_ns)


def test_what_cannot_be_is_refused(connection, ana, now_ns, monitor):
    desk, _ = askers.give(connection, "desk", "organisation", now_ns=now_ns)
    with pytest.raises(Refused, match="no monitor"):
        safety.name(connection, STUDY, desk, 3, 10, now_ns)
    with pytest.raises(NotFound):
        safety.name(connection, "IRB-9", monitor, 3, 10, now_ns)
    for most, days in ((0, 10), (3, 0)):
        with pytest.raises(Usage):
            safety.name(connection, STUDY, monitor, most, days, now_ns)
    with pytest.raises(NotFound):
        harm(connection, ana, now_ns, study="IRB-9")
    with pytest.raises(Usage, match="names its study"):
        harm(connection, ana, now_ns, study="")


def test_a_lost_database_knows_from_the_log_what_stands_still(connection, ana, now_ns, monitor):
    for _ in range(3):
        harm(connection, ana, now_ns)
    safety.resume(connection, STUDY, monitor, now_ns)
    safety.stop(connection, STUDY, monitor, now_ns)
    before = connection.execute(tables.watches.select()).all()
    connection.execute(tables.watches.delete())
    for entry in log.read(connection):
        if entry.kind in ("monitor_named", "study_stopped", "study_resumed"):
            restore.apply(connection, entry.index, entry.public | {"kind": entry.kind})
    assert connection.execute(tables.watches.select()).all() == before
    assert people.find(connection, ana.id).status == "active"
