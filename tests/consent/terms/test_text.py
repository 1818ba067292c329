"""Texts: adopted with what they do to older consents; a material change asks everyone anew."""

import pytest

from firsthand import log
from firsthand.consent import ask
from firsthand.consent.terms import consents, text
from firsthand.errors import NotFound, Refused, Usage

DAY_NS = 86_400 * 10**9
VIEW, TRAIN = "fh:human-view", "fh:train-general-model"


def newer(version="3", **data):
    return text.Text(version, f"Words of {version}.\n", data)


def allowed(connection, person, permission, now_ns):
    return ask.for_self(connection, permission, person, now_ns).allowed


def test_the_shipped_texts_are_fit_and_the_newest_has_a_quiz(connection):
    for version in ("1", text.CURRENT):
        text.check(text.read_text(version))
    assert len(text.in_force(connection).questions) >= 5


def test_an_adopted_text_is_in_force_and_in_the_log_word_for_word(connection, now_ns):
    index = text.adopt(connection, newer(), now_ns)
    assert text.in_force(connection) == text.find(connection, "3") == newer()
    (entry,) = log.read(connection, start=index)
    assert (entry.kind, entry.public["words"]) == ("text_adopted", "Words of 3.\n")
    assert entry.public["sha256"] == newer().sha256
    assert text.find(connection, "1").version == "1"
    with pytest.raises(NotFound):
        text.find(connection, "4")


def test_a_material_change_ends_older_consents_after_the_days_that_it_says(connection, ana, now_ns):
    old = consents.give(connection, ana, [VIEW], now_ns=now_ns)
    text.adopt(connection, newer(material=True, older={"effect": "end", "days": 30}), now_ns + 1)
    assert allowed(connection, ana, VIEW, now_ns + 30 * DAY_NS)
    later_ns = now_ns + 30 * DAY_NS + 1
    assert not allowed(connection, ana, VIEW, later_ns)
    reasons = ask.for_self(connection, VIEW, ana, later_ns).reasons
    assert reasons == (f"consent to {VIEW} ended with text 3, which asks anew",)
    new = consents.confirm(connection, ana, old.id, later_ns)
    assert new.text_version == "3"
    assert allowed(connection, ana, VIEW, later_ns)


def test_a_change_can_drop_single_purposes_and_whatever_contains_them(connection, ana, now_ns):
    consents.give(connection, ana, [VIEW, TRAIN, "GRU", "emulate-by-others"], now_ns=now_ns)
    older = {"effect": "limit", "drop": ["human-view", "HMB", "emulate-self"]}
    text.adopt(connection, newer(material=True, older=older), now_ns)
    assert allowed(connection, ana, TRAIN, now_ns + 1)
    for gone in (VIEW, "GRU", "HMB", "DS=MONDO:1", "emulate-self", "emulate-by-others"):
        assert not allowed(connection, ana, gone, now_ns + 1)
    assert allowed(connection, ana, "POA", now_ns + 1)


def test_a_change_of_no_matter_leaves_older_consents_alone(connection, ana, now_ns):
    consents.give(connection, ana, [VIEW], now_ns=now_ns)
    text.adopt(connection, newer(), now_ns)
    assert allowed(connection, ana, VIEW, now_ns + 300 * DAY_NS)


def test_a_consent_to_the_new_text_is_not_ended_by_it(connection, ana, now_ns):
    text.adopt(connection, newer(material=True, older={"effect": "end"}), now_ns)
    consents.give(connection, ana, [VIEW], now_ns=now_ns)
    assert allowed(connection, ana, VIEW, now_ns + 1)


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Refused, newer(required=[VIEW])),
        (Refused, newer(all_or_nothing=True)),
        (Refused, newer(material=True)),
        (Usage, newer("../3")),
        (Usage, text.Text("3", " \n")),
        (Usage, newer(pass_percent=79)),
        (Usage, newer(cooling_days=-1)),
        (Usage, newer(older={"effect": "widen"})),
        (Usage, newer(older={"effect": "limit", "drop": ["everything"]})),
        (Usage, newer(older={"effect": "limit"})),
        (Usage, newer(questions=[{"ask": "?", "choices": ["a", "b"], "right": 2}])),
        (Usage, newer(questions=[{"ask": "?", "choices": ["a"], "right": 0}])),
    ],
)
def test_an_unfit_text_is_not_adopted(connection, kind, bad):
    with pytest.raises(kind):
        text.adopt(connection, bad)
    assert log.size(connection) == 0
    assert text.in_force(connection).version == text.CURRENT


def test_a_version_is_adopted_once(connection):
    text.adopt(connection, newer())
    with pytest.raises(Usage):
        text.adopt(connection, text.Text("3", "Other words."))
