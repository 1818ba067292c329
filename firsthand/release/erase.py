"""What a person's erasure means for releases: their shards go, the others stay as they are."""

import sqlalchemy as sa

from firsthand.release.tables import looked, names, pictures, releases
from firsthand.vault.vault import Vault


def forget(vault: Vault, person: str) -> dict[str, list[str]]:
    """Removes a person's shards; returns {"releases", "runs"} that had used their footage."""
    with vault.db.read() as connection:
        query = sa.select(names.c.release, names.c.name, releases.c.run)
        query = query.join(releases, releases.c.id == names.c.release)
        rows = connection.execute(query.where(names.c.person == person)).all()
    for row in rows:
        vault.keyring.destroy_release_key(row.release, person)
        for key in list(vault.store.keys(f"releases/{row.release}")):
            if key.rsplit("/", 1)[1].startswith(f"{row.name}."):
                vault.store.delete(key)
    with vault.db.write() as connection:
        for table in (names, looked, pictures):
            connection.execute(table.delete().where(table.c.person == person))
    return {
        "releases": sorted({row.release for row in rows}),
        "runs": sorted({row.run for row in rows}),
    }
