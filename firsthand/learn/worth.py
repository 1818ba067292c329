"""What each unit's days teach about everybody else: held-out loss without them, less with them.

Leave-one-out, or the ablation of a group where a unit is a cohort. A network would be trained once
more for each unit; exact counts stand in for it here, out of which steps can be taken and put back
(counts.py). Of two units that teach the same, each alone is worth nothing: then take both out.
"""

import csv
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firsthand.errors import Damaged, NotFound, Refused, Usage
from firsthand.learn.counts import KneserNey
from firsthand.learn.streams import Step, Stream
from firsthand.learn.tokens import footage
from firsthand.shard import open_release

ORDER = 2  # steps before that a prediction looks at
METHOD = f"leave-one-out on pooled Kneser-Ney counts after {ORDER} steps"
FEWEST = 5  # units: of fewer, a figure is of single people, and the rest is no crowd to compare to
HELD = 5  # of each person's recordings the last in so many is held out, at least one
FEWEST_DAYS = 4  # held out, of others: an interval over fewer says nothing
DRAWS = 2000
Values = tuple[int, ...]


@dataclass(frozen=True)
class Worth:
    """What a unit adds: nats saved for each held-out step of others, with a 95 % interval over
    their held-out days. Below 0 it misleads."""

    unit: str
    people: int
    steps: int  # that it was learnt from
    nats: float
    low: float
    high: float


@dataclass(frozen=True)
class _Lives:
    """Everybody's steps as numbers: what is learnt, by person, and what is held out [T]."""

    taught: dict[str, list[tuple[Values, int]]]
    contexts: list[Values]
    context: np.ndarray
    joint: np.ndarray
    day: np.ndarray
    person: np.ndarray  # by number in `taught`
    size: int


def lives_of(release: Path, cohorts: Mapping[str, str] | None = None) -> list[Stream]:
    """The lives in a pulled release: labelled actions, or else seconds in a tokeniser's words.

    Refused, before anything is looked at, if they are of too few units.
    """
    _units(open_release(release).people, cohorts)
    labelled = footage.actions_of(release)
    if labelled:
        return labelled
    with tempfile.TemporaryDirectory() as folder:
        return footage.streams_of(release, Path(folder), kind="ticks")


def read_cohorts(file: Path) -> dict[str, str]:
    """The cohort of each person by a CSV `person,cohort`; NotFound, Damaged."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as rows:
            return {row["person"]: row["cohort"] for row in csv.DictReader(rows)}
    except OSError as error:
        raise NotFound(f"there is no file {file}") from error
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise Damaged(f"{file.name} lists no cohorts", "columns: person,cohort") from error


def worth(
    streams: Sequence[Stream],
    cohorts: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[Worth]:
    """What each person, or each cohort, is worth to all others, the most first; Refused, Usage.

    Whoever is in no cohort is never taken out. Refused below FEWEST units.
    """
    tell = progress or (lambda _: None)
    units = _units([stream.person for stream in streams], cohorts)
    lives = _read(streams)
    counts = KneserNey([f"before{back + 1}" for back in range(ORDER)], lives.size)
    for steps in lives.taught.values():
        for values, joint in steps:
            counts.update(values, joint)
    whole = _loss(counts, lives)
    numbers = {person: number for number, person in enumerate(lives.taught)}
    chance = np.random.default_rng(seed)
    found = []
    for done, (unit, members) in enumerate(sorted(units.items())):
        mine = [step for person in members for step in lives.taught[person]]
        for values, joint in mine:
            counts.remove(values, joint)
        others = ~np.isin(lives.person, [numbers[person] for person in members])
        gain = (_loss(counts, lives) - whole)[others]
        for values, joint in mine:
            counts.update(values, joint)
        bounds = _interval(gain, lives.day[others], chance)
        found.append(Worth(unit, len(members), len(mine), float(gain.mean()), *bounds))
        tell((done + 1) / len(units))
    return sorted(found, key=lambda each: -each.nats)


def _units(people: Iterable[str], cohorts: Mapping[str, str] | None) -> dict[str, list[str]]:
    """Who is taken out together."""
    units: dict[str, list[str]] = {}
    for person in people:
        unit = person if cohorts is None else cohorts.get(person)
        if unit:
            units.setdefault(unit, []).append(person)
    if len(units) < FEWEST:
        raise Refused(
            f"of {len(units)} units it is not told what each is worth",
            f"it takes {FEWEST}: a release of more people, or more cohorts",
        )
    return units


def _read(streams: Sequence[Stream]) -> _Lives:
    taught: dict[str, list[tuple[Values, int]]] = {}
    # The list of classes is that of all training days: it is the same whoever is taken out.
    classes: dict[tuple[str, ...], int] = {}
    cuts = [_cut(stream) for stream in streams]
    for stream, cut in zip(streams, cuts, strict=True):
        for step in stream.steps[:cut]:
            classes.setdefault(step.own, len(classes))
    held: list[tuple[Values, int, int, int]] = []
    days = 0
    for number, (stream, cut) in enumerate(zip(streams, cuts, strict=True)):
        coded = _coded(stream.steps, classes)
        taught[stream.person] = coded[:cut]
        last = ""
        for step, (values, joint) in zip(stream.steps[cut:], coded[cut:], strict=True):
            days += step.recording != last
            last = step.recording
            held.append((values, joint, days - 1, number))
    _require_days(days)
    index: dict[Values, int] = {}
    context = np.array([index.setdefault(row[0], len(index)) for row in held], dtype=np.int64)
    joint, day, person = np.array([row[1:] for row in held], dtype=np.int64).T
    return _Lives(taught, list(index), context, joint, day, person, len(classes) + 1)


def _cut(stream: Stream) -> int:
    """Where the held-out part of a life begins: its last recordings, or its last steps."""
    names = stream.recordings()
    if len(names) < 2:
        return len(stream) - len(stream) // HELD
    first = names[-max(1, len(names) // HELD)]
    return next(at for at, step in enumerate(stream.steps) if step.recording == first)


def _coded(
    steps: Sequence[Step], classes: Mapping[tuple[str, ...], int]
) -> list[tuple[Values, int]]:
    """Each step's class, and those of the steps before it within its recording, -1 for none."""
    coded: list[tuple[Values, int]] = []
    before: list[int] = []
    last = None
    for step in steps:
        if step.recording != last:
            before, last = [-1] * ORDER, step.recording
        joint = classes.get(step.own, len(classes))
        coded.append((tuple(before), joint))
        before = [joint, *before[:-1]]
    return coded


def _loss(counts: KneserNey, lives: _Lives) -> np.ndarray:
    """Nats of each held-out step [T]."""
    uniform = np.full(lives.size, 1.0 / lives.size)
    table = np.array([counts.predict(values, uniform)[0] for values in lives.contexts])
    return -np.log(table[lives.context, lives.joint])


def _interval(
    gain: np.ndarray, day: np.ndarray, chance: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of the mean, whole days drawn together."""
    days = np.unique(day)
    _require_days(len(days))
    place = np.searchsorted(days, day)
    sums = np.bincount(place, gain, len(days))
    sizes = np.bincount(place, minlength=len(days))
    draws = chance.integers(0, len(days), (DRAWS, len(days)))
    low, high = np.quantile(sums[draws].sum(1) / sizes[draws].sum(1), [0.025, 0.975])
    return float(low), float(high)


def _require_days(count: int) -> None:
    if count < FEWEST_DAYS:
        raise Usage(
            f"{count} held-out days of others are too few", f"record more: at least {FEWEST_DAYS}"
        )
