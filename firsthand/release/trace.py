"""Where footage went: which releases hold samples of a record."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.release.tables import releases


def releases_with(connection: Connection, records: set[str]) -> dict[str, list[str]]:
    """For each of these record hashes, the releases whose manifest names it."""
    found: dict[str, list[str]] = {record: [] for record in records}
    query = sa.select(releases.c.id, releases.c.manifest).where(releases.c.manifest.is_not(None))
    for row in connection.execute(query.order_by(releases.c.began_ns)):
        for record in records_in(row.manifest) & records:
            found[record].append(row.id)
    return found


def records_in(manifest: dict[str, Any], name: str | None = None) -> set[str]:
    """The hashes of the records of which a signed manifest has samples, of one name if given."""
    people = [each for each in manifest["manifest"]["people"] if name in (None, each["person"])]
    shards = [shard for person in people for shard in person["shards"]]
    return {sample["record"] for shard in shards for sample in shard["samples"]}
