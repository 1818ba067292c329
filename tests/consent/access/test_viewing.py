"""Four eyes: two approvals by other humans of other households, the wearer's yes, and the log."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access import askers, viewing
from firsthand.consent.runs import answers
from firsthand.consent.terms import consents
from firsthand.db import Database
from firsthand.errors import NotFound, Refused, Usage, WrongKey

HOUR_NS = 3600 * 10**9
WHY = "a fall in the kitchen"


@pytest.fixture
def eyes(connection, now_ns):
    """Five reviewers, none of whom lives with another."""
    return [askers.give(connection, name, "reviewer", now_ns=now_ns)[0] for name in "defgh"]


def ask(connection, asker, person, now_ns, **changes):
    values = {"reason": WHY, "hours": 24} | changes
    bounds = values.pop("bounds", (now_ns - HOUR_NS, now_ns))
    return viewing.request(connection, asker, person, *bounds, **values, now_ns=now_ns)


def test_two_others_and_the_wearers_yes_open_a_view_for_its_time(connection, ana, eyes, now_ns):
    consents.give(connection, ana, ["human-view"], now_ns=now_ns)
    view = ask(connection, eyes[0], ana, now_ns, hours=3)
    for step in (
        lambda: viewing.approve(connection, view.id, eyes[1], now_ns),
        lambda: viewing.approve(connection, view.id, eyes[2], now_ns),
        lambda: viewing.say(connection, view.id, ana, "yes", now_ns + 1),
    ):
        with pytest.raises(Refused, match="not granted"):
            viewing.require(connection, view.id, eyes[0], now_ns)
        step()
    assert viewing.require(connection, view.id, eyes[0], now_ns + 3 * HOUR_NS)
    with pytest.raises(Refused, match="over"):
        viewing.require(connection, view.id, eyes[0], now_ns + 3 * HOUR_NS + 1)


def test_a_no_stays_whatever_comes_late(connection, ana, eyes, now_ns):
    consents.give(connection, ana, ["human-view"], now_ns=now_ns)
    view = ask(connection, eyes[0], ana, now_ns)
    for eye in eyes[1:3]:
        viewing.approve(connection, view.id, eye, now_ns)
    viewing.say(connection, view.id, ana, "yes", now_ns)
    viewing.say(connection, view.id, ana, "no", now_ns)
    with pytest.raises(Refused, match="refused"):
        viewing.say(connection, view.id, ana, "yes", now_ns)
    with pytest.raises(Refused, match="not granted"):
        viewing.require(connection, view.id, eyes[0], now_ns)


def test_a_clock_that_is_set_back_revives_no_consent_to_being_seen(connection, ana, eyes, now_ns):
    until_ns = now_ns + HOUR_NS
    consents.give(connection, ana, ["human-view"], now_ns=now_ns, expires_ns=until_ns)
    view = ask(connection, eyes[0], ana, now_ns)
    for eye in eyes[1:3]:
        viewing.approve(connection, view.id, eye, now_ns)
    viewing.say(connection, view.id, ana, "yes", now_ns)
    assert viewing.require(connection, view.id, eyes[0], now_ns)
    log.append(connection, "checked", until_ns)
    with pytest.raises(Refused, match="expired"):
        viewing.require(connection, view.id, eyes[0], now_ns)


def test_a_standing_yes_to_being_seen_is_the_wearers_yes(connection, ana, eyes, now_ns):
    consents.give(connection, ana, ["human-view"], now_ns=now_ns)
    answers.set_rule(connection, ana, "human-view", "yes", now_ns)
    view = ask(connection, eyes[0], ana, now_ns)
    viewing.approve(connection, view.id, eyes[1], now_ns)
    assert viewing.approve(connection, view.id, eyes[2], now_ns).until_ns
    answers.set_rule(connection, ana, "human-view", "no", now_ns)
    with pytest.raises(Refused):
        viewing.require(connection, view.id, eyes[0], now_ns)


def test_without_consent_to_being_seen_no_approval_helps(connection, ana, eyes, now_ns):
    view = ask(connection, eyes[0], ana, now_ns)
    for eye in eyes[1:3]:
        viewing.approve(connection, view.id, eye, now_ns)
    viewing.say(connection, view.id, ana, "yes", now_ns)
    with pytest.raises(Refused, match="no consent"):
        viewing.require(connection, view.id, eyes[0], now_ns)
    broken = viewing.break_glass(connection, eyes[0], ana, now_ns - 1, now_ns, WHY, now_ns)
    with pytest.raises(Refused, match="no consent"):
        viewing.require(connection, broken.id, eyes[0], now_ns)


def test_where_a_view_stands_tells_nobody_what_the_wearer_decided(connection, ana, eyes, now_ns):
    consents.give(connection, ana, ["human-view"], now_ns=now_ns)
    view = ask(connection, eyes[0], ana, now_ns)
    for eye in eyes[1:3]:
        viewing.approve(connection, view.id, eye, now_ns)
    view = viewing.say(connection, view.id, ana, "yes", now_ns)
    assert viewing.state(connection, view, now_ns) == "open"
    (consent,) = consents.of(connection, ana.id)
    consents.withdraw(connection, ana, consent.id, now_ns)
    assert viewing.state(connection, view, now_ns) == "granted, but closed"
    assert "withdrawn" in viewing.why_closed(connection, view, now_ns)


def test_the_wearer_can_say_no_even_to_broken_glass(connection, ana, eyes, now_ns):
    consents.give(connection, ana, ["human-view"], now_ns=now_ns)
    broken = viewing.break_glass(connection, eyes[0], ana, now_ns - 1, now_ns, WHY, now_ns)
    assert viewing.require(connection, broken.id, eyes[0], now_ns)
    viewing.say(connection, broken.id, ana, "no", now_ns)
    with pytest.raises(Refused):
        viewing.require(connection, broken.id, eyes[0], now_ns)


HUMANS, HOMES = ("dr", "eve", "fred"), ("", "elm", "oak")
staff = st.tuples(st.sampled_from(HUMANS), st.sampled_from(HOMES))


@settings(max_examples=60, deadline=None)
@given(staff, st.lists(staff, max_size=4), st.sampled_from(HOMES))
def test_four_eyes_whatever_keys_and_names_they_have(asker, approvers, home):
    """A view opens only if three humans, of three homes if they have any, stand behind it."""
    db = Database("sqlite://")
    with db.write() as connection:
        ana = people.add(connection, "ana", "sim")
        askers.give(connection, "ana's", "wearer", person=ana, household=home)
        consents.give(connection, ana, ["human-view"], now_ns=1)
        answers.set_rule(connection, ana, "human-view", "yes")
        held = [
            askers.give(connection, f"key {number}", "reviewer", human=human, household=house)[0]
            for number, (human, house) in enumerate([asker, *approvers])
        ]
        view = viewing.request(connection, held[0], ana, 1, 9, WHY, now_ns=5)
        behind = [held[0]]
        for eye in held[1:]:
            try:
                view = viewing.approve(connection, view.id, eye, 6)
                behind.append(eye)
            except Refused:
                continue
        assert bool(view.until_ns) == (len(behind) == 3)
        assert len({each.human for each in behind}) == len(behind)
        houses = [each.household for each in behind if each.household]
        assert len(set(houses)) == len(houses)
        assert not home or home not in [each.household for each in behind[1:]]
    db.close()


def test_who_may_neither_ask_nor_approve(connection, ana, ben, eyes, now_ns):
    bens, _ = askers.give(connection, "ben", "wearer", person=ben)
    office, _ = askers.give(connection, "office", "organisation")
    for asker in (bens, askers.KEEPER):
        with pytest.raises(Refused):
            ask(connection, asker, ana, now_ns)
    view = ask(connection, office, ana, now_ns)
    for approver in (bens, office, askers.KEEPER):
        with pytest.raises(Refused, match="no reviewer"):
            viewing.approve(connection, view.id, approver, now_ns)
    with pytest.raises(Refused):
        viewing.break_glass(connection, office, ana, 1, 2, WHY, now_ns)
    herself, _ = askers.give(connection, "a.", "reviewer", human="Ana")
    with pytest.raises(Refused, match="too near"):
        viewing.approve(connection, view.id, herself, now_ns)
    with pytest.raises(NotFound):
        viewing.say(connection, view.id, ben, "yes", now_ns)


@pytest.mark.parametrize(
    "changes",
    [{"reason": "because"}, {"reason": " " * 20}, {"hours": 0}, {"hours": 73},
     {"bounds": (5, 5)}, {"bounds": (0, 25 * HOUR_NS)}],
)  # fmt: skip
def test_a_view_needs_a_reason_a_time_box_and_an_interval(connection, ana, eyes, now_ns, changes):
    entries = log.size(connection)
    with pytest.raises(Usage):
        ask(connection, eyes[0], ana, now_ns, **changes)
    assert log.size(connection) == entries


def test_the_wearer_can_read_every_step_in_their_log(connection, ana, eyes, now_ns):
    view = ask(connection, eyes[0], ana, now_ns)
    viewing.say(connection, view.id, ana, "yes", now_ns)
    for eye in eyes[1:3]:
        viewing.approve(connection, view.id, eye, now_ns)
    viewing.break_glass(connection, eyes[0], ana, 1, 2, WHY, now_ns)
    told = [entry.kind for entry in log.read(connection, ana.id)]
    steps = ["view_asked", "view_answered", "view_approved", "view_approved", "view_granted"]
    assert told[-6:] == [*steps, "glass_broken"]
    said = list(log.read(connection, ana.id))[-1]
    assert (said.private["who"], said.private["reason"]) == ("d", WHY)
    assert WHY not in str(said.public)


def test_a_key_is_kept_as_a_hash_and_opens_nothing_once_revoked(connection, ana, now_ns):
    asker, key = askers.give(connection, "ana's phone", "wearer", person=ana)
    stored = str(connection.execute(askers.keys.select()).all())
    assert key not in stored
    assert askers.cookie(key) not in stored
    assert askers.by_key(connection, key) == asker
    assert askers.has_key(connection, ana.id)
    askers.revoke(connection, "ana's phone")
    with pytest.raises(WrongKey):
        askers.by_key(connection, key)
    assert not askers.has_key(connection, ana.id)
    with pytest.raises(NotFound):
        askers.revoke(connection, "ana's phone")


def test_a_wearer_with_a_key_acts_alone_for_themselves(connection, ana, ben):
    askers.require_acts_for(connection, askers.KEEPER, ana.id)
    anas, _ = askers.give(connection, "ana's", "wearer", person=ana)
    askers.require_acts_for(connection, anas, ana.id)
    askers.require_acts_for(connection, askers.KEEPER, ben.id)
    eve, _ = askers.give(connection, "eve", "reviewer")
    for asker, person in ((askers.KEEPER, ana), (anas, ben), (eve, ana), (eve, ben)):
        with pytest.raises(Refused):
            askers.require_acts_for(connection, asker, person.id)


@pytest.mark.parametrize(
    ("name", "role", "whose"),
    [("", "reviewer", ""), ("keeper", "reviewer", ""), ("x", "king", ""), ("x", "wearer", ""),
     ("x", "reviewer", "ana"), ("a\nb", "reviewer", "")],
)  # fmt: skip
def test_a_key_that_makes_no_sense_is_refused(connection, ana, name, role, whose):
    with pytest.raises(Usage):
        askers.give(connection, name, role, person=ana if whose else None)


def test_a_name_is_given_once(connection):
    askers.give(connection, "eve", "reviewer")
    with pytest.raises((Usage, IntegrityError)):
        askers.give(connection, "eve", "organisation")
