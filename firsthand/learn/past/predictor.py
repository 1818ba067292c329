"""The predictor: what a person does next, from that person's whole past and from other people's.

Counts of all kinds speak (tables.py, states.py, scripts.py, echoes.py), a gate weighs them
(gate.py), a small network ranks the best again (ranking.py). The gate and the network are fitted
on other people's lives as each was lived, every step foretold before it is counted, and with that
person taken out of the pool; a new person's life is then followed in the same way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from firsthand.learn.past import echoes, ranking, scripts, states, tables
from firsthand.learn.past.contexts import before, chains_of, names_of
from firsthand.learn.past.gate import Desk, Extra, Gate, Said, contexts_of, follow, gate_of
from firsthand.learn.past.lives import Lives, join
from firsthand.learn.past.tables import HERE, LATE, OWN, POOL, SCOPES
from firsthand.learn.streams import Step, Stream
from firsthand.learn.vocabulary import fit_vocabulary

RATES = (1e-4, 3e-5)  # of the gate, in each pass over the pool
FOLLOW_RATE = 5e-5  # along a new person's life
CANDIDATES = 64
FIRST, BEHIND = 100, 30.0  # steps, nats: when a candidate for a recording's wearer is given up
MOST_NOTED = 60_000  # steps that the ranking network is fitted on: 14 kB of memory each
Progress = Callable[[float], None]


@dataclass
class Shared:
    """What is learned from the pool's people; nothing in it is a step of anybody's life."""

    gate: Gate
    ranker: ranking.Ranker | None


class Board:
    """Lives laid out for the experts. `known` [T] marks the steps that others may learn from,
    whole recordings of them. All counts are empty but the pool's, which hold these."""

    def __init__(self, lives: Lives, known: np.ndarray, own: bool = True) -> None:
        self.lives, self.own = lives, own
        self.known = [_runs(known, *span) for span in lives.span.tolist()]
        chains = chains_of(lives)
        self.names = names_of(chains)
        self.index, self.counts = tables.index_of(lives, chains)
        self.objects = states.objects_of(lives)
        self.rates, self.scene = states.rates_of(self.objects)
        self.extra = _extras(lives) if own else _no_extras(lives)
        # The same for all classes, and so of no weight: for a past that is not the person's own.
        self.silent = Extra(np.zeros_like(self.extra.log_p), np.zeros_like(self.extra.evidence))
        levels = len(self.names)
        rows = SCOPES * levels + states.ROWS + self.extra.log_p.shape[1]
        acts = before(self.objects.act, lives.position, 1)
        self.contexts = contexts_of(lives, acts)
        self.contexts_held = max(216, int(self.contexts.max()) + 1)
        size, objects = lives.size, self.objects
        self.desk = Desk(
            np.zeros((SCOPES * levels, max(size, int(self.index.sizes.max()))), np.float32),
            np.zeros((rows, size), np.float32), np.zeros(rows, np.int64),
            np.zeros(rows, np.float32), np.zeros(rows, np.float32),
            np.zeros(size, np.float32),
            np.zeros(max(size, int(self.index.sizes.max())), np.float32),
            np.zeros((states.KINDS, 2, objects.objects, objects.acts), np.float32),
        )  # fmt: skip
        field = int(np.argmax(lives.own_sizes))
        single = lives.own.shape[1] == 1
        self.share_row = SCOPES * (0 if single else self.names.index(f"own{field}.0")) + OWN
        shown = [SCOPES * level + HERE for level in range(levels)]
        shown += [SCOPES * level + scope for scope in (POOL, OWN, LATE) for level in range(6)]
        self.features = np.array([*shown, *range(SCOPES * levels, rows)])
        for person in range(len(lives.people)):
            self.pool(person, 1.0)

    def pool(self, person: int, sign: float) -> None:
        """Put a person's known steps into the pool, or take them out."""
        for start, stop in self.known[person]:
            tables.count(self.index, self.counts, POOL, start, stop, sign)
            states.replay(self.rates, self.scene, self.objects, self.lives.position, 0, start,
                          stop, sign)  # fmt: skip

    def said(self, scored: np.ndarray, noted: np.ndarray) -> Said:
        """Room for what is said: all classes of the scored steps, candidates of the noted [T]."""
        kept, marks = min(CANDIDATES, self.lives.size), int(noted.sum())
        return Said(
            np.zeros(len(self.lives), np.float64),
            np.where(scored, np.cumsum(scored) - 1, -1),
            np.zeros((int(scored.sum()), self.lives.size), np.float32),
            np.where(noted, np.cumsum(noted) - 1, -1),
            np.zeros((marks, kept), np.int32), np.zeros((marks, kept), np.float32),
            np.zeros((marks, kept, len(self.features)), np.int16),
            np.zeros((marks, kept, 4), np.int16),
        )  # fmt: skip

    def walk(
        self, gate: Gate, said: Said, start: int, stop: int, scored: np.ndarray,
        rate: float, grow: bool = True, extra: Extra | None = None,
    ) -> None:  # fmt: skip
        """Follow the steps from start to stop with what the counts hold; see gate.follow."""
        extra = extra or self.extra
        follow(
            start, stop, self.index, self.counts, self.objects, self.rates, self.scene,
            extra.log_p, extra.evidence, self.share_row, self.lives.position, self.lives.joint,
            self.contexts, gate, self.desk, said, self.features, scored, self.own,
            grow and self.own, np.float32(rate),
        )  # fmt: skip

    def without(self, person: int) -> "_Without":
        """A context in which the person is not in the pool and own counts are empty."""
        return _Without(self, person)

    def remember(self, parts: Sequence[tuple[int, int]]) -> None:
        """Count recordings as the past of the life that is followed."""
        for start, stop in parts:
            tables.count(self.index, self.counts, OWN, start, stop, 1.0)
            tables.count(self.index, self.counts, LATE, start, stop, 1.0)
            states.replay(self.rates, self.scene, self.objects, self.lives.position, 1, start,
                          stop, 1.0)  # fmt: skip

    def forget(self, parts: Sequence[tuple[int, int]]) -> None:
        """Empty the past, in which no other recordings were counted."""
        for start, stop in parts:
            for scope in (OWN, LATE):
                tables.forget(self.index, self.counts, scope, start, stop)
        self.rates.hits[1] = 0
        self.rates.exposures[1] = 0


class _Without:
    def __init__(self, board: Board, person: int) -> None:
        self.board, self.person = board, person

    def __enter__(self) -> tuple[int, int]:
        """The person's first step and the one after the last."""
        self.board.pool(self.person, -1.0)
        start, stop = self.board.lives.span[self.person]
        return int(start), int(stop)

    def __exit__(self, *_: object) -> None:
        self.board.pool(self.person, 1.0)
        start, stop = self.board.lives.span[self.person]
        self.board.forget([(int(start), int(stop))])


def fit_shared(
    board: Board, pool: Sequence[int], seed: int = 0, progress: Progress | None = None
) -> Shared:
    """Fit the gate and the ranking network on the known lives of these people.

    Nothing of anybody else is looked at: the pool's counts hold only these people meanwhile.
    """
    lives, tell = board.lives, progress or (lambda _: None)
    gate = gate_of(board.desk.log_p.shape[0], board.contexts_held)
    nothing = np.zeros(len(lives), dtype=bool)
    silent, said = board.said(nothing, nothing), board.said(nothing, _chosen(board, pool))
    chance = np.random.default_rng(seed)
    pool = [p for p in pool if board.known[p]]
    lengths = {p: sum(stop - start for start, stop in board.known[p]) for p in pool}
    total, done = max(1, len(RATES) * sum(lengths.values())), 0
    outsiders = [p for p in range(len(lives.people)) if p not in set(pool)]
    for person in outsiders:
        board.pool(person, -1.0)
    for turn, rate in enumerate(RATES):
        last = turn == len(RATES) - 1
        for person in chance.permutation(pool).astype(int).tolist():
            with board.without(person):
                for start, stop in board.known[person]:
                    board.walk(gate, said if last else silent, start, stop, nothing, rate)
            done += lengths[person]
            tell(0.7 * done / total)
    for person in outsiders:
        board.pool(person, 1.0)
    ranker = ranking.fit_ranker(
        ranking.show(lives, said), lives.own_sizes.tolist(), board.objects.acts + 1, seed,
        lambda f: tell(0.7 + 0.3 * f),
    )  # fmt: skip
    tell(1.0)
    return Shared(gate, ranker)


def _chosen(board: Board, pool: Sequence[int]) -> np.ndarray:
    """The steps of these people that the ranking network is fitted on, a mask [T]."""
    mask = np.zeros(len(board.lives), dtype=bool)
    for person in pool:
        for start, stop in board.known[person]:
            mask[start:stop] = True
    every = max(1, -(-int(mask.sum()) // MOST_NOTED))
    return mask & (np.cumsum(mask) % every == 0)


def foretell(board: Board, shared: Shared, person: int, scored: np.ndarray) -> np.ndarray:
    """Log-probabilities [N, C] of a person's scored steps, each from what was lived before it.

    `scored` [T] is a mask over all steps of the board. Without own history each recording is
    met as if it were the first.
    """
    lives = board.lives
    said = board.said(scored, scored)
    gate = shared.gate.copy()
    with board.without(person) as (start, stop):
        if board.own:
            board.walk(gate, said, start, stop, scored, FOLLOW_RATE)
        else:
            for begin, end in recordings_of(lives, start, stop):
                if scored[begin:end].any():
                    gate.become(shared.gate)
                    board.walk(gate, said, begin, end, scored, FOLLOW_RATE)
    return finish(board, shared, said, scored)


def foretell_as(
    board: Board, shared: Shared, person: int, other: int, scored: np.ndarray
) -> np.ndarray:
    """As `foretell`, but with another person's known life in place of the own past."""
    said, gate = board.said(scored, scored), shared.gate.copy()
    with board.without(person) as (start, stop):
        board.remember(board.known[other])
        for first, end in recordings_of(board.lives, start, stop):
            if scored[first:end].any():
                board.walk(gate, said, first, end, scored, FOLLOW_RATE, False, board.silent)
        board.forget(board.known[other])
    return finish(board, shared, said, scored)


def likelihoods(
    board: Board, shared: Shared, person: int, candidates: Sequence[int], scored: np.ndarray
) -> np.ndarray:
    """How likely each of a person's scored recordings is as the doing of each candidate, [R, Q].

    Nats, summed over a recording. The person is known by what was lived before the recording, a
    candidate by the known life; the gate does not learn, and no network ranks. Who is BEHIND
    nats behind the best after the FIRST steps is given up, and gets minus infinity.
    """
    begins = scored & (board.lives.position < FIRST)
    early = np.stack([_likelihood(board, shared, person, c, begins) for c in candidates], 1)
    left = early > early.max(1, keepdims=True) - BEHIND
    sums = np.full_like(early, -np.inf)
    for column, candidate in enumerate(candidates):
        if left[:, column].any():
            whole = _likelihood(board, shared, person, candidate, scored, left[:, column])
            sums[:, column] = np.where(left[:, column], whole, -np.inf)
    return sums


def _likelihood(
    board: Board, shared: Shared, person: int, candidate: int, scored: np.ndarray,
    wanted: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """The same for one candidate, [R]; 0 for a recording that is not `wanted`."""
    nothing = np.zeros(len(board.lives), dtype=bool)
    said = board.said(nothing, nothing)
    sums: list[float] = []
    with board.without(person) as (start, stop):
        parts = recordings_of(board.lives, start, stop)
        known = parts if candidate == person else board.known[candidate]
        if candidate != person:
            board.remember(known)
        for first, end in parts:
            if scored[first:end].any():
                sums.append(0.0)
                if wanted is None or wanted[len(sums) - 1]:
                    last = first + int(np.flatnonzero(scored[first:end])[-1]) + 1
                    board.walk(shared.gate, said, first, last, scored, 0.0, False, board.silent)
                    sums[-1] = float(said.truth[first:end][scored[first:end]].sum())
            if candidate == person:
                board.remember([(first, end)])
        board.forget(known)
    return np.array(sums)


def finish(board: Board, shared: Shared, said: Said, scored: np.ndarray) -> np.ndarray:
    """What the gate said of the scored steps, ranked again by the network."""
    if shared.ranker is None or not scored.any():
        return said.log_p
    return ranking.rank(shared.ranker, ranking.show(board.lives, said), said.log_p)


def warm_up() -> None:
    """Compile everything, or see that it is compiled.

    Processes that compile side by side link each other's halves, and round otherwise than later.
    """
    names = ("one", "other")
    steps = tuple(
        Step(i, i, f"r{i // 4}", (names[i % 2], names[i % 3 % 2]), (), "none") for i in range(40)
    )
    vocabulary = fit_vocabulary([Stream("nobody", ("act", "object"), (), steps)])
    life = vocabulary.encode(Stream("nobody", ("act", "object"), (), steps))
    lives = join([life, replace(life, person="nobody else")], vocabulary)
    known = lives.lived < 32
    board = Board(lives, known)
    shared = fit_shared(board, [1])
    foretell(board, shared, 0, ~known & (lives.person == 0))


def _runs(mask: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """The stretches of marked steps between two steps."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask[start:stop].astype(np.int8), [0]])))
    return [(start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2)]


def recordings_of(lives: Lives, start: int, stop: int) -> list[tuple[int, int]]:
    """First step and the one after the last of each recording between two steps."""
    edges = [*np.flatnonzero(lives.position[start:stop] == 0) + start, stop]
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _extras(lives: Lives) -> Extra:
    """The experts that only short lists of classes have."""
    if lives.size > scripts.MOST_CLASSES:
        return _no_extras(lives)
    log_p = np.zeros((len(lives), 2, lives.size), np.float32)
    evidence = np.zeros((len(lives), 2), np.int64)
    for start, stop in lives.span.tolist():
        part = slice(start, stop)
        acts = [lives.joint[a:b] for a, b in recordings_of(lives, start, stop)]
        log_p[part, 0] = scripts.foresee(acts, lives.size)
        evidence[part, 0] = np.exp(log_p[part, 0].max(1)) * 7.99
        log_p[part, 1], evidence[part, 1] = echoes.foresee(
            lives.joint[part], lives.position[part], lives.day[part], lives.size
        )
    return Extra(log_p, evidence)


def _no_extras(lives: Lives) -> Extra:
    return Extra(np.zeros((len(lives), 0, lives.size), np.float32), np.zeros((len(lives), 0), int))
