"""Storage: what the footage weighs. A TB is 1000 GB here, as disks are sold."""

from fractions import Fraction

from firsthand.plan.footage import hours, hours_per_person
from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme


def tb_per_person(programme: Programme) -> Fraction:
    """TB recorded by a person who stays to the end."""
    return hours_per_person(programme) * programme.gb_per_hour / 1000


def tb(programme: Programme) -> Fraction:
    """TB recorded by all people together."""
    return hours(programme) * programme.gb_per_hour / 1000


def lines(programme: Programme) -> list[Line]:
    """The lines on storage."""
    p = programme
    return [
        Line("storage", "gb_per_hour", "2K video and sound, as chosen", p.gb_per_hour, "GB/h"),
        Line(
            "storage",
            "tb_per_person",
            f"{text(hours_per_person(p))} h x {text(p.gb_per_hour)} GB/h / 1000",
            tb_per_person(p),
            "TB",
        ),
        Line(
            "storage",
            "storage_pb",
            f"{text(hours(p))} h x {text(p.gb_per_hour)} GB/h / 1,000,000",
            tb(p) / 1000,
            "PB",
        ),
        Line(
            "storage",
            "read_once_days",
            f"{text(tb(p) / 1000)} PB at {text(p.read_gb_per_second)} GB/s",
            tb(p) * 1000 / p.read_gb_per_second / 86_400,
            "days",
        ),
    ]
