"""The words of permitted use: permission codes and the modifiers that are conditions on them.

GA4GH Data Use Ontology (DUO) codes, and the extension `fh:` for what DUO has no word for, as rows
of data/codes.csv. A permission says what may be done, and with it all below it in the hierarchy; a
modifier narrows it and never permits more. A code may hold values: `DUO:0000022=BE,NL`.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

from firsthand.errors import Usage

MONTH_NS = 30 * 86_400 * 10**9
STREAMS = ("video", "motion", "sound", "events")


@dataclass(frozen=True)
class Code:
    """One row: what a code means, what it stands under, and when a condition is met."""

    code: str
    shorthand: str
    label: str
    kind: str  # permission | modifier | class
    parent: str
    rule: str  # of a modifier: a key of _RULES
    value: str  # what its values are; with ? they may be left out
    excludes: str
    plain: str  # what it means, to whoever is asked for it


@dataclass(frozen=True)
class Use:
    """What a run is, as far as modifiers ask: its purposes, money, approval, times, promises."""

    permissions: frozenset[str]
    commercial: bool = False
    ethics_approval: str = ""  # one that holds at the moment of the decision
    ends_ns: int = 0
    starts_ns: int = 0
    offers: frozenset[str] = frozenset()  # modifiers that it binds itself to, with values
    streams: frozenset[str] = frozenset(STREAMS)

    @property
    def earns(self) -> bool:
        """Whether the use is commercial, by its own word or by a purpose it names."""
        return self.commercial or "fh:commercial" in self.permissions


def _read() -> dict[str, Code]:
    file = files("firsthand.consent.terms") / "data" / "codes.csv"
    with file.open(encoding="utf-8") as rows:
        return {row["code"]: Code(**row) for row in csv.DictReader(rows)}


CODES = _read()
# What this project asks people, and the fields of research that DUO has words for.
PERMISSIONS = {
    name: code.label
    for name, code in CODES.items()
    if code.kind == "permission" and name.startswith("fh:")
}
RESEARCH = {
    name: code.label
    for name, code in CODES.items()
    if code.kind == "permission" and name not in PERMISSIONS
}
MODIFIERS = {name: code.label for name, code in CODES.items() if code.kind == "modifier"}
_SHORT = {code.shorthand: name for name, code in CODES.items() if code.shorthand}


def split(code: str) -> tuple[str, frozenset[str]]:
    """The code itself, and its values."""
    name, _, values = code.partition("=")
    return name, frozenset(values.split(",")) if values else frozenset()


def words(code: str) -> str:
    """A permission or modifier in words; itself if it is unknown."""
    name, values = split(code)
    label = CODES[name].label if name in CODES else name
    return f"{label} ({', '.join(sorted(values))})" if values else label


def covers(permission: str, purpose: str) -> bool:
    """Whether a permission contains a purpose: it is the same, or stands above it."""
    (given, limits), (wanted, values) = split(permission), split(purpose)
    if given not in CODES or CODES[given].kind != "permission":
        return False
    if given == wanted:
        return bool(values) and values <= limits if CODES[given].value else permission == purpose
    return given in _above(wanted)


def is_met(modifier: str, use: Use) -> bool:
    """Whether a condition holds for a use; one that this version does not know never does."""
    name, values = split(modifier)
    code = CODES.get(name)
    if code is None or code.kind != "modifier" or code.rule not in _RULES:
        return False
    if not _fits(code, values):
        return False
    return _RULES[code.rule](code, values, use)


def check_permissions(codes: Iterable[str]) -> list[str]:
    """The permission codes, sorted, in full; Usage on an unknown or none."""
    return _check(codes, "permission", {**PERMISSIONS, **RESEARCH})


def check_modifiers(codes: Iterable[str]) -> list[str]:
    """The modifier codes, sorted, in full; Usage on an unknown one."""
    listed = list(codes)
    return _check(listed, "modifier", MODIFIERS) if listed else []


def check_offers(codes: Iterable[str]) -> list[str]:
    """What a run binds itself to, as modifiers with values; Usage where one can't be offered."""
    listed = check_modifiers(codes)
    for code in listed:
        row = CODES[split(code)[0]]
        if row.rule not in ("within", "promised", "from") or row.value == "streams":
            raise Usage(f"{code} is nothing to offer: {row.label}", "it follows from the proposal")
    return listed


def check_streams(names: Iterable[str]) -> list[str]:
    """The streams in their fixed order; Usage on an unknown or none."""
    asked = set(names)
    if not asked or not asked <= set(STREAMS):
        odd = min(asked - set(STREAMS), default="missing")
        raise Usage(f"stream {odd} is not one of ours", f"known: {', '.join(STREAMS)}")
    return [name for name in STREAMS if name in asked]


def _check(codes: Iterable[str], kind: str, known: dict[str, str]) -> list[str]:
    listed = sorted({_full(code) for code in codes})
    for code in listed or [""]:
        name, values = split(code)
        if name not in known:
            given = repr(code) if code else "missing"
            raise Usage(f"{kind} {given} is not one of ours", f"known: {', '.join(known)}")
        row = CODES[name]
        if not _fits(row, values):
            wanted = row.value.rstrip("?") or "no value"
            raise Usage(f"{kind} {code} is not complete", f"{row.label}: {_example(row, wanted)}")
    return listed


def _example(row: Code, wanted: str) -> str:
    return f"write {row.code}={wanted.replace(' ', '-')}" if row.value else f"write {row.code}"


def _full(code: str) -> str:
    name, equals, values = code.partition("=")
    name = _SHORT.get(name, name)
    name = name if ":" in name or not name else f"fh:{name}"
    listed = sorted({value.strip() for value in values.split(",")} - {""})
    return name + equals + ",".join(listed)


def _fits(code: Code, values: frozenset[str]) -> bool:
    """Whether the values are of the kind that the code takes."""
    if not values:
        return not code.value or code.value.endswith("?")
    if not code.value or not all(value.isprintable() and len(value) <= 80 for value in values):
        return False
    if code.value == "streams":
        return values <= set(STREAMS)
    if code.rule == "months":
        return len(values) == 1 and all(v.isascii() and v.isdigit() and int(v) for v in values)
    if code.rule == "from":
        return len(values) == 1 and all(map(_is_date, values))
    return True


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _above(name: str) -> set[str]:
    above: set[str] = set()
    while name in CODES and CODES[name].parent:
        name = CODES[name].parent
        above.add(name)
    return above


def _offered(code: Code, use: Use) -> set[str]:
    """The values that a use binds itself to under this code."""
    found: set[str] = set()
    for offer in use.offers:
        name, values = split(offer)
        if name == code.code and _fits(code, values):
            found |= values
    return found


def _within(code: Code, values: frozenset[str], use: Use) -> bool:
    mine = set(use.streams) if code.value == "streams" else _offered(code, use)
    return bool(mine) and mine <= values


def _promised(code: Code, values: frozenset[str], use: Use) -> bool:
    return code.code in use.offers


def _from(code: Code, values: frozenset[str], use: Use) -> bool:
    mine = _offered(code, use)
    return bool(mine) and min(mine) >= max(values)  # dates as text are in order


def _months(code: Code, values: frozenset[str], use: Use) -> bool:
    if use.ends_ns <= 0 or not values:
        return use.ends_ns > 0
    return use.ends_ns - use.starts_ns <= int(min(values)) * MONTH_NS


def _excludes(code: Code, values: frozenset[str], use: Use) -> bool:
    """A use for something wider than what is excluded could do it too."""
    barred = set(code.excludes.split())
    wider = set().union(*(_above(name) for name in barred))
    return not any(split(purpose)[0] in barred | wider for purpose in use.permissions)


_RULES: dict[str, Callable[[Code, frozenset[str], Use], bool]] = {
    "within": _within,
    "promised": _promised,
    "from": _from,
    "months": _months,
    "excludes": _excludes,
    "approved": lambda code, values, use: bool(use.ethics_approval.strip()),
    "non-commercial": lambda code, values, use: not use.earns,
    "not-for-profit non-commercial": lambda code, values, use: (
        not use.earns and "DUO:0000045" in use.offers
    ),
}
