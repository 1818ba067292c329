"""What every page shares: the templates, how times and sizes are written, forms, errors."""

from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from firsthand.consent.access.askers import KEEPER, Asker
from firsthand.consent.terms.vocabulary import words
from firsthand.errors import Error, Usage
from firsthand.web import charts
from firsthand.web.timeline import KINDS, why

# Who looks at the page that is being made; the guard says so.
ASKER: ContextVar[Asker] = ContextVar("asker", default=KEEPER)
HERE = Path(__file__).parent
DAY_NS = 86_400 * 10**9


def clock(time_ns: int) -> str:
    """A wall-clock time as 08:03:20, UTC."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%H:%M:%S")


def when(time_ns: int) -> str:
    """A wall-clock time as 1 Nov 2026, 08:03, UTC."""
    at = datetime.fromtimestamp(time_ns // 10**9, UTC)
    return f"{at.day} {at:%b %Y, %H:%M}"


def date(day: str) -> str:
    """2026-11-01 as Sunday, 1 November 2026."""
    at = datetime.strptime(day, "%Y-%m-%d")
    return f"{at:%A}, {at.day} {at:%B %Y}"


def length(duration_s: float) -> str:
    """A duration in its two largest units."""
    seconds = round(duration_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(size_bytes: int) -> str:
    """A size in decimal units."""
    value = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


# What a device's last word says that its wearer may want to know (vault/fleet.py has the rest).
SAID = {
    "recording": "Recording then",
    "waiting_bytes": "Waits on its card",
    "hours_left": "Room for",
    "battery_percent": "Battery",
    "temperature_c": "Temperature",
}


def said(value: float, name: str) -> str:
    """One value of a device's word, to read."""
    texts = {
        "recording": "yes" if value else "no",
        "waiting_bytes": size(int(value)),
        "hours_left": f"{value:.0f} h",
        "battery_percent": f"{value:.0f} %",
        "temperature_c": f"{value:.0f} °C",
    }
    return texts.get(name, f"{value:g}")


_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "clock": clock,
    "when": when,
    "date": date,
    "length": length,
    "size": size,
    "words": words,
    "why": why,
    "said": said,
    "count": len,
    "markup": charts.markup,
}
_environment.globals |= {"defs": charts.DEFS, "kinds": KINDS, "said": SAID}


def render(name: str, status: int = 200, **values: Any) -> Response:
    """A page from its template."""
    return HTMLResponse(render_text(name, **values), status)


def render_text(name: str, **values: Any) -> str:
    """A template's text."""
    return _environment.get_template(name).render(asker=ASKER.get(), **values)


def render_error(request: Request, error: Error) -> Response:
    """A plain page that says what is wrong and what to do."""
    return render("error.html", error.http_status, error=error, title=_title(error.http_status))


def parse_time(text: str) -> int:
    """A datetime-local field, read as UTC, in ns; Usage."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"there is no time {text!r}", "write 2026-11-01T08:03") from None
    return int(at.replace(tzinfo=UTC).timestamp()) * 10**9


def asker_of(request: Request) -> Asker:
    """Who asks, as the guard found out."""
    return request.state.asker


def back_to(path: str) -> Response:
    """Sends the browser on to a page of ours after a change."""
    return RedirectResponse(path, 303)


def _title(status: int) -> str:
    titles = {401: "Locked", 403: "Refused", 404: "Not found"}
    return titles.get(status, "This did not work")
