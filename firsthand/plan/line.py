"""One line of an estimate: a name, the sum that gives it, and its exact value.

Values are fractions, so nothing is rounded before it is shown.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Line:
    """`value` in `unit`, and the essay's own rounded figure in the same unit where it has one."""

    section: str
    name: str
    formula: str
    value: Fraction
    unit: str
    essay: Fraction | None = None

    def to_json(self) -> dict[str, object]:
        """The line as JSON: a whole number stays whole; a fraction is also given exactly."""
        row: dict[str, object] = {
            "section": self.section,
            "formula": self.formula,
            "value": number(self.value),
            "unit": self.unit,
            "essay": None if self.essay is None else number(self.essay),
        }
        if self.value.denominator != 1:
            row["exact"] = str(self.value)
        return row


def number(value: Fraction) -> int | float:
    """The value as an int where it is whole, otherwise as the nearest float."""
    return int(value) if value.denominator == 1 else float(value)


def text(value: Fraction) -> str:
    """The value for a reader: whole below 1e15, otherwise about four digits that count."""
    if abs(value) >= 10**15:
        return f"{float(value):.3e}"
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{float(value):,.2f}" if abs(value) >= 100 else f"{float(value):.4g}"
