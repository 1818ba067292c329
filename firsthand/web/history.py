"""A person's log in words: who touched what of theirs, and when, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log
from firsthand.consent.capture.zones import MARKED
from firsthand.consent.terms.vocabulary import words
from firsthand.vault.catalog import segments
from firsthand.web.page import clock, when

BATCH = 400
# A page ends after so many entries were looked at, however few of them it shows.
MOST = 8000


@dataclass(frozen=True)
class Line:
    """One thing that happened, in words; `index` and `last` are the log entries it covers."""

    time_ns: int
    text: str
    index: int
    last: int


def history(
    connection: Connection, person: str, before: int | None = None, count: int = 30
) -> tuple[list[Line], int | None]:
    """Up to `count` lines from before a log entry on, and where the next page goes on.

    Stored segments are left out: the days show them. Readings in a row for one reason are one line.
    """
    lines: list[Line] = []
    reads: list[log.Entry] = []
    seen = None
    for number, entry in enumerate(_newest_first(connection, person, before)):
        alike = not reads or _reader(entry) == _reader(reads[-1])
        if entry.kind != "read" or not alike:
            lines += _reading(connection, reads)
            reads = []
        if len(lines) >= count or number >= MOST:
            return lines + _reading(connection, reads), seen
        seen = entry.index
        if entry.kind == "read":
            reads.append(entry)
        elif not entry.kind.endswith("_stored"):
            lines.append(Line(entry.time_ns, _words(entry), entry.index, entry.index))
    return lines + _reading(connection, reads), None


def _newest_first(connection: Connection, person: str, before: int | None) -> Iterator[log.Entry]:
    table = log.entries
    while True:
        query = sa.select(table.c.index).where(table.c.person == person)
        if before is not None:
            query = query.where(table.c.index < before)
        found = connection.scalars(query.order_by(table.c.index.desc()).limit(BATCH)).all()
        if not found:
            return
        batch = []
        for entry in log.read(connection, person, start=found[-1]):
            if entry.index > found[0]:
                break
            batch.append(entry)
        yield from reversed(batch)
        before = found[-1]


def _reader(entry: log.Entry) -> tuple[str, str]:
    private = entry.private or {}
    return str(private.get("who", "")), str(private.get("why", ""))


def _reading(connection: Connection, reads: list[log.Entry]) -> list[Line]:
    """One line for readings in a row, newest first; none for none."""
    if not reads:
        return []
    who, why = _reader(reads[0])
    asked = {str((entry.private or {}).get("segment", "")) for entry in reads}
    parts: dict[str, int] = {}
    for entry in reads:
        name = str((entry.private or {}).get("part", "part"))
        parts[name] = parts.get(name, 0) + 1
    what = ", ".join(_count(number, name) for name, number in sorted(parts.items()))
    names = {"self": "the wearer's pages", "keeper": "the vault's keeper"}
    name = names.get(who, who or "somebody")
    reason = f" ({why})" if why and who != "self" else ""
    text = f"{name}{reason} opened {what}{_taken_at(connection, sorted(asked))}"
    return [Line(reads[0].time_ns, text, reads[-1].index, reads[0].index)]


def _taken_at(connection: Connection, asked: list[str]) -> str:
    first, last = sa.func.min(segments.c.start_ns), sa.func.max(segments.c.stop_ns)
    row = connection.execute(sa.select(first, last).where(segments.c.id.in_(asked[:500]))).one()
    if row[0] is None:
        return ""
    return f", recorded {when(row[0])} to {clock(row[1])}"


def _listed(days: object) -> str:
    return ", ".join(map(str, days)) if isinstance(days, list) else str(days)


def _place(fields: dict[str, Any]) -> str:
    label, kind = str(fields.get("label", "?")), str(fields.get("kind", "?"))
    # What a place is called stands in an entry of its own; older vaults wrote it here.
    return f"{fields.get('zone')} ({kind})" if label.startswith(MARKED) else f"{label} ({kind})"


def _posted(fields: dict[str, Any]) -> str:
    what = {"hours": f"wearing on {fields.get('day')}", "bonus": "deciding on a run"}
    kind = str(fields.get("kind"))
    return f"earned for {what[kind]}" if kind in what else "paid out"


def _erased(fields: dict[str, Any]) -> str:
    named = fields.get("segments")
    what = _count(len(named), "segment") if isinstance(named, list) else "everything"
    return f"erasure of {what} ordered"


def _count(number: int, name: str) -> str:
    if name == "still":
        return f"{number} still{'s' if number > 1 else ''}"
    if name in ("motion", "events"):
        return f"{name} of {number} segment{'s' if number > 1 else ''}"
    return f"{number} {name}{'s' if number > 1 else ''}"


def _words(entry: log.Entry) -> str:
    fields: dict[str, Any] = entry.public | (entry.private or {})

    def get(name: str) -> str:
        return str(fields.get(name, "?"))

    if entry.kind in ("withheld", "erasure_ordered", "wanted") and isinstance(
        fields.get("start_ns"), int
    ):
        span = f"{when(fields['start_ns'])} to {when(fields['stop_ns'])}"
        done = {"erasure_ordered": "erasure ordered of", "wanted": "asked first for"}
        return f"{done.get(entry.kind, entry.kind)} {span}"
    if entry.kind == "consent_given":
        given = ", ".join(words(code) for code in fields.get("permissions", ()))
        return f"consent {get('id')} given: {given}"
    if entry.kind == "consent_refused":
        return f"said no to: {', '.join(words(code) for code in fields.get('permissions', ()))}"
    sentences = {
        "person_added": "enrolled",
        "person_withdrawn": "left the programme",
        "attested": "said that they are of age, and speak for themselves",
        "quiz_taken": f"quiz: {get('right')} of {get('asked')} right",
        "consent_expired": f"consent {get('consent')} ran out",
        "pause_asked": f"device {get('device')} asked to pause",
        "device_enrolled": f"device {get('device')} enrolled",
        "consent_withdrawn": f"consent {get('consent')} withdrawn",
        "ballot_cast": f"answered {get('choice')} to run {get('run')}",
        "rule_set": f"standing answer set: {words(get('permission'))}: {get('choice')}",
        "withhold_lifted": f"withheld interval {get('withhold')} lifted",
        "erasure_ordered": _erased(fields),
        "zone_said": f"place said: {_place(fields)}",
        "zone_named": f"place {get('zone')} is called {get('label')}",
        "zone_ended": f"place {get('zone')} ended",
        "work_permitted": f"recording at work is permitted ({get('permit')})",
        "employer_named": f"{get('employer')} permits it, signed by {get('signed_by')}"
        + (f": {get('label')}" if "label" in fields else ""),
        "permit_revoked": f"permission {get('permit')} ended",
        "review_window_set": f"review window set to {get('days')} days",
        "days_reviewed": f"looked at {_listed(fields.get('days'))}",
        "bystander_hold": "a bystander asked: this time is hidden until you decide",
        "bystander_decided": f"bystander's request decided: {get('decision')}",
        "decision_reviewed": f"{get('reviewer')} looked at a bystander's request too",
        "access_given": f"access key {get('name')} given",
        "access_revoked": f"access key {get('name')} revoked",
        "view_asked": f"{get('who')} asks to see your footage: {get('reason')}",
        "glass_broken": f"{get('who')} broke the glass to see your footage: {get('reason')}",
        "view_approved": f"{get('who')} approved view {get('view')}",
        "view_answered": f"answered {get('choice')} to view {get('view')}",
        "view_granted": f"view {get('view')} is open",
        "ledger_posted": _posted(fields),
        "directive_set": "said what is to be after their death",
        "death_attested": f"{get('attestor')} attested a death",
        "death_denied": f"lives: {get('why')}",
        "directive_used": f"{get('who')} used the directive: {get('act')}",
        "agreement_signed": f"agreement {get('agreement')} signed, to text {get('text_version')}",
        "agreement_ended": f"agreement {get('agreement')} ended",
        "quarantine_freed": "footage let out of quarantine",
        "freeing_reviewed": f"{get('reviewer')} let it out",
        "incident_noted": f"{get('noted_by')} noted an incident ({get('kind')}): {get('words')}",
        "data_valued": f"{get('who')} asked what the people of release {get('release')} add",
        "counsel_told": f"{get('who')} took out what counsel asks for: {get('why')}",
        "trait_said": f"said of themselves: {get('dimension')}",
        "trait_taken_back": f"took back what was said: {get('dimension')}",
        "file_keys_given": "footage handed over, sealed to their own key",
        "personal_key_set": "own key registered",
        "session_placed": "the time of what was recorded without a clock was found",
        "erasure_undone": f"erasure {get('order')} undone",
    }
    return sentences.get(entry.kind, entry.kind.replace("_", " "))
