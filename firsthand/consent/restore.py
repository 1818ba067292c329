"""Facts that hold for everybody, put back from the log: texts, approvals, monitors, runs, laws.

They stand in its entries in full, so a database that is older than the log need not stay behind:
what ended consents since, ends them again.
"""

from typing import Any

from sqlalchemy import Connection

from firsthand.capture import Law
from firsthand.consent.capture import law
from firsthand.consent.liability import safety
from firsthand.consent.money import formula
from firsthand.consent.runs import approvals, proposals
from firsthand.consent.terms import text


def apply(connection: Connection, index: int, body: dict[str, Any]) -> None:
    """Keeps what one entry of the log, as it was written, says of everybody; most say nothing."""
    kind = body["kind"]
    if kind == "text_adopted":
        text.put(connection, index, body)
    elif kind == "approval_added":
        approvals.put(connection, index, body)
    elif kind == "approval_ended":
        approvals.close(connection, body["approval"], body["time_ns"])
    elif kind == "monitor_named":
        safety.put(connection, index, body)
    elif kind == "study_stopped":
        safety.put_stop(connection, body["study"], body["by"])
    elif kind == "study_resumed":
        safety.put_stop(connection, body["study"], "", index)
    elif kind == "run_proposed":
        proposals.put(connection, index, body["run"], body["proposal"], body["time_ns"])
    elif kind == "law_added":
        law.put(connection, Law(**body["law"]))
    elif kind == "formula_published":
        formula.put(connection, index, body["formula"])
