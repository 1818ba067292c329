"""How much of a person's footage lies in quarantine: it is stored, and its wearer's alone."""

from sqlalchemy import Connection

from firsthand.capture import FOREVER_NS
from firsthand.consent import people
from firsthand.consent.liability import agreement
from firsthand.vault import catalog


def length_ns(connection: Connection, person: people.Person) -> int:
    """Nanoseconds of stored footage that were recorded without an agreement, and are not freed."""
    since_ns = agreement.since(connection)
    if since_ns is None:
        return 0
    # Only what lies there is read: a life of five years is 1.5 million segments.
    alone = agreement.quarantined(connection, person, since_ns, FOREVER_NS)
    return sum(
        min(stop_ns, span.stop_ns) - max(start_ns, span.start_ns)
        for start_ns, stop_ns in alone
        for span in catalog.spans(connection, person.id, start_ns, stop_ns)
    )
