"""Before a first consent: the wearer says that they are of age, and shows that they understood.

No date of birth is kept, only their word. Each attempt at a text's quiz is written to the log.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.tables import attempts, attestations
from firsthand.consent.terms.text import Text
from firsthand.errors import Refused, Usage

# People who live in a simulation take no quiz, and are of no age.
SIMULATED = "sim"


@dataclass(frozen=True)
class Attempt:
    """One try at a quiz: how many of how many were right, and whether that is enough."""

    right: int
    asked: int
    passed: bool
    wrong: tuple[int, ...]  # numbers of the questions that were answered wrongly
    log_index: int


def take(
    connection: Connection,
    person: people.Person,
    text: Text,
    answers: Sequence[int],
    now_ns: int | None = None,
) -> Attempt:
    """Marks answers (numbers of choices) to a text's questions, and keeps the result."""
    taken_ns = now_ns or time.time_ns()
    people.require_active(connection, person)
    if not text.questions:
        raise Usage(
            f"text {text.version} has no quiz",
            "sign or consent at once: this text asks nothing before",
        )
    if len(answers) != len(text.questions):
        raise Usage(
            f"{len(text.questions)} questions want as many answers, not {len(answers)}",
            "answer each by the number of its choice, in their order",
        )
    pairs = zip(text.questions, answers, strict=True)
    wrong = tuple(n for n, (asked, said) in enumerate(pairs) if asked["right"] != said)
    right, asked = len(answers) - len(wrong), len(answers)
    passed = 100 * right >= text.data.get("pass_percent", 80) * asked
    private = {"text_sha256": text.sha256, "right": right, "asked": asked, "passed": passed}
    index = people.note(connection, "quiz_taken", person, taken_ns, private=private)
    row = {"person": person.id, "log_index": index, "text_sha256": text.sha256, "passed": passed}
    connection.execute(attempts.insert().values(**row))
    return Attempt(right, asked, passed, wrong, index)


def passed(connection: Connection, person: str, text: Text) -> int | None:
    """The log index of an attempt that passed the quiz of these words, or None."""
    where = (attempts.c.person == person) & (attempts.c.text_sha256 == text.sha256)
    query = sa.select(sa.func.min(attempts.c.log_index)).where(where, attempts.c.passed)
    return connection.scalar(query)


def attest(
    connection: Connection,
    person: people.Person,
    *,
    adult: bool,
    own_hand: bool,
    now_ns: int | None = None,
) -> int:
    """Keeps a person's word that they are of age and speak for themselves; Refused if not."""
    people.require_active(connection, person)
    if not adult:
        raise Refused("nobody under age can take part", "erase them if they are enrolled")
    if not own_hand:
        raise Refused("nobody can consent for another", f"let {person.name} do it")
    held = attested(connection, person.id)
    if held is not None:
        return held
    private = {"adult": True, "own_hand": True}
    index = people.note(connection, "attested", person, now_ns or time.time_ns(), private=private)
    connection.execute(attestations.insert().values(person=person.id, log_index=index))
    return index


def attested(connection: Connection, person: str) -> int | None:
    """The log index of a person's word that they are of age, or None."""
    query = sa.select(attestations.c.log_index).where(attestations.c.person == person)
    return connection.scalar(query)


def require_ready(connection: Connection, person: people.Person, text: Text) -> dict[str, int]:
    """The log entries that a signature under this text rests on; Refused while one is lacking."""
    if person.jurisdiction == SIMULATED:
        return {}
    rests: dict[str, int] = {}
    if text.data.get("attested"):
        word = attested(connection, person.id)
        if word is None:
            raise Refused(
                f"{person.name} has not said that they are of age",
                f"let them take the quiz: firsthand {text.kind} quiz {person.name}",
            )
        rests["attested"] = word
    if text.questions:
        attempt = passed(connection, person.id, text)
        if attempt is None:
            raise Refused(
                f"{person.name} has not passed the quiz of text {text.version}",
                f"let them take it: firsthand {text.kind} quiz {person.name}",
            )
        rests["quiz"] = attempt
    return rests
