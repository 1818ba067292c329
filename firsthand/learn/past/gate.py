"""The gate: experts' log-probabilities joined with weights that small contexts choose, online.

p(c) is proportional to exp(sum_e w_e log p_e(c)) (logistic mixing: Mahoney 2005; Mattern 2013). A
weight is a sum: one part by how much the expert has to go by, others by contexts of the step, such
as how far into the recording it is and how surprising the last steps were. After each step the
weights follow the gradient of its loss, scaled as in RMSProp (Tieleman & Hinton 2012).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from firsthand.learn.past import states, tables
from firsthand.learn.past.compiled import compiled
from firsthand.learn.past.lives import Lives

SETS = 5  # of contexts: none, where in the life, the act before, surprise, mean surprise
SURPRISES = (0.2, 0.7, 1.8, 3.5)  # nats between the five degrees of surprise
START = 1.2  # sum of all weights at first
KEEP = np.float32(0.998)  # of the mean squared gradient
# A bucket of evidence that was seen n times learns 1 + EAGER / (1 + n / CALM) times as fast.
EAGER, CALM = np.float32(10.0), np.float32(10.0)
LEAST = np.float32(1e-20)


class Gate(NamedTuple):
    """Weights by context [SETS, contexts, E] and by evidence [E, BUCKETS], the mean squared
    gradients of both, and how often each bucket was met."""

    by_context: np.ndarray
    by_evidence: np.ndarray
    slope_context: np.ndarray
    slope_evidence: np.ndarray
    met: np.ndarray

    def copy(self) -> "Gate":
        """An independent copy."""
        return Gate(*(array.copy() for array in self))

    def become(self, other: "Gate") -> None:
        """Take another's weights."""
        for mine, theirs in zip(self, other, strict=True):
            mine[:] = theirs


class Desk(NamedTuple):
    """Working memory: experts' rows and what they add up to."""

    chance: np.ndarray
    log_p: np.ndarray
    evidence: np.ndarray
    weight: np.ndarray
    slope: np.ndarray
    total: np.ndarray
    buffer: np.ndarray
    rate: np.ndarray


class Said(NamedTuple):
    """What is kept of each step: log-probability of the truth [T]; of scored steps, at `row` [T],
    all classes [N, C]; of noted steps, at `noted` [T], the best candidates [M, K] with the experts'
    relative log-probabilities (`note` [M, K, F], 1 / NOTE_SCALE nat) and the objects' states."""

    truth: np.ndarray
    row: np.ndarray
    log_p: np.ndarray
    noted: np.ndarray
    candidates: np.ndarray
    base: np.ndarray
    note: np.ndarray
    state: np.ndarray


@dataclass(frozen=True)
class Extra:
    """Experts computed apart: log-probabilities [T, X, C] and a bucket of evidence [T, X]."""

    log_p: np.ndarray
    evidence: np.ndarray


def gate_of(experts: int, contexts: int) -> Gate:
    """A gate that trusts all alike."""
    by_context = np.zeros((SETS, contexts, experts), np.float32)
    by_context[0] = START / experts
    by_evidence = np.zeros((experts, tables.BUCKETS), np.float32)
    return Gate(
        by_context, by_evidence, np.zeros_like(by_context), np.zeros_like(by_evidence),
        np.zeros_like(by_evidence),
    )  # fmt: skip


def contexts_of(lives: Lives, acts_before: np.ndarray) -> np.ndarray:
    """The sets' contexts [T, SETS] but for surprise, which `follow` fills in."""
    place = np.digitize(lives.position, [1, 3, 8, 20, 50, 120, 300]) * 6
    place += np.digitize(lives.lived, [50, 200, 600, 1500, 4000])
    nothing = np.zeros(len(lives), dtype=np.int64)
    return np.stack([nothing, place, acts_before + 1, nothing, nothing], 1).astype(np.int32)


NOTE_SCALE = np.float32(1500.0)


@compiled(fastmath=True)
def follow(
    start, stop, index, counts, objects, rates, scene, extra, extra_evidence, share_row,
    position, truth, contexts, gate, desk, said, features, scored, own, grow, rate_of_learning,
) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    """Go through a life from start to stop: say, then learn, then count, step by step.

    With `own` what this life has shown counts, with `grow` its steps are added to that. Without
    a rate of learning the gate stays as it is; then only `scored` steps are worked out.
    """
    experts, classes = desk.log_p.shape
    extras = extra.shape[1]
    first_state = experts - extras - states.ROWS
    used, act1, object1, begun = 0, -1, -1, start
    shock1, shock2, shock3, mood = 5, 5, 5, np.float32(1.5)
    learn = rate_of_learning > 0
    weight, slope, total = desk.weight, desk.slope, desk.total
    for step in range(start, stop):
        if position[step] == 0:
            tables.forget(index, counts, tables.HERE, begun, step)
            begun = step
            states.clear(scene)
            used, act1, object1 = 0, -1, -1
            shock1, shock2, shock3 = 5, 5, 5
        if learn or scored[step]:
            contexts[step, 3] = shock1 * 36 + shock2 * 6 + shock3
            contexts[step, 4] = min(11, int(mood * 3))
            tables.say(index, counts, step, own, desk.chance, desk.log_p, desk.evidence,
                         desk.buffer)  # fmt: skip
            states.say(rates, scene, objects, step, act1, object1, own,
                       desk.chance[share_row], desk.rate, desk.log_p, first_state)  # fmt: skip
            for i in range(states.ROWS):
                desk.evidence[first_state + i] = min(7, int(np.log2(used + 1)))
            for i in range(extras):
                desk.log_p[experts - extras + i] = extra[step, i]
                desk.evidence[experts - extras + i] = extra_evidence[step, i]
            for e in range(experts):
                w = gate.by_evidence[e, desk.evidence[e]]
                for j in range(SETS):
                    w += gate.by_context[j, contexts[step, j], e]
                weight[e] = w
            total[:] = 0
            for e in range(experts):
                w, x = weight[e], desk.log_p[e]
                for c in range(classes):
                    total[c] += w * x[c]
            top = np.float32(-1e30)
            for c in range(classes):
                top = max(top, total[c])
            heap = np.float32(0)
            for c in range(classes):
                total[c] = np.exp(total[c] - top)
                heap += total[c]
            for c in range(classes):
                total[c] = max(total[c] / heap, LEAST)
            right = truth[step]
            said.truth[step] = np.log(total[right])
            if said.row[step] >= 0:
                out = said.log_p[said.row[step]]
                for c in range(classes):
                    out[c] = np.log(total[c])
            if said.noted[step] >= 0:
                _note(step, desk, scene, objects, said, features)
            nats = -said.truth[step]
            shock3, shock2, shock1 = shock2, shock1, 4
            for degree in range(3, -1, -1):
                if nats < SURPRISES[degree]:
                    shock1 = degree
            mood += np.float32(0.12) * (np.float32(nats) - mood)
            if learn:
                for e in range(experts):
                    mean, x = np.float32(0), desk.log_p[e]
                    for c in range(classes):
                        mean += total[c] * x[c]
                    slope[e] = mean - x[right]
                _descend(step, gate, desk, contexts, rate_of_learning)
        if grow:
            tables.count(index, counts, tables.OWN, step, step + 1, 1.0)
            tables.count(index, counts, tables.LATE, step, step + 1, 1.0)
            states.count(rates, scene, objects, 1, np.float32(1), step, act1, object1, used)
        tables.count(index, counts, tables.HERE, step, step + 1, 1.0)
        used = states.move(scene, objects, step, used)
        act1, object1 = objects.act[step], objects.object_[step]
    tables.forget(index, counts, tables.HERE, begun, stop)


@compiled(fastmath=True)
def _descend(step, gate, desk, contexts, rate) -> None:  # type: ignore[no-untyped-def]
    """One step of every weight that was used down the slope of the loss."""
    for e in range(len(desk.slope)):
        slope, bucket = desk.slope[e], desk.evidence[e]
        square = slope * slope
        mean = gate.slope_evidence[e, bucket]
        mean = KEEP * mean + (1 - KEEP) * square if mean > 0 else square + np.float32(0.01)
        gate.slope_evidence[e, bucket] = mean
        gate.met[e, bucket] += 1
        eager = 1 + EAGER / (1 + gate.met[e, bucket] / CALM)
        gate.by_evidence[e, bucket] -= rate * eager * slope / (np.sqrt(mean) + np.float32(0.1))
        for j in range(SETS):
            c = contexts[step, j]
            mean = gate.slope_context[j, c, e]
            mean = KEEP * mean + (1 - KEEP) * square if mean > 0 else square + np.float32(0.01)
            gate.slope_context[j, c, e] = mean
            gate.by_context[j, c, e] -= rate * slope / (np.sqrt(mean) + np.float32(0.1))


@compiled
def _note(step, desk, scene, objects, said, features) -> None:  # type: ignore[no-untyped-def]
    """Keep the best candidates of a step and what the experts say of them."""
    order, row = np.argsort(-desk.total), said.noted[step]
    for place in range(said.candidates.shape[1]):
        c = order[place]
        base = np.log(desk.total[c])
        said.candidates[row, place] = c
        said.base[row, place] = base
        for f in range(len(features)):
            value = (desk.log_p[features[f], c] - base) * NOTE_SCALE
            said.note[row, place, f] = np.int16(max(min(value, np.float32(32000)),
                                                     np.float32(-32000)))  # fmt: skip
        obj = objects.class_object[c]
        met = scene.when[obj] >= 0
        said.state[row, place, 0] = 1 + states.age_bucket(step - scene.when[obj]) if met else 0
        said.state[row, place, 1] = 1 + scene.last[obj]
        said.state[row, place, 2] = 1 + scene.earlier[obj]
        said.state[row, place, 3] = min(scene.uses[obj], 9)
