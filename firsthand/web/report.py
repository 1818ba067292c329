"""The report: one page that stands alone, on what was done and how good the prediction is.

No script, no outside file; its charts are those of charts.py, its words say only what was measured.
"""

from datetime import datetime
from typing import Any

from firsthand.web import charts
from firsthand.web.charts import Bar
from firsthand.web.page import render_text

TITLES = {"ngram": "n-gram", "repeat_last": "repeat the last"}
# A day's table shows at most this many rows; the strip above it shows all.
MOST_ROWS = 60


def render_report(
    summary: dict[str, Any], evaluation: dict[str, Any], days: list[dict[str, Any]]
) -> str:
    """The report as HTML.

    `summary` is what `firsthand demo --json` prints, `evaluation` what learn's evaluate returns,
    `days` a list of {"person", "rows"} with the rows of emulate's fidelity. Figures that are None
    are left out or called unknown.
    """
    unit = "nats per action" if evaluation["target"] == "action" else "nats per own slot"
    gain = evaluation.get("history_gain")
    return render_text(
        "report_page.html",
        style=charts.style(),
        defs=charts.DEFS,
        summary=summary,
        evaluation=evaluation,
        labelled=evaluation["target"] == "action",
        unit=unit,
        bars=charts.bars(_bars(evaluation), label=unit, unit="nats", rule=evaluation["oracle"]),
        gain=_gain(gain) if gain else "",
        people=_people(evaluation, days),
        days=[_day(day) for day in days],
    )


def _bars(evaluation: dict[str, Any]) -> list[Bar]:
    mean = evaluation["nats_per_action"]
    mean = evaluation["nats_per_own_slot"] if mean is None else mean
    listed = [
        Bar(TITLES.get(name, name), value, "baseline")
        for name, value in evaluation["baselines"].items()
    ]
    listed += [
        Bar("network alone", evaluation["network_alone"], "network"),
        Bar("model (all mixed)", mean, "model"),
    ]
    if evaluation["oracle"] is not None:
        listed.append(Bar("oracle: the limit", evaluation["oracle"], "oracle"))
    return sorted(listed, key=lambda bar: -(bar.value or 0))


def _gain(gain: dict[str, float]) -> str:
    return charts.interval(
        gain["low"], gain["nats"], gain["high"], label="worth of the own past", unit="nats"
    )


def _people(evaluation: dict[str, Any], days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {day.get("name"): day["person"] for day in days}
    return [
        {"person": names.get(name, name)} | figures
        for name, figures in evaluation["per_person"].items()
    ]


def _day(day: dict[str, Any]) -> dict[str, Any]:
    rows = [row | {"right": row["real"] == row["top1"]} for row in day["rows"]]
    drawn = [
        (
            datetime.fromisoformat(row["time"]).timestamp(),
            row["p_real"],
            f"{row['time'][11:19]} {row['real']}: given {row['p_real']:.2f}, "
            f"likeliest {row['top1']} {row['p_top1']:.2f}",
            row["right"],
        )
        for row in rows
    ]
    right = sum(row["right"] for row in rows)
    return {
        "person": day["person"],
        "rows": rows[:MOST_ROWS],
        "left": max(0, len(rows) - MOST_ROWS),
        "strip": charts.chances(drawn, label=f"held-out day of {day['person']}"),
        "right": right,
        "total": len(rows),
    }
