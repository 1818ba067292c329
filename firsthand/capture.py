"""What may be recorded at a time: one pure function over law, the wearer's places and permissions.

The device asks it through its signed policy, and the vault asks it again before anything is
released or shown. Each rule only takes away, so adding one never allows more; the unknown is off.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from firsthand.errors import Damaged

SECOND_NS = 10**9
# Clocks are off by seconds and people by minutes: a place begins so much before and ends so much
# after what was said of it.
BORDER_NS = 60 * SECOND_NS
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FOREVER_NS = 2**62  # the stop of what has none: the year 2116
UNREVIEWED = "unreviewed"  # as a row's reviewer: it may forbid, and permits nothing


@dataclass(frozen=True)
class Law:
    """One reviewed row of recording law; it holds from the day `as_of` until the day `expires`."""

    jurisdiction: str
    audio: str  # whose consent it takes to record talk: one | all | mixed
    video: str  # yes | no
    closed_places: str  # kinds of place, by spaces, where this law allows no pictures
    source: str
    as_of: str
    reviewer: str
    expires: str

    def holds(self, time_ns: int) -> bool:
        """Whether it is in force on the day of this time (UTC)."""
        return self.as_of <= _day(time_ns) < self.expires


@dataclass(frozen=True)
class Zone:
    """When a wearer is at a place, by their own word, and what such a place allows at most."""

    kind: str
    label: str
    audio: bool
    video: bool
    permission: bool  # an employer's is needed here
    start_ns: int
    stop_ns: int
    days: str = ""  # by spaces; empty: all the time from start_ns to stop_ns
    from_min: int = 0  # of the local day
    to_min: int = 0  # not after from_min: on the next day
    tz: str = "UTC"
    jurisdiction: str = ""  # whose law holds there too, if it is another

    def stays(self, start_ns: int, stop_ns: int) -> Iterator[tuple[int, int]]:
        """The intervals that touch this one, each with its border, in order."""
        for begin, end in self._stays(start_ns, stop_ns):
            begin, end = max(begin, self.start_ns) - BORDER_NS, min(end, self.stop_ns) + BORDER_NS
            if begin < stop_ns and end > start_ns and begin + 2 * BORDER_NS < end:
                yield begin, end

    def _stays(self, start_ns: int, stop_ns: int) -> Iterator[tuple[int, int]]:
        if not self.days:
            yield self.start_ns, self.stop_ns
            return
        try:
            zone = ZoneInfo(self.tz)
        except (KeyError, OSError, ValueError):
            # Nobody here knows this time zone: it may be any hour there.
            yield self.start_ns, self.stop_ns
            return
        day = _date(max(start_ns, self.start_ns)) - timedelta(3)
        last = _date(min(stop_ns, self.stop_ns)) + timedelta(2)
        overnight = 1440 if self.to_min <= self.from_min else 0
        while day <= last:
            if DAYS[day.weekday()] in self.days.split():
                midnight = datetime.combine(day, time(), zone)
                begin = midnight + timedelta(minutes=self.from_min)
                end = midnight + timedelta(minutes=self.to_min + overnight)
                yield int(begin.timestamp()) * SECOND_NS, int(end.timestamp()) * SECOND_NS
            day += timedelta(1)


@dataclass(frozen=True)
class Permit:
    """An employer's written permission for one place of work."""

    label: str  # of the zone that it is for
    audio: bool  # whether it is for sound too
    start_ns: int
    stop_ns: int


@dataclass(frozen=True)
class Rules:
    """All that bears on one wearer."""

    jurisdiction: str
    laws: tuple[Law, ...] = ()
    zones: tuple[Zone, ...] = ()
    permits: tuple[Permit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Rules":
        """The reverse; Damaged if it is anything else."""
        try:
            return cls(
                str(data["jurisdiction"]),
                tuple(Law(**row) for row in data["laws"]),
                tuple(Zone(**row) for row in data["zones"]),
                tuple(Permit(**row) for row in data["permits"]),
            )
        except (KeyError, TypeError) as error:
            raise Damaged(f"these rules of capture cannot be read: {error}") from error


@dataclass(frozen=True)
class Capture:
    """Whether sound and pictures may be recorded, and why not."""

    audio: bool
    video: bool
    reasons: tuple[str, ...]


def may_capture(rules: Rules, time_ns: int | None) -> Capture:
    """What may be recorded at this time; where nobody knows the time, what may be at any.

    Then every place of the wearer's calendar may be where they are.
    """
    if time_ns is None:
        here = list(rules.zones)
    else:
        here = [zone for zone in rules.zones if any(zone.stays(time_ns, time_ns + 1))]
    no_sound = [] if time_ns is not None else ["the time is not known"]
    no_pictures = []
    for place in dict.fromkeys([rules.jurisdiction, *filter(None, (z.jurisdiction for z in here))]):
        law = _law(rules.laws, place, time_ns)
        no_sound += _no_sound(place, law, time_ns)
        if law is not None and law.video != "yes":
            no_pictures.append(f"the law of {place} allows no pictures")
        banned = law.closed_places.split() if law else []
        no_pictures += [f"{each.kind}: no pictures there in {place}" for each in here
                        if each.kind in banned]  # fmt: skip
    for zone in here:
        permits = [
            permit
            for permit in rules.permits
            if permit.label == zone.label
            and time_ns is not None
            and permit.start_ns <= time_ns < permit.stop_ns
        ]
        if not zone.audio:
            no_sound.append(f"{zone.kind}: no sound")
        if not zone.video:
            no_pictures.append(f"{zone.kind}: no pictures")
        if zone.permission and not permits:
            no_pictures.append(f"{zone.kind}: no employer's permission")
        if zone.permission and not any(permit.audio for permit in permits):
            no_sound.append(f"{zone.kind}: no employer's permission for sound")
    # Where no picture may be taken, nothing is listened to either.
    reasons = tuple(dict.fromkeys([*no_pictures, *no_sound]))
    return Capture(not (no_sound or no_pictures), not no_pictures, reasons)


def spans(rules: Rules, start_ns: int, stop_ns: int) -> list[tuple[int, int, Capture]]:
    """An interval cut into stretches, and what `may_capture` says of each; neighbours differ."""
    edges = {start_ns, *_edges(rules, start_ns, stop_ns)}
    found: list[tuple[int, int, Capture]] = []
    ordered = [edge for edge in sorted(edges) if start_ns <= edge < stop_ns]
    for begin, end in zip(ordered, [*ordered[1:], stop_ns], strict=True):
        capture = may_capture(rules, begin)
        if found and found[-1][2] == capture:
            found[-1] = (found[-1][0], end, capture)
        else:
            found.append((begin, end, capture))
    return found


def _edges(rules: Rules, start_ns: int, stop_ns: int) -> Iterator[int]:
    for law in rules.laws:
        yield from (_midnight(law.as_of), _midnight(law.expires))
    for permit in rules.permits:
        yield from (permit.start_ns, permit.stop_ns)
    for zone in rules.zones:
        for stay in zone.stays(start_ns, stop_ns):
            yield from stay


def _law(laws: Iterable[Law], place: str, time_ns: int | None) -> Law | None:
    """The newest row of a place that had begun by then; of several places' none is guessed."""
    day = None if time_ns is None else _day(time_ns)
    rows = [law for law in laws if law.jurisdiction == place and (day is None or law.as_of <= day)]
    return max(rows, key=lambda law: law.as_of, default=None)


def _no_sound(place: str, law: Law | None, time_ns: int | None) -> list[str]:
    name = place or "an unknown place"
    if law is None:
        return [f"no rule of law is known for {name}"]
    if time_ns is not None and not law.holds(time_ns):
        return [f"the rule of law of {name} has expired"]
    if law.reviewer == UNREVIEWED:
        return [f"the rule of law of {name} was not reviewed"]
    if law.audio != "one":
        return [f"the law of {name} asks for everyone's consent to sound"]
    return []


def _date(time_ns: int) -> date:
    # Beyond the years that a date can hold there is no calendar to look at.
    seconds = max(0, min(time_ns // SECOND_NS, 253_300_000_000))
    return datetime.fromtimestamp(seconds, UTC).date()


def _day(time_ns: int) -> str:
    return _date(time_ns).isoformat()


def _midnight(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()) * SECOND_NS
