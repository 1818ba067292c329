"""What a vault holds, as the tests of ingest look at it."""

from firsthand import log
from firsthand.consent import people
from firsthand.vault import catalog
from firsthand.vault.check import check
from firsthand.vault.vault import Vault

SECOND_NS = 10**9


MINUTE_NS = 60 * SECOND_NS


def held(vault: Vault, person: people.Person) -> list[catalog.Segment]:
    with vault.db.read() as connection:
        return list(catalog.of_person(connection, person.id))


def objects(vault: Vault) -> list[str]:
    return sorted(vault.store.keys("segments"))


def staged(vault: Vault) -> list[str]:
    """Parts that lie in the store, waiting for the others."""
    return sorted(
        f"{each.upload}/{number}"
        for each in vault.store.begun()
        for number in vault.store.parts(each.key, each.upload)
    )


def entries(vault: Vault) -> list[str]:
    with vault.db.read() as connection:
        assert log.verify(connection) == log.size(connection)
        return [entry.kind for entry in log.read(connection)]


def assert_clean(vault: Vault) -> None:
    """Every row has its bytes, and every object its row."""
    found = check(vault)
    assert (found.faults, found.orphans) == ([], [])
