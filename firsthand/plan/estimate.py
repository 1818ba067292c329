"""The estimate: every line, in the order in which one follows from another."""

from dataclasses import replace
from fractions import Fraction

from firsthand.plan import bandwidth, compute, cost, essay, footage, storage, tokens
from firsthand.plan.line import Line
from firsthand.plan.programme import Programme


def estimate(programme: Programme) -> list[Line]:
    """All lines for this programme, with the essay's figures where it is the essay's programme."""
    lines = [
        *footage.lines(programme),
        *storage.lines(programme),
        *cost.lines(programme),
        *bandwidth.lines(programme),
        *tokens.lines(programme),
        *compute.lines(programme),
    ]
    if not essay.applies(programme):
        return lines
    shown: list[Line] = []
    for line in lines:
        figure = essay.FIGURES.get(line.name)
        shown.append(line if figure is None else replace(line, essay=Fraction(figure)))
        if line.name == "total_dollars":
            shown.append(essay.sum_of_parts())
    return shown
