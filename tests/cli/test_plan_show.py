"""`firsthand plan show`: the essay's estimate on the command line."""

import inspect
import json
from dataclasses import fields

import pytest

from firsthand.cli import main, plan
from firsthand.plan.programme import Programme


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["plan", "show", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_essays_figures_stand_beside_the_exact_ones(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys)["lines"]
    pairs = {name: (line["value"], line["essay"]) for name, line in lines.items()}
    assert pairs["hours_per_person"] == (25_550, 25_550)
    assert pairs["footage_years"] == (pytest.approx(2916.667, abs=0.001), 2917)
    assert pairs["tb_per_person"] == (76.65, 77)
    assert pairs["storage_pb"] == (76.65, 77)
    assert pairs["storage_dollars_per_person"] == (766.5, 770)
    assert pairs["storage_dollars"] == (766_500, 770_000)
    assert pairs["devices_dollars"] == (300_000, 300_000)
    assert pairs["material_dollars"] == (1_066_500, 1_070_000)
    assert pairs["management_dollars"] == (300_000, 300_000)
    assert pairs["total_dollars"] == (1_366_500, 1_373_000)
    assert pairs["sum_of_the_essays_parts"] == (1_370_000, 1_373_000)
    assert lines["footage_years"]["exact"] == "8750/3"


def test_every_input_of_a_programme_is_an_option() -> None:
    options = set(inspect.signature(plan.show).parameters) - {"json_"}
    assert options == {item.name for item in fields(Programme)}


@pytest.mark.parametrize("name", [item.name for item in fields(Programme)])
def test_each_option_reaches_its_input(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = "1" if name != "attrition_per_year" else "0.5"
    told = shown(capsys, "--" + name.replace("_", "-"), value)
    assert told["programme"][name] == float(value)


def test_numbers_are_read_as_people_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, "--people", "10,000", "--gb-per-hour", "7/2", "--years", "2.5")
    assert (told["programme"]["people"], told["programme"]["gb_per_hour"]) == (10_000, 3.5)
    assert told["lines"]["hours_per_person"]["value"] == 12_775
    assert told["lines"]["total_dollars"]["essay"] is None


def test_table_ends_with_the_three_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "show"]) == 0
    out = capsys.readouterr().out
    for figure in ("25,550", "2,916.67", "2,917", "76.65", "766.50", "486.11", "57,840"):
        assert figure in out
    last = out.splitlines()[-1]
    assert all(total in last for total in ("$1,366,500", "$1,370,000", "$1,373,000"))


def test_table_of_another_programme_has_no_essay_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "show", "--people", "10"]) == 0
    assert "essay" not in capsys.readouterr().out
