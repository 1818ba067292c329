"""Real people, as tests need them: of age, and having understood what they consent to."""

from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.terms import quiz, text


def prepare(connection: Connection, person: people.Person) -> None:
    """Lets a person say that they are of age, and pass the quiz of the text in force."""
    words = text.in_force(connection)
    quiz.attest(connection, person, adult=True, own_hand=True)
    quiz.take(connection, person, words, [question["right"] for question in words.questions])
