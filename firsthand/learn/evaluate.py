"""How well a model predicts the held-out day: nats per action, beside baselines and the oracle.

Everything is test-then-train: the prediction of a step may use all true steps of that person
before it, and nothing else of the held-out day. Baselines get the same right.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from firsthand.errors import Usage
from firsthand.learn import evaluate_slots, store
from firsthand.learn.panel import BASELINES, Said
from firsthand.learn.score import bootstrap, calibration_error, top
from firsthand.learn.streams import Stream, check, split
from firsthand.learn.train import mixed, repeat_last

JOIN_NS = 50_000_000  # an oracle's row belongs to the step that starts within 50 ms of it
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Judged:
    """One person's held-out steps [T]: log-probability of the truth under each model, in nats,
    and the full model's distribution [T, C]."""

    person: str
    start_ns: np.ndarray
    recording: list[str]
    truth: list[tuple[str, ...]]
    joint: np.ndarray
    models: dict[str, np.ndarray]
    log_p: np.ndarray


def evaluate(
    model_dir: Path,
    oracle_rows: Rows | None = None,
    release: Path | None = None,
    streams: list[Stream] | None = None,
    encoder: Path | None = None,
) -> dict[str, Any]:
    """Judge a model on each person's held-out last day; also writes evaluation/ in its folder.

    The steps are those the model remembers, or those of a release or of streams with the same
    people; `encoder` tells where that of the model is now. Oracle rows hold person, start_ns,
    nats (positive: what the best predictor pays). A model of ticks is judged by evaluate_slots.py:
    it gets no oracle and makes no claim.
    """
    model = store.load(model_dir)
    if release is not None:
        from firsthand.learn.tokens import footage

        streams = footage.streams_of(release, model_dir / "tokeniser", fitted=True, encoder=encoder)
    if streams is not None:
        unknown = [s.person for s in streams if s.person not in model.streams]
        if unknown:
            raise Usage(f"the model does not know person {unknown[0]}", "train it on their past")
        model.streams = {s.person: check(s) for s in streams}
        model.config["splits"] = {s.person: list(split(s)) for s in streams}
    people = [p for p in model.streams if len(model.streams[p]) > model.split(p)[1]]
    if not people:
        raise Usage(f"the model {model_dir} has no held-out steps", "train it on longer lives")
    if isinstance(model, store.SlotModel):
        told = [evaluate_slots.judge(model, person) for person in people]
        result, table = evaluate_slots.summarise(model, told), evaluate_slots.per_step(model, told)
    else:
        judged = [judge(model, person) for person in people]
        result = summarise(model, judged, oracle_rows)
        table = per_step(model, judged, oracle_rows)
    folder = model_dir / "evaluation"
    folder.mkdir(exist_ok=True)
    result["per_step"] = str(folder / "per_step.parquet")
    pyarrow.parquet.write_table(table, result["per_step"])
    (folder / "evaluation.json").write_text(json.dumps(result, indent=1))
    return result


def steps_of(model: store.Trained, person: str) -> pyarrow.Table:
    """A row for each held-out step of a person; see `per_step`."""
    if isinstance(model, store.SlotModel):
        return evaluate_slots.per_step(model, [evaluate_slots.judge(model, person)])
    return per_step(model, [judge(model, person)], None)


def judge(model: store.JointModel, person: str) -> Judged:
    """Everybody's predictions of one person's held-out steps, the first included."""
    vocabulary, stream = model.vocabulary, model.streams[person]
    first, life, others = model.split(person)[1], model.codes(stream), model.others(person)
    said = model.panel().listen(person, model.numbers[person], life, first, others)
    log_p = mixed(model.mixture, said)
    today = life.cut(first, len(life))
    bare = model.matched_panel(person).listen(person, 0, today, 0, others)
    without = mixed(model.matched_mixture, bare)
    steps = np.arange(len(said.joint))
    fair = np.where(said.joint == vocabulary.size - 1, np.log(vocabulary.unseen_ways), 0.0)
    models = {"model": log_p, "network": said.of("network"), "without_past": without}
    models |= baselines(said, model.baselines)
    picked = {name: rows[steps, said.joint] - fair for name, rows in models.items()}
    lived = stream.steps[first:]
    return Judged(
        person, life.start_ns[first:], [s.recording for s in lived], [s.own for s in lived],
        said.joint, picked, log_p,
    )  # fmt: skip


def baselines(said: Said, weights: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """Log-probabilities [T, C] of what needs no model: uniform, unigram, n-gram, repeat."""
    size = said.log_p.shape[2]
    unigram = np.exp(said.log_p[:, 0])
    counts = np.exp(said.log_p[:, : len(BASELINES)])
    last, other = weights["repeat_last"]
    with np.errstate(divide="ignore"):
        return {
            "uniform": np.full((len(said.joint), size), -np.log(size)),
            "unigram": said.log_p[:, 0],
            "ngram": np.log(np.einsum("tec,e->tc", counts, np.array(weights["ngram"]))),
            "repeat_last": np.log(last * repeat_last(said) + other * unigram),
        }


def summarise(
    model: store.JointModel, judged: Sequence[Judged], oracle_rows: Rows | None
) -> dict[str, Any]:
    """The figures of the report; all losses in nats, lower is better."""
    loss = {name: -np.concatenate([j.models[name] for j in judged]) for name in judged[0].models}
    slots = len(model.vocabulary.own)
    mean = {name: float(value.mean()) for name, value in loss.items()}
    log_p = np.concatenate([j.log_p for j in judged])
    joint = np.concatenate([j.joint for j in judged])
    gain = loss["without_past"] - loss["model"]
    low, high = bootstrap(gain, [len(j.joint) for j in judged])
    baseline_names = ["uniform", "unigram", "ngram", "repeat_last"]
    result: dict[str, Any] = {
        "people": len(judged),
        "steps": len(joint),
        "target": "action",
        "classes": model.vocabulary.size - 1,
        "nats_per_action": mean["model"],
        "nats_per_own_slot": float(loss["model"].mean() / slots),
        "network_alone": mean["network"],
        "baselines": {name: mean[name] for name in baseline_names},
        "oracle": None,
        "excess": None,
        "recovered": None,
        "history_gain": {"nats": float(gain.mean()), "low": low, "high": high},
        "without_past": mean["without_past"],
        "top1": top(log_p, joint, 1),
        "top5": top(log_p, joint, 5),
        "ece": calibration_error(log_p, joint),
        "per_person": {
            j.person: {n: float(-j.models[n].mean()) for n in ("model", "ngram")}
            | {"steps": len(j.joint)}
            for j in judged
        },
        "lineage": model.config["lineage"],
    }
    if oracle_rows:
        result |= _oracle(judged, oracle_rows, loss)
    return result


def _oracle(
    judged: Sequence[Judged], rows: Rows, loss: dict[str, np.ndarray]
) -> dict[str, float | int | None]:
    """What the best possible predictor pays on the steps that it has rows for, and the gap."""
    best = np.concatenate([join_oracle(j, rows) for j in judged])
    known = np.isfinite(best)
    if not known.any():
        raise Usage("no oracle row belongs to a held-out step", "check its person and start_ns")
    oracle = float(best[known].mean())
    model, unigram = (float(loss[name][known].mean()) for name in ("model", "unigram"))
    gap = unigram - oracle
    return {
        "oracle": oracle,
        "oracle_steps": int(known.sum()),
        "excess": model - oracle,
        "recovered": (unigram - model) / gap if gap > 0 else None,
    }


def join_oracle(judged: Judged, rows: Rows) -> np.ndarray:
    """The oracle's nats for each step [T]; NaN where it has no row."""
    mine = sorted(
        (int(r["start_ns"]), float(r["nats"])) for r in rows if r["person"] == judged.person
    )
    if not mine:
        return np.full(len(judged.joint), np.nan)
    times, nats = (np.array(part) for part in zip(*mine, strict=True))
    after = np.searchsorted(times, judged.start_ns).clip(0, len(times) - 1)
    before = (after - 1).clip(0)
    distance = [np.abs(times[side] - judged.start_ns) for side in (before, after)]
    nearest = np.where(distance[0] < distance[1], before, after)
    return np.where(np.minimum(*distance) <= JOIN_NS, nats[nearest], np.nan)


def per_step(
    model: store.Model, judged: Sequence[Judged], oracle_rows: Rows | None
) -> pyarrow.Table:
    """A row for each held-out step: what happened, what was expected, and every model's nats."""
    names = [" ".join(row) for row in model.vocabulary.classes] + ["?"]
    tables = []
    for j in judged:
        best = j.log_p.argmax(1)
        columns: dict[str, Any] = {
            "person": [j.person] * len(j.joint),
            "recording": j.recording,
            "start_ns": j.start_ns,
            "real": [" ".join(row) for row in j.truth],
            "top1": [names[c] for c in best],
            "p_top1": np.exp(j.log_p.max(1)),
            "entropy": -(np.exp(j.log_p) * j.log_p).sum(1),
        }
        columns |= {f"nats.{name}": -value for name, value in j.models.items()}
        oracle = join_oracle(j, oracle_rows or [])
        columns["nats.oracle"] = pyarrow.array(oracle, from_pandas=True)
        tables.append(pyarrow.table(columns))
    return pyarrow.concat_tables(tables)
