"""The one decision: may this use have this person's footage? Pure, and it says why.

For footage of another purpose nothing changes here: a caller states the use and the facts.
"""

from dataclasses import dataclass

from firsthand.consent.terms.agreements import Consent
from firsthand.consent.terms.vocabulary import MODIFIERS, Use


@dataclass(frozen=True)
class Facts:
    """What is known of one person at one point in the log."""

    status: str
    consents: tuple[Consent, ...]
    answer: str  # to the run in question: yes | no | silent; "self" where the person asks
    erased: bool = False


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
        return Decision(False, (f"the person is {facts.status}",))
    if facts.answer not in ("yes", "self"):
        said = "said no to this run" if facts.answer == "no" else "has not answered: silence is no"
        return Decision(False, (f"the person {said}",))
    if not use.permissions:
        return Decision(False, ("the use names no purpose",))
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
        if permission not in consent.permissions:
            continue
        unmet = [code for code in consent.modifiers if not _met(code, use)]
        if consent.withdrawn_ns is not None:
            why = f"consent to {permission} was withdrawn"
        elif not consent.holds(now_ns):
            why = f"consent to {permission} has expired or not begun"
        elif unmet:
            why = f"consent to {permission} asks for {unmet[0]}, which this use does not meet"
        else:
            return consent, ""
    return None, why


def _met(code: str, use: Use) -> bool:
    # A modifier that this version does not know is not met: it never permits more.
    return code in MODIFIERS and MODIFIERS[code][1](use)
