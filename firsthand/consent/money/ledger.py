"""The ledger: double entry, append-only; every transaction sums to zero in each currency.

Wear is paid, never content. What was earned stays earned: nothing here takes from a person's
account but a payout to that person.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.money import formula
from firsthand.consent.money.tables import postings, transactions
from firsthand.errors import Refused, Usage

PROGRAMME, PAID = "programme", "paid"
CURRENCIES = ("cents", "units")


@dataclass(frozen=True)
class Transaction:
    """One movement: what it is for, and what it moves between which accounts."""

    id: str
    cause: str
    kind: str
    person: str
    day: str
    seconds: int
    formula: int
    posted_ns: int
    log_index: int
    postings: tuple[tuple[str, str, int], ...]  # (account, currency, amount)


def credit_hours(
    connection: Connection,
    person: people.Person,
    day: str,
    accepted_s: int,
    now_ns: int | None = None,
) -> Transaction | None:
    """Pays what is not yet paid of a day's accepted seconds; None if all of it is.

    Footage that comes late adds to its day; footage withheld or erased later takes nothing away.
    """
    if not 0 <= accepted_s <= 86_400:
        raise Usage(
            f"{accepted_s} accepted seconds are more than a day has", "count the seconds of one day"
        )
    where = (transactions.c.person == person.id) & (transactions.c.day == day)
    where &= transactions.c.kind == "hours"
    query = sa.select(sa.func.count(), sa.func.max(transactions.c.seconds)).where(where)
    count, paid_s = connection.execute(query).one()
    if accepted_s <= (paid_s or 0):
        return None
    rate = formula.of_day(formula.listed(connection), day)
    before, after = rate.worth(paid_s or 0), rate.worth(accepted_s)
    earned = {currency: after[currency] - before[currency] for currency in CURRENCIES}
    fields: dict[str, Any] = {"day": day, "seconds": accepted_s, "formula": rate.version}
    cause = f"hours {person.id} {day} {count + 1}"
    moved = _move(PROGRAMME, person.id, earned)
    return _post(connection, "hours", cause, person, moved, now_ns=now_ns, **fields)


def credit_bonus(
    connection: Connection, run: str, person: people.Person, cents: int, now_ns: int | None = None
) -> Transaction | None:
    """Pays for having decided on a run, the same for yes and no, once; None if it was paid."""
    if cents < 0:
        raise Usage("a bonus is not below zero", "give zero or more cents")
    cause = f"bonus {run} {person.id}"
    if not cents or _find(connection, cause) is not None:
        return None
    moved = _move(PROGRAMME, person.id, {"cents": cents})
    return _post(connection, "bonus", cause, person, moved, now_ns=now_ns)


def pay(
    connection: Connection,
    person: people.Person,
    cents: int,
    reference: str,
    now_ns: int | None = None,
) -> Transaction:
    """Notes that cents were paid to a person under the bank's reference; once for a reference.

    Refused if their account holds less. Someone who has left, or is erased, can still be paid.
    """
    if cents <= 0 or not reference.strip():
        raise Usage(
            "a payout has an amount above zero and the reference of the transfer",
            "give CENTS above zero and --reference",
        )
    cause = f"payout {reference.strip()}"
    known = _find(connection, cause)
    if known is not None:
        if known.person != person.id or (PAID, "cents", cents) not in known.postings:
            raise Usage(
                f"reference {reference} was used for another payout",
                "that payout is booked already; this transfer has a reference of its own",
            )
        return known
    held = balance(connection, person.id)["cents"]
    if cents > held:
        raise Refused(
            f"{person.name} has earned {held} cents that are not paid, not {cents}",
            'see "firsthand ledger statement"',
        )
    moved = _move(person.id, PAID, {"cents": cents})
    return _post(connection, "payout", cause, person, moved, now_ns=now_ns)


def balance(connection: Connection, account: str) -> dict[str, int]:
    """What an account holds, in cents and units."""
    total = sa.func.coalesce(sa.func.sum(postings.c.amount), 0)
    query = sa.select(postings.c.currency, total).where(postings.c.account == account)
    found = {row[0]: int(row[1]) for row in connection.execute(query.group_by(postings.c.currency))}
    return {currency: found.get(currency, 0) for currency in CURRENCIES}


def listed(connection: Connection, person: str | None = None) -> list[Transaction]:
    """All transactions, or one person's, in the order of the log."""
    query = sa.select(transactions)
    if person is not None:
        query = query.where(transactions.c.person == person)
    rows = connection.execute(query.order_by(transactions.c.log_index)).all()
    moved: dict[str, list[tuple[str, str, int]]] = {row.id: [] for row in rows}
    for row in connection.execute(sa.select(postings).order_by(*postings.primary_key)):
        if row.transaction in moved:
            moved[row.transaction].append((row.account, row.currency, row.amount))
    return [Transaction(**row._mapping, postings=tuple(moved[row.id])) for row in rows]


def restore(connection: Connection) -> int:
    """Puts back the transactions that the log tells of and the ledger lacks; returns how many."""
    known = set(connection.scalars(sa.select(transactions.c.log_index)))
    count = 0
    for entry in log.read(connection):
        if entry.kind != "ledger_posted" or entry.private is None or entry.index in known:
            continue
        said = dict(entry.private)
        moved = said.pop("postings")
        said |= {"posted_ns": entry.time_ns, "log_index": entry.index}
        _put(connection, said, moved)
        count += 1
    return count


def _find(connection: Connection, cause: str) -> Transaction | None:
    query = sa.select(transactions).where(transactions.c.cause == cause)
    row = connection.execute(query).first()
    if row is None:
        return None
    where = postings.c.transaction == row.id
    query = sa.select(postings).where(where).order_by(*postings.primary_key)
    moved = tuple((one.account, one.currency, one.amount) for one in connection.execute(query))
    return Transaction(**row._mapping, postings=moved)


def _move(source: str, target: str, amounts: dict[str, int]) -> list[tuple[str, str, int]]:
    return [
        entry
        for currency, amount in amounts.items()
        for entry in ((source, currency, -amount), (target, currency, amount))
        if amount
    ]


def _post(
    connection: Connection,
    kind: str,
    cause: str,
    person: people.Person,
    moved: Sequence[tuple[str, str, int]],
    *,
    day: str = "",
    seconds: int = 0,
    formula: int = 0,
    now_ns: int | None = None,
) -> Transaction:
    posted_ns = now_ns or time.time_ns()
    values: dict[str, Any] = {
        "id": people.new_id("t"),
        "cause": cause,
        "kind": kind,
        "day": day,
        "seconds": seconds,
        "formula": formula,
    }
    index = _note(connection, person, posted_ns, values, moved)
    values |= {"person": person.id, "posted_ns": posted_ns, "log_index": index}
    _put(connection, values, moved)
    return Transaction(**values, postings=tuple(moved))


def _put(connection: Connection, values: dict[str, Any], moved: Iterable[Sequence[Any]]) -> None:
    connection.execute(transactions.insert().values(**values))
    for account, currency, amount in moved:
        row = {"account": account, "currency": currency, "amount": amount}
        connection.execute(postings.insert().values(transaction=values["id"], **row))


def _note(
    connection: Connection,
    person: people.Person,
    posted_ns: int,
    values: dict[str, Any],
    moved: Iterable[tuple[str, str, int]],
) -> int:
    private = values | {"postings": [list(entry) for entry in moved]}
    if people.find(connection, person.id).salt is None:  # erased, and still to be paid
        digest = log.digest(private)
        return log.append(connection, "ledger_posted", posted_ns, transaction=digest)
    return people.note(connection, "ledger_posted", person, posted_ns, private=private)
