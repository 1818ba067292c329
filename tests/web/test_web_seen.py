"""The page for whoever was filmed: open to all, the same answer to all, and no flood."""

import statistics
import time

import pytest
from faults import FULL
from rig import call

from firsthand.consent.capture import bystanders, review, zones
from firsthand.web import seen
from firsthand.web.seen import Strangers, TooOften

MINUTE_NS = 60 * 10**9


@pytest.fixture(autouse=True)
def patient(home, monkeypatch):
    monkeypatch.setattr(seen, "EACH", 10_000)
    monkeypatch.setattr(seen, "ALL", 10_000)


def code_of(home, person) -> str:
    return bystanders.badge_code(home.vault.person(person.id), "2026-11-02")


def ask(home, **form):
    """As a stranger's browser sends it: no cookie."""
    from urllib.parse import urlencode

    told = {"day": "2026-11-02", "from": "09:10", "to": "09:12"} | form
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    headers |= {"Sec-Fetch-Site": "same-origin"}
    return call(home.server.url, "POST", "/seen", urlencode(told).encode(), headers)


def test_anybody_may_open_it_and_it_leads_nowhere_else(home):
    answer = call(home.server.url, "GET", "/seen?code=ABCD2345")
    assert answer.status == 200
    assert 'value="ABCD2345"' in answer.text
    assert "<script" not in answer.text
    assert 'href="/people' not in answer.text
    odd = call(home.server.url, "GET", "/seen?code=%22%3E%3Cscript").text
    assert "script" not in odd
    for path in ("/seen/", "/seenx", "/seen/x"):
        assert call(home.server.url, "GET", path).status in (401, 404)


def test_true_and_false_requests_get_the_same_bytes(home):
    with home.vault.db.write() as connection:
        stay = (home.footage()[0].start_ns, home.footage()[-1].stop_ns)
        zones.say(connection, home.ana, "other", *stay, label="The Corner Café")
    answers = [
        ask(home, code=code_of(home, home.ana), words="one"),
        ask(home, code=code_of(home, home.bo), words="one"),  # who recorded nothing then
        ask(home, code="ZZZZZZZZ", words="one"),
        ask(home, place="the corner café", words="one"),  # where ana says to have been
        ask(home, place="nowhere", words="two and more"),
    ]
    first = answers[0]
    assert first.status == 200
    for other in answers[1:]:
        assert (other.status, other.body) == (first.status, first.body)
        alike = [{k: v for k, v in each.headers.items() if k != "date"} for each in (first, other)]
        assert alike[0] == alike[1]


@pytest.mark.fault("P4")
def test_p4_neither_does_the_time_of_the_answer_tell(home, tally):
    """Of pairs, each time a coin decides which comes first: the medians differ by little."""
    true, false = [], []
    for number in range(100 if FULL else 20):
        pair = [(true, code_of(home, home.ana)), (false, "ZZZZZZZZ")]
        for kept, code in pair if number % 2 else reversed(pair):
            began = time.perf_counter()
            assert ask(home, code=code).status == 200
            kept.append(time.perf_counter() - began)
            tally.add()
        with home.vault.db.write() as connection:
            bystanders.settle(connection)  # at a door, as it happens in between
    middle = [statistics.median(each) for each in (true, false)]
    assert 0.6 < middle[0] / middle[1] < 1.67


def test_a_match_hides_at_once_and_its_wearer_is_told_and_decides(home):
    segment = home.footage()[-1]
    path = f"/people/{home.ana.id}/segments/{segment.id}/still"
    with home.vault.db.write() as connection:
        review.reviewed(connection, home.ana)
        for held in bystanders.held(connection, home.ana.id):
            bystanders.decide(connection, home.ana, held.id, "keep")
    assert home.get(path).status == 200
    ask(home, code=code_of(home, home.ana), **{"from": "09:14", "to": "09:15"})
    assert home.get(path).status == 403
    page = home.get(f"/people/{home.ana.id}").text
    assert "Somebody asks not to be in your recordings" in page
    with home.vault.db.read() as connection:
        (held,) = bystanders.held(connection, home.ana.id)
    assert home.post(f"/people/{home.ana.id}/holds/{held.id}", {"decision": "keep"}).status == 303
    assert home.get(path).status == 200


def test_what_is_no_time_is_said_and_not_written_down(home):
    with home.vault.db.read() as connection:
        before = len(bystanders.listed(connection))
    for form in ({"day": "soon"}, {"from": ""}, {"to": "23:59"}, {"day": "2999-01-01"}):
        assert ask(home, code="ZZZZZZZZ", **form).status == 400
    assert ask(home, code="", place=" ").status == 400
    wide = [ask(home, place=place) for place in ("sim", "NL")]  # where all live, where nobody does
    assert [each.status for each in wide] == [400, 400]
    assert wide[0].text.replace("sim", "NL") == wide[1].text
    assert "the street or the town" in wide[0].text
    with home.vault.db.read() as connection:
        assert len(bystanders.listed(connection)) == before


def test_one_address_asks_so_often_and_all_together_so_often(monkeypatch):
    monkeypatch.setattr(seen, "EACH", 3)
    monkeypatch.setattr(seen, "ALL", 5)
    now_s = [0.0]
    strangers = Strangers(lambda: now_s[0])
    for _ in range(3):
        strangers.require("a")
    with pytest.raises(TooOften):
        strangers.require("a")
    strangers.require("b")
    strangers.require("c")
    with pytest.raises(TooOften):
        strangers.require("d")
    now_s[0] += seen.WINDOW_S
    strangers.require("a")
