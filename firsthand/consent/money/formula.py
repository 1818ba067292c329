"""The formula: what an accepted hour is worth, in versions that each begin on a later day.

A version, once published, never changes, and none reaches back: hours of a day are worth what the
version of that day says, for ever.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.money.tables import formulas
from firsthand.errors import Refused, Usage

HOUR_S = 3600


@dataclass(frozen=True)
class Formula:
    """What one version pays for an hour: cents, and units of equity (1000 are one share).

    Withheld time can't be looked at, so it counts up to this percentage of the rest of its day.
    """

    version: int
    begins: str
    cents_per_hour: int
    units_per_hour: int
    withheld_percent: int

    def worth(self, seconds: int) -> dict[str, int]:
        """What so many seconds earn, in whole cents and units, rounded half to even."""
        rates = {"cents": self.cents_per_hour, "units": self.units_per_hour}
        return {currency: _share(rate * seconds) for currency, rate in rates.items()}


def listed(connection: Connection) -> Sequence[Formula]:
    """All versions, the first one shipped with the program, by number."""
    with (files("firsthand.consent.money") / "data" / "formulas.csv").open() as shipped:
        rows = [_from_text(row) for row in csv.DictReader(shipped)]
    names = [formulas.c[name] for name in Formula.__dataclass_fields__]
    found = connection.execute(sa.select(*names).order_by(formulas.c.version))
    return [*rows, *(Formula(**row._mapping) for row in found)]


def of_day(versions: Sequence[Formula], day: str) -> Formula:
    """The version under which a day's hours are paid: the newest that had begun; Usage."""
    begun = [one for one in versions if one.begins <= day]
    if not begun:
        raise Usage(f"no formula pays for {day}", 'see "firsthand ledger formulas"')
    return begun[-1]


def publish(
    connection: Connection,
    begins: str,
    cents_per_hour: int,
    units_per_hour: int,
    withheld_percent: int = 25,
    now_ns: int | None = None,
) -> Formula:
    """Publishes the next version for the days from `begins` (YYYY-MM-DD) on; Usage.

    It may not reach back: `begins` lies after today and after the versions before it.
    """
    at_ns = now_ns or time.time_ns()
    try:
        first = date.fromisoformat(begins)
    except ValueError as error:
        raise Usage(f"{begins!r} is no day", "write it as 2027-01-01") from error
    last = listed(connection)[-1]
    today = datetime.fromtimestamp(at_ns / 1e9, UTC).date()
    if first <= today or first.isoformat() <= last.begins:
        raise Usage(
            f"a formula from {begins} would change what hours were already worth",
            f"let it begin after {max(today.isoformat(), last.begins)}",
        )
    if min(cents_per_hour, units_per_hour) < 0 or not 0 <= withheld_percent <= 100:
        raise Usage(
            "a formula pays nothing below zero, and withheld time at most in full",
            "give rates of zero and more, and for withheld time 0 to 1",
        )
    rates = (cents_per_hour, units_per_hour, withheld_percent)
    formula = Formula(last.version + 1, first.isoformat(), *rates)
    index = log.append(connection, "formula_published", at_ns, formula=asdict(formula))
    put(connection, index, asdict(formula))
    return formula


def put(connection: Connection, index: int, values: dict[str, Any]) -> None:
    """Keeps what an entry "formula_published" says; Refused if it pays for more than hours."""
    other = sorted(values.keys() - Formula.__dataclass_fields__.keys())
    if other:
        # To pay by what data are estimated to be worth would press people to live for the camera.
        raise Refused(f"no formula pays by {other[0]}", "hours worn are paid, whatever they show")
    connection.execute(formulas.insert().values(**values, log_index=index))


def _from_text(row: dict[str, str]) -> Formula:
    numbers = {name: int(value) for name, value in row.items() if name != "begins"}
    return Formula(begins=row["begins"], **numbers)


def _share(rate_seconds: int) -> int:
    whole, rest = divmod(rate_seconds, HOUR_S)
    return whole + (2 * rest > HOUR_S or (2 * rest == HOUR_S and whole % 2 == 1))
