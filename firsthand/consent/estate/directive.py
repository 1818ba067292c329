"""The directive: a living person's word on who may run, stop or delete their model after death."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.estate.tables import directives
from firsthand.errors import Usage

ACTS = ("run", "stop", "delete")
DESTROY_AFTER_YEARS = 5  # where nothing else was said
LONGEST_YEARS = 100


@dataclass(frozen=True)
class Directive:
    """Who may do what, by name, and after how many years from death everything is destroyed."""

    person: str
    may: dict[str, tuple[str, ...]]
    destroy_after_years: int
    set_ns: int | None  # None: the person said nothing, and nobody may run or stop anything

    def allows(self, act: str, who: str) -> bool:
        """Whether `who` is named for this act; who may run it may also stop it."""
        named = self.may.get(act, ())
        return who in named or (act == "stop" and who in self.may.get("run", ()))


def write(
    connection: Connection,
    person: people.Person,
    may: Mapping[str, Iterable[str]],
    destroy_after_years: int = DESTROY_AFTER_YEARS,
    now_ns: int | None = None,
) -> Directive:
    """Replaces the person's directive; Refused unless they live and take part, Usage."""
    people.require_active(connection, person)
    unknown = sorted(set(may) - set(ACTS))
    if unknown:
        raise Usage(f"{unknown[0]!r} is nothing that a directive can allow", f"use {ACTS}")
    named = {act: tuple(dict.fromkeys(name.strip() for name in may.get(act, ()))) for act in ACTS}
    if not all(name for names in named.values() for name in names):
        raise Usage(
            "a directive names people, and one of these names is empty", "give each person a name"
        )
    if person.name in {name for names in named.values() for name in names}:
        raise Usage(f"{person.name} can't act after {person.name}'s death", "name somebody else")
    if not 0 <= destroy_after_years <= LONGEST_YEARS:
        raise Usage(
            f"destruction comes after 0 to {LONGEST_YEARS} years",
            "give a number of years within that",
        )
    set_ns = now_ns or time.time_ns()
    values = {"may": {act: list(names) for act, names in named.items()}}
    private = values | {"destroy_after_years": destroy_after_years}
    index = people.note(connection, "directive_set", person, set_ns, private=private)
    connection.execute(directives.delete().where(directives.c.person == person.id))
    row = private | {"person": person.id, "set_ns": set_ns, "log_index": index}
    connection.execute(directives.insert().values(**row))
    return Directive(person.id, named, destroy_after_years, set_ns)


def of(connection: Connection, person: str) -> Directive:
    """A person's directive (by id); without one nobody is named, and five years is the end."""
    row = connection.execute(sa.select(directives).where(directives.c.person == person)).first()
    if row is None:
        return Directive(person, {}, DESTROY_AFTER_YEARS, None)
    may = {act: tuple(names) for act, names in row.may.items()}
    return Directive(person, may, row.destroy_after_years, row.set_ns)
