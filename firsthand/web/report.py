"""The report: what was done with the footage, and how good the prediction is; one HTML file.

It stands alone: no script, nothing from elsewhere. Figures that are not known are said to be so.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from firsthand.web import charts
from firsthand.web.charts import Bar
from firsthand.web.page import length, size

Values = dict[str, Any]
BASELINES = {
    "uniform": "Uniform",
    "unigram": "Unigram",
    "repeat_last": "Repeat the last",
    "ngram": "N-gram",
}
PREDICTORS = BASELINES | {"network": "Network alone", "model": "Model"}


def render_report(summary: Values, evaluation: Values, days: Sequence[Values]) -> str:
    """The report as HTML.

    `summary` is what `firsthand demo --json` prints, `evaluation` what learn.evaluate returns, and
    each day holds "person", "name" and "rows" (time, real, top1, p_real, p_top1). Nulls are fine.
    """
    named = {str(day.get("name")): str(day.get("person")) for day in days}
    labelled = evaluation.get("nats_per_action") is not None
    body = [
        "<h1>What a day showed, and what it foretold</h1>",
        f'<p class="lead">{_verdict(evaluation)}</p>',
        _done(summary),
        _way(summary, evaluation),
        _prediction(evaluation) if labelled else _no_claim(evaluation),
        _history(evaluation),
        _reliability(evaluation) if labelled else "",
        _people(evaluation, named),
        _days(days, labelled),
        _scrubber(summary),
        _caveats(summary, evaluation),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Report · Firsthand</title>'
        f"<style>{charts.style()}{_STYLE}</style></head><body>{charts.DEFS}<main>"
        f"{''.join(part for part in body if part)}</main></body></html>\n"
    )


def _verdict(evaluation: Values) -> str:
    nats = evaluation.get("nats_per_action")
    if nats is None:
        return (
            "These recordings carry no labels of actions, so what was predicted is the next token"
            " of the wearer's own motion, hands and sound, and of the scene ahead."
            " No claim of skill is made."
        )
    best = _best_baseline(evaluation)
    if best is None:
        return f"The model pays {nats:.2f} nats for each action of a day it had not seen."
    name, baseline = best
    word = "less than" if nats < baseline else "no less than"
    text = (
        f"The model pays {nats:.2f} nats for each action of a day it had not seen, {word} the best"
        f" baseline ({escape(name)}, {baseline:.2f})."
    )
    oracle = evaluation.get("oracle")
    if oracle is not None:
        text += f" The best possible predictor would pay {oracle:.2f}."
    return text


def _done(summary: Values) -> str:
    release = summary.get("release") or {}
    refused = summary.get("refused_people") or []
    lost = summary.get("lost_s")
    rows = [
        ("Footage recorded", _s(summary.get("footage_s")), _of_people(summary)),
        ("Sealed on the device", _size(summary.get("bytes_recorded")), "no plain byte on a card"),
        ("Stored in the vault", _size(summary.get("bytes_stored")), _segments(summary)),
        ("Lost", "not known" if lost is None else f"{lost:g} s", _lost_note(summary)),
        ("Withheld by the wearers", _s(summary.get("withheld_s")), "sealed, in no release"),
        ("Said no to the run", _names(refused), "none of theirs is in the release"),
        (
            "Excluded from the release",
            _excluded(summary),
            "withheld, refused, or in no whole sample",
        ),
        ("Released", _samples(release), _s(release.get("footage_s"))),
    ]
    for item in summary.get("rejected") or []:
        rows.append(("Not used in full", str(item.get("file")), str(item.get("error"))))
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td>'
        f'<td class="quiet">{escape(note)}</td></tr>'
        for name, value, note in rows
    )
    return f"<h2>What was done</h2><table><tbody>{lines}</tbody></table>"


def _way(summary: Values, evaluation: Values) -> str:
    release = summary.get("release") or {}
    refused = summary.get("refused_people") or []
    steps = [
        ("Recorded", _s(summary.get("footage_s")), "sealed before it touched the card"),
        ("Carried home", _count(summary.get("segments"), "segment"), _breaks(summary)),
        ("Consent", f"{len(refused)} said no", f"{_s(summary.get('withheld_s'))} withheld"),
        ("Released", _samples(release), "coarse, without metadata, sealed"),
        ("Learned", _learned(evaluation), "from the release only"),
        ("Judged", _count(evaluation.get("steps"), "step"), "of a day held out"),
    ]
    cells = "".join(
        f"<li><span>{escape(name)}</span><strong>{escape(value)}</strong>"
        f"<small>{escape(note)}</small></li>"
        for name, value, note in steps
    )
    return f'<h2>The way of the data</h2><ol class="way">{cells}</ol>'


def _prediction(evaluation: Values) -> str:
    oracle = evaluation.get("oracle")
    baselines = evaluation.get("baselines") or {}
    rows = [Bar(label, baselines[name]) for name, label in BASELINES.items() if name in baselines]
    rows.append(Bar("Network alone", evaluation.get("network_alone"), "network"))
    nats = evaluation["nats_per_action"]
    excess = evaluation.get("excess")
    over = f"({excess:+.2f})" if excess is not None else ""
    rows.append(Bar("Model", nats, "model", over))
    rows.append(Bar("Oracle", oracle, "oracle"))
    chart = charts.bars(
        rows,
        label="Nats per action of the held-out day, lower is better",
        unit="nats per action",
        rule=oracle,
    )
    text = _gap(evaluation)
    top1, top5 = evaluation.get("top1"), evaluation.get("top5")
    if top1 is not None:
        text += f" Its first guess is right {_percent(top1)} of the time"
        text += f", one of its first five {_percent(top5)}." if top5 is not None else "."
    return (
        "<h2>How well the next action is predicted</h2>"
        '<p class="quiet">Nats per action on the held-out day: the surprise of what happened;'
        f" lower is better.</p>{chart}<p>{text}</p>"
    )


def _gap(evaluation: Values) -> str:
    excess, recovered = evaluation.get("excess"), evaluation.get("recovered")
    if evaluation.get("oracle") is None or excess is None:
        return "How good any predictor could be is not known here."
    text = (
        "The oracle knows each simulated person's true habits and whole past; nothing predicts"
        f" better on average. The model is {excess:.3f} nats above it"
    )
    if recovered is not None:
        text += f", having gone {_percent(recovered)} of the way from the unigram"
    return text + "."


def _no_claim(evaluation: Values) -> str:
    slot = evaluation.get("nats_per_own_slot")
    rows = [
        ("Target", "the next token of each slot"),
        ("Nats per own slot", "not known" if slot is None else f"{slot:.3f}"),
    ]
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return (
        "<h2>What was predicted</h2><p>Real recordings come without labels and without an oracle."
        " These figures show that the way works from the lens to the model; a few minutes of"
        " footage cannot show skill, and none is claimed.</p>"
        f"<table><tbody>{lines}</tbody></table>{_slots(evaluation)}"
    )


def _slots(evaluation: Values) -> str:
    """Each predictor's loss on the wearer's slots beside that on the world's."""
    said = evaluation.get("slots") or {}
    lines = "".join(
        f'<tr><th scope="row">{label}</th><td>{_figure(said[name].get("own"))}</td>'
        f"<td>{_figure(said[name].get('world'))}</td></tr>"
        for name, label in PREDICTORS.items()
        if name in said
    )
    if not lines:
        return ""
    return (
        "<table class='figures'><thead><tr><th scope='col'>Predictor</th>"
        "<th scope='col'>The wearer's own slots</th><th scope='col'>The world's</th></tr></thead>"
        f"<tbody>{lines}</tbody></table>"
        '<p class="quiet">Nats per slot of the held-out part, lower is better. The wearer\'s own'
        " slots are motion, hands, sound and word; the world's are the scene that the next second"
        " begins with.</p>"
    )


def _history(evaluation: Values) -> str:
    gain = evaluation.get("history_gain") or {}
    nats, low, high = (gain.get(name) for name in ("nats", "low", "high"))
    if nats is None or low is None or high is None:
        return ""
    labelled = evaluation.get("nats_per_action") is not None
    unit = "nats per action" if labelled else "nats per own slot"
    if not labelled:
        found = "That is about tokens, and shows nothing of a person's habits."
    elif low > 0:
        found = "The person's own past makes the day easier to foretell."
    elif high < 0:
        found = "The person's own past made the prediction worse."
    else:
        found = "The interval holds zero: no gain is shown."
    label = f"Gain from the person's own past: {nats:.3f}, interval {low:.3f} to {high:.3f}"
    return (
        "<h2>What a person's own past is worth</h2>"
        f"{charts.interval(low, nats, high, label=label, unit=unit)}"
        f"<p>The same model with the person's earlier days and without them differ by {nats:+.3f}"
        f" {unit} (95 % interval {low:+.3f} to {high:+.3f}). {found}</p>"
    )


def _reliability(evaluation: Values) -> str:
    ece = evaluation.get("ece")
    if ece is None:
        return ""
    return (
        "<h2>Can its certainty be trusted?</h2><p>Where the model says 70 %, it should be right 70"
        f" times in 100. On average it is off by <strong>{100 * ece:.1f} percentage points</strong>"
        " (expected calibration error).</p>"
    )


def _people(evaluation: Values, named: dict[str, str]) -> str:
    rows = evaluation.get("per_person") or {}
    if not rows:
        return ""
    unit = "step" if evaluation.get("nats_per_action") is not None else "own slot"
    lines = "".join(
        f'<tr><th scope="row">{escape(named.get(name, name))}</th><td>{row.get("steps", "")}</td>'
        f"<td>{_figure(row.get('model'))}</td><td>{_figure(row.get('ngram'))}</td>"
        f"<td>{_difference(row.get('ngram'), row.get('model'))}</td></tr>"
        for name, row in rows.items()
    )
    return (
        "<h2>Person by person</h2><table class='figures'><thead><tr><th scope='col'>Person</th>"
        "<th scope='col'>Steps</th><th scope='col'>Model</th><th scope='col'>N-gram</th>"
        f"<th scope='col'>Better by</th></tr></thead><tbody>{lines}</tbody></table>"
        f'<p class="quiet">Nats for each {unit} of the held-out day.</p>'
    )


def _days(days: Sequence[Values], labelled: bool) -> str:
    parts = [_day(day) for day in days if day.get("rows")]
    if not parts:
        return ""
    # The product of a second's eight chances would be too small to see.
    height = "the chance that was given to what happened"
    if not labelled:
        height = "the mean chance (geometric) that was given to the wearer's eight tokens"
    key = (
        '<p class="key"><svg width="14" height="14" aria-hidden="true"><rect class="right"'
        ' width="14" height="14"/></svg> first guess right'
        ' <svg width="14" height="14" aria-hidden="true"><rect class="wrong" width="14"'
        f' height="14"/></svg> wrong. The height is {height}.</p>'
    )
    return f"<h2>A day foretold, beside the day that was</h2>{key}{''.join(parts)}"


def _day(day: Values) -> str:
    rows = day["rows"]
    right = sum(row.get("real") == row.get("top1") for row in rows)
    person = escape(str(day.get("person") or day.get("name") or "somebody"))
    drawn = [
        (
            float(row.get("start_ns") or number),
            _chance(row),
            f"{_clock(row)} {row.get('real')}: given {_percent(_chance(row))};"
            f" expected {row.get('top1')}",
            row.get("real") == row.get("top1"),
        )
        for number, row in enumerate(rows)
    ]
    label = f"{day.get('person')}: chance given to each of {len(rows)} real steps"
    lines = "".join(
        f"<tr class='{'hit' if row.get('real') == row.get('top1') else 'miss'}'>"
        f"<td>{escape(_clock(row))}</td><td>{escape(str(row.get('real')))}</td>"
        f"<td>{_percent(_chance(row))}</td><td>{escape(str(row.get('top1')))}</td>"
        f"<td>{_percent(row.get('p_top1'))}</td></tr>"
        for row in rows
    )
    return (
        f"<h3>{person}</h3>{charts.chances(drawn, label=label)}"
        f'<p class="quiet ends"><span>{escape(_clock(rows[0]))}</span>'
        f"<span>{right} of {len(rows)} right at the first guess</span>"
        f"<span>{escape(_clock(rows[-1]))}</span></p>"
        f"<details><summary>All {len(rows)} steps</summary><table class='figures steps'><thead><tr>"
        "<th scope='col'>Time</th><th scope='col'>What happened</th>"
        "<th scope='col'>Chance given</th><th scope='col'>First guess</th>"
        f"<th scope='col'>Its chance</th></tr></thead><tbody>{lines}</tbody></table></details>"
    )


def _scrubber(summary: Values) -> str:
    statement = (summary.get("release") or {}).get("scrubber")
    if not statement:
        return ""
    return f"<h2>What the pictures still show</h2><p>{escape(str(statement))}</p>"


def _caveats(summary: Values, evaluation: Values) -> str:
    notes = []
    if evaluation.get("oracle") is not None:
        notes.append(
            "These people are simulated: their habits are simpler than anybody's. The figures show"
            " that the whole way works and what it recovers of what can be known, not how well"
            " people can be foretold."
        )
    else:
        notes.append("Without an oracle nobody can say how much of a day could be foretold.")
    people, steps = evaluation.get("people"), evaluation.get("steps")
    if people is not None and steps is not None:
        notes.append(
            f"One held-out day of {_count(people, 'person', 'people')}, {_count(steps, 'step')}: a"
            " small sample."
        )
    notes.append(
        "Each prediction may use everything that really happened before it, the held-out day's own"
        " earlier steps included; the baselines have the same right."
    )
    notes.append(
        "Erasing footage later does not make this model forget; its lineage says what it has seen."
    )
    lineage = evaluation.get("lineage") or {}
    facts = "".join(
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in lineage.items()
        if isinstance(value, str | int | float)
    )
    wall = summary.get("wall_s")
    took = f" All of it took {length(wall)}." if wall is not None else ""
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<h2>Read this with care</h2><ul>{listed}</ul>"
        f"<details><summary>Lineage of the model</summary><dl>{facts}</dl></details>"
        f'<p class="quiet">Written by Firsthand.{took}</p>'
    )


def _best_baseline(evaluation: Values) -> tuple[str, float] | None:
    known = {
        BASELINES.get(name, name).lower(): value
        for name, value in (evaluation.get("baselines") or {}).items()
        if value is not None
    }
    return min(known.items(), key=lambda item: item[1]) if known else None


def _chance(row: Values) -> float:
    if row.get("p_real") is not None:
        return float(row["p_real"])
    return math.exp(-float(row["nats"])) if row.get("nats") is not None else 0.0


def _clock(row: Values) -> str:
    try:
        return datetime.fromisoformat(str(row.get("time"))).strftime("%H:%M:%S")
    except ValueError:
        return ""


def _s(value: float | None) -> str:
    return "not known" if value is None else length(value)


def _size(value: int | None) -> str:
    return "not known" if value is None else size(value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _difference(worse: float | None, better: float | None) -> str:
    return "–" if worse is None or better is None else f"{worse - better:+.3f}"


def _count(value: int | None, one: str, many: str = "") -> str:
    if value is None:
        return "not known"
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def _learned(evaluation: Values) -> str:
    if evaluation.get("tokens") is not None:
        return _count(evaluation["tokens"], "token value")
    return _count(evaluation.get("classes"), "class", "classes")


def _names(names: Sequence[str]) -> str:
    return ", ".join(str(name) for name in names) or "nobody"


def _of_people(summary: Values) -> str:
    people = summary.get("people")
    return "" if people is None else f"of {_count(people, 'person', 'people')}"


def _segments(summary: Values) -> str:
    return f"{_count(summary.get('segments'), 'segment')}, each with a signed receipt"


def _breaks(summary: Values) -> str:
    breaks = summary.get("link_breaks")
    return "receipt by receipt" if breaks is None else f"the link broke {_count(breaks, 'time')}"


def _lost_note(summary: Values) -> str:
    breaks = summary.get("link_breaks")
    return "" if breaks is None else f"though the link broke {_count(breaks, 'time')}"


def _samples(release: Values) -> str:
    people = release.get("people")
    text = _count(release.get("samples"), "sample")
    return text if people is None else f"{text} of {_count(people, 'person', 'people')}"


def _excluded(summary: Values) -> str:
    recorded, released = summary.get("footage_s"), (summary.get("release") or {}).get("footage_s")
    if recorded is None or released is None:
        return "not known"
    return length(max(recorded - released, 0))


_STYLE = """
* { box-sizing: border-box; }
html { font: 17px/1.6 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--paper); }
body { margin: 0; }
main { max-width: 50rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1, h2, h3, .lead { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, serif;
  line-height: 1.25; }
h1 { font-size: 2.1rem; margin: .5rem 0; } h2 { font-size: 1.4rem; margin: 2.6rem 0 .6rem; }
h3 { margin: 1.6rem 0 .4rem; }
.lead { font-size: 1.2rem; line-height: 1.45; }
.quiet { color: var(--quiet); font-size: .88rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; font-weight: 400; font-variant-numeric: tabular-nums; }
thead th { color: var(--quiet); font-size: .85rem; }
tbody th { font-weight: 500; }
tr.miss td:nth-child(4) { color: var(--quiet); } tr.hit td:nth-child(4) { color: var(--model); }
.way { list-style: none; padding: 0; display: grid; gap: .7rem;
  grid-template-columns: repeat(auto-fit, minmax(max(9.5rem, 30%), 1fr)); counter-reset: step; }
.way li { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .6rem .7rem; display: grid; align-content: start; counter-increment: step; }
.way span { color: var(--quiet); font-size: .85rem; }
.way span::before { content: counter(step) ". "; }
.way small { color: var(--quiet); line-height: 1.35; }
svg.chances { height: 110px; }
.ends { display: flex; justify-content: space-between; gap: 1rem; margin: .2rem 0;
  text-align: center; }
.key svg { vertical-align: -2px; margin-left: .6rem; } .key svg:first-child { margin-left: 0; }
.key { font-size: .9rem; }
summary { cursor: pointer; color: var(--accent); padding: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .88rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) { html { font-size: 16px; } .figures { font-size: .85rem; }
  th, td { padding-right: .45rem; } }
@media print { details { display: none; } }
"""
