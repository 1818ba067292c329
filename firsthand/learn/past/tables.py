"""Count experts, compiled: what followed each context, among all people, in this life, here.

Kneser and Ney's interpolation with absolute discounts (Ney, Essen, Kneser 1994) on the chains of
contexts.py, in four scopes that back off to each other. The counts of one step depend on the
steps before it alone; a person is taken out of the pool exactly, by counting backwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from firsthand.learn.past.compiled import compiled
from firsthand.learn.past.contexts import Chain
from firsthand.learn.past.lives import Lives

POOL, OWN, LATE, HERE = range(4)  # other people, this life, lately in this life, this recording
SCOPES = 4
DISCOUNT = np.float32(0.75)
FADE, FADE_ROOT = np.float32(0.7), np.float32(0.98)  # of late counts, with each step counted
LATE_PRIOR = np.float32(0.6)
BUCKETS = 24  # of an expert's evidence


class Index(NamedTuple):
    """Where each step's counts stand, over K levels: its context `slot` [T, K] and its own class
    there, `entry` [T, K]; the classes of slot s are `label[first[s] : first[s + 1]]`."""

    slot: np.ndarray
    entry: np.ndarray
    first: np.ndarray
    label: np.ndarray
    target: np.ndarray  # [K] 0 for joint classes, 1 + number of an own field
    sizes: np.ndarray  # [1 + O] classes of each target
    below: np.ndarray  # [K] the level that a pooled expert backs off to; -1: all classes alike
    chained: np.ndarray  # [K] whether `below` is of the same chain
    codes: np.ndarray  # [O, C] own field values of each joint class


class Counts(NamedTuple):
    """What was counted, by scope: of entries [4, E], of slots [4, S], kinds of classes [4, S]."""

    entry: np.ndarray
    slot: np.ndarray
    kinds: np.ndarray


def index_of(lives: Lives, chains: Sequence[Chain]) -> tuple[Index, Counts]:
    """The index of these lives, and no counts yet; 20 bytes an entry, at most one entry for each
    step and level."""
    slots, entries, labels, ends = [], [], [], [np.zeros(1, dtype=np.int64)]
    target: list[int] = []
    below: list[int] = []
    chained: list[bool] = []
    roots: dict[int, int] = {}
    used = 0
    sizes = [lives.size, *lives.own_sizes.tolist()]
    for chain in chains:
        truth = lives.joint if chain.target == 0 else lives.own[:, chain.target - 1]
        for depth, context in enumerate(chain.levels):
            level = len(target)
            kinds, entry = np.unique(context * sizes[chain.target] + truth, return_inverse=True)
            slot, label = np.divmod(kinds, sizes[chain.target])
            slots.append(context)
            entries.append(entry + used)
            labels.append(label)
            held = np.bincount(slot, minlength=int(context.max()) + 1)
            ends.append(used + np.cumsum(held))
            used += len(kinds)
            target.append(chain.target)
            below.append(level - 1 if depth else roots.get(chain.target, -1))
            chained.append(depth > 0)
            roots.setdefault(chain.target, level)
    starts = np.cumsum([0, *(len(e) for e in ends[1:-1])])
    index = Index(
        slot=np.stack([s + start for s, start in zip(slots, starts, strict=True)], 1).astype(
            np.int32
        ),
        entry=np.stack(entries, 1).astype(np.int32),
        first=np.concatenate(ends),
        label=np.concatenate(labels).astype(np.int32),
        target=np.array(target),
        sizes=np.array(sizes),
        below=np.array(below),
        chained=np.array(chained),
        codes=np.ascontiguousarray(lives.classes.T.astype(np.int32)),
    )
    slots_held = len(index.first) - 1
    return index, Counts(
        np.zeros((SCOPES, used), np.float32),
        np.zeros((SCOPES, slots_held), np.float32),
        np.zeros((SCOPES, slots_held), np.float32),
    )


@compiled
def count(index: Index, counts: Counts, scope: int, start: int, stop: int, sign: float) -> None:
    """Count the steps from start to stop in a scope; sign -1 takes them out again."""
    for step in range(start, stop):
        for level in range(index.slot.shape[1]):
            slot, entry = index.slot[step, level], index.entry[step, level]
            if scope == LATE:
                fade = FADE_ROOT if level == 0 else FADE
                for i in range(index.first[slot], index.first[slot + 1]):
                    counts.entry[scope, i] *= fade
                counts.slot[scope, slot] *= fade
            held = counts.entry[scope, entry]
            now = held + np.float32(sign)
            counts.entry[scope, entry] = now
            counts.slot[scope, slot] += np.float32(sign)
            if scope != LATE:
                if held == 0 and now > 0:
                    counts.kinds[scope, slot] += 1
                elif held > 0 and now == 0:
                    counts.kinds[scope, slot] -= 1


@compiled
def forget(index: Index, counts: Counts, scope: int, start: int, stop: int) -> None:
    """Empty a scope in which only these steps were counted."""
    for step in range(start, stop):
        for level in range(index.slot.shape[1]):
            counts.entry[scope, index.entry[step, level]] = 0
            counts.slot[scope, index.slot[step, level]] = 0
            counts.kinds[scope, index.slot[step, level]] = 0


# Not fastmath: it rounded a sum otherwise when a context had more classes that nobody chose yet,
# so that what comes later could be seen in the last digit.
@compiled
def say(
    index: Index,
    counts: Counts,
    step: int,
    own: bool,
    chance: np.ndarray,
    log_p: np.ndarray,
    evidence: np.ndarray,
    buffer: np.ndarray,
) -> None:
    """What each level says before a step, in each scope: row 4 * level + scope.

    Fills chance [4K, C] (over each target's own classes), log_p [4K, C] (over joint classes) and
    evidence [4K], a bucket of how much an expert has to go by. Without `own` the scopes of this
    life say what the pool says. `buffer` is [C].
    """
    classes = log_p.shape[1]
    for level in range(index.slot.shape[1]):
        target, slot = index.target[level], index.slot[step, level]
        size = index.sizes[target]
        for scope in range(SCOPES):
            row = SCOPES * level + scope
            p, one, two = chance[row], -1, -1
            if scope == POOL:
                if index.below[level] >= 0:
                    one = SCOPES * index.below[level]
            else:
                one = row - 2 if scope == HERE else row - 1  # the same context in a wider scope
                if scope != LATE and index.chained[level]:
                    two = SCOPES * index.below[level] + scope  # a coarser one in the same scope
            total = counts.slot[scope, slot]
            known = total > 1e-3 and (own or scope in (POOL, HERE))
            if not known and one >= 0 and two < 0:
                for c in range(size):
                    p[c] = chance[one, c]
                for c in range(classes):
                    log_p[row, c] = log_p[one, c]
                evidence[row] = 0
                continue
            keep, each, off = np.float32(1.0), np.float32(0.0), DISCOUNT
            if known and scope == LATE:
                each, off = np.float32(1.0) / (total + LATE_PRIOR), np.float32(0.0)
                keep = LATE_PRIOR * each
            elif known:
                each = np.float32(1.0) / total
                keep = DISCOUNT * counts.kinds[scope, slot] * each
            if one < 0:
                for c in range(size):
                    p[c] = keep / size
            elif two < 0:
                for c in range(size):
                    p[c] = keep * chance[one, c]
            else:
                for c in range(size):
                    p[c] = keep * (np.float32(0.5) * (chance[one, c] + chance[two, c]))
            bucket = 0
            if known:
                for i in range(index.first[slot], index.first[slot + 1]):
                    n = counts.entry[scope, i]
                    if n > 0:
                        p[index.label[i]] += (n - off) * each
                bucket = 1 + min(6, int(np.log2(total + 0.5))) if total > 0.5 else 0
                if bucket > 0 and scope != LATE:
                    bucket += 7 * (min(3, int(counts.kinds[scope, slot])) - 1)
            evidence[row] = bucket
            if target == 0:
                log(p, log_p[row])
            else:
                log(p[:size], buffer[:size])
                spread(buffer, index.codes[target - 1], log_p[row], classes)


@compiled(fastmath=True)
def spread(values: np.ndarray, codes: np.ndarray, out: np.ndarray, classes: int) -> None:
    """Give each joint class the value of its field."""
    for c in range(classes):
        out[c] = values[codes[c]]


@compiled(fastmath=True)
def log(x: np.ndarray, out: np.ndarray) -> None:
    """Natural logarithm of float32 to within 2e-5, without a call for each element: an exact one
    took three times as long as all else."""
    bits = x.view(np.int32)
    for i in range(x.shape[0]):
        b = bits[i]
        power = ((b >> 23) & 255) - 127
        m = np.float32(b & 0x7FFFFF) * np.float32(1.1920929e-7)
        series = m * (
            np.float32(1.44254494)
            + m
            * (
                np.float32(-0.71814525)
                + m
                * (
                    np.float32(0.45754919)
                    + m
                    * (
                        np.float32(-0.27790429)
                        + m * (np.float32(0.12179728) + m * np.float32(-0.02584137))
                    )
                )
            )
        )
        out[i] = (np.float32(power) + series) * np.float32(0.69314718)
