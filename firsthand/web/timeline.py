"""A person's day as stretches of time: what was recorded, and why there is nothing elsewhere.

What is known of it stands in vault/account.py; here are the days, hours and times of a page.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from firsthand.errors import NotFound, Usage
from firsthand.vault.account import STOPPED, Stretch

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
KINDS = {
    "recorded": "recorded",
    "waiting": "on the card, not home yet",
    "withheld": "withheld by the wearer",
    "deleted": "deleted",
    "off": "not recorded",
    "failed": "failed",
}
REASONS = {
    "place": "no pictures may be taken there",
    "power": "the power was cut",
    "cut": "cut off",
    "killed": "the recorder was cut off",
    "stopped": "the recorder was stopped",
    "full": "the card was full",
    "card": "the card failed",
    "stalled": "the camera gave no pictures",
    "lost": "the camera was lost",
    "hot": "too hot",
    "battery": "the battery was low",
}


def day_start(day: str) -> int:
    """Where a UTC day written 2026-11-01 begins, in ns; NotFound if it is no day."""
    try:
        at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise NotFound(f"there is no day {day!r}", "days are written 2026-11-01") from None
    return int(at.timestamp()) * 10**9


def parse_time(day: str, text: str) -> int:
    """A time of day written 08:03 or 08:03:20 as wall-clock ns; Usage."""
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            at = datetime.strptime(text, form)
        except ValueError:
            continue
        return day_start(day) + (at.hour * 3600 + at.minute * 60 + at.second) * 10**9
    raise Usage(f"there is no time {text!r}", "times are written 08:03:20")


def hours_of(found: Sequence[Stretch], start_ns: int) -> tuple[int, int]:
    """First and last hour (stop excluded) of a day that hold anything; the whole day if none."""
    if not found:
        return 0, 24
    found = [each for each in found if each.reason != STOPPED] or found
    first = min((each.start_ns - start_ns) % DAY_NS // HOUR_NS for each in found)
    last = max(-(-((each.stop_ns - start_ns - 1) % DAY_NS + 1) // HOUR_NS) for each in found)
    return int(first), int(max(last, first + 1))


def touches(start_ns: int, stop_ns: int, found: Iterable[Stretch], kind: str) -> bool:
    """Whether an interval meets a stretch of this kind."""
    return any(
        each.kind == kind and each.start_ns < stop_ns and each.stop_ns > start_ns for each in found
    )


def why(reason: str) -> str:
    """The reason of a gap in words; a reason that nobody wrote down for a page stands as it is."""
    return REASONS.get(reason, reason)
