"""The one decision: may this use have this person's footage? Pure, and it says why.

For footage of another purpose nothing changes here: a caller states the use and the facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from firsthand.consent.terms.consents import Consent
from firsthand.consent.terms.text import Change
from firsthand.consent.terms.vocabulary import Use, covers, is_met, words


@dataclass(frozen=True)
class Facts:
    """What is known of one person at one point in the log."""

    status: str
    consents: tuple[Consent, ...]
    answer: str  # to the run in question: yes | no | silent; "self" where the person asks
    erased: bool = False
    changes: Sequence[Change] = ()  # what texts adopted since did to older consents


@dataclass(frozen=True)
class Decision:
    """Yes with the consents it rests on, or no with reasons."""

    allowed: bool
    reasons: tuple[str, ...]
    consents: tuple[str, ...] = ()


def decide(use: Use, facts: Facts, now_ns: int) -> Decision:
    """Allowed only if the person takes part, said yes, and every purpose has a consent that holds.

    A consent covers a purpose if it holds now, permits it, and each of its modifiers is met.
    """
    if facts.status != "active" or facts.erased:
        said = f"is {facts.status}" if facts.status != "active" else "has asked to be erased"
        return Decision(False, (f"the person {said}",))
    if facts.answer not in ("yes", "self"):
        said = "said no to this run" if facts.answer == "no" else "has not answered: silence is no"
        return Decision(False, (f"the person {said}",))
    if not use.permissions:
        return Decision(False, ("the use names no purpose",))
    if 0 < use.ends_ns <= now_ns:
        return Decision(False, ("the time that the run was to last is over",))
    needed = use.permissions | ({"fh:commercial"} if use.earns else frozenset())
    used: list[str] = []
    reasons: list[str] = []
    for permission in sorted(needed):
        consent, why = _covering(permission, use, facts, now_ns)
        if consent is None:
            reasons.append(why)
        else:
            used.append(consent.id)
    if reasons:
        return Decision(False, tuple(reasons))
    return Decision(True, ("consent holds for every purpose",), tuple(dict.fromkeys(used)))


def _covering(permission: str, use: Use, facts: Facts, now_ns: int) -> tuple[Consent | None, str]:
    why = f"no consent to {permission}"
    for consent in facts.consents:
        if not any(covers(given, permission) for given in consent.permissions):
            continue
        unmet = [code for code in consent.modifiers if not is_met(code, use)]
        ended = _ended(consent, permission, facts, now_ns)
        if consent.withdrawn_ns is not None and consent.withdrawn_ns < consent.expires_ns:
            why = f"consent to {permission} was withdrawn"
        elif not consent.holds(now_ns):
            why = f"consent to {permission} has expired or not begun"
        elif ended:
            why = f"consent to {permission} ended with text {ended}, which asks anew"
        elif unmet:
            why = f"consent to {permission} asks for {unmet[0]}, which this use does not meet"
            why += f" ({words(unmet[0])})"
        else:
            return consent, ""
    return None, why


def _ended(consent: Consent, permission: str, facts: Facts, now_ns: int) -> str:
    """The version of the text that ended this part of a consent, or an empty word."""
    for change in facts.changes:
        if change.ends(consent.log_index, permission, now_ns):
            return change.version
    return ""
