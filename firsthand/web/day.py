"""One day of a person: a strip of hours, the minutes of one hour with stills, and playback.

The address is the time: ?at=08:03:20.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from firsthand.consent import people
from firsthand.consent.capture import bystanders, review, withhold
from firsthand.segment import iter_events
from firsthand.vault import ask, catalog
from firsthand.vault.account import Stretch, account
from firsthand.vault.account import waiting as on_cards
from firsthand.vault.vault import Vault
from firsthand.web import charts, timeline
from firsthand.web.body import read_form
from firsthand.web.footage import quarantined_from
from firsthand.web.page import asker_of, back_to, clock, date, render
from firsthand.web.person import span_of

router = APIRouter(include_in_schema=False)
Form = Annotated[dict[str, str], Depends(read_form)]
MINUTE_NS = 60 * 10**9


@dataclass(frozen=True)
class Minute:
    """One segment as the film strip shows it."""

    id: str
    at: str
    still: bool
    withheld: bool
    current: bool


@dataclass(frozen=True)
class Event:
    """One label: when, as wall-clock ns and as seconds into its segment, and what."""

    start_ns: int
    offset_s: float
    text: str


@router.post("/people/{person}/days/{day}/want")
def want(request: Request, person: str, day: str, form: Form) -> Response:
    """Asks for an interval of this day first, or takes that back."""
    vault: Vault = request.app.state.vault
    with vault.db.write() as connection:
        found = people.find(connection, person)
        if "drop" in form:
            ask.take_back(connection, found, form["drop"])
        else:
            times = [timeline.parse_time(day, form.get(name, "")) for name in ("start", "stop")]
            ask.want(connection, found, times[0], times[1], vault.now_ns())
    return back_to(f"/people/{person}/days/{day}#want")


@router.get("/people/{person}/days/{day}")
def day_page(
    request: Request, person: str, day: str, at: str | None = None, since: str = "", kept: str = ""
) -> Response:
    """One day; without a time it begins with the first minute recorded.

    `since` is where the wearer began to keep back, `kept` what they have just kept back.
    """
    vault: Vault = request.app.state.vault
    asker = asker_of(request)
    start_ns = timeline.day_start(day)
    stop_ns = start_ns + timeline.DAY_NS
    with vault.db.read() as connection:
        found = people.find(connection, person)
        segments = list(catalog.of_person(connection, found.id, start_ns, stop_ns))
        announced = on_cards(connection, found.id, vault.now_ns())
        stretches = account(connection, found.id, start_ns, stop_ns, announced)
        days = [row[0] for row in catalog.days(connection, found.id)]
        kept_back: list[Any] = list(withhold.of(connection, found.id))
        kept_back += bystanders.held(connection, found.id)
        alone = quarantined_from(connection, asker, found.id, start_ns, stop_ns)
        shut = [*kept_back, *alone]
        in_review = [each for each in review.of(connection, found.id) if each.day == day]
        wanted = ask.wanted(connection, found.id, vault.now_ns())
    now_ns = vault.now_ns()
    waiting = [each for each in stretches if each.kind == "waiting"]
    at_ns = timeline.parse_time(day, at) if at else _begin(segments, start_ns)
    current = next((s for s in segments if s.start_ns <= at_ns < s.stop_ns), None)
    hour_ns = start_ns + (at_ns - start_ns) // timeline.HOUR_NS * timeline.HOUR_NS
    shown = current or _nothing_at(at_ns)
    since_ns = timeline.parse_time(day, since) if since else shown.start_ns
    first = next((s for s in segments if s.start_ns <= since_ns < s.stop_ns), shown)
    events = []
    withheld = current is not None and _kept(current, shut)
    if current is not None and not withheld and "events" in _parts(current):
        events = _events(request.app.state.opened.read(current, "events", asker), current)
    hours = timeline.hours_of([*stretches, Stretch("off", at_ns, at_ns + 1)], start_ns)
    return render(
        "day.html",
        person=found,
        day=day,
        previous_day=max((each for each in days if each < day), default=None),
        next_day=min((each for each in days if each > day), default=None),
        at_ns=at_ns,
        current=current,
        has_video=current is not None and "video" in _parts(current),
        offset_s=(at_ns - shown.start_ns) / 1e9,
        withheld=withheld,
        alone=current is not None and _kept(current, alone),
        here=[each for each in stretches if each.start_ns <= at_ns < each.stop_ns],
        events=events,
        before=_clock_of([s for s in segments if s.stop_ns <= shown.start_ns][-1:]),
        after=_clock_of([s for s in segments if s.start_ns >= shown.stop_ns][:1]),
        minutes=[
            Minute(
                each.id,
                clock(max(each.start_ns, start_ns)),
                "still" in _parts(each),
                _kept(each, shut),
                each is current,
            )
            for each in segments
            if hour_ns <= max(each.start_ns, start_ns) < hour_ns + timeline.HOUR_NS
        ],
        hour=clock(hour_ns)[:5],
        hour_strip=_hour_strip(stretches, segments, hour_ns, at_ns),
        day_strip=_day_strip(stretches, start_ns, hours, at_ns, day),
        hours=range(*hours),
        first_hour=hours[0],
        last_hour=hours[1],
        waiting=waiting,
        gaps=sorted(
            (each for each in stretches if each.kind not in ("recorded", "waiting")),
            key=lambda each: each.start_ns,
        ),
        wanted=[each for each in wanted if each.start_ns < stop_ns and each.stop_ns > start_ns],
        withhold_from=_local(day, min(first.start_ns, shown.start_ns)),
        withhold_to=_local(day, max(first.stop_ns, shown.stop_ns)),
        since=clock(since_ns) if since else "",
        kept=next((each for each in kept_back if each.id == kept), None),
        review=next((each for each in in_review if each.in_review(now_ns)), None),
    )


def _begin(segments: list[catalog.Segment], start_ns: int) -> int:
    return max(segments[0].start_ns, start_ns) if segments else start_ns


def _nothing_at(at_ns: int) -> Stretch:
    begin = at_ns - at_ns % MINUTE_NS
    return Stretch("off", begin, begin + MINUTE_NS)


def _parts(segment: catalog.Segment) -> set[str]:
    return {part["name"] for part in segment.record["parts"]}


def _kept(segment: catalog.Segment, kept_back: Any) -> bool:
    return any(w.start_ns < segment.stop_ns and w.stop_ns > segment.start_ns for w in kept_back)


def _clock_of(one: list[catalog.Segment]) -> str | None:
    return clock(one[0].start_ns) if one else None


def _events(data: bytes, segment: catalog.Segment) -> list[Event]:
    """The labels of a segment by time; faces are boxes for the scrubber, not labels."""
    found = []
    boot_ns = segment.record["boot_ns_start"]
    for row in iter_events(data):
        fields = row["fields"]
        # As one says it, verb first; any other field after.
        names = [name for name in ("verb", "noun") if name in fields]
        names += sorted(name for name in fields if name not in ("verb", "noun", "face"))
        if names:
            offset_ns = row["start_ns"] - boot_ns
            text = " ".join(str(fields[name]) for name in names)
            found.append(Event(segment.start_ns + offset_ns, max(offset_ns, 0) / 1e9, text))
    return sorted(found, key=lambda event: event.start_ns)


def _hour_strip(
    stretches: list[Stretch],
    segments: list[catalog.Segment],
    hour_ns: int,
    at_ns: int,
) -> str:
    """The hour, each segment a link to its time."""
    spans = [
        charts.Span(
            "recorded apart",
            each.start_ns,
            each.stop_ns,
            f"{clock(each.start_ns)} recorded",
            f"?at={clock(each.start_ns)}",
        )
        for each in segments
    ]
    spans += [span_of(each) for each in stretches if each.kind != "recorded"]
    stop_ns = hour_ns + timeline.HOUR_NS
    ticks = [hour_ns + minute * MINUTE_NS for minute in range(10, 60, 10)]
    label = f"the hour from {clock(hour_ns)[:5]}"
    return charts.strip(spans, hour_ns, stop_ns, label=label, height=40, mark=at_ns, ticks=ticks)


def _day_strip(
    stretches: list[Stretch], start_ns: int, hours: tuple[int, int], at_ns: int, day: str
) -> str:
    begin, end = (start_ns + hour * timeline.HOUR_NS for hour in hours)
    return charts.strip(
        [span_of(each) for each in stretches],
        begin,
        end,
        label=f"{date(day)} from {hours[0]} to {hours[1]} o'clock",
        mark=at_ns,
        ticks=[start_ns + hour * timeline.HOUR_NS for hour in range(hours[0] + 1, hours[1])],
    )


def _local(day: str, time_ns: int) -> str:
    """A time as a datetime-local field holds it."""
    return f"{catalog.day_of(time_ns)}T{clock(time_ns)}"
