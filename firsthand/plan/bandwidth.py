"""Bandwidth: what leaves the devices on a day on which everybody records."""

from fractions import Fraction

from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme

SECONDS_PER_DAY = 86_400


def gb_per_person_day(programme: Programme) -> Fraction:
    """GB that one device records on a day, and that its card must hold when there is no network."""
    return programme.hours_per_day * programme.gb_per_hour


def tb_per_day(programme: Programme) -> Fraction:
    """TB that arrive on a day, at full strength."""
    return programme.people * gb_per_person_day(programme) / 1000


def lines(programme: Programme) -> list[Line]:
    """The lines on bandwidth; averages are over 24 hours, at full strength."""
    p = programme
    mb_per_s = tb_per_day(p) * 1_000_000 / SECONDS_PER_DAY
    return [
        Line(
            "bandwidth",
            "device_mbit_per_s",
            f"{text(p.gb_per_hour)} GB/h x 8,000 / 3,600, while it records",
            p.gb_per_hour * 8000 / 3600,
            "Mbit/s",
        ),
        Line(
            "bandwidth",
            "gb_per_person_day",
            f"{text(p.hours_per_day)} h x {text(p.gb_per_hour)} GB/h",
            gb_per_person_day(p),
            "GB/day",
        ),
        Line(
            "bandwidth",
            "tb_per_day",
            f"{text(p.people)} people x {text(gb_per_person_day(p))} GB / 1000",
            tb_per_day(p),
            "TB/day",
        ),
        Line(
            "bandwidth",
            "average_mb_per_s",
            f"{text(tb_per_day(p))} TB / {SECONDS_PER_DAY:,} s",
            mb_per_s,
            "MB/s",
        ),
        Line(
            "bandwidth",
            "average_gbit_per_s",
            f"{text(mb_per_s)} MB/s x 8 / 1000",
            mb_per_s * 8 / 1000,
            "Gbit/s",
        ),
    ]
