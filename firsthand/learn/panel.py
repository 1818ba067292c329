"""The panel of experts: what each says before every step of a person, given only what is past.

Counts, the log-linear expert and the networks sit on it; mix.py weighs them. Whose past they
know is an argument, so that the same panel answers "and without this person's earlier days?".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from firsthand.learn.counts import OWN, POOL, TODAY, Chain, Experts, contexts_of
from firsthand.learn.linear import MOST_CLASSES, Lesson, Linear, features_of
from firsthand.learn.network import fit
from firsthand.learn.network.model import Network
from firsthand.learn.vocabulary import Codes, Vocabulary

NGRAMS = tuple(tuple(f"before{i}" for i in range(1, order)) for order in range(1, 5))
BASELINES = tuple(Chain(scope, names) for scope in (POOL, OWN, TODAY) for names in NGRAMS)


@dataclass(frozen=True)
class Said:
    """What the panel said before each step: log_p [T, E, C], evidence [T, E], truth [T]."""

    names: tuple[str, ...]
    log_p: np.ndarray
    evidence: np.ndarray
    joint: np.ndarray

    def of(self, name: str) -> np.ndarray:
        """Log-probabilities [T, C] of one expert."""
        return self.log_p[:, self.names.index(name)]

    def pick(self, names: Sequence[str]) -> "Said":
        """The same of some experts only."""
        rows = [self.names.index(name) for name in names]
        return Said(tuple(names), self.log_p[:, rows], self.evidence[:, rows], self.joint)

    @property
    def to_mix(self) -> tuple[str, ...]:
        """The experts that are mixed. The log-linear one has weighed all counts already, on more
        steps than the mixture sees: mixing them in again cost 0.07 nats per action."""
        return ("linear", "network") if "linear" in self.names else self.names


@dataclass(frozen=True)
class Panel:
    """The fitted experts. `networks` is an ensemble: their probabilities are averaged."""

    vocabulary: Vocabulary
    chains: tuple[Chain, ...]
    networks: tuple[Network, ...]
    linear: Linear | None

    def listen(
        self,
        person: str,
        number: int,
        life: Codes,
        first: int,
        others: Mapping[str, Codes],
        counted: Said | None = None,
    ) -> Said:
        """What each expert says before the steps from `first` on.

        `life` holds the person's steps: those before `first` are the past. `others` are the
        steps of other people that the counts know. `number` is the person's row in the networks
        (0: nobody in particular). `counted` spares what `count` said of the same steps before.
        """
        counted = counted or self.count(person, life, first, others)
        names, rows = list(counted.names), [counted.log_p]
        if self.linear is not None:
            rows.append(self.linear.predict(self.lesson(life, counted), person)[:, None])
            names.append("linear")
        if self.networks:
            classes = self.vocabulary.class_codes
            each = [fit.predict(net, life, number, classes)[first:] for net in self.networks]
            rows.append((np.logaddexp.reduce(each, axis=0) - np.log(len(each)))[:, None])
            names.append("network")
        # Of the experts that do not count, the evidence is how much of the life they have seen.
        lived = np.log1p(np.arange(first, len(life), dtype=np.float64))
        evidence = [counted.evidence] + [lived[:, None]] * (len(rows) - 1)
        return Said(
            tuple(names), np.concatenate(rows, 1), np.concatenate(evidence, 1), counted.joint
        )

    def count(self, person: str, life: Codes, first: int, others: Mapping[str, Codes]) -> Said:
        """What the count experts alone say before the steps from `first` on."""
        experts = Experts(self.chains, self.vocabulary.size)
        fields = self.vocabulary.world_fields
        for other, codes in others.items():
            teach(experts, other, codes, contexts_of(codes, fields))
        contexts = contexts_of(life, fields)
        teach(experts, person, life.cut(0, first), contexts[:first])
        steps = len(life) - first
        log_p = np.empty((steps, len(self.chains), self.vocabulary.size))
        evidence = np.empty((steps, len(self.chains)))
        for t in range(first, len(life)):
            recording, joint = int(life.recording[t]), int(life.joint[t])
            log_p[t - first], evidence[t - first] = experts.predict(person, recording, contexts[t])
            experts.update(person, recording, contexts[t], joint)
        return Said(tuple(c.name for c in self.chains), log_p, evidence, life.joint[first:])

    def lesson(self, life: Codes, counted: Said) -> Lesson:
        """The last steps of a life, with what the count experts said of them."""
        features = features_of(life, self.vocabulary)
        said = torch.from_numpy(counted.log_p).float()
        active = features.active[len(life) - len(counted.joint) :]
        return Lesson(active, features.count, said, counted.joint)


def lessons_of(
    vocabulary: Vocabulary, chains: tuple[Chain, ...], lives: Mapping[str, Codes], most_bytes: float
) -> dict[str, Lesson]:
    """What the count experts say of each step before they count it, with the step's features.

    People take turns, recording by recording. Each keeps as many last steps as fit in memory.
    """
    experts, fields = Experts(chains, vocabulary.size), vocabulary.world_fields
    most = max(1, int(most_bytes / max(1, len(lives)) / (4 * len(chains) * vocabulary.size)))
    first = {p: max(0, len(codes) - most) for p, codes in lives.items()}
    contexts = {p: contexts_of(codes, fields) for p, codes in lives.items()}
    said = {
        p: torch.empty(len(codes) - first[p], len(chains), vocabulary.size)
        for p, codes in lives.items()
    }
    turns = [
        (int(codes.recording[t]), int(codes.start_ns[t]), p, t)
        for p, codes in lives.items()
        for t in range(len(codes))
    ]
    for recording, _, p, t in sorted(turns):
        if t >= first[p]:
            rows = experts.predict(p, recording, contexts[p][t])[0]
            said[p][t - first[p]] = torch.from_numpy(rows)
        experts.update(p, recording, contexts[p][t], int(lives[p].joint[t]))
    lessons = {}
    for p, codes in lives.items():
        features = features_of(codes, vocabulary)
        active, joint = features.active[first[p] :], codes.joint[first[p] :]
        lessons[p] = Lesson(active, features.count, said[p], joint)
    return lessons


def strangers(lives: Mapping[str, Codes]) -> dict[str, Codes]:
    """The same steps as if everybody were somebody new each morning."""
    days = {}
    for person, codes in lives.items():
        for recording in np.unique(codes.recording):
            rows = np.flatnonzero(codes.recording == recording)
            days[f"{person}/{recording}"] = codes.cut(int(rows[0]), int(rows[-1]) + 1)
    return days


def teach(experts: Experts, person: str, codes: Codes, contexts: Sequence[dict[str, int]]) -> None:
    """Let the counts see these steps of this person."""
    for t in range(len(codes)):
        experts.update(person, int(codes.recording[t]), contexts[t], int(codes.joint[t]))


def choose_chains(
    vocabulary: Vocabulary, fit_part: Mapping[str, Codes], keep: int = 4
) -> tuple[Chain, ...]:
    """The baselines' chains, and chains on the world fields that tell most about what follows.

    The fields are ranked by their mutual information with the joint class in the fitted steps,
    less what the same number of cells would show by chance.
    """
    joint = np.concatenate([codes.joint for codes in fit_part.values()])
    world = np.concatenate([codes.world for codes in fit_part.values()])
    fields = vocabulary.world_fields
    gains = {name: _information(world[:, w], joint) for w, name in enumerate(fields)}
    best = sorted((n for n in gains if gains[n] > 0), key=lambda n: -gains[n])[:keep]
    chains = list(BASELINES)
    for scope in (POOL, OWN):
        for number, name in enumerate(best):
            chains.append(Chain(scope, (name, "before1")))
            chains += [Chain(scope, (name, other)) for other in best[number + 1 :]]
        if len(best) > 1:
            chains.append(Chain(scope, (*best, "before1")))
        chains.append(Chain(scope, ("clock", "before1")))
    return tuple(dict.fromkeys(chains))


def _information(values: np.ndarray, joint: np.ndarray) -> float:
    """Mutual information in nats, with the bias of small samples taken off (Miller 1955)."""
    table = np.zeros((values.max() + 1, joint.max() + 1))
    np.add.at(table, (values, joint), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    cell, row, column = table / len(joint), table.sum(1), table.sum(0)
    expected = np.outer(row, column) / len(joint) ** 2
    known = cell > 0
    nats = float((cell[known] * np.log(cell[known] / expected[known])).sum())
    return nats - (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * len(joint))


def can_be_linear(vocabulary: Vocabulary) -> bool:
    """Whether the closed list is short enough for the log-linear expert's dense table."""
    return vocabulary.size <= MOST_CLASSES
