"""Charts as SVG text: small pure functions, no JavaScript, colours by class (static/charts.css)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

WIDTH = 1000.0  # of every strip's own coordinates; the page stretches it

# Patterns are named here once for a page: what differs by colour alone is lost to many eyes.
DEFS = (
    '<svg class="defs" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
    '<rect class="hatch-line" width="2.5" height="6"/></pattern>'
    '<pattern id="lines" width="5" height="5" patternUnits="userSpaceOnUse">'
    '<rect class="lines-ground" width="5" height="5"/>'
    '<rect class="lines-line" width="2" height="5"/></pattern>'
    '<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect class="dots-ground" width="6" height="6"/>'
    '<circle class="dots-dot" cx="3" cy="3" r="1.3"/></pattern>'
    '<pattern id="cross" width="7" height="7" patternUnits="userSpaceOnUse">'
    '<rect class="cross-ground" width="7" height="7"/>'
    '<path class="cross-line" d="M0 0L7 7M7 0L0 7"/></pattern></defs></svg>'
)
PATTERNS = {"waiting": "lines", "withheld": "hatch", "deleted": "dots", "failed": "cross"}


@dataclass(frozen=True)
class Span:
    """One stretch on a strip: its kind (a class of charts.css), its title, perhaps a link."""

    kind: str
    start: float
    stop: float
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Bar:
    """One bar: a label, its value (None: not known), a class of charts.css, and a note."""

    label: str
    value: float | None
    kind: str = ""
    note: str = ""


def markup(text: str) -> Markup:
    """SVG made here, for a template."""
    return Markup(text)


def style() -> str:
    """The rules that colour the charts, for a page that stands alone."""
    return (Path(__file__).parent / "static" / "charts.css").read_text(encoding="utf-8")


def strip(
    spans: Sequence[Span],
    start: float,
    stop: float,
    *,
    label: str,
    height: int = 36,
    mark: float | None = None,
    ticks: Sequence[float] = (),
) -> str:
    """A horizontal strip of time from `start` to `stop`, stretched to the page's width."""

    def x(value: float) -> float:
        return (min(max(value, start), stop) - start) / (stop - start) * WIDTH

    parts = [f'<rect class="ground" x="0" y="0" width="{WIDTH:g}" height="{height}"/>']
    for tick in ticks:
        parts.append(f'<path class="tick" d="M{x(tick):.2f} 0V{height}"/>')
    for span in spans:
        if span.stop <= start or span.start >= stop:
            continue
        left, right = x(span.start), x(span.stop)
        # Nothing that happened may be too narrow to see.
        shape = (
            f'<rect class="{span.kind}"{_fill(span.kind)} x="{left:.2f}" y="0"'
            f' width="{max(right - left, 1.5):.2f}" height="{height}">'
            f"<title>{escape(span.title)}</title></rect>"
        )
        if span.link:
            shape = f'<a href="{escape(span.link)}">{shape}</a>'
        parts.append(shape)
    if mark is not None and start <= mark <= stop:
        parts.append(f'<path class="mark" d="M{x(mark):.2f} 0V{height}"/>')
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH:g} {height}" preserveAspectRatio="none"'
        f' height="{height}" role="{_role(spans)}" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def bars(rows: Sequence[Bar], *, label: str, unit: str, rule: float | None = None) -> str:
    """Horizontal bars with their figures; `rule` draws an upright line at that value."""
    top = max([row.value for row in rows if row.value is not None] + [rule or 0, 1e-9])
    row_height, left, wide = 34, 120, 300
    height = row_height * len(rows) + 26
    parts = []
    for tick in nice_ticks(top):
        x = left + tick / top * wide
        parts.append(f'<path class="tick" d="M{x:.1f} 0V{height - 22}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 8}">{tick:g}</text>')
    for number, row in enumerate(rows):
        y = number * row_height + 6
        parts.append(f'<text class="label" x="{left - 12}" y="{y + 15}">{escape(row.label)}</text>')
        if row.value is None:
            parts.append(f'<text class="value" x="{left + 8}" y="{y + 15}">not known</text>')
            continue
        long = max(row.value / top * wide, 1)
        parts.append(
            f'<rect class="bar {row.kind}" x="{left}" y="{y}" width="{long:.1f}" height="22"'
            f' rx="3"><title>{escape(row.label)}: {row.value:.3f} {escape(unit)}</title></rect>'
        )
        note = f" {row.note}" if row.note else ""
        parts.append(
            f'<text class="value" x="{left + long + 8:.1f}" y="{y + 15}">'
            f"{row.value:.2f}{escape(note)}</text>"
        )
    if rule is not None:
        x = left + rule / top * wide
        parts.append(f'<path class="rule" d="M{x:.1f} 0V{height - 22}"/>')
    return (
        f'<svg class="bars" viewBox="0 0 520 {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def interval(low: float, middle: float, high: float, *, label: str, unit: str) -> str:
    """A point with its interval, on an axis that holds zero."""
    span = max(abs(low), abs(high), 1e-9) * 1.25
    begin, end = min(0.0, low * 1.25, -0.15 * span), max(0.0, high * 1.25, 0.15 * span)

    def x(value: float) -> float:
        return 16 + (value - begin) / (end - begin) * 488

    return (
        f'<svg class="interval" viewBox="0 0 520 70" role="img" aria-label="{escape(label)}">'
        f'<path class="tick" d="M16 38H504"/><path class="rule" d="M{x(0):.1f} 26V50"/>'
        f'<text class="axis" x="{x(0):.1f}" y="66">0</text>'
        f'<rect class="bar model" x="{x(low):.1f}" y="32" width="{max(x(high) - x(low), 1):.1f}"'
        f' height="12" rx="6"/><circle class="point" cx="{x(middle):.1f}" cy="38" r="7"/>'
        f'<text class="axis" x="{min(max(x(middle), 90), 430):.1f}" y="16">'
        f"{middle:+.3f} {escape(unit)}</text></svg>"
    )


def chances(rows: Sequence[tuple[float, float, str, bool]], *, label: str) -> str:
    """One upright bar for each (time, chance given to what happened, title, guessed right)."""
    if not rows:
        return ""
    begin, end = rows[0][0], rows[-1][0]
    wide, height = WIDTH, 120
    each = wide / (len(rows) or 1)
    parts = [f'<path class="tick" d="M0 {y}H{wide:g}"/>' for y in (0, height / 2, height)]
    for time, chance, title, right in rows:
        share = (time - begin) / (end - begin) if end > begin else 0.0
        tall = max(min(max(chance, 0.0), 1.0) * height, 1.0)
        kind = "right" if right else "wrong"
        parts.append(
            f'<rect class="{kind}" x="{share * (wide - each):.2f}" y="{height - tall:.2f}"'
            f' width="{max(each * 0.7, 1):.2f}" height="{tall:.2f}">'
            f"<title>{escape(title)}</title></rect>"
        )
    return (
        f'<svg class="chances" viewBox="0 0 {wide:g} {height}" preserveAspectRatio="none"'
        f' role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def nice_ticks(top: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at most `top`, about `count` of them."""
    step = 10 ** math.floor(math.log10(top / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if top / (step * factor) <= count)
    return [round(step * number, 10) for number in range(int(top / step) + 1)]


def _fill(kind: str) -> str:
    pattern = PATTERNS.get(kind.split()[0])
    return f' fill="url(#{pattern})"' if pattern else ""


def _role(spans: Sequence[Span]) -> str:
    # A picture with links in it must not be read out as one picture.
    return "group" if any(span.link for span in spans) else "img"
