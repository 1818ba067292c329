"""The wearer's agreement on the page: read, answer, sign; and what the page says without it."""

import re
from dataclasses import replace

import pytest
from rig import MINUTE_NS, FakeDevice, call
from test_web_pages import Strict

from firsthand.consent.access import askers
from firsthand.consent.liability import agreement
from firsthand.consent.terms import text
from firsthand.errors import Refused
from firsthand.vault import catalog
from firsthand.web.agreement import shown
from firsthand.web.footage import Opened


@pytest.fixture
def cem(home):
    """A real person, of whom an agreement is asked from now on."""
    person = home.vault.add_person(f"cem {len(home.vault.people())}", "NL")
    with home.vault.db.write() as connection:
        if text.adopted(connection, "agreement") is None:
            shipped = text.read_text("wearer1")
            now = shipped.data | {"older": {"effect": "end", "days": 0}}
            text.adopt(connection, text.Text("w1", shipped.words, now), home.vault.now_ns())
    return person


def test_from_the_words_over_the_quiz_to_a_signature(home, cem):
    page = f"/people/{cem.id}/agreement"
    assert "No agreement is in force" in home.get(f"/people/{cem.id}").text
    shown = home.get(page).text
    assert 'name="adult"' in shown
    assert "I sign this" not in shown
    with home.vault.db.read() as connection:
        words = agreement.asked(connection)
    right = {f"q{n}": str(asked["right"]) for n, asked in enumerate(words.questions)}
    sheet = {"text": words.sha256, "days": "30"}
    assert home.post(page, sheet).status == 403  # not yet clear
    me = {"adult": "yes", "own_hand": "yes"}
    failed = home.post(f"{page}/quiz", me | right | {"q0": "0", "q1": "1"})
    assert (failed.status, "3 of 5 are right" in failed.text) == (200, True)
    passed = home.post(f"{page}/quiz", right)
    assert (passed.status, passed.headers["location"]) == (303, f"{page}#sign")
    for bad in ({"text": "0" * 64}, {"days": "366"}, {"days": "0"}, {"days": "-1"}):
        assert home.post(page, sheet | bad).status == 400
    assert home.post(page, sheet).status == 303
    with home.vault.db.read() as connection:
        (signed,) = agreement.of(connection, cem.id)
    assert signed.text_sha256 == words.sha256
    assert re.search("Signed, and in force until", home.get(f"/people/{cem.id}").text)
    assert f"agreement {signed.id} signed, to text w1" in home.get(f"/people/{cem.id}").text


@pytest.mark.parametrize("kind", ["agreement", "consent"])
def test_a_text_that_asks_no_word_of_age_is_clear_by_its_quiz_alone(vault, server, kind):
    person = vault.add_person("cem", "NL")
    questions = [{"ask": "Clear?", "choices": ["no", "yes"], "right": 1}]
    own = text.Text("own", "Our words.", {"kind": kind, "questions": questions})
    with vault.db.write() as connection:
        text.adopt(connection, own, vault.now_ns())
    page = f"{server.url}/people/{person.id}/{kind}"
    cookie = call(server.url, "GET", "/?key=the-access-key").headers["set-cookie"].split(";")[0]
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    headers |= {"Content-Type": "application/x-www-form-urlencoded"}
    path = page.removeprefix(server.url)
    assert 'name="adult"' not in call(server.url, "GET", path, None, headers).text
    assert call(server.url, "POST", f"{path}/quiz", b"q0=1", headers).status == 303
    ready = {"agreement": "I sign this", "consent": 'id="choices"'}[kind]
    assert ready in call(server.url, "GET", path, None, headers).text


def test_its_pages_are_well_formed_with_unique_ids_and_nothing_inline(home, cem):
    for path in (f"/people/{cem.id}/agreement", f"/people/{cem.id}"):
        page = Strict(home.get(path).text)
        assert len(page.ids) == len(set(page.ids)), path
        assert page.inline == [], path


def test_nobody_signs_on_the_page_of_somebody_who_has_a_key_of_their_own(home, cem):
    with home.vault.db.write() as connection:
        askers.give(connection, f"key of {cem.name}", "wearer", person=cem)
    with home.vault.db.read() as connection:
        sheet = {"text": agreement.asked(connection).sha256, "days": "30"}
    assert home.post(f"/people/{cem.id}/agreement", sheet).status == 403
    with home.vault.db.read() as connection:
        assert agreement.of(connection, cem.id) == []


def test_the_keeper_sees_nothing_that_lies_in_quarantine_and_its_wearer_does(home, cem):
    device = FakeDevice(home.vault, cem, f"d-{cem.id}")
    start_ns = home.vault.now_ns() // MINUTE_NS * MINUTE_NS + MINUTE_NS  # after the text
    device.hand_in(home.server.url, *device.segment(start_ns, {"still": b"a picture"}))
    with home.vault.db.read() as connection:
        (segment,) = catalog.of_person(connection, cem.id)
    opened, path = Opened(home.vault), f"/people/{cem.id}/days/{segment.day}"
    with pytest.raises(Refused, match="no agreement was in force"):
        opened.read(segment, "still")
    assert "with a key of their own" in home.get(path).text
    with home.vault.db.write() as connection:
        mine, key = askers.give(connection, f"key of {cem.name}", "wearer", person=cem)
    assert opened.read(segment, "still", mine) == b"a picture"
    answer = call(home.server.url, "GET", f"{path}?key={key}")
    cookie = {"Cookie": answer.headers["set-cookie"].split(";")[0]}
    assert "with a key of their own" not in call(home.server.url, "GET", path, None, cookie).text


def test_the_simulated_are_asked_for_nothing(home, cem):
    with home.vault.db.read() as connection:
        assert shown(connection, cem, home.vault.now_ns()) is not None
        assert shown(connection, replace(cem, jurisdiction="sim"), home.vault.now_ns()) is None
