"""Who may know what people's data are worth: the organisation's governance, and it is logged.

The estimate itself is learn/worth.py's. It is kept nowhere, and no formula of the ledger pays by it
(money/formula.py).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import people
from firsthand.consent.access.askers import Asker
from firsthand.errors import Refused


def begin(
    connection: Connection,
    asker: Asker,
    release: str,
    method: str,
    persons: Sequence[str],
    now_ns: int,
) -> int:
    """Notes who asks what the people of a release are worth, in their own logs too; Refused."""
    if asker.role != "governance":
        raise Refused(
            f"{asker.name} may not know what anybody's data are worth",
            'only a key of role governance may: see "firsthand access give"',
        )
    for each in persons:
        person = people.find(connection, each)
        if person.salt is not None:
            private = {"release": release, "who": asker.name}
            people.note(connection, "data_valued", person, now_ns, private=private)
    said: dict[str, Any] = {"release": release, "method": method, "people": len(persons)}
    return log.append(connection, "valuation_begun", now_ns, key=asker.id, **said)
