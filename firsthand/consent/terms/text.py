"""Versioned texts that people consent to, or sign; each signature is bound to the exact words.

A text is words and data: its kind, the questions of its quiz, how long one may think it over, and
what becomes of signatures under older texts when it is adopted. Texts are shipped here, and an
organisation can adopt its own.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.tables import texts
from firsthand.consent.terms.vocabulary import check_permissions, covers
from firsthand.errors import NotFound, Refused, Usage

CURRENT = "2"
# What a person allows, and what a wearer and the organisation owe each other: liability/agreement.
KINDS = ("consent", "agreement")
DAY_NS = 86_400 * 10**9
OLDER = ("keep", "limit", "end")  # what a new text does to consents to older ones


@dataclass(frozen=True)
class Text:
    """One version of the words that people consent to, and the data that goes with them."""

    version: str
    words: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the words, in hexadecimal."""
        return hashlib.sha256(self.words.encode()).hexdigest()

    @property
    def kind(self) -> str:
        """One of KINDS: what signing it makes."""
        return self.data.get("kind", "consent")

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The quiz: each with what it asks, its choices, the number of the right one, and why."""
        return self.data.get("questions", [])


@dataclass(frozen=True)
class Change:
    """What the adoption of a text did to consents that were given before it."""

    version: str
    log_index: int
    from_ns: int
    older: str  # keep | limit | end
    dropped: tuple[str, ...] = ()

    def ends(self, consent_index: int, permission: str, now_ns: int) -> bool:
        """Whether a consent written at this log index no longer permits this."""
        if consent_index > self.log_index or now_ns < self.from_ns or self.older == "keep":
            return False
        if self.older == "end":
            return True
        # What contains a dropped purpose could be used for it.
        return any(covers(c, permission) or covers(permission, c) for c in self.dropped)


def read_text(version: str = CURRENT) -> Text:
    """The text of this version that is shipped; NotFound if there is none."""
    folder = files("firsthand.consent.terms") / "texts"
    if not version.isalnum() or not (folder / f"{version}.md").is_file():
        shipped = sorted(each.name[:-3] for each in folder.iterdir() if each.name.endswith(".md"))
        raise NotFound(f"there is no text of version {version!r}", f"shipped: {', '.join(shipped)}")
    data = json.loads((folder / f"{version}.json").read_text(encoding="utf-8"))
    return Text(version, (folder / f"{version}.md").read_text(encoding="utf-8"), data)


def in_force(connection: Connection) -> Text:
    """The text that people consent to now: the one adopted last, else the newest shipped."""
    return adopted(connection, "consent") or read_text()


def adopted(connection: Connection, kind: str) -> Text | None:
    """The text of this kind that was adopted last, if one was."""
    rows = connection.execute(sa.select(texts).order_by(texts.c.log_index.desc()))
    found = (Text(row.version, row.words, row.data) for row in rows)
    return next((each for each in found if each.kind == kind), None)


def find(connection: Connection, version: str) -> Text:
    """The text of this version, adopted or shipped; NotFound."""
    row = connection.execute(sa.select(texts).where(texts.c.version == version)).first()
    return read_text(version) if row is None else Text(row.version, row.words, row.data)


def adopt(connection: Connection, text: Text, now_ns: int | None = None) -> int:
    """Puts a text in force; returns the index of its log entry. Usage or Refused if it is unfit."""
    adopted_ns = now_ns or time.time_ns()
    change = check(text)
    if connection.execute(sa.select(texts).where(texts.c.version == text.version)).first():
        raise Usage(f"text {text.version} was adopted already", "give the new one a new version")
    entry: dict[str, Any] = {"version": text.version, "sha256": text.sha256, "words": text.words}
    entry |= {"data": text.data, "older": change["effect"], "dropped": change["dropped"]}
    entry |= {"from_ns": adopted_ns + change["days"] * DAY_NS}
    index = log.append(connection, "text_adopted", adopted_ns, **entry)
    put(connection, index, entry)
    return index


def put(connection: Connection, index: int, entry: dict[str, Any]) -> None:
    """Keeps what an entry "text_adopted" of the log says."""
    names = ("version", "words", "data", "older", "dropped", "from_ns")
    values = {name: entry[name] for name in names}
    connection.execute(texts.insert().values(log_index=index, **values))


def changes(connection: Connection, kind: str = "consent") -> Sequence[Change]:
    """What adopted texts of a kind did to what was given under older ones, oldest first."""
    rows = connection.execute(sa.select(texts).order_by(texts.c.log_index))
    return [
        Change(r.version, r.log_index, r.from_ns, r.older, tuple(r.dropped))
        for r in rows
        if r.data.get("kind", "consent") == kind
    ]


def check(text: Text) -> dict[str, Any]:
    """The effect on older consents: {"effect", "days", "dropped"}; Usage or Refused if unfit."""
    if not text.version.isalnum() or len(text.version) > 20:
        raise Usage(f"{text.version!r} is no version", "use letters and digits")
    if not text.words.strip():
        raise Usage("a text has words", "write them into the file that is adopted")
    if not isinstance(text.data, dict):
        raise Usage(
            "the data of a text is a JSON object",
            'such as {"cooling_days": 7}; see docs/consent.md',
        )
    if text.kind not in KINDS:
        raise Usage(f"{text.kind!r} is no kind of text", f"known: {', '.join(KINDS)}")
    for name in ("required", "bundle", "all_or_nothing"):
        if text.data.get(name):
            raise Refused(
                f"text {text.version} makes taking part hang on a purpose ({name})",
                "let people choose each purpose by itself",
            )
    most = text.data.get("most_days", 365)
    if type(most) is not int or not 1 <= most <= 3650:
        raise Usage(
            '"most_days" is for how many days one can sign at most', "give 1 to 3650, whole"
        )
    _check_quiz(text)
    change = text.data.get("older", {"effect": "keep"})
    effect, days = change.get("effect"), change.get("days", 0)
    if effect not in OLDER or type(days) is not int or not 0 <= days <= 3650:
        raise Usage(
            f'"older" says an effect ({", ".join(OLDER)}) and in how many days',
            'such as {"effect": "keep", "days": 0}',
        )
    if text.kind == "agreement" and effect == "limit":
        raise Usage("an agreement stands or ends as a whole", 'say "keep" or "end"')
    if text.data.get("material") and effect == "keep":
        raise Refused(
            f"text {text.version} makes a material change and keeps consents to older texts",
            'say "end", or "limit" with the permissions that are dropped',
        )
    dropped = check_permissions(change.get("drop", ())) if effect == "limit" else []
    return {"effect": effect, "days": days, "dropped": dropped}


def _check_quiz(text: Text) -> None:
    percent, cooling = text.data.get("pass_percent", 80), text.data.get("cooling_days", 0)
    if type(percent) is not int or not 80 <= percent <= 100:
        raise Usage(
            '"pass_percent" says how many answers must be right, 80 to 100',
            "give a whole number within that",
        )
    if type(cooling) is not int or not 0 <= cooling <= 365:
        raise Usage(
            '"cooling_days" is a number of days, at most a year', "give a whole number within that"
        )
    for question in text.questions:
        try:
            asked, choices, right = question["ask"], question["choices"], question["right"]
            fit = asked and len(choices) > 1 and type(right) is int and 0 <= right < len(choices)
        except (KeyError, TypeError):
            fit = False
        if not fit:
            raise Usage(
                'a question has "ask", "choices" and the number of the "right" one',
                'number the "right" choice from 0 on',
            )
