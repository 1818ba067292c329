"""A small network that ranks the gate's best candidates again, by what every expert says of them.

The gate weighs experts; the network also sees how they agree, which state the candidate's object
is in, what was done just before, and how surprising that was. It adds to the gate's score of each
candidate; the classes that are no candidates share what is left, so that the chances of all still
sum to 1. Fitted to the log-loss (a listwise softmax: Cao et al. 2007) on other people's lives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from firsthand.learn.past.contexts import before
from firsthand.learn.past.gate import NOTE_SCALE, Said
from firsthand.learn.past.lives import Lives

BACK = 3  # steps before that are shown by their fields
SHOCKS = 4  # steps before whose surprise is shown
HIDDEN, FIELD_WIDTH = 128, 12
# Half the rate for twice as long: 0.017 nats on real people. An average of five such networks was
# worth no more than the best of them.
ROUNDS, BATCH, RATE, DECAY, DROPOUT = 8, 64, 1e-3, 0.02, 0.2
FEWEST_STEPS = 500  # below it there is too little to fit on
UNIT = 4.0  # nats, so that inputs are about 1


@dataclass(frozen=True)
class Shown:
    """What the network is shown of M noted steps, as tensors; all but the truth is known before
    each. Below T stands for M."""

    candidates: Tensor  # [T, K] joint classes
    base: Tensor  # [T, K] their log-probabilities by the gate
    note: Tensor  # [T, K, F] int16
    state: Tensor  # [T, K, 4]
    fields: Tensor  # [T, BACK * O] 1 + own field values of the steps before, 0 for none
    place: Tensor  # [T, P] where in the life, and how surprising the last steps were
    joint: Tensor  # [T] the truth
    truth: Tensor  # [T] its log-probability by the gate
    codes: Tensor  # [C, O]


def show(lives: Lives, said: Said) -> Shown:
    """Gather it from a run of the gate, of the noted steps in the order lived."""
    steps = np.flatnonzero(said.noted >= 0)
    rows, position = said.noted[steps], lives.position
    fields = [
        before(lives.own[:, f], position, back)[steps] + 1
        for back in range(1, BACK + 1)
        for f in range(lives.own.shape[1])
    ]
    shock = np.zeros((len(lives), SHOCKS), np.float32)
    for back in range(1, SHOCKS + 1):
        known = position[back:] >= back
        shock[back:, back - 1] = np.minimum(-said.truth[:-back], 8) / UNIT * known
    shock, position = shock[steps], position[steps]
    parts = [np.log1p(position) / 5, np.log1p(lives.lived[steps]) / 5, position / 50]
    place = np.concatenate([np.stack([*parts, shock.mean(1)], 1), shock], 1)
    return Shown(
        _own(said.candidates[rows]), _own(said.base[rows]),
        _own(said.note[rows]), _own(said.state[rows]),
        _own(np.stack(fields, 1)), _own(place.astype(np.float32)),
        _own(lives.joint[steps]),
        _own(said.truth[steps].astype(np.float32)),
        _own(lives.classes),
    )  # fmt: skip


def _own(array: np.ndarray) -> Tensor:
    """A tensor in memory of PyTorch's own: where an array of NumPy's begins, sums are at times
    rounded otherwise, and the same lives gave another model."""
    return torch.from_numpy(np.ascontiguousarray(array)).clone()


class Ranker(nn.Module):
    """What is added to each candidate's score, and to that of all others together."""

    def __init__(self, features: int, field_sizes: list[int], acts: int) -> None:
        super().__init__()
        fields = len(field_sizes)
        self.back = nn.ModuleList(nn.Embedding(n + 1, FIELD_WIDTH) for n in field_sizes)
        self.name = nn.ModuleList(nn.Embedding(n, FIELD_WIDTH) for n in field_sizes)
        self.act = nn.Embedding(acts + 1, FIELD_WIDTH)
        self.age = nn.Embedding(11, 6)
        for table in (*self.back, *self.name, self.act, self.age):
            nn.init.normal_(table.weight, std=0.1)
        self.step = nn.Linear(BACK * fields * FIELD_WIDTH + 4 + SHOCKS, HIDDEN)
        self.peak = nn.Linear(features, HIDDEN)
        inputs = features + 2 + (fields + 2) * FIELD_WIDTH + 6
        self.first, self.second = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.score, self.rest = nn.Linear(HIDDEN, 1), nn.Linear(HIDDEN, 1)
        for last in (self.score, self.rest):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, shown: Shown, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New log-probabilities of the candidates [N, K], what is added to all others' [N], and
        the log of the sum that both are still to be divided by [N]."""
        candidates, base = shown.candidates[steps].long(), shown.base[steps]
        x = shown.note[steps].float() / (float(NOTE_SCALE) * UNIT)
        before = shown.fields[steps]
        count = len(self.name)
        past = [self.back[i % count](before[:, i]) for i in range(before.shape[1])]
        seen = self.dropout(torch.cat([*past, shown.place[steps]], 1))
        peak = (x + base[..., None] / UNIT).amax(1)
        step = self.step(seen) + self.peak(peak)
        codes, state = shown.codes[candidates], shown.state[steps].long()
        names = [table(codes[..., i]) for i, table in enumerate(self.name)]
        own = [*names, self.age(state[..., 0]), self.act(state[..., 1]), self.act(state[..., 2])]
        parts = [
            x,
            base[..., None] / UNIT,
            state[..., 3:].float() / 5,
            self.dropout(torch.cat(own, 2)),
        ]
        hidden = torch.relu(self.first(torch.cat(parts, 2)) + step[:, None])
        hidden = torch.relu(self.second(self.dropout(hidden)))
        scores = base + self.score(hidden)[..., 0]
        more = self.rest(torch.relu(step))[:, 0]
        left = torch.log1p(-base.exp().sum(1).clamp(max=1 - 1e-6)) + more
        return scores, more, torch.logsumexp(torch.cat([scores, left[:, None]], 1), 1)

    def nats(self, shown: Shown, steps: Tensor) -> Tensor:
        """The loss of each step, [N]."""
        scores, more, total = self(shown, steps)
        hit = shown.candidates[steps] == shown.joint[steps][:, None]
        listed = (scores * hit).sum(1)
        return total - torch.where(hit.any(1), listed, shown.truth[steps] + more)


def fit_ranker(
    shown: Shown,
    field_sizes: list[int],
    acts: int,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Ranker | None:
    """Fit to these steps; None where they are too few. The same arguments give the same network
    (one thread)."""
    steps = np.arange(len(shown.joint))
    if len(steps) < FEWEST_STEPS:
        return None
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ranker = Ranker(shown.note.shape[2], field_sizes, acts)
        solver = torch.optim.AdamW(ranker.parameters(), lr=RATE, weight_decay=DECAY)
        chance = np.random.default_rng(seed)
        total, done = ROUNDS * max(1, len(steps) // BATCH), 0
        warmup = min(100, 1 + total // 10)
        for _ in range(ROUNDS):
            for rows in np.array_split(chance.permutation(steps), max(1, len(steps) // BATCH)):
                for group in solver.param_groups:
                    group["lr"] = RATE * (1 - done / total) * min(1.0, (done + 1) / warmup)
                loss = ranker.nats(shown, torch.from_numpy(rows)).mean()
                solver.zero_grad()
                loss.backward()
                solver.step()
                done += 1
                if progress and done % 20 == 0:
                    progress(done / total)
    return ranker.eval()


@torch.no_grad()
def rank(ranker: Ranker, shown: Shown, log_p: np.ndarray) -> np.ndarray:
    """The gate's log-probabilities [M, C] of the steps shown, as the network corrects them."""
    out = np.empty_like(log_p)
    for start in range(0, len(log_p), 256):
        part = slice(start, start + 256)
        rows = torch.arange(start, min(start + 256, len(log_p)))
        scores, more, total = ranker(shown, rows)
        ranked = _own(log_p[part]) + (more - total)[:, None]
        candidates = shown.candidates[rows].long()
        ranked.scatter_(1, candidates, (scores - total[:, None]).to(ranked.dtype))
        out[part] = ranked.numpy()
    return out
