"""Where footage went: which releases hold samples of a record."""

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand.release.tables import releases


def releases_with(connection: Connection, records: set[str]) -> dict[str, list[str]]:
    """For each of these record hashes, the releases whose manifest names it."""
    found: dict[str, list[str]] = {record: [] for record in records}
    query = sa.select(releases.c.id, releases.c.manifest).where(releases.c.manifest.is_not(None))
    for row in connection.execute(query.order_by(releases.c.began_ns)):
        people = row.manifest["manifest"]["people"]
        shards = [shard for person in people for shard in person["shards"]]
        named = {sample["record"] for shard in shards for sample in shard["samples"]}
        for record in named & records:
            found[record].append(row.id)
    return found
