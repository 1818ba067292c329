"""One day of one person out of 10 million segments: bounds 1 ms on SQLite, 2 ms on PostgreSQL.

Loads the catalogue's own table in a temporary folder and asks for days of 840 segments as the
product does. Records and receipts are short here: the question reads the index alone. PostgreSQL
is the one that tests/servers/postgres runs; without it that line is left out.
"""

import argparse
import json
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from firsthand.db import Database
from firsthand.vault import catalog

DAY_SEGMENTS = 840  # 14 hours of minutes
PEOPLE = 1000
START_NS = 1_793_520_000 * 10**9
MINUTE_NS = 60 * 10**9
QUESTIONS = 400
BOUNDS_MS = {"sqlite": 1.0, "postgresql": 2.0}
COLUMNS = [column.name for column in catalog.segments.columns]


def segment(number: int) -> tuple[Any, ...]:
    """Row `number`: people take turns by the minute, as they would hand in."""
    minute, person = divmod(number, PEOPLE)
    day, of_day = divmod(minute, DAY_SEGMENTS)
    start_ns = START_NS + (day * 1440 + of_day) * MINUTE_NS
    return (
        f"s-{number:016x}",
        f"p-{person:04d}",
        f"d-{person:04d}",
        "boot1",
        minute + 1,
        "segment",
        "{}",
        f"{number:064x}",
        f"segments/{number:032x}",
        50_000_000,
        start_ns,
        start_ns + MINUTE_NS,
        catalog.day_of(start_ns),
        "stored",
        "{}",
        number,
    )


def load_sqlite(file: Path, rows: int) -> None:
    """Fills the table; indexes are made afterwards, as one sorted run each."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        indexes = _indexes(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        marks = ", ".join("?" * len(COLUMNS))
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        statement = f"INSERT INTO segment ({names}) VALUES ({marks})"
        connection.executemany(statement, map(segment, range(rows)))
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("ANALYZE")


def load_postgres(url: str, schema: str, rows: int) -> None:
    """The same by COPY."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {schema}")
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s"
        indexes = _indexes(connection.execute(query, [schema]).fetchall())
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        with connection.cursor().copy(f"COPY segment ({names}) FROM STDIN") as copy:
            for number in range(rows):
                copy.write_row(segment(number))
        for _, sql in indexes:
            connection.execute(sql)
        connection.execute("VACUUM ANALYZE segment")


def _indexes(listed: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # Those of keys and constraints stay: rows come in their order.
    ours = {index.name for index in catalog.segments.indexes}
    return [(name, sql) for name, sql in listed if name in ours]


def ask(database: Database, rows: int, chance: random.Random) -> dict[str, float]:
    """Median and 95th percentile in ms over random people and days, a transaction each."""
    days = max(1, rows // PEOPLE // DAY_SEGMENTS)
    spent_ms = []
    for _ in range(QUESTIONS):
        person = f"p-{chance.randrange(PEOPLE):04d}"
        start_ns = START_NS + chance.randrange(days) * 1440 * MINUTE_NS
        began = time.perf_counter()
        with database.read() as connection:
            found = catalog.spans(connection, person, start_ns, start_ns + 1440 * MINUTE_NS)
        spent_ms.append((time.perf_counter() - began) * 1000)
        assert len(found) == min(DAY_SEGMENTS, rows // PEOPLE), len(found)
    return {
        "median_ms": round(statistics.median(spent_ms), 3),
        "p95_ms": round(statistics.quantiles(spent_ms, n=20)[-1], 3),
    }


def measured(kind: str, rows: int) -> Iterator[dict[str, Any]]:
    """Loads and asks one kind of database."""
    chance = random.Random(1)
    began = time.perf_counter()
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "catalog.db"
            database = Database(f"sqlite:///{quote(str(file))}")
            database.close()
            load_sqlite(file, rows)
            loaded_s = time.perf_counter() - began
            yield {"loaded_s": round(loaded_s, 1), **ask(database, rows, chance)}
            database.close()
        return
    script = Path(__file__).parents[1] / "tests" / "servers" / "postgres"
    url = subprocess.run([script, "url"], capture_output=True, text=True).stdout.strip()
    if not url:
        return
    import psycopg

    schema = f"bench{random.getrandbits(32):08x}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            database = Database(f"{url}?options=-csearch_path%3D{schema}")
            load_postgres(url, schema, rows)
            loaded_s = time.perf_counter() - began
            yield {"loaded_s": round(loaded_s, 1), **ask(database, rows, chance)}
            database.close()
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


def main() -> int:
    """Prints one JSON object; 1 if a median is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    told: dict[str, Any] = {
        "bench": "catalog",
        "rows": rows,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": git.stdout.strip(),
    }
    late = False
    for kind, bound_ms in BOUNDS_MS.items():
        for figures in measured(kind, rows):
            told[kind] = figures | {"bound_ms": bound_ms}
            late = late or figures["median_ms"] > bound_ms
    print(json.dumps(told))
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
