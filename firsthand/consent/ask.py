"""Asking: collects the facts of one person from the database and puts them to `decide`."""

import time
from dataclasses import replace

from sqlalchemy import Connection

from firsthand import log
from firsthand.consent import erasure, people
from firsthand.consent.decide import Decision, Facts, decide
from firsthand.consent.liability import safety
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents, text
from firsthand.consent.terms.vocabulary import Use, check_permissions
from firsthand.errors import Refused


def for_run(
    connection: Connection, run: proposals.Run, person: people.Person, now_ns: int | None = None
) -> Decision:
    """Whether a run may have this person's footage."""
    at_ns = log.now(connection, now_ns or time.time_ns())
    if safety.stopped(connection, run.proposal.ethics_approval):
        return Decision(False, ("the study that the run is part of stands still",))
    facts = _facts(connection, person, answers.answer(connection, run, person.id))
    return decide(use_of(connection, run, at_ns), facts, at_ns)


def use_of(connection: Connection, run: proposals.Run, now_ns: int) -> Use:
    """The run as modifiers see it now: an ethics approval counts while it holds for the run."""
    use = run.use()
    holds = approvals.holds(connection, use.ethics_approval, use.permissions, now_ns)
    return use if holds else replace(use, ethics_approval="")


def for_self(
    connection: Connection, permission: str, person: people.Person, now_ns: int | None = None
) -> Decision:
    """Whether the person's own wish, such as an emulation of themselves, has their consent."""
    facts = _facts(connection, person, "self")
    use = Use(frozenset(check_permissions([permission])))
    return decide(use, facts, log.now(connection, now_ns or time.time_ns()))


def require_self(
    connection: Connection, permission: str, person: people.Person, now_ns: int | None = None
) -> None:
    """Refused, with the reason, unless `for_self` says yes."""
    decision = for_self(connection, permission, person, now_ns)
    if not decision.allowed:
        raise Refused(
            f"{person.name}: {decision.reasons[0]}",
            f"to allow it: firsthand consent give {person.name} {permission.removeprefix('fh:')}",
        )


def for_view(
    connection: Connection, person: people.Person, answer: str, now_ns: int | None = None
) -> Decision:
    """Whether somebody else may look, given the person's answer to that request."""
    use = Use(frozenset(check_permissions(["fh:human-view"])))
    at_ns = log.now(connection, now_ns or time.time_ns())
    return decide(use, _facts(connection, person, answer), at_ns)


def _facts(connection: Connection, person: people.Person, answer: str) -> Facts:
    status = people.find(connection, person.id).status  # as it is now, not when it was looked up
    leaving = erasure.leaving(connection, person.id)
    given = tuple(consents.of(connection, person.id))
    return Facts(status, given, answer, leaving, changes=text.changes(connection))
