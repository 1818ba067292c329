"""Footage: how many hours a programme records, and what share attrition takes."""

from fractions import Fraction

from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme

HOURS_PER_YEAR = 24 * 365


def hours_per_person(programme: Programme) -> Fraction:
    """Hours recorded by a person who stays to the end."""
    return programme.hours_per_day * programme.days_per_year * programme.years


def person_years(programme: Programme) -> Fraction:
    """Years recorded by all people together; who stops does so, on average, half-way."""
    whole, rest = divmod(programme.years, 1)
    left, total = programme.people, Fraction(0)
    for span in [Fraction(1)] * int(whole) + [rest]:
        lost = left * programme.attrition_per_year * span
        total += span * (left - lost / 2)
        left -= lost
    return total


def hours(programme: Programme) -> Fraction:
    """Hours recorded by all people together."""
    return person_years(programme) * programme.hours_per_day * programme.days_per_year


def lines(programme: Programme) -> list[Line]:
    """The lines on footage."""
    p = programme
    return [
        Line(
            "footage",
            "hours_per_person",
            f"{text(p.hours_per_day)} h/day x {text(p.days_per_year)} days x {text(p.years)} years",
            hours_per_person(p),
            "h",
        ),
        Line(
            "footage",
            "person_years",
            f"{text(p.people)} people x {text(p.years)} years,"
            f" {text(p.attrition_per_year * 100)} % leave a year",
            person_years(p),
            "years",
        ),
        Line(
            "footage",
            "hours",
            f"{text(person_years(p))} years x {text(p.hours_per_day * p.days_per_year)} h/year",
            hours(p),
            "h",
        ),
        Line(
            "footage",
            "footage_years",
            f"{text(hours(p))} h / {HOURS_PER_YEAR:,} h",
            hours(p) / HOURS_PER_YEAR,
            "years",
        ),
    ]
