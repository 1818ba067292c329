"""Erasure orders, and what this room still knows of an erased person: nothing."""

import pytest
import sqlalchemy as sa

from firsthand import log
from firsthand.consent import ask, erasure, people
from firsthand.consent.capture import withhold
from firsthand.consent.runs import answers, proposals
from firsthand.consent.terms import consents
from firsthand.crypto import SigningKey
from firsthand.errors import Refused, Usage

VIEW = "fh:human-view"
PROPOSAL = proposals.Proposal("look", (VIEW,), "none", "nobody", 1)


def test_an_order_is_open_until_it_is_done(connection, ana):
    order = erasure.order(connection, ana)
    assert erasure.open_orders(connection) == [order]
    index = erasure.done(connection, order, 5)
    assert erasure.open_orders(connection) == []
    *_, ordered, done = log.read(connection)
    assert (ordered.kind, ordered.index) == ("erasure_ordered", order.log_index)
    assert (done.kind, done.index, done.public["order"]) == ("erasure_done", index, order.id)


def test_the_same_order_given_twice_is_one_while_it_is_open(connection, ana, ben):
    first = erasure.order(connection, ana, (10, 20))
    assert erasure.order(connection, ana, (10, 20)) == first
    others = [erasure.order(connection, ana), erasure.order(connection, ben, (10, 20))]
    others.append(erasure.order(connection, ana, (10, 21)))
    assert len({first.id, *(order.id for order in others)}) == 4
    erasure.done(connection, first)
    assert erasure.order(connection, ana, (10, 20)).id != first.id


@pytest.mark.parametrize("interval", [(5, 5), (6, 5)])
def test_an_empty_interval_is_refused(connection, ana, interval):
    with pytest.raises(Usage):
        erasure.order(connection, ana, interval)
    assert erasure.open_orders(connection) == []


def test_an_interval_covers_what_it_touches_of_its_person_before_and_after_it_is_done(
    connection, ana, ben
):
    order = erasure.order(connection, ana, (10, 20))
    for _ in range(2):
        touching = [(9, 11), (10, 11), (19, 20), (12, 13), (0, 99), (19, 30)]
        assert all(erasure.covers(connection, ana.id, *each) for each in touching)
        assert not any(erasure.covers(connection, ana.id, *each) for each in [(0, 10), (20, 30)])
        assert not erasure.covers(connection, ben.id, 0, 99)
        erasure.done(connection, order)


def fill(connection, person):  # type: ignore[no-untyped-def]
    consents.give(connection, person, [VIEW])
    withhold.withhold(connection, person, 10, 20)
    run = proposals.propose(connection, PROPOSAL)
    answers.vote(connection, run, person, "yes")
    answers.set_rule(connection, person, VIEW, "yes")
    people.enrol(connection, person, f"dev-{person.name}", SigningKey.generate().public)
    erasure.order(connection, person, (3, 7))
    return run


def test_after_forgetting_no_table_says_anything_of_the_person(connection, ana, ben):
    run = fill(connection, ana)
    fill(connection, ben)
    before = log.root(connection)
    erasure.forget(connection, ana.id)
    assert log.root(connection) == before
    assert log.verify(connection) == log.size(connection)
    assert list(log.read(connection, ana.id)) == []
    assert consents.of(connection, ana.id) == []
    assert withhold.of(connection, ana.id) == []
    assert answers.answer(connection, run, ana.id) == "silent"
    assert not ask.for_run(connection, run, ana).allowed
    assert not erasure.covers(connection, ana.id, 0, 99)
    left = people.find(connection, ana.id)
    assert (left.status, left.salt, left.name) == ("erased", None, f"erased {ana.id}")
    # In no table, whatever it is called, does a row of theirs hold more than that they were here.
    everything = {
        table.name: [str(tuple(row)) for row in connection.execute(sa.select(table))]
        for table in log.metadata.sorted_tables
    }
    told = [name for name, rows in everything.items() if any(ana.id in row for row in rows)]
    assert sorted(told) == ["device", "erasure", "person"]
    assert not any(repr(ana.salt) in row or "'ana'" in row for row in everything["person"])
    assert log.verify_openings(connection, {ben.id: ben.salt}) > 0
    assert len(consents.of(connection, ben.id)) == 1


def test_nothing_can_be_noted_about_an_erased_person_by_whoever_knew_them_before(connection, ana):
    run = fill(connection, ana)
    consent = consents.give(connection, ana, [VIEW])
    erasure.forget(connection, ana.id)
    size = log.size(connection)
    attempts = [
        lambda: consents.give(connection, ana, [VIEW]),
        lambda: answers.vote(connection, run, ana, "yes"),
        lambda: answers.set_rule(connection, ana, VIEW, "yes"),
        lambda: withhold.withhold(connection, ana, 1, 2),
        lambda: people.enrol(connection, ana, "d9", SigningKey.generate().public),
        lambda: people.note(connection, "read", ana, 1, private={"segment": "s"}),
        lambda: erasure.order(connection, ana, (1, 2)),
    ]
    for attempt in attempts:
        with pytest.raises(Refused):
            attempt()
    assert log.size(connection) == size
    assert consent.id not in [each.id for each in consents.of(connection, ana.id)]
    for stale in (ana, people.find(connection, ana.id)):
        assert not ask.for_run(connection, run, stale).allowed
        assert not ask.for_self(connection, VIEW, stale).allowed


def test_a_name_is_free_again_after_its_bearer_was_erased(connection, ana):
    erasure.forget(connection, ana.id)
    again = people.add(connection, "ana")
    assert people.find(connection, "ana") == again
    assert again.salt != ana.salt
