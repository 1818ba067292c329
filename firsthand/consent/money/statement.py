"""A person's statement, recomputed from the log alone: to the cent, without the ledger's tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.money import ledger
from firsthand.consent.money.formula import Formula, listed, of_day
from firsthand.errors import Damaged

CHECK = 'the log decides: check it by "firsthand audit verify"'


@dataclass(frozen=True)
class Line:
    """One entry of a statement: what it is for, and what it adds to the account."""

    log_index: int
    time_ns: int
    kind: str
    cause: str
    day: str
    seconds: int  # of that day so far
    formula: int
    cents: int
    units: int


@dataclass(frozen=True)
class Statement:
    """All lines of one person, and what they come to."""

    person: str
    lines: tuple[Line, ...]
    earned_cents: int
    paid_cents: int
    units: int
    log_size: int

    @property
    def owed_cents(self) -> int:
        """What is earned and not yet paid."""
        return self.earned_cents - self.paid_cents


def statement(connection: Connection, person: str) -> Statement:
    """The statement of a person (an id); Damaged if the log does not follow the formula."""
    entries = [one for one in log.read(connection, person=person) if one.kind == "ledger_posted"]
    lines = tuple(_lines(_published(connection), person, entries))
    earned = sum(line.cents for line in lines if line.kind != "payout")
    paid = -sum(line.cents for line in lines if line.kind == "payout")
    units = sum(line.units for line in lines)
    return Statement(person, lines, earned, paid, units, log.size(connection))


def verify(connection: Connection) -> dict[str, int]:
    """Compares ledger, log and formula entry by entry; Damaged names the first fault.

    Returns how many transactions there are, and of how many the log's words are gone by erasure.
    """
    known = {one.log_index: one for one in ledger.listed(connection)}
    people = {one.person for one in known.values()}
    seen: set[int] = set()
    for person in sorted(people):
        for line in statement(connection, person).lines:
            one = known.get(line.log_index)
            if one is None or _sums(one) != (line.cents, line.units) or one.cause != line.cause:
                raise Damaged(f"the ledger differs from log entry {line.log_index}", CHECK)
            seen.add(line.log_index)
    gone = 0
    for index, one in known.items():
        for currency in ledger.CURRENCIES:
            if sum(amount for _, name, amount in one.postings if name == currency):
                raise Damaged(f"transaction {one.id} does not sum to zero", CHECK)
        if index not in seen:
            entry = next(log.read(connection, start=index), None)
            if entry is None or entry.kind != "ledger_posted" or entry.private is not None:
                raise Damaged(f"transaction {one.id} is not in the log", CHECK)
            gone += 1
    return {"transactions": len(known), "erased": gone}


def _published(connection: Connection) -> Sequence[Formula]:
    first = listed(connection)[:1]
    said = (one for one in log.read(connection) if one.kind == "formula_published")
    return [*first, *(Formula(**one.public["formula"]) for one in said)]


def _lines(
    versions: Sequence[Formula], person: str, entries: Iterable[log.Entry]
) -> Iterable[Line]:
    paid_s: dict[str, int] = {}
    for entry in entries:
        fields = entry.private or {}
        line = _line(person, entry, fields)
        if line.kind == "hours":
            rate = of_day(versions, line.day)
            before, after = rate.worth(paid_s.get(line.day, 0)), rate.worth(line.seconds)
            earned = tuple(after[name] - before[name] for name in ledger.CURRENCIES)
            if earned != (line.cents, line.units) or rate.version != line.formula:
                raise Damaged(
                    f"log entry {entry.index} does not follow formula {rate.version}", CHECK
                )
            paid_s[line.day] = line.seconds
        yield line


def _line(person: str, entry: log.Entry, fields: dict[str, Any]) -> Line:
    try:
        moved = [tuple(one) for one in fields["postings"]]
        amounts = {
            name: sum(amount for account, currency, amount in moved
                      if (account, currency) == (person, name))
            for name in ledger.CURRENCIES
        }  # fmt: skip
        told = {name: fields[name] for name in ("kind", "cause", "day", "seconds", "formula")}
    except (KeyError, ValueError) as error:
        raise Damaged(
            f"log entry {entry.index} is no entry of the ledger: {error}", CHECK
        ) from error
    return Line(entry.index, entry.time_ns, **told, **amounts)


def _sums(one: ledger.Transaction) -> tuple[int, int]:
    held = dict.fromkeys(ledger.CURRENCIES, 0)
    for account, currency, amount in one.postings:
        if account == one.person:
            held[currency] += amount
    return held["cents"], held["units"]
