"""`firsthand plan`: the estimate of a programme, line by line. The sums stand in plan/."""

from fractions import Fraction
from typing import Annotated, Any

import typer

from firsthand.cli.nouns import exits, noun
from firsthand.cli.output import say, show_json, table
from firsthand.errors import Usage
from firsthand.plan.estimate import estimate
from firsthand.plan.line import Line, number, text
from firsthand.plan.programme import Programme

app = noun("What a programme costs and yields.")

TITLES = {
    "footage": "Footage",
    "storage": "Storage",
    "cost": "Cost",
    "bandwidth": "Bandwidth, averages over 24 hours",
    "tokens": "Tokens (arithmetic: no tokeniser was run at this scale)",
    "compute": "Compute, one epoch (arithmetic: nothing of this size was trained)",
}
# How a reader writes the units that stand in the lines' names.
WORDS = {
    "gb": "GB",
    "tb": "TB",
    "pb": "PB",
    "mb": "MB",
    "mbit": "Mbit",
    "gbit": "Gbit",
    "gpu": "GPU",
    "flop": "FLOP",
    "essays": "essay's",
}


def _input(name: str, help_text: str) -> Any:
    default = text(getattr(Programme(), name))
    return typer.Option(metavar="NUMBER", help=f"{help_text}  [default: {default}]")


@app.command(epilog=exits())
def show(
    people: Annotated[str | None, _input("people", "People who wear a device.")] = None,
    hours_per_day: Annotated[
        str | None, _input("hours_per_day", "Hours that each records a day.")
    ] = None,
    days_per_year: Annotated[
        str | None, _input("days_per_year", "Days that each records a year.")
    ] = None,
    years: Annotated[str | None, _input("years", "Years that the programme lasts.")] = None,
    attrition_per_year: Annotated[
        str | None, _input("attrition_per_year", "Share of people who stop in a year, 0 to 1.")
    ] = None,
    gb_per_hour: Annotated[str | None, _input("gb_per_hour", "GB in an hour of footage.")] = None,
    dollars_per_tb: Annotated[str | None, _input("dollars_per_tb", "Price of a TB.")] = None,
    device_dollars: Annotated[str | None, _input("device_dollars", "Price of a device.")] = None,
    management_dollars: Annotated[
        str | None, _input("management_dollars", "Recruiting and logistics, in all.")
    ] = None,
    tokens_per_second: Annotated[
        str | None, _input("tokens_per_second", "Tokens in a second of footage.")
    ] = None,
    header_tokens_per_minute: Annotated[
        str | None, _input("header_tokens_per_minute", "Tokens that open each minute.")
    ] = None,
    bytes_per_token: Annotated[str | None, _input("bytes_per_token", "Bytes of a token.")] = None,
    billion_parameters: Annotated[
        str | None, _input("billion_parameters", "Parameters of the model, in 10^9.")
    ] = None,
    gpu_teraflops: Annotated[
        str | None, _input("gpu_teraflops", "Peak of one accelerator, in TFLOP/s.")
    ] = None,
    gpu_use: Annotated[
        str | None, _input("gpu_use", "Share of the peak that training keeps busy, 0 to 1.")
    ] = None,
    dollars_per_gpu_hour: Annotated[
        str | None, _input("dollars_per_gpu_hour", "Price of an accelerator's hour.")
    ] = None,
    read_gb_per_second: Annotated[
        str | None, _input("read_gb_per_second", "Rate at which the store is read, in GB/s.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the estimate line by line: the sum, its exact value, and the essay's figure."""
    given = {name: value for name, value in locals().items() if name != "json_"}
    programme = Programme(**{name: _number(name, v) for name, v in given.items() if v is not None})
    lines = estimate(programme)
    if json_:
        show_json(_as_json(programme, lines))
    else:
        _as_tables(lines)


def _number(name: str, given: str) -> Fraction:
    try:
        return Fraction(given.replace(",", "").replace("_", ""))
    except (ValueError, ZeroDivisionError):
        option = "--" + name.replace("_", "-")
        raise Usage(
            f"{option} {given!r} is no number", "write it as 1000, 2.5, 1e6 or 1/3"
        ) from None


def _as_json(programme: Programme, lines: list[Line]) -> dict[str, object]:
    inputs = {name: number(value) for name, value in vars(programme).items()}
    return {"programme": inputs, "lines": {line.name: line.to_json() for line in lines}}


def _as_tables(lines: list[Line]) -> None:
    essay = any(line.essay is not None for line in lines)
    columns = ["line", "sum", "value", "unit", *(["essay"] if essay else [])]
    for section, title in TITLES.items():
        rows = [
            [
                _label(line.name),
                line.formula,
                text(line.value),
                line.unit,
                *([line.essay and text(line.essay)] if essay else []),
            ]
            for line in lines
            if line.section == section
        ]
        table(columns, rows, title=title, right="value essay")
    if essay:
        _compare_totals({line.name: line for line in lines})


def _label(name: str) -> str:
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def _compare_totals(lines: dict[str, Line]) -> None:
    exact, parts = lines["total_dollars"], lines["sum_of_the_essays_parts"]
    say(
        f"Unrounded, the parts add up to ${text(exact.value)}; as the essay rounds them,"
        f" to ${text(parts.value)}; the essay states ${text(exact.essay or Fraction(0))}."
    )
