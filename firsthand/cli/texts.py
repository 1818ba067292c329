"""What the commands of consents and of agreements share: their texts, and the quiz of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from firsthand.cli.output import say
from firsthand.cli.vaults import opened
from firsthand.consent import people
from firsthand.consent.terms import quiz, text
from firsthand.errors import NotFound, Refused, Usage


def known_text(
    version: str | None, asked: Callable[[Any], text.Text], shipped: str = ""
) -> text.Text:
    """A text as the vault knows it, the one `asked` for if none is named.

    Where there is no vault, the shipped one of that version, or of `shipped`; NotFound.
    """
    try:
        with opened() as vault, vault.db.read() as connection:
            return asked(connection) if version is None else text.find(connection, version)
    except NotFound:
        if not (named := version or shipped):
            raise
        return text.read_text(named)


def new_text(version: str, words: Path | None, data: Path | None, kind: str) -> text.Text:
    """A text of a kind that is shipped, or one's own; Usage if it is of another kind."""
    new = text.read_text(version) if words is None else text.Text(version, read_file(words))
    if data is not None:
        try:
            new = text.Text(version, new.words, json.loads(read_file(data)))
        except ValueError as error:
            raise Usage(f"{data} is not JSON: {error}", 'such as {"cooling_days": 7}') from error
    if words is not None and kind != "consent" and isinstance(new.data, dict):
        new = text.Text(version, new.words, {"kind": kind} | new.data)
    if isinstance(new.data, dict) and new.kind != kind:
        raise Usage(f"text {version} is no {kind}", f"adopt it with: firsthand {new.kind} adopt")
    return new


def answer_quiz(
    person: str,
    words_of: Callable[[Any], text.Text],
    answers_: str | None,
    of_age: bool,
    own_hand: bool,
) -> None:
    """Takes the word that a person is of age, and marks their answers to the quiz of a text."""
    with opened() as vault:
        with vault.db.read() as connection:
            found = people.find(connection, person)
            words = words_of(connection)
            unasked = not words.data.get("attested")
            known = unasked or quiz.attested(connection, found.id) is not None
        if not known and answers_ is not None and not (of_age and own_hand):
            raise Refused(
                f"{person} has not said yet that they are of age and answer for themselves",
                "if both are so, add --of-age --own-hand",
            )
        if not known and answers_ is None:
            of_age = of_age or typer.confirm("Are you an adult?")
            own_hand = own_hand or typer.confirm(f"Are you {found.name}, and answer for yourself?")
        chosen = _ask(words) if answers_ is None else _numbers(answers_)
        with vault.db.write() as connection:
            now_ns = vault.now_ns()
            if not known:
                quiz.attest(connection, found, adult=of_age, own_hand=own_hand, now_ns=now_ns)
            done = quiz.take(connection, found, words, chosen, now_ns)
    for number in done.wrong:
        say(f"{words.questions[number]['ask']} {words.questions[number].get('why', '')}")
    if not done.passed:
        raise Refused(
            f"{done.right} of {done.asked} are right, which is not enough",
            f'read "firsthand {words.kind} text" again, then try once more',
        )
    may = {"consent": "consent to", "agreement": "sign"}[words.kind]
    say(f"{done.right} of {done.asked} are right: {person} may {may} text {words.version}")


def read_file(file: Path) -> str:
    """What a text file says; NotFound."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} cannot be read as text", "name a text file in UTF-8") from error


def _ask(words: text.Text) -> list[int]:
    """The numbers of the choices that whoever sits at the terminal makes."""
    chosen = []
    for question in words.questions:
        say(question["ask"])
        for number, choice in enumerate(question["choices"], 1):
            say(f"  {number}  {choice}")
        wanted = 0
        while not 1 <= wanted <= len(question["choices"]):
            wanted = typer.prompt("Number", type=int)
        chosen.append(wanted - 1)
    return chosen


def _numbers(listed: str) -> list[int]:
    try:
        return [int(number) - 1 for number in listed.split(",")]
    except ValueError:
        raise Usage(f"{listed!r} is no list of numbers", "write 2,1,3") from None
