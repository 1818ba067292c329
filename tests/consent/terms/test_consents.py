"""Consents as they are kept: given to exact words, until a date, withdrawn once."""

import hashlib
from dataclasses import replace
from importlib.resources import files

import pytest

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.terms import consents, text
from firsthand.errors import NotFound, Refused, Usage

VIEW = "fh:human-view"


def test_a_consent_is_bound_to_the_hash_of_the_words_that_were_shown(connection, ana):
    consent = consents.give(connection, ana, [VIEW])
    words = (files("firsthand.consent.terms") / "texts" / f"{text.CURRENT}.md").read_bytes()
    sha256 = hashlib.sha256(words).hexdigest()
    assert (consent.text_version, consent.text_sha256) == (text.CURRENT, sha256)


def test_changed_words_are_other_words(connection, ana, monkeypatch):
    first = consents.give(connection, ana, [VIEW])
    changed = text.Text("1", text.read_text().words + "and everything else\n")
    monkeypatch.setattr(text, "read_text", lambda: changed)
    second = consents.give(connection, ana, [VIEW])
    assert first.text_sha256 != second.text_sha256
    assert consents.of(connection, ana.id)[0].text_sha256 == first.text_sha256


@pytest.mark.parametrize("version", ["99", "", "../1", "1/../1", "1.md", "/etc/passwd", "1\0"])
def test_there_is_no_text_of_another_version(version):
    with pytest.raises(NotFound):
        text.read_text(version)


def test_a_consent_is_read_back_as_it_was_given(connection, ana, now_ns):
    given = consents.give(
        connection, ana, ["human-view", "fh:commercial"], ["DUO:0000021"], now_ns=now_ns
    )
    assert consents.of(connection, ana.id) == [given]
    assert given.permissions == ("fh:commercial", VIEW)
    assert given.expires_ns - given.given_ns == 365 * 86_400 * 10**9


@pytest.mark.parametrize(
    ("permissions", "modifiers"),
    [
        ([], []),
        (["fh:everything"], []),
        (["everything"], []),
        (["DUO:0000001"], []),
        ("fh:human-view", []),
        ([VIEW, "fh:everything"], []),
        ([VIEW], ["DUO:0000099"]),
        ([VIEW], ["fh:human-view"]),
    ],
)
def test_an_unknown_word_is_refused_and_nothing_is_kept(connection, ana, permissions, modifiers):
    entries = log.size(connection)
    with pytest.raises(Usage):
        consents.give(connection, ana, permissions, modifiers)
    assert (consents.of(connection, ana.id), log.size(connection)) == ([], entries)


@pytest.mark.parametrize("before_ns", [0, 1, 10**12])
def test_a_consent_that_ends_before_it_begins_is_refused(connection, ana, now_ns, before_ns):
    with pytest.raises(Usage):
        consents.give(connection, ana, [VIEW], expires_ns=now_ns - before_ns, now_ns=now_ns)


def test_withdrawing_permits_nothing_from_that_moment(connection, ana, now_ns):
    consent = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    assert ask.for_self(connection, VIEW, ana, now_ns + 1).allowed
    consents.withdraw(connection, ana, consent.id, now_ns + 1)
    assert not ask.for_self(connection, VIEW, ana, now_ns + 1).allowed
    with pytest.raises(Refused, match="withdrawn"):
        ask.require_self(connection, VIEW, ana, now_ns + 1)


def test_withdrawing_twice_is_once(connection, ana, now_ns):
    consent = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    first = consents.withdraw(connection, ana, consent.id, now_ns + 1)
    entries = log.size(connection)
    second = consents.withdraw(connection, ana, consent.id, now_ns + 2)
    assert second == first
    assert second.withdrawn_ns == now_ns + 1
    assert log.size(connection) == entries


def test_withdrawing_one_consent_leaves_the_others(connection, ana, now_ns):
    consent = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    consents.give(connection, ana, [VIEW], expires_ns=now_ns + 10**9, now_ns=now_ns)
    consents.withdraw(connection, ana, consent.id, now_ns + 1)
    assert ask.for_self(connection, VIEW, ana, now_ns + 2).allowed


def test_nobody_withdraws_or_gives_for_another(connection, ana, ben):
    consent = consents.give(connection, ana, [VIEW])
    with pytest.raises(NotFound):
        consents.withdraw(connection, ben, consent.id)
    assert consents.of(connection, ben.id) == []
    assert not ask.for_self(connection, VIEW, ben).allowed


def test_giving_and_withdrawing_are_logged_with_the_consent_they_speak_of(connection, ana):
    consent = consents.give(connection, ana, [VIEW], ["DUO:0000046"])
    consents.withdraw(connection, ana, consent.id)
    *_, gave, withdrew = log.read(connection, ana.id)
    assert (gave.kind, gave.index) == ("consent_given", consent.log_index)
    assert gave.private is not None
    assert gave.private["permissions"] == [VIEW]
    assert gave.private["modifiers"] == ["DUO:0000046"]
    assert gave.private["text_sha256"] == consent.text_sha256
    assert (withdrew.kind, withdrew.private) == (
        "consent_withdrawn",
        {"person": ana.id, "consent": consent.id},
    )
    assert VIEW not in str(gave.public)


def test_who_has_left_cannot_consent_though_the_caller_looked_them_up_before(connection, ana):
    connection.execute(people.people.update().values(status="withdrawn"))
    assert ana.status == "active"
    with pytest.raises(Refused, match="withdrawn"):
        consents.give(connection, ana, [VIEW])


def test_asking_looks_at_the_person_as_they_are_now(connection, ana, now_ns):
    consents.give(connection, ana, [VIEW], now_ns=now_ns)
    assert ask.for_self(connection, VIEW, ana, now_ns).allowed
    connection.execute(people.people.update().values(status="withdrawn"))
    assert not ask.for_self(connection, VIEW, ana, now_ns).allowed
    assert not ask.for_self(connection, VIEW, replace(ana, status="active"), now_ns).allowed


def test_the_same_consent_given_twice_is_one(connection, ana, now_ns):
    """A second press of the button, or the same command again, says what stands."""
    later = now_ns + 60 * 10**9
    first = consents.give(connection, ana, [VIEW], ["DUO:0000046"], now_ns=now_ns)
    before = log.size(connection)
    assert consents.give(connection, ana, [VIEW], ["DUO:0000046"], now_ns=later) == first
    assert (log.size(connection), len(consents.of(connection, ana.id))) == (before, 1)
    end = {"expires_ns": first.expires_ns}
    assert consents.give(connection, ana, [VIEW], ["DUO:0000046"], now_ns=later, **end) == first
    for other in (
        {"permissions": ["fh:commercial"], "modifiers": ["DUO:0000046"]},
        {"permissions": [VIEW], "modifiers": []},
        {"permissions": [VIEW], "modifiers": ["DUO:0000046"], "expires_ns": later + 10**15},
    ):
        assert consents.give(connection, ana, **other, now_ns=later).id != first.id


def test_what_a_newer_text_of_the_same_words_ended_is_given_anew(connection, ana, now_ns):
    first = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    held = text.in_force(connection)
    end = {"older": {"effect": "end", "days": 0}}
    text.adopt(connection, text.Text("again", held.words, held.data | end), now_ns + 1)
    assert not ask.for_self(connection, VIEW, ana, now_ns + 1).allowed
    assert consents.give(connection, ana, [VIEW], now_ns=now_ns + 2).id != first.id
    assert ask.for_self(connection, VIEW, ana, now_ns + 2).allowed


def test_what_was_withdrawn_or_has_run_out_is_given_anew(connection, ana, now_ns):
    first = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    consents.withdraw(connection, ana, first.id, now_ns + 1)
    second = consents.give(connection, ana, [VIEW], now_ns=now_ns + 2)
    assert second.id != first.id
    confirmed = consents.confirm(connection, ana, second.id, now_ns + 3)
    assert confirmed.id != second.id
    after = confirmed.expires_ns
    assert consents.give(connection, ana, [VIEW], now_ns=after).id != confirmed.id
