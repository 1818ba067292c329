"""The plan: each figure of the essay, exactly, and what its inputs change."""

from fractions import Fraction

import pytest

from firsthand.errors import Usage
from firsthand.plan.estimate import estimate
from firsthand.plan.footage import person_years
from firsthand.plan.programme import Programme


def values(**inputs: object) -> dict[str, Fraction]:
    return {line.name: line.value for line in estimate(Programme(**inputs))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hours_per_person", 25_550),
        ("person_years", 5_000),
        ("hours", 25_550_000),
        ("footage_years", Fraction(25_550_000, 8_760)),
        ("gb_per_hour", 3),
        ("tb_per_person", Fraction("76.65")),
        ("storage_pb", Fraction("76.65")),
        ("device_dollars", 300),
        ("devices_dollars", 300_000),
        ("dollars_per_tb", 10),
        ("storage_dollars_per_person", Fraction("766.50")),
        ("storage_dollars", 766_500),
        ("material_dollars", 1_066_500),
        ("management_dollars", 300_000),
        ("total_dollars", 1_366_500),
        ("sum_of_the_essays_parts", 1_370_000),
        ("gb_per_person_day", 42),
        ("tb_per_day", 42),
        ("tokens_per_hour", 57_840),
        ("billion_tokens_per_person", Fraction("1.477812")),
        ("trillion_tokens", Fraction("1.477812")),
        ("tokens_tb", Fraction("2.955624")),
        ("training_flop", 6 * 10**10 * 25_550_000 * 57_840),
    ],
)
def test_figure_is_exact(name: str, value: Fraction) -> None:
    assert values()[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("footage_years", 2_916.667),
        ("read_once_days", 88.715),
        ("device_mbit_per_s", 6.6667),
        ("average_mb_per_s", 486.11),
        ("average_gbit_per_s", 3.8889),
        ("billion_parameters_for_all", 73.89),
        ("million_parameters_for_one_person", 73.89),
        ("gpu_hours", 62_261),
        ("training_dollars", 124_522),
    ],
)
def test_figure_is_about(name: str, value: float) -> None:
    assert float(values()[name]) == pytest.approx(value, rel=1e-4)


def test_each_of_the_essays_figures_is_the_exact_one_rounded_except_its_total() -> None:
    for line in estimate(Programme()):
        if line.essay is None:
            continue
        off = abs(line.value - line.essay) / line.essay
        assert off <= Fraction(1, 200), line.name
    total = next(line for line in estimate(Programme()) if line.name == "total_dollars")
    parts = next(line for line in estimate(Programme()) if line.name == "sum_of_the_essays_parts")
    assert total.essay == 1_373_000
    assert parts.essay is not None
    assert parts.essay - parts.value == 3_000


def test_another_programme_has_no_essay_figures() -> None:
    lines = estimate(Programme(people=Fraction(10)))
    assert all(line.essay is None for line in lines)
    assert "sum_of_the_essays_parts" not in {line.name for line in lines}


def test_another_accelerator_keeps_the_essay_figures() -> None:
    assert any(line.essay for line in estimate(Programme(gpu_teraflops=Fraction(100))))


def test_attrition_takes_footage_and_leaves_the_devices_to_be_paid() -> None:
    quarter = values(attrition_per_year=Fraction(1, 4))
    assert quarter["devices_dollars"] == 300_000
    assert quarter["storage_dollars"] < 766_500
    assert quarter["hours_per_person"] == 25_550


def test_who_leaves_records_half_of_the_last_year() -> None:
    programme = Programme(
        people=Fraction(100), years=Fraction(2), attrition_per_year=Fraction(1, 2)
    )
    # 100 start, 50 leave half-way: 75 years; 50 go on, 25 leave half-way: 37.5 years.
    assert person_years(programme) == Fraction("112.5")


def test_half_a_year_counts_half() -> None:
    assert person_years(Programme(years=Fraction("2.5"))) == 2_500


@pytest.mark.parametrize(
    "inputs",
    [
        {"people": 0},
        {"people": Fraction(1, 2)},
        {"hours_per_day": 25},
        {"years": -1},
        {"attrition_per_year": Fraction(11, 10)},
        {"gpu_use": 0},
    ],
)
def test_impossible_input_is_refused(inputs: dict[str, Fraction]) -> None:
    with pytest.raises(Usage) as caught:
        Programme(**inputs)
    assert caught.value.hint


def test_each_line_has_a_name_of_its_own_and_says_how_it_came_about() -> None:
    lines = estimate(Programme())
    assert len({line.name for line in lines}) == len(lines)
    assert all(line.formula and line.unit for line in lines)
