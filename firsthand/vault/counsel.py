"""What counsel asks for after something happened: what was agreed, shown and told, and what came.

One person, one interval, as JSON, with the log entries that prove it; no footage. That it was taken
out, by whom and why, is in the person's log first.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.liability import agreement, incidents
from firsthand.consent.terms import text
from firsthand.errors import Usage
from firsthand.vault import catalog
from firsthand.vault.vault import Vault


def tell(
    vault: Vault, person: people.Person, start_ns: int, stop_ns: int, who: str, why: str
) -> dict[str, Any]:
    """All of it for what was recorded, or happened, from `start_ns` to `stop_ns`; Usage."""
    if not start_ns < stop_ns:
        raise Usage("an interval ends after it begins", "give the earlier time first")
    if not (who.strip() and why.strip()):
        raise Usage("the log says who takes this out, and why", "give --by and --why")
    with vault.db.write() as connection:
        private = {"start_ns": start_ns, "stop_ns": stop_ns, "who": who.strip(), "why": why.strip()}
        index = people.note(connection, "counsel_told", person, vault.now_ns(), private=private)
        signed = [
            vars(each)
            for each in agreement.of(connection, person.id)
            if each.start_ns < stop_ns and each.stop_ns > start_ns
        ]
        freed = agreement.freed_of(connection, person.id)
        told: dict[str, Any] = {
            "v": 1,
            "person": {"id": person.id, "name": person.name},
            "start_ns": start_ns,
            "stop_ns": stop_ns,
            "log_index": index,
            "asked_since_ns": agreement.since(connection),
            "agreements": signed,
            "texts": [
                _text(connection, version)
                for version in sorted({each["text_version"] for each in signed})
            ],
            "quizzes": _quizzes(connection, person.id, stop_ns),
            "quarantined": _recorded_alone(connection, person, start_ns, stop_ns),
            "freed": [
                vars(each) for each in freed if each.start_ns < stop_ns and each.stop_ns > start_ns
            ],
            "policies": _policies(connection, person.id, start_ns, stop_ns),
            "incidents": [
                vars(each) for each in incidents.listed(connection, person.id, start_ns, stop_ns)
            ],
        }
    return told | {"checkpoint": vault.checkpoint()}


def _text(connection: Connection, version: str) -> dict[str, str]:
    found = text.find(connection, version)
    return {"version": version, "sha256": found.sha256, "words": found.words}


def _quizzes(connection: Connection, person: str, stop_ns: int) -> list[dict[str, Any]]:
    """Every attempt at a quiz until then: training lasts longer than the interval asked for."""
    return [
        {"log_index": entry.index, "time_ns": entry.time_ns}
        | {name: entry.private[name] for name in ("text_sha256", "right", "asked", "passed")}
        for entry in log.read(connection, person)
        if entry.kind == "quiz_taken" and entry.private and entry.time_ns < stop_ns
    ]


def _records(
    connection: Connection, person: str, start_ns: int, stop_ns: int, *columns: sa.ColumnElement
) -> list[sa.Row]:
    table = catalog.segments.c
    within = (table.start_ns < stop_ns) & (table.stop_ns > start_ns)
    query = sa.select(table.device, table.start_ns, table.stop_ns, *columns).where(
        table.person == person, table.kind == "segment", within
    )
    return list(connection.execute(query.order_by(table.device, table.start_ns)))


def _policies(
    connection: Connection, person: str, start_ns: int, stop_ns: int
) -> list[dict[str, Any]]:
    """Under which policy each device recorded: its hash, as each record holds it, run by run."""
    hashed = catalog.segments.c.record["policy"].as_string().label("policy")
    found: list[dict[str, Any]] = []
    for row in _records(connection, person, start_ns, stop_ns, hashed):
        named = {"device": row.device, "policy": row.policy or ""}
        if found and found[-1].items() >= named.items():
            found[-1]["segments"] += 1
            found[-1]["stop_ns"] = max(found[-1]["stop_ns"], row.stop_ns)
        else:
            found.append(named | {"segments": 1, "start_ns": row.start_ns, "stop_ns": row.stop_ns})
    return found


def _recorded_alone(
    connection: Connection, person: people.Person, start_ns: int, stop_ns: int
) -> list[dict[str, int]]:
    """What was recorded then while no agreement was in force, and was not freed since."""
    alone = agreement.quarantined(connection, person, start_ns, stop_ns)
    rows = _records(connection, person.id, start_ns, stop_ns)
    return [
        {"start_ns": max(begin, row.start_ns), "stop_ns": min(end, row.stop_ns)}
        for row in rows
        for begin, end in alone
        if begin < row.stop_ns and end > row.start_ns
    ]
