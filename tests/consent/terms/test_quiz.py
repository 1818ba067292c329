"""Nobody's consent counts before they said that they are of age and showed that they understood."""

import pytest

from firsthand import log
from firsthand.consent import ask, people
from firsthand.consent.terms import consents, quiz, text
from firsthand.errors import Refused, Usage

VIEW = "fh:human-view"
DAY_NS = 86_400 * 10**9


@pytest.fixture
def cleo(connection, now_ns):
    """A real person: nobody who lives in a simulation."""
    return people.add(connection, "cleo", "NL", now_ns)


@pytest.fixture
def words(connection):
    return text.in_force(connection)


def right(words):
    return [question["right"] for question in words.questions]


def some_wrong(words, count):
    return [(answer + 1) % 3 if n < count else answer for n, answer in enumerate(right(words))]


def test_a_consent_counts_after_the_word_and_the_quiz_and_rests_on_both(connection, cleo, words):
    with pytest.raises(Refused, match="of age"):
        consents.give(connection, cleo, [VIEW])
    word = quiz.attest(connection, cleo, adult=True, own_hand=True)
    with pytest.raises(Refused, match="quiz"):
        consents.give(connection, cleo, [VIEW])
    attempt = quiz.take(connection, cleo, words, right(words))
    given = consents.give(connection, cleo, [VIEW])
    (entry,) = log.read(connection, cleo.id, start=given.log_index)
    assert (entry.private["attested"], entry.private["quiz"]) == (word, attempt.log_index)
    assert word < attempt.log_index < given.log_index


def test_four_of_five_pass_and_three_do_not_and_each_attempt_is_logged(connection, cleo, words):
    size = log.size(connection)
    failed = quiz.take(connection, cleo, words, some_wrong(words, 2))
    assert (failed.right, failed.asked, failed.passed, failed.wrong) == (3, 5, False, (0, 1))
    assert quiz.passed(connection, cleo.id, words) is None
    passed = quiz.take(connection, cleo, words, some_wrong(words, 1))
    assert passed.passed
    assert quiz.passed(connection, cleo.id, words) == passed.log_index
    kinds = [(entry.kind, entry.private["right"]) for entry in log.read(connection, start=size)]
    assert kinds == [("quiz_taken", 3), ("quiz_taken", 4)]


def test_a_failed_quiz_after_a_passed_one_takes_nothing_away(connection, cleo, words):
    first = quiz.take(connection, cleo, words, right(words))
    quiz.take(connection, cleo, words, some_wrong(words, 5))
    assert quiz.passed(connection, cleo.id, words) == first.log_index


def test_the_quiz_of_one_text_is_not_that_of_another(connection, cleo, words, now_ns):
    quiz.attest(connection, cleo, adult=True, own_hand=True)
    quiz.take(connection, cleo, words, right(words))
    text.adopt(connection, text.Text("3", "Other words.", words.data), now_ns)
    with pytest.raises(Refused, match="quiz of text 3"):
        consents.give(connection, cleo, [VIEW])


def test_a_text_gives_time_to_think_it_over(connection, cleo, words, now_ns):
    slow = text.Text("3", "Other words.", words.data | {"cooling_days": 7})
    text.adopt(connection, slow, now_ns)
    quiz.attest(connection, cleo, adult=True, own_hand=True, now_ns=now_ns)
    quiz.take(connection, cleo, slow, right(slow), now_ns)
    given = consents.give(connection, cleo, [VIEW], now_ns=now_ns)
    assert not ask.for_self(connection, VIEW, cleo, now_ns + 7 * DAY_NS - 1).allowed
    assert ask.for_self(connection, VIEW, cleo, now_ns + 7 * DAY_NS).allowed
    assert consents.of(connection, cleo.id) == [given]
    with pytest.raises(Usage):  # it would end before it begins
        consents.give(connection, cleo, [VIEW], now_ns=now_ns, expires_ns=now_ns + 6 * DAY_NS)


@pytest.mark.parametrize("said", [(False, True), (True, False), (False, False)])
def test_minors_and_proxies_are_refused(connection, cleo, words, said):
    adult, own_hand = said
    size = log.size(connection)
    with pytest.raises(Refused):
        quiz.attest(connection, cleo, adult=adult, own_hand=own_hand)
    assert log.size(connection) == size
    quiz.take(connection, cleo, words, right(words))
    with pytest.raises(Refused):
        consents.give(connection, cleo, [VIEW])


def test_nobody_consents_for_another(connection, ana):
    with pytest.raises(Refused, match="mother cannot consent for ana"):
        consents.give(connection, ana, [VIEW], by="mother")
    assert consents.of(connection, ana.id) == []
    assert consents.give(connection, ana, [VIEW], by="ana")


def test_answers_are_as_many_as_questions(connection, cleo, words):
    for answers in ([], right(words)[1:], [*right(words), 0]):
        with pytest.raises(Usage):
            quiz.take(connection, cleo, words, answers)
    with pytest.raises(Usage):
        quiz.take(connection, cleo, text.read_text("1"), [])


def test_who_is_erased_leaves_neither_word_nor_attempt(connection, cleo, words):
    from firsthand.consent import erasure

    quiz.attest(connection, cleo, adult=True, own_hand=True)
    quiz.take(connection, cleo, words, right(words))
    erasure.forget(connection, cleo.id)
    assert quiz.attested(connection, cleo.id) is None
    assert quiz.passed(connection, cleo.id, words) is None
