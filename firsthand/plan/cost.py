"""Cost: devices, disks and the people who run the programme, in dollars."""

from fractions import Fraction

from firsthand.plan.line import Line, text
from firsthand.plan.programme import Programme
from firsthand.plan.storage import tb, tb_per_person


def devices(programme: Programme) -> Fraction:
    """Dollars for one device for everybody who starts."""
    return programme.people * programme.device_dollars


def storage(programme: Programme) -> Fraction:
    """Dollars for the disks that hold all footage once."""
    return tb(programme) * programme.dollars_per_tb


def total(programme: Programme) -> Fraction:
    """Dollars for everything; nothing is rounded on the way."""
    return devices(programme) + storage(programme) + programme.management_dollars


def lines(programme: Programme) -> list[Line]:
    """The lines on cost."""
    p = programme
    material = devices(p) + storage(p)
    return [
        Line("cost", "device_dollars", "one device, as chosen", p.device_dollars, "$"),
        Line(
            "cost",
            "devices_dollars",
            f"{text(p.people)} people x ${text(p.device_dollars)}",
            devices(p),
            "$",
        ),
        Line("cost", "dollars_per_tb", "one disk's TB, as chosen", p.dollars_per_tb, "$/TB"),
        Line(
            "cost",
            "storage_dollars_per_person",
            f"{text(tb_per_person(p))} TB x ${text(p.dollars_per_tb)}",
            tb_per_person(p) * p.dollars_per_tb,
            "$",
        ),
        Line(
            "cost",
            "storage_dollars",
            f"{text(tb(p))} TB x ${text(p.dollars_per_tb)}",
            storage(p),
            "$",
        ),
        Line(
            "cost",
            "material_dollars",
            f"${text(devices(p))} + ${text(storage(p))}",
            material,
            "$",
        ),
        Line(
            "cost",
            "management_dollars",
            "recruiting and logistics, as chosen",
            p.management_dollars,
            "$",
        ),
        Line(
            "cost",
            "total_dollars",
            f"${text(devices(p))} + ${text(storage(p))} + ${text(p.management_dollars)}",
            total(p),
            "$",
        ),
    ]
