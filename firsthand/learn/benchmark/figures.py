"""The figures: losses, gains with their intervals, who wore it, and a row for each judged step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from firsthand.errors import NotFound, Usage
from firsthand.learn.benchmark import baselines
from firsthand.learn.benchmark.baselines import Truths
from firsthand.learn.benchmark.judge import Judged, together
from firsthand.learn.benchmark.oracle import Oracle
from firsthand.learn.benchmark.task import Task
from firsthand.learn.benchmark.work import MOST_CANDIDATES
from firsthand.learn.past.lives import Lives
from firsthand.learn.score import DRAWS, calibration_of


def summarise(
    task: Task,
    found: dict[str, dict[int, Any]],
    order: str,
    oracle: Oracle | None = None,
    only: str | None = None,
) -> tuple[dict[str, Any], pyarrow.Table]:
    """The figures as plain JSON values, and a row for each judged step."""
    lives = task.lives
    people = [p for fold in range(task.folds) for p in task.tested(fold)]
    people.sort()
    mask = np.concatenate([np.flatnonzero(task.mask(p)) for p in people])
    names = task.vocabulary.own
    result: dict[str, Any] = {
        "regime": task.regime, "n": len(mask), "people": len(people),
        "recordings": len(np.unique(lives.recording[mask])), "folds": task.folds,
        "classes": len(task.vocabulary.classes), "order": order, "seed": task.seed,
        "unseen": int((lives.joint[mask] == lives.size - 1).sum()),
    }  # fmt: skip
    columns: dict[str, Any] = {
        "person": [lives.people[p] for p in lives.person[mask]],
        "recording": [task.recordings[r] for r in lives.recording[mask]],
        "step": lives.position[mask],
    }  # fmt: skip
    logs: dict[str, np.ndarray] = {}
    if found.get("baselines"):
        logs |= _baselines(task, found["baselines"], people)
        if only in baselines.NAMES:
            logs = {only: logs[only]}
        result["baselines"] = {name: -float(value.mean()) for name, value in logs.items()}
    if found.get("model"):
        rows = [found["model"][p]["model"] for p in people]
        whole = together(rows)
        result |= scores(whole, lives.joint[mask], list(names))
        logs["model"] = whole.joint
        recording = lives.recording[mask]
        if "mixture" in logs:
            gain = logs["model"] - logs["mixture"]
            result["gain_over_mixture"] = _interval(gain, recording)
        if found.get("without_past"):
            rows = [found["without_past"][p]["without_past"] for p in people]
            logs["without_past"] = np.concatenate([r.joint for r in rows])
            result["without_past"] = -float(logs["without_past"].mean())
            result["history_gain"] = _interval(logs["model"] - logs["without_past"], recording)
        result |= _identity(task, found["model"], people)
        if "stranger" in found["model"][people[0]]:
            rows = [found["model"][p]["stranger"] for p in people]
            logs["stranger"] = np.concatenate([r.joint for r in rows])
            result["stranger_loss"] = -float(logs["stranger"].mean())
        result["per_person"] = _per_person(lives, mask, logs)
        if oracle is not None:
            result["oracle"], columns["nats.oracle"] = _oracle(task, mask, logs, oracle)
    for name, value in logs.items():
        columns[f"log_p.{name}"] = value
    return result, pyarrow.table(columns)


def _baselines(
    task: Task, counted: dict[int, Truths], people: Sequence[int]
) -> dict[str, np.ndarray]:
    """Log-chances of the truths in the order of `people`, unseen classes charged fairly."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in baselines.NAMES}
    chosen = {}
    for fold in range(task.folds):
        fitted = [counted[p] for p in task.pool(fold) if len(counted[p].steps)]
        known = [task.known[t.steps] for t in fitted]
        if sum(int(m.sum()) for m in known) == 0:
            fitted = [t for t in counted.values() if len(t.steps)]
            known = [np.ones(len(t.steps), dtype=bool) & task.known[t.steps] for t in fitted]
        chosen[fold] = baselines.choose(fitted, known)
    for person in people:
        truths = counted[person]
        judged = task.judged[truths.steps]
        truth = task.lives.joint[truths.steps[judged]]
        fair = np.where(truth == task.lives.size - 1, np.log(task.vocabulary.unseen_ways), 0.0)
        for name, value in baselines.named(truths, judged, chosen[task.fold(person)]).items():
            found[name].append(value - fair)
    return {name: np.concatenate(rows) for name, rows in found.items()}


def scores(judged: Judged, truth: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Losses in nats, hits among the best 1 and 5 (also as a mean over classes), calibration."""
    nats = {"joint": -float(judged.joint.mean())}
    nats |= {name: -float(judged.fields[:, i].mean()) for i, name in enumerate(names)}
    found = [float((judged.rank[truth == c] < 5).mean()) for c in np.unique(truth)]
    return {
        "nats": nats, "top1": float((judged.rank < 1).mean()),
        "top5": float((judged.rank < 5).mean()), "recall5": float(np.mean(found)),
        "ece": calibration_of(judged.sure, judged.right),
    }  # fmt: skip


def _interval(gain: np.ndarray, recording: np.ndarray) -> dict[str, float]:
    """Mean of paired differences [N] and its 95 % interval, by a bootstrap over recordings."""
    _, group = np.unique(recording, return_inverse=True)
    sums, counts = np.bincount(group, gain), np.bincount(group)
    draws = np.random.default_rng(0).integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"nats": float(gain.mean()), "low": float(low), "high": float(high)}


def _identity(task: Task, found: dict[int, Any], people: Sequence[int]) -> dict[str, Any]:
    """How often the wearer of a recording is named among all people, by likelihood."""
    rows = np.concatenate([found[p]["who"].argmax(1) == 0 for p in people])
    if len(task.lives.people) < 2:
        return {"who_top1": None}
    candidates = min(MOST_CANDIDATES, len(task.lives.people))
    return {"who_top1": float(rows.mean()), "who_candidates": candidates,
            "who_recordings": len(rows)}  # fmt: skip


def _per_person(
    lives: Lives, mask: np.ndarray, logs: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    owner = lives.person[mask]
    kept = [n for n in ("model", "without_past", "stranger", "mixture") if n in logs]
    return {
        lives.people[p]: {"n": int((owner == p).sum())}
        | {name: -float(logs[name][owner == p].mean()) for name in kept}
        for p in np.unique(owner).tolist()
    }


def _oracle(
    task: Task, mask: np.ndarray, logs: dict[str, np.ndarray], oracle: Oracle
) -> tuple[dict[str, float | int | None], np.ndarray]:
    """The best possible predictor's loss, and how far towards it from unigram the model comes.

    Only steps that the oracle has a row for count. Raises Usage where there are none.
    """
    lives = task.lives
    keys = [
        (lives.people[lives.person[t]], task.recordings[lives.recording[t]], int(lives.position[t]))
        for t in mask.tolist()
    ]
    best = np.array([oracle.get(key, np.nan) for key in keys])
    known = np.isfinite(best)
    if not known.any():
        raise Usage("no row of the oracle belongs to a test step", "check its person and recording")
    nats, model = float(best[known].mean()), -float(logs["model"][known].mean())
    found: dict[str, float | int | None] = {
        "nats": nats, "excess": model - nats, "recovered": None, "n": int(known.sum()),
    }  # fmt: skip
    if "unigram" in logs:
        unigram = -float(logs["unigram"][known].mean())
        found["recovered"] = (unigram - model) / (unigram - nats) if unigram > nats else None
    return found, best


def check_writable(path: Path) -> None:
    """Raises NotFound or Usage where rows of steps cannot or must not be written."""
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent}", "make it, or name another file")
    if path.exists() and (not path.is_file() or path.suffix.lower() != ".parquet"):
        raise Usage(f"{path} exists and is no Parquet file", "name another file to write")


def write_steps(steps: pyarrow.Table, path: Path) -> None:
    """Write the rows of the judged steps as Parquet."""
    check_writable(path)
    pyarrow.parquet.write_table(steps, path)
