"""What each device is told: whom it seals to and what it may record, in a signed, numbered policy.

No number is given to two different policies; what changes gets a higher one.
"""

import sqlalchemy as sa

from firsthand.consent import people
from firsthand.consent.capture import zones
from firsthand.log import digest
from firsthand.policy import Policy
from firsthand.vault.catalog import told
from firsthand.vault.vault import Vault

PAST_NS = 2 * 86_400 * 10**9  # places that lie behind the device need not be told any more


def policy_of(vault: Vault, device: people.Device) -> Policy:
    """The policy of a device now."""
    now_ns = vault.now_ns()
    recipient = vault.keyring.ingest_recipient(device.person, now_ns)
    with vault.db.read() as connection:
        person = people.find(connection, device.person)
        rules = zones.rules_of(connection, person, now_ns - PAST_NS).to_json()
        content = digest([recipient, rules])
        query = sa.select(told).where(told.c.device == device.id)
        row = connection.execute(query).first()
    if row is None or row.content != content:
        with vault.db.write() as connection:
            row = connection.execute(query).first()
            # By the clock, so that a database put back from a copy does not count from below.
            number = max(now_ns // 10**9, row.number + 1 if row else 0)
            connection.execute(told.delete().where(told.c.device == device.id))
            values = {"device": device.id, "number": number, "content": content}
            connection.execute(told.insert().values(**values))
    else:
        number = row.number
    return Policy(device.id, device.person, number, recipient, rules=rules)
