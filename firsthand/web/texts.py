"""What the pages of consents and of agreements share: a text's words, and its quiz."""

from typing import Any

from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.terms import quiz, text


def shown(connection: Connection, person: people.Person, words: text.Text) -> dict[str, Any]:
    """What the templates ask of a text and of how far its person is."""
    simulated = person.jurisdiction == quiz.SIMULATED
    unasked = simulated or not words.data.get("attested")
    attested = unasked or quiz.attested(connection, person.id) is not None
    passed = quiz.passed(connection, person.id, words) is not None
    return {
        "person": person,
        "text": words,
        "paragraphs": _paragraphs(words.words),
        "attested": attested,
        "ready": simulated or (attested and (passed or not words.questions)),
    }


def take(
    connection: Connection,
    person: people.Person,
    words: text.Text,
    form: dict[str, str],
    now_ns: int,
) -> quiz.Attempt:
    """Takes the word that a person is of age, where the text asks it, and marks their answers."""
    if words.data.get("attested") and quiz.attested(connection, person.id) is None:
        said = {name: form.get(name) == "yes" for name in ("adult", "own_hand")}
        quiz.attest(connection, person, **said, now_ns=now_ns)
    return quiz.take(connection, person, words, _chosen(form, words), now_ns)


def _chosen(form: dict[str, str], words: text.Text) -> list[int]:
    """The numbers of the choices that were made for a text's questions; -1 for none."""
    return [_number(form.get(f"q{n}", "")) for n in range(len(words.questions))]


def _paragraphs(words: str) -> list[str]:
    """The numbered sentences of a text; whatever it is written in, its words as they stand."""
    blocks: list[str] = []
    for line in words.splitlines():
        begins = not blocks or not line.strip() or line[:1] in "#-" or line.split(".")[0].isdigit()
        if begins:
            blocks.append(line)
        else:
            blocks[-1] += " " + line.strip()
    return [block for block in blocks if block.strip() and not block.startswith("#")]


def _number(text_: str) -> int:
    return int(text_) if text_.isascii() and text_.isdigit() and len(text_) < 4 else -1
