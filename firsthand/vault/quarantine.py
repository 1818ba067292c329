"""How much of a person's footage lies in quarantine: it is stored, and its wearer's alone."""

from sqlalchemy import Connection

from firsthand.consent import people
from firsthand.consent.liability import agreement
from firsthand.vault import catalog


def length_ns(connection: Connection, person: people.Person) -> int:
    """Nanoseconds of stored footage that were recorded without an agreement, and are not freed."""
    if agreement.since(connection) is None:
        return 0
    spans = catalog.spans(connection, person.id)
    if not spans:
        return 0
    bounds = min(span.start_ns for span in spans), max(span.stop_ns for span in spans)
    alone = agreement.quarantined(connection, person, *bounds)
    return sum(
        max(0, min(stop, span.stop_ns) - max(start, span.start_ns))
        for span in spans
        for start, stop in alone
    )
