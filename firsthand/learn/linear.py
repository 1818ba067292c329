"""The log-linear expert: the counts' predictions, corrected by weights on what is seen.

A multinomial logit over the closed list of joint classes. It starts from what the count experts
said of each step before they had counted it, and adds weights that all people share and each
person's own departure from them (a hierarchical prior, as Daumé 2007 showed for domains).
Ridge penalties and L-BFGS: convex and exact where a network has too few steps to learn from;
left out where the list is too long for a dense table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from firsthand.learn.vocabulary import Codes, Vocabulary

MOST_CLASSES = 512
RECENT_CLASSES = 64  # classes whose last occurrence in the recording is a feature
RECENT_EDGES = (1, 2, 4, 8)  # steps ago: 1, 2, 3-4, 5-8, more
ITERATIONS = 40
PENALTIES = ((3.0, 6.0), (6.0, 12.0), (10.0, 20.0), (20.0, 40.0))  # of shared and own weights
START_TRUST, TRUST_PULL = 0.5, 30.0  # the count experts' weights together, and the ridge to them
# Of a person's own weights after each step. 0.05 cost 0.18 nats per action, 0 costs 0.003.
ONLINE_RATE = 0.003


@dataclass(frozen=True)
class Features:
    """Active features of each step, [T, K]; `count` itself stands for no feature."""

    active: Tensor
    count: int


def features_of(codes: Codes, vocabulary: Vocabulary) -> Features:
    """What is known before each step: world fields, the step before, and how long ago each
    class last occurred in this recording."""
    steps = len(codes)
    before = np.full((steps, 1 + codes.own.shape[1]), 0, dtype=np.int64)
    known = np.zeros(steps, dtype=bool)
    known[1:] = codes.recording[1:] == codes.recording[:-1]
    rows = np.flatnonzero(known)
    before[rows, 0] = codes.joint[rows - 1] + 1
    before[rows, 1:] = codes.own[rows - 1] + 1
    columns = [np.zeros((steps, 1), dtype=np.int64), codes.world, before]
    sizes = [1, *vocabulary.world_sizes, vocabulary.size + 1]
    sizes += [size + 1 for size in vocabulary.own_sizes]
    dense = np.concatenate(columns, axis=1) + np.cumsum([0, *sizes[:-1]])
    recent, buckets = _recency(codes, min(vocabulary.size, RECENT_CLASSES))
    offset, classes = sum(sizes), recent.shape[1]
    ids = offset + np.arange(classes) * buckets + recent
    count = offset + classes * buckets
    active = np.concatenate([dense, np.where(recent >= 0, ids, count)], axis=1)
    return Features(torch.from_numpy(active), count)


def _recency(codes: Codes, classes: int) -> tuple[np.ndarray, int]:
    """Bucket of steps since each class last occurred in the recording, -1 for never; [T, K]."""
    last = np.full(classes, -1)
    recent = np.full((len(codes), classes), -1)
    for t in range(len(codes)):
        if t and codes.recording[t] != codes.recording[t - 1]:
            last[:] = -1
        seen = last >= 0
        recent[t, seen] = np.searchsorted(RECENT_EDGES, t - last[seen])
        if codes.joint[t] < classes:
            last[codes.joint[t]] = t
    return recent, len(RECENT_EDGES) + 1


@dataclass(frozen=True)
class Lesson:
    """Steps to fit on: features [T, K], what E count experts said [T, E, C], the truth [T]."""

    active: Tensor
    count: int
    said: Tensor
    joint: np.ndarray


@dataclass(frozen=True)
class Linear:
    """Fitted weights: of the count experts [E], shared [F+1, C] and each person's own [F+1, C];
    the last row of a table is zero."""

    trust: Tensor
    shared: Tensor
    own: dict[str, Tensor]

    def predict(self, lesson: Lesson, person: str | None) -> np.ndarray:
        """Log-probabilities [T, C], test-then-train: after each step its truth moves a copy of
        the person's own weights, so that step t is predicted from the steps before t alone."""
        own = self.own.get(person or "", torch.zeros_like(self.shared)).clone()
        base = torch.einsum("e,tec->tc", self.trust, lesson.said)
        rows = np.empty((len(lesson.joint), self.shared.shape[1]))
        for t, active in enumerate(lesson.active):
            active = active[active < lesson.count]
            scores = base[t] + (self.shared[active] + own[active]).sum(0)
            log_p = scores.log_softmax(-1)
            rows[t] = log_p.double().numpy()
            slope = log_p.exp()
            slope[int(lesson.joint[t])] -= 1
            own[active] -= ONLINE_RATE * slope
        return rows


def fit_linear(lessons: Mapping[str, Lesson], size: int, shared: float, own: float) -> Linear:
    """Weights for these people's steps, with a ridge penalty on the shared and the own ones."""
    people = list(lessons)
    active = torch.cat([lessons[p].active for p in people])
    said = torch.cat([lessons[p].said for p in people])
    joint = torch.from_numpy(np.concatenate([lessons[p].joint for p in people]))
    count = lessons[people[0]].count
    who = torch.cat([torch.full((len(lessons[p].joint),), i) for i, p in enumerate(people)])
    # The own tables stand one under the other, so that one sum over rows reads them all.
    table = torch.zeros((len(people) + 1) * (count + 1), size, requires_grad=True)
    rows = torch.cat([active, active + (who[:, None] + 1) * (count + 1)], dim=1)
    keep = torch.cat([active < count] * 2, dim=1).float()
    penalty = torch.full((len(table), 1), own)
    penalty[: count + 1] = shared
    experts = said.shape[1]
    start = torch.full((experts,), START_TRUST / experts)
    trust = start.clone().requires_grad_()
    solver = torch.optim.LBFGS([table, trust], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        scores = F.embedding_bag(rows, table, per_sample_weights=keep, mode="sum")
        scores = scores + torch.einsum("e,tec->tc", trust, said)
        value = F.cross_entropy(scores, joint, reduction="sum")
        value = value + (penalty * table**2).sum() + TRUST_PULL * ((trust - start) ** 2).sum()
        value.backward()
        return value

    solver.step(loss)
    tables = table.detach().view(len(people) + 1, count + 1, size)
    own_tables = {p: tables[i + 1].clone() for i, p in enumerate(people)}
    return Linear(trust.detach(), tables[0].clone(), own_tables)


def choose_linear(
    lessons: Mapping[str, Lesson],
    dev: Mapping[str, Lesson],
    size: int,
    penalties: Sequence[tuple[float, float]] = PENALTIES,
) -> tuple[tuple[float, float], Linear]:
    """The penalties with the lowest loss on the development steps, and the weights they gave."""
    tried = []
    for pair in penalties:
        fitted, nats = fit_linear(lessons, size, *pair), 0.0
        for person, lesson in dev.items():
            log_p = fitted.predict(lesson, person)
            nats -= float(log_p[np.arange(len(log_p)), lesson.joint].sum())
        tried.append((nats, pair, fitted))
    _, pair, fitted = min(tried, key=lambda row: row[0])
    return pair, fitted
