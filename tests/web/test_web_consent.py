"""A wearer's own pages: quiz, separate choices, receipts, a yes that is stale, leaving."""

import json
import re

import pytest

from firsthand.consent import people, seen
from firsthand.consent.runs import answers
from firsthand.consent.terms import consents, quiz, receipt, text

VIEW, TRAIN = "fh:human-view", "fh:train-general-model"


@pytest.fixture
def cem(home):
    """A real person who has said and allowed nothing yet."""
    return home.vault.add_person(f"cem {len(home.vault.people())}", "NL")


def shown(home, person) -> str:
    """The number that a page of this person shows as the last that was decided."""
    return re.search(r'name="seen" value="(\d+)"', home.get(f"/people/{person.id}").text)[1]


def right(home) -> dict[str, str]:
    with home.vault.db.read() as connection:
        questions = text.in_force(connection).questions
    return {f"q{n}": str(asked["right"]) for n, asked in enumerate(questions)}


def given_by(home, person):
    with home.vault.db.read() as connection:
        return consents.of(connection, person.id)


def test_from_the_words_over_the_quiz_to_separate_consents(home, cem):
    page = f"/people/{cem.id}/consent"
    assert 'name="adult"' in home.get(page).text
    assert "fh:human-view" not in home.get(page).text  # no choices before it is clear
    me = {"adult": "yes", "own_hand": "yes"}
    failed = home.post(f"{page}/quiz", me | right(home) | {"q0": "0", "q1": "1"})
    assert (failed.status, "3 of 5 are right" in failed.text) == (200, True)
    passed = home.post(f"{page}/quiz", right(home))
    assert (passed.status, passed.headers["location"]) == (303, f"{page}#choices")
    form = {VIEW: "yes", TRAIN: "yes", "fh:publish-clips": "no", "DUO:0000046": "yes"}
    form |= {"places": "NL, BE", "months": "6", "stream-video": "yes", "stream-motion": "yes"}
    assert home.post(page, form | {"seen": last_seen(home, page)}).status == 303
    given = given_by(home, cem)
    assert [each.permissions for each in given] == [(VIEW,), (TRAIN,)]
    wanted = ("DUO:0000022=BE,NL", "DUO:0000025=6", "DUO:0000046", "fh:streams=motion,video")
    assert all(each.modifiers == wanted for each in given)
    assert "said no to: publish excerpts" in home.get(f"/people/{cem.id}").text


def last_seen(home, page) -> str:
    return re.search(r'name="seen" value="(\d+)"', home.get(page).text)[1]


@pytest.mark.parametrize("said", [{}, {"adult": "yes"}, {"own_hand": "yes"}])
def test_minors_and_proxies_get_no_further(home, cem, said):
    assert home.post(f"/people/{cem.id}/consent/quiz", said | right(home)).status == 403
    with home.vault.db.read() as connection:
        assert quiz.attested(connection, cem.id) is None
        at = str(seen.last(connection, cem.id))
    assert home.post(f"/people/{cem.id}/consent", {VIEW: "yes", "seen": at}).status == 403
    assert given_by(home, cem) == []


def test_nothing_is_chosen_beforehand_and_nothing_chosen_is_no_consent(home):
    page = f"/people/{home.bo.id}/consent"
    assert "checked" not in home.get(page).text
    assert home.post(page, {"seen": last_seen(home, page)}).status == 400


def test_a_yes_and_a_no_weigh_the_same(home):
    """Same element, same class, same size: none of the two is the one to press."""
    for page in (f"/people/{home.bo.id}", f"/runs/{home.run.id}"):
        body = home.get(page).text
        for form in re.findall(r'<form class="equal".*?</form>', body, re.DOTALL):
            buttons = re.findall(r"<button name=\"choice\" value=\"(\w+)\"[^>]*>", form)
            assert buttons == ["yes", "no"]
            assert "grave" not in form


@pytest.mark.fault("C1")
def test_c1_a_page_from_before_a_withdrawal_allows_nothing_and_nor_does_sending_it_again(
    home, tally
):
    bo, vault = home.bo, home.vault
    old = shown(home, bo)
    (held,) = given_by(home, bo)
    page = f"/people/{bo.id}"
    assert home.post(f"{page}/consents/{held.id}/withdraw", {}).status == 303
    stale = [
        (f"{page}/consent", {VIEW: "yes", "seen": old}),
        (f"{page}/consent", {VIEW: "yes"}),
        (f"{page}/consents/{held.id}/confirm", {"seen": old}),
        (f"{page}/rules", {"permission": VIEW, "choice": "yes", "seen": old}),
        (f"/runs/{home.run.id}/answer", {"person": bo.id, "choice": "yes", "seen": old}),
        (f"/runs/{home.run.id}/answer", {"person": bo.id, "choice": "yes", "seen": "x"}),
    ]
    for path, form in stale:
        assert home.post(path, form).status == 409
        tally.add()
    again = {"person": bo.id, "choice": "yes", "seen": shown(home, bo)}
    assert home.post(f"/runs/{home.run.id}/answer", again).status == 303
    assert home.post(f"/runs/{home.run.id}/answer", again | {"choice": "no"}).status == 303
    assert home.post(f"/runs/{home.run.id}/answer", again).status == 409  # replayed
    with vault.db.read() as connection:
        assert answers.answer(connection, home.run, bo.id) == "no"
    assert all(each.withdrawn_ns for each in given_by(home, bo))


def test_a_receipt_is_a_file_that_the_vault_signed(home):
    answer = home.get(f"/people/{home.ana.id}/consents/{home.consent.id}/receipt")
    assert answer.headers["content-type"] == "application/ld+json"
    assert answer.headers["content-disposition"].startswith("attachment")
    record = receipt.verify(json.loads(answer.body), home.vault.keyring.log_key().public)
    assert record["dct:identifier"] == home.consent.id
    other = f"/people/{home.bo.id}/consents/{home.consent.id}/receipt"
    assert home.get(other).status == 404


def test_a_new_text_asks_anew_and_a_confirmation_answers(home):
    with home.vault.db.write() as connection:
        data = {"material": True, "older": {"effect": "end"}}
        text.adopt(connection, text.Text("3", "Other words.", data), home.vault.now_ns())
    page = f"/people/{home.ana.id}"
    assert "asked anew by text 3" in home.get(page).text
    confirmed = home.post(
        f"{page}/consents/{home.consent.id}/confirm", {"seen": shown(home, home.ana)}
    )
    assert confirmed.status == 303
    assert given_by(home, home.ana)[-1].text_version == "3"


def test_leaving_on_the_page_is_for_good(home):
    page = f"/people/{home.bo.id}"
    assert home.post(f"{page}/leave", {}).status == 303
    with home.vault.db.read() as connection:
        assert people.find(connection, home.bo.id).status == "withdrawn"
    body = home.get(page).text
    assert "left the programme" in body
    assert "Runs that ask for you" not in body
    assert "gives no consent any more" in home.get(f"{page}/consent").text
