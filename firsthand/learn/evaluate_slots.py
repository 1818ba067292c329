"""How well a model of ticks predicts the held-out day: nats per slot, the wearer's own apart from
the world's, beside baselines that need no labels.

Test-then-train, as in evaluate.py. A token that training never showed counts as one more value
of its slot, for every predictor alike. There is no oracle here, and no claim of skill.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from firsthand.learn import slots, store
from firsthand.learn.score import bootstrap, calibration_of
from firsthand.learn.streams import Step
from firsthand.learn.tokens.ticks import role

BASELINES = ("uniform", "unigram", "repeat_last", "ngram")


@dataclass(frozen=True)
class Judged:
    """One person's held-out seconds: what was expected of each, and nats [T, O] by predictor."""

    person: str
    steps: tuple[Step, ...]
    values: np.ndarray
    told: slots.Told
    nats: dict[str, np.ndarray]


def judge(model: store.SlotModel, person: str) -> Judged:
    """Everybody's predictions of one person's held-out seconds, the first included."""
    vocabulary, shares, fields = model.vocabulary, model.shares, tuple(model.vocabulary.own)
    stream, number, first = model.streams[person], model.numbers[person], model.split(person)[1]
    life, others = model.codes(stream), list(model.others(person).values())
    told = slots.listen(vocabulary, model.networks, number, life, first, others, shares.model)
    today = life.cut(first, len(life))
    strange = model.matched[store.fold_of(number, len(model.matched))][0]
    bare = slots.listen(vocabulary, strange, 0, today, 0, others)
    given = {name: told.given[name] for name in ("network", "uniform", "unigram", "ngram")}
    given["model"] = slots.mixed(fields, shares.model, told, slots.MODEL)
    given["without_past"] = slots.mixed(fields, shares.without_past, bare, slots.MODEL)
    given["repeat_last"] = slots.mixed(fields, shares.repeat_last, told, slots.REPEAT)
    nats = {name: -np.log(p) for name, p in given.items()}
    return Judged(person, stream.steps[first:], today.own, told, nats)


def summarise(model: store.SlotModel, judged: Sequence[Judged]) -> dict[str, Any]:
    """The figures of the report; all losses in nats per slot, lower is better."""
    fields = tuple(model.vocabulary.own)
    own = owned(model)
    nats = {name: np.concatenate([j.nats[name] for j in judged]) for name in judged[0].nats}
    losses = {name: _by_role(fields, value.mean(0)) for name, value in nats.items()}
    mean = {name: each["own"] for name, each in losses.items()}
    gain = (nats["without_past"] - nats["model"])[:, own].mean(1)
    low, high = bootstrap(gain, [len(j.steps) for j in judged])
    sure = np.concatenate([j.told.sure[:, own] for j in judged]).ravel()
    right = np.concatenate([(j.told.best == j.values)[:, own] for j in judged]).ravel()
    return {
        "people": len(judged),
        "steps": len(gain),
        "target": "own_slots",
        "claim": "none",
        "classes": None,
        "tokens": sum(model.vocabulary.own_sizes) - len(fields),
        "nats_per_action": None,
        "nats_per_own_slot": mean["model"],
        "nats_per_slot": {name: losses["model"][name] for name in ("own", "world")},
        "slots": losses,
        "network_alone": mean["network"],
        "baselines": {name: mean[name] for name in BASELINES},
        "oracle": None,
        "excess": None,
        "recovered": None,
        "history_gain": {"nats": float(gain.mean()), "low": low, "high": high},
        "without_past": mean["without_past"],
        "top1": float(right.mean()),
        "top5": None,
        "ece": calibration_of(sure, right),
        "per_person": {
            j.person: {n: float(j.nats[n][:, own].mean()) for n in ("model", "ngram")}
            | {"steps": len(j.steps)}
            for j in judged
        },
        "lineage": model.config["lineage"],
    }


def owned(model: store.SlotModel) -> list[int]:
    """Which slots are the wearer's own."""
    return [slot for slot, field in enumerate(model.vocabulary.own) if role(field) == "own"]


def _by_role(fields: Sequence[str], nats: np.ndarray) -> dict[str, Any]:
    """The mean over the wearer's slots, that over the world's, and each field's."""
    each = dict(zip(fields, nats.tolist(), strict=True))
    mean = {
        whose: float(np.mean([value for field, value in each.items() if role(field) == whose]))
        for whose in ("own", "world")
    }
    return {**mean, "fields": each}


def per_step(model: store.SlotModel, judged: Sequence[Judged]) -> pyarrow.Table:
    """A row for each held-out second: the wearer's tokens, the likeliest of each given those
    before it, and nats: per own slot of each predictor, and of each field of the model.

    `p_top1` is the chance of a first guess, the geometric mean over the wearer's slots.
    """
    own, fields = owned(model), tuple(model.vocabulary.own)
    names = [("?", *model.vocabulary.own[fields[slot]]) for slot in own]
    tables = []
    for j in judged:
        guessed = [
            " ".join(name[code] for name, code in zip(names, row, strict=True))
            for row in j.told.best[:, own].tolist()
        ]
        columns: dict[str, Any] = {
            "person": [j.person] * len(j.steps),
            "recording": [step.recording for step in j.steps],
            "start_ns": [step.start_ns for step in j.steps],
            "real": [" ".join(step.own) for step in j.steps],
            "top1": guessed,
            "p_top1": np.exp(np.log(j.told.sure[:, own]).mean(1)),
            "entropy": j.told.entropy[:, own].mean(1),
        }
        columns |= {f"nats.{name}": value[:, own].mean(1) for name, value in j.nats.items()}
        model_nats = j.nats["model"]
        columns |= {f"slot.{field}": model_nats[:, slot] for slot, field in enumerate(fields)}
        tables.append(pyarrow.table(columns))
    return pyarrow.concat_tables(tables)
