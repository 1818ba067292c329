"""The words of permitted use: permission codes and the modifiers that are conditions on them.

GA4GH Data Use Ontology (DUO) codes where one fits, and the extension `fh:` for what DUO has no
word for. A permission says what may be done; a modifier narrows it and never permits more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from firsthand.errors import Usage

PERMISSIONS = {
    "fh:train-general-model": "train a model of many people",
    "fh:train-person-model": "train a model of this one person",
    "fh:emulate-self": "run this person's model for the person",
    "fh:emulate-by-others": "let others run this person's model",
    "fh:human-view": "let other people look at the footage",
    "fh:biometric-derivation": "derive face or voice templates",
    "fh:publish-clips": "publish excerpts",
    "fh:commercial": "use that earns money",
}


@dataclass(frozen=True)
class Use:
    """What a run is, as far as modifiers ask: its purposes, money, ethics approval, end."""

    permissions: frozenset[str]
    commercial: bool = False
    ethics_approval: str = ""
    ends_ns: int = 0

    @property
    def earns(self) -> bool:
        """Whether the use is commercial, by its own word or by a purpose it names."""
        return self.commercial or "fh:commercial" in self.permissions


MODIFIERS: dict[str, tuple[str, Callable[[Use], bool]]] = {
    "DUO:0000046": ("non-commercial use only", lambda use: not use.earns),
    "DUO:0000021": ("ethics approval required", lambda use: bool(use.ethics_approval.strip())),
    "DUO:0000025": ("time limit: the run must say when it ends", lambda use: use.ends_ns > 0),
}


def check_permissions(codes: Iterable[str]) -> list[str]:
    """The permission codes, sorted, `fh:` added where left out; Usage on an unknown or none."""
    full = sorted({code if ":" in code else f"fh:{code}" for code in codes})
    return _check(full, PERMISSIONS, "permission")


def check_modifiers(codes: Iterable[str]) -> list[str]:
    """The modifier codes, sorted; Usage on an unknown one."""
    listed = sorted(set(codes))
    return _check(listed, MODIFIERS, "modifier") if listed else []


def _check(codes: list[str], known: Iterable[str], what: str) -> list[str]:
    unknown = [code for code in codes if code not in known]
    if unknown or not codes:
        name = repr(unknown[0]) if unknown else "missing"
        raise Usage(f"{what} {name} is not one of ours", f"known: {', '.join(known)}")
    return codes
