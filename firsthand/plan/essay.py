"""The essay's own figures, rounded as it gives them, to stand beside the exact ones.

Its total is 3,000 dollars more than the sum of its parts; both are shown, neither is mended.
"""

from fractions import Fraction

from firsthand.plan.line import Line
from firsthand.plan.programme import Programme

INPUTS = (
    "people",
    "hours_per_day",
    "days_per_year",
    "years",
    "attrition_per_year",
    "gb_per_hour",
    "dollars_per_tb",
    "device_dollars",
    "management_dollars",
)
FIGURES = {
    "hours_per_person": 25_550,
    "footage_years": 2_917,
    "gb_per_hour": 3,
    "tb_per_person": 77,
    "storage_pb": 77,
    "device_dollars": 300,
    "devices_dollars": 300_000,
    "dollars_per_tb": 10,
    "storage_dollars_per_person": 770,
    "storage_dollars": 770_000,
    "material_dollars": 1_070_000,
    "management_dollars": 300_000,
    "total_dollars": 1_373_000,
}
PARTS = ("devices_dollars", "storage_dollars", "management_dollars")


def applies(programme: Programme) -> bool:
    """Whether this is the essay's programme, so that its figures may be compared."""
    return all(getattr(programme, name) == getattr(Programme(), name) for name in INPUTS)


def sum_of_parts() -> Line:
    """The sum of the essay's rounded parts, beside the total that the essay states."""
    parts = [FIGURES[name] for name in PARTS]
    return Line(
        "cost",
        "sum_of_the_essays_parts",
        " + ".join(f"${part:,}" for part in parts),
        Fraction(sum(parts)),
        "$",
        Fraction(FIGURES["total_dollars"]),
    )
