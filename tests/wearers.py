"""Real people, as tests need them: of age, and having understood what they consent to."""

from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.terms import quiz, text


def prepare(connection: Connection, person: people.Person) -> None:
    """Lets a person say that they are of age, and pass the quiz of the text in force."""
    words = text.in_force(connection)
    now_ns = person.added_ns
    quiz.attest(connection, person, adult=True, own_hand=True, now_ns=now_ns)
    right = [question["right"] for question in words.questions]
    quiz.take(connection, person, words, right, now_ns)
