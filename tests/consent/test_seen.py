"""A yes that is stale or sent twice changes nothing; a no is taken at any time."""

import pytest

from firsthand.consent import people, seen
from firsthand.consent.capture import withhold
from firsthand.consent.runs import answers
from firsthand.consent.terms import consents
from firsthand.errors import Refused

VIEW = "fh:human-view"


def test_a_yes_counts_while_nothing_was_decided_since(connection, ana):
    at = seen.last(connection, ana.id)
    seen.require(connection, ana, at)
    given = consents.give(connection, ana, [VIEW])
    with pytest.raises(seen.Stale):
        seen.require(connection, ana, at)  # the same request, sent again
    at = seen.last(connection, ana.id)
    assert at == given.log_index
    consents.withdraw(connection, ana, given.id)
    with pytest.raises(seen.Stale):  # a page from before the withdrawal
        seen.require(connection, ana, at)


def test_what_decides_nothing_makes_no_page_stale(connection, ana, ben):
    at = seen.last(connection, ana.id)
    for kind in ("segment_stored", "read", "emulated"):
        for _ in range(seen.BATCH // 2):
            people.note(connection, kind, ana, 1, private={})
    consents.give(connection, ben, [VIEW])
    assert seen.last(connection, ana.id) == at
    seen.require(connection, ana, at)
    answers.set_rule(connection, ana, VIEW, "no")
    with pytest.raises(seen.Stale):
        seen.require(connection, ana, at)


def test_every_act_of_a_person_makes_older_pages_stale(connection, ana, now_ns):
    held = []

    def withhold_some() -> None:
        held.append(withhold.withhold(connection, ana, 1, 2, now_ns))

    for act in (
        lambda: consents.choose(connection, ana, {VIEW: False}),
        lambda: answers.set_rule(connection, ana, VIEW, "yes"),
        withhold_some,
        lambda: withhold.lift(connection, ana, held[0].id),
        lambda: consents.leave(connection, ana),
    ):
        at = seen.last(connection, ana.id)
        act()
        with pytest.raises(seen.Stale):
            seen.require(connection, ana, at)


def test_stale_is_a_refusal_and_a_conflict():
    error = seen.Stale("old")
    assert (isinstance(error, Refused), error.exit_code, error.http_status) == (True, 13, 409)
