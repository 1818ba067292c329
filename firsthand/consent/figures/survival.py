"""Attrition and deletion as estimates with intervals, from people some of whom are still there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959963984540054  # 95 % of a normal distribution


@dataclass(frozen=True)
class Step:
    """The share still taking part after a day on which somebody left, with a 95 % interval."""

    day: float
    at_risk: int
    left: int
    survival: float
    low: float
    high: float


def kaplan_meier(spans: Sequence[tuple[float, bool]]) -> list[Step]:
    """The survival curve of (days taken part, whether they then left); others are censored.

    Kaplan and Meier (1958); intervals by Greenwood's variance on the scale of log(-log S)
    (Kalbfleisch and Prentice), which stay between 0 and 1.
    """
    steps: list[Step] = []
    survival, spread = 1.0, 0.0
    for day in sorted({days for days, gone in spans if gone}):
        at_risk = sum(1 for days, _ in spans if days >= day)
        left = sum(1 for days, gone in spans if gone and days == day)
        survival *= 1 - left / at_risk
        if at_risk > left:
            spread += left / (at_risk * (at_risk - left))
        steps.append(Step(day, at_risk, left, survival, *_interval(survival, spread)))
    return steps


def _interval(survival: float, spread: float) -> tuple[float, float]:
    if survival in (0.0, 1.0):
        return survival, survival
    width = Z * math.sqrt(spread) / abs(math.log(survival))
    return survival ** math.exp(width), survival ** math.exp(-width)


def median_days(steps: Sequence[Step]) -> float | None:
    """The day by which half have left; None while more than half take part."""
    return next((step.day for step in steps if step.survival <= 0.5), None)


def rate(events: int, person_days: float) -> tuple[float, float, float]:
    """Events for a person-year with a 95 % interval (Byar's approximation to the exact Poisson
    limits; Breslow and Day 1987, p. 69). (nan, nan, nan) where nobody was there."""
    if person_days <= 0:
        return math.nan, math.nan, math.nan
    years = person_days / 365.25
    more = events + 1
    low = events * (1 - 1 / (9 * events) - Z / (3 * math.sqrt(events))) ** 3 if events else 0.0
    high = more * (1 - 1 / (9 * more) + Z / (3 * math.sqrt(more))) ** 3
    return events / years, low / years, high / years
