"""The programme: every number that an estimate rests on, with the essay's as defaults.

Inputs and their bounds only. What follows from them stands in the files beside this one.
"""

from dataclasses import dataclass, fields
from fractions import Fraction

from firsthand.errors import Usage

# Above these an input is a slip of the keyboard: a day has 24 hours, a share is at most 1.
LIMITS = {
    "hours_per_day": 24,
    "days_per_year": 366,
    "years": 100,
    "attrition_per_year": 1,
    "gpu_use": 1,
}
MAY_BE_ZERO = (
    "attrition_per_year",
    "dollars_per_tb",
    "device_dollars",
    "management_dollars",
    "header_tokens_per_minute",
    "dollars_per_gpu_hour",
)


@dataclass(frozen=True)
class Programme:
    """Who wears how long, what an hour weighs and costs, and how footage becomes tokens."""

    people: Fraction = Fraction(1000)
    hours_per_day: Fraction = Fraction(14)
    days_per_year: Fraction = Fraction(365)
    years: Fraction = Fraction(5)
    # Share of those still recording at a year's start who stop during it; the essay has none.
    attrition_per_year: Fraction = Fraction(0)
    gb_per_hour: Fraction = Fraction(3)
    dollars_per_tb: Fraction = Fraction(10)
    device_dollars: Fraction = Fraction(300)
    management_dollars: Fraction = Fraction(300_000)
    # A second is 8 scene, 4 ego-motion, 2 hand and object, 1 sound and 1 speech token; a minute
    # opens with 4: person, time of day, weekday, place.
    tokens_per_second: Fraction = Fraction(16)
    header_tokens_per_minute: Fraction = Fraction(4)
    bytes_per_token: Fraction = Fraction(2)
    billion_parameters: Fraction = Fraction(10)
    # An H100's dense bfloat16 peak, and the share of it that a good training run keeps busy.
    gpu_teraflops: Fraction = Fraction(989)
    gpu_use: Fraction = Fraction(2, 5)
    dollars_per_gpu_hour: Fraction = Fraction(2)
    read_gb_per_second: Fraction = Fraction(10)

    def __post_init__(self) -> None:
        """Usage if an input is impossible; whole numbers and exact decimals become fractions."""
        for item in fields(self):
            value = Fraction(getattr(self, item.name))
            if value < 0 or (value == 0 and item.name not in MAY_BE_ZERO):
                raise Usage(
                    f"{item.name} cannot be {value}",
                    "give a number above 0",
                )
            if value > LIMITS.get(item.name, value):
                raise Usage(
                    f"{item.name} cannot be {value}",
                    f"give a number of at most {LIMITS[item.name]}",
                )
            object.__setattr__(self, item.name, value)
        if self.people.denominator != 1:
            raise Usage(f"people cannot be {self.people}", "give a whole number")
