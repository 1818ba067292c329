"""The task: the people of both files as lives in the order lived, and which steps are judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from firsthand.errors import Usage
from firsthand.learn.classes import closed
from firsthand.learn.past.lives import Lives, fixed_times, join
from firsthand.learn.streams import Stream
from firsthand.learn.vocabulary import Vocabulary, fit_vocabulary

REGIMES = ("strict", "official")
FOLDS = 4


@dataclass(frozen=True)
class Task:
    """People and steps: [T] which steps others may learn from, and which are judged."""

    lives: Lives
    vocabulary: Vocabulary
    known: np.ndarray
    judged: np.ndarray
    recordings: tuple[str, ...]  # their names, by number
    regime: str
    folds: int
    seed: int

    def fold(self, person: int) -> int:
        """The fold of a person; in the official regime all are in one."""
        return person % self.folds

    def pool(self, fold: int) -> list[int]:
        """Whose lives the shared part of this fold is fitted on."""
        people = range(len(self.lives.people))
        return [p for p in people if self.regime == "official" or self.fold(p) != fold]

    def tested(self, fold: int) -> list[int]:
        """The people of this fold who have a step to judge."""
        held = [p for p in range(len(self.lives.people)) if self.fold(p) == fold]
        return [p for p in held if self.judged[slice(*self.lives.span[p])].any()]

    def mask(self, person: int) -> np.ndarray:
        """The steps of a person that are judged, [T]."""
        return self.judged & (self.lives.person == person)


def task_of(
    train: Sequence[Stream],
    test: Sequence[Stream],
    classes: Sequence[tuple[str, ...]] | None = None,
    regime: str = "strict",
    folds: int = FOLDS,
    seed: int = 0,
) -> tuple[Task, str]:
    """The task of these streams, and how recordings of both files were put in order: by "time"
    (starts do not restart), by "name" (as a number is counted) or by "file" (all training first).

    Raises Usage where the files do not fit together.
    """
    if regime not in REGIMES:
        raise Usage(f"unknown regime {regime!r}", f"one of {REGIMES}")
    if not train or not test:
        raise Usage("a benchmark needs training and test rows", "give files with rows")
    if seed < 0:
        raise Usage(f"{seed} is no seed", "seeds are 0 or more")
    fields = {(s.own, s.world) for s in (*train, *test)}
    if len(fields) > 1:
        raise Usage(
            f"the training file has the fields {train[0].own}, the test file {test[0].own}",
            "give both files the same columns",
        )
    _check_apart(train, test)
    vocabulary = fixed_times(fit_vocabulary(train))
    if classes is not None:
        vocabulary = closed(vocabulary, classes)
    by_name = {s.person: s for s in test}
    order = _order(train, by_name)
    lives, known, judged = [], [], []
    names: list[str] = []
    for person in sorted({s.person for s in (*train, *test)}):
        first = next((s for s in train if s.person == person), None)
        joined, is_test = _merge(first, by_name.get(person), order)
        lives.append(vocabulary.encode(joined))
        names += [joined.steps[i].recording for i in _firsts(joined)]
        judged.append(is_test)
        known.append(~is_test)
    whole = join(lives, vocabulary)
    people = len(whole.people)
    folds = 1 if regime == "official" else max(1, min(folds, people))
    made = Task(whole, vocabulary, np.concatenate(known), np.concatenate(judged),
                tuple(names), regime, folds, seed)  # fmt: skip
    return made, order


def _check_apart(train: Sequence[Stream], test: Sequence[Stream]) -> None:
    """Raises Usage where a step to foretell stands in the training file as well."""
    known = {(t.person, s.recording, s.start_ns, s.own) for t in train for s in t.steps}
    for stream in test:
        again = [
            s for s in stream.steps if (stream.person, s.recording, s.start_ns, s.own) in known
        ]
        if again:
            raise Usage(
                f"{len(again)} of {len(stream)} test steps of {stream.person} are in the training "
                f"file as well, the first in recording {again[0].recording}",
                "give two files that share no step",
            )


def _order(train: Sequence[Stream], test: dict[str, Stream]) -> str:
    """How the recordings of both files can be put in the order lived."""
    pairs = [(s, test[s.person]) for s in train if s.person in test]
    both = [s for pair in pairs for s in pair]
    starts = [[s.steps[i].start_ns for i in _firsts(s)] for s in both]
    if any(len(times) > 1 for times in starts) and all(
        all(a < b for a, b in pairwise(times)) for times in starts
    ):
        return "time"
    keys = [[_natural(name) for name in s.recordings()] for s in both]
    alike = all(_shape(a) == _shape(b) for row in keys for a in row for b in row)
    ordered = all(row == sorted(row) for row in keys) if alike else False
    return "name" if ordered else "file"


def _firsts(stream: Stream) -> list[int]:
    steps = stream.steps
    return [i for i in range(len(steps)) if not i or steps[i].recording != steps[i - 1].recording]


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that orders names as a reader would: P1_2 before P1_10."""
    parts: list[str] = []
    for letter in name:
        if parts and parts[-1].isdigit() == letter.isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts)


def _shape(key: tuple[tuple[int, int, str], ...]) -> tuple[object, ...]:
    return tuple(part[2] if part[0] == 0 else 0 for part in key)


def _merge(train: Stream | None, test: Stream | None, order: str) -> tuple[Stream, np.ndarray]:
    """One life from both files, and which of its steps are the test file's."""
    parts: list[tuple[Any, int, list[Any]]] = []
    for which, stream in enumerate((train, test)):
        for start in _firsts(stream) if stream else []:
            assert stream is not None
            name = stream.steps[start].recording
            run = _run(stream, start)
            key: Any = {"time": run[0].start_ns, "name": _natural(name), "file": 0}[order]
            parts.append((key, which, run))
    parts.sort(key=lambda part: (part[0], part[1]))
    some = train or test
    assert some is not None
    steps = [step for _, _, run in parts for step in run]
    marks = [which == 1 for _, which, run in parts for _ in run]
    return replace(some, steps=tuple(steps)), np.array(marks, dtype=bool)


def _run(stream: Stream, start: int) -> list[Any]:
    """The steps of the recording that begins at this step."""
    stop = start + 1
    while stop < len(stream) and stream.steps[stop].recording == stream.steps[start].recording:
        stop += 1
    return list(stream.steps[start:stop])
