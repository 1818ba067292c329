"""The catalogue of faults: which test stands for which row, and what each case lost.

A test carries `@pytest.mark.fault("D1")` and may count its cases with the fixture `tally`.
`make faults` sets FIRSTHAND_FAULTS=full, which lengthens the sweeps, and prints the table.
"""

import os
from dataclasses import dataclass

import pytest

FULL = os.environ.get("FIRSTHAND_FAULTS") == "full"


@dataclass
class Tally:
    """What the cases of one row came to: how many, how many survived, the most bytes lost."""

    cases: int = 0
    survived: int = 0
    lost_bytes: int = 0
    bound: str = ""  # what may be lost, in words, where that isn't nothing

    def add(self, survived: bool = True, lost_bytes: int = 0, cases: int = 1) -> None:
        """Count cases, all of which survived or none."""
        self.cases += cases
        self.survived += cases if survived else 0
        self.lost_bytes = max(self.lost_bytes, lost_bytes)


_rows: dict[str, Tally] = {}


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Counts the cases of a test marked with a row of the catalogue; uncounted, a test is one."""
    request.node.tally = Tally()
    return request.node.tally


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):  # type: ignore[no-untyped-def]
    """Sends what a fault's test came to along with its report, from whatever process it ran in."""
    report = (yield).get_result()
    marks = [mark.args[0] for mark in item.iter_markers("fault")]
    if marks and report.when == "call" and not report.skipped:
        counted = getattr(item, "tally", Tally())
        if not counted.cases or report.failed:
            counted.add(survived=report.passed)
        report.user_properties.append(("fault", [marks, vars(counted)]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds a test's cases to its rows."""
    for name, value in report.user_properties:
        if name == "fault" and report.when == "call":
            marks, counted = value
            for row in marks:
                whole = _rows.setdefault(row, Tally())
                whole.cases += counted["cases"]
                whole.survived += counted["survived"]
                whole.lost_bytes = max(whole.lost_bytes, counted["lost_bytes"])
                whole.bound = counted["bound"] or whole.bound


def pytest_terminal_summary(terminalreporter) -> None:  # type: ignore[no-untyped-def]
    """The table of `make faults`: row, cases, survived, most bytes lost in a case."""
    if not FULL or not _rows:
        return
    write = terminalreporter.write_line
    write("")
    write(f"{'row':<5}{'cases':>8}{'survived':>10}{'most bytes lost':>17}  bound")
    for row in sorted(_rows, key=lambda name: (name[0], int(name[1:]))):
        one = _rows[row]
        write(f"{row:<5}{one.cases:>8}{one.survived:>10}{one.lost_bytes:>17}  {one.bound}")
