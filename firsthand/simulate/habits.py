"""Lives whose best possible prediction is computable: a person is a small, wholly known chance law.

Hidden are only the mood of the day, the favourite of the day, and the place in a script; all can be
enumerated. The exact prediction is in `oracle.py`; who such people are, in `population.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from firsthand.errors import Usage

VARIANTS = ("drink tea", "drink coffee", "drink juice", "drink water")
ACTIONS = (
    *VARIANTS,
    *("boil water", "cut bread", "spread butter", "fry egg", "stir porridge", "wash dish"),
    *("dry dish", "wipe table", "sweep floor", "water plant", "feed cat", "open window"),
    *("close window", "make bed", "fold shirt", "iron shirt", "brush teeth", "comb hair"),
    *("wash hands", "take shower", "put on shoes", "lock door", "walk dog", "check phone"),
    *("read book", "read newspaper", "write letter", "type report", "answer email", "sort papers"),
    *("call friend", "play piano", "knit scarf", "paint picture", "chop vegetables", "peel potato"),
)
FAVOURITE = -1  # in a script: whichever variant is liked best today
FIRST_DAY = date(2024, 1, 1)  # a Monday
MOST_DAYS = 36_525  # a hundred years
WAKING_S = (7 * 3600, 21 * 3600)  # UTC
# Of the time that a step has: how much later it may start, how long it may take.
LATE, TAKES = 0.5, (0.1, 0.45)


@dataclass(frozen=True)
class Weekly:
    """On one weekday (0 is Monday), at one step of the day, one action, with this chance."""

    weekday: int
    step: int
    action: int
    chance: float


@dataclass(frozen=True)
class Echo:
    """At one step of the day `action` happens if, and only if, `cue` was seen days before."""

    cue: int
    action: int
    step: int
    after_days: int


@dataclass(frozen=True, eq=False)
class Person:
    """All that sets one person's chances; M moods, V variants, K activities, P parts of a day.

    Every row of `mood_next`, `first` and `follow` sums to 1. The favourite of the first day is any
    variant with equal chance. Actions are numbers into ACTIONS.
    """

    number: int
    scripts: tuple[tuple[int, ...], ...]  # of K activities; FAVOURITE among the actions
    variants: tuple[int, ...]  # V actions
    loyalty: float  # chance of the favourite where a script says FAVOURITE, else another variant
    drift: float  # chance that a new day has another favourite
    errors: np.ndarray  # (M,) chance of any other action in place of the script's
    mood_first: np.ndarray  # (M,)
    mood_next: np.ndarray  # (M, M) from one day to the next
    first: np.ndarray  # (M, K) the first activity of a day
    follow: np.ndarray  # (M, P, K, K) the activity after each, by the part of day it begins in
    weekly: Weekly
    echo: Echo
    steps: int  # of a day

    @property
    def name(self) -> str:
        """As it stands in a stream: p001, p002, ..."""
        return f"p{self.number + 1:03d}"

    def part(self, step: int) -> int:
        """The part of the day, 0 to P-1, that a step belongs to."""
        return step * self.follow.shape[1] // self.steps


@dataclass(frozen=True, eq=False)
class Day:
    """One day lived: its number from 0 on; per step the action and its times, shape (steps,)."""

    number: int
    actions: np.ndarray
    start_s: np.ndarray  # Unix time in whole seconds
    stop_s: np.ndarray

    @property
    def recording(self) -> str:
        """The date, such as 2024-01-01."""
        return (FIRST_DAY + timedelta(days=self.number)).isoformat()


def live(person: Person, days: int, seed: int) -> list[Day]:
    """So many days of a person's life; the first ones are the same however many are asked for.

    Times hint at nothing: they are drawn apart from what is done. Raises Usage.
    """
    if not 1 <= days <= MOST_DAYS:
        raise Usage(f"{days} days cannot be lived", f"ask for 1 to {MOST_DAYS} days")
    if seed < 0:
        raise Usage(f"{seed} is no seed", "seeds are 0 or more")
    chance = np.random.default_rng([seed, 1, person.number])
    clock = np.random.default_rng([seed, 2, person.number])
    told = emissions(person)
    mood = draw(person.mood_first, chance.random())
    favourite = draw(np.full(len(person.variants), 1 / len(person.variants)), chance.random())
    lived: list[Day] = []
    done: list[np.ndarray] = []
    for number in range(days):
        if number:
            mood = draw(person.mood_next[mood], chance.random())
            favourite = draw(favourite_next(person)[favourite], chance.random())
        due = echo_due(person, done, number)
        done.append(_actions(person, told[mood, favourite], mood, number, due, chance))
        lived.append(Day(number, done[-1], *_times(person.steps, number, clock)))
    return lived


def _actions(
    person: Person,
    told: np.ndarray,
    mood: int,
    day: int,
    due: bool,
    chance: np.random.Generator,
) -> np.ndarray:
    """The actions of a day, shape (steps,), of one mood; `told` [slots, A] are its emissions."""
    first, last = slots(person)
    actions = np.empty(person.steps, dtype=np.int64)
    slot = -1
    for step in range(person.steps):
        activity, action = chance.random(2)
        if step == 0:
            slot = first[draw(person.first[mood], activity)]
        elif slot in last:
            row = person.follow[mood, person.part(step), last.index(slot)]
            slot = first[draw(row, activity)]
        else:
            slot += 1
        actions[step] = draw(at_step(person, told[slot], day, step, due), action)
    return actions


def _times(steps: int, day: int, clock: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Start and stop of each step in Unix seconds, on a jittered grid of the waking hours."""
    midnight_s = ((FIRST_DAY + timedelta(days=day)) - date(1970, 1, 1)).days * 86_400
    each_s = (WAKING_S[1] - WAKING_S[0]) / steps
    late = clock.uniform(0, LATE, steps)
    takes = clock.uniform(*TAKES, steps)
    start_s = midnight_s + WAKING_S[0] + np.floor((np.arange(steps) + late) * each_s)
    stop_s = start_s + np.maximum(1, np.floor(takes * each_s))
    return start_s.astype(np.int64), stop_s.astype(np.int64)


def draw(probabilities: np.ndarray, roll: float) -> int:
    """The index that a roll of [0, 1) falls on."""
    heap = np.cumsum(probabilities)
    return min(int(np.searchsorted(heap, roll * heap[-1], side="right")), len(heap) - 1)


def slots(person: Person) -> tuple[list[int], list[int]]:
    """The first and the last slot of each activity, all scripts laid end to end."""
    ends = np.cumsum([len(script) for script in person.scripts])
    return [0, *(int(end) for end in ends[:-1])], [int(end) - 1 for end in ends]


def emissions(person: Person) -> np.ndarray:
    """Chance of each action by mood, favourite and slot: [M, V, slots, A], summing to 1 over A.

    Without the weekly habit and the echo, which `at_step` adds.
    """
    wanted = [action for script in person.scripts for action in script]
    count = len(person.variants)
    intent = np.zeros((count, len(wanted), len(ACTIONS)))
    for slot, action in enumerate(wanted):
        if action != FAVOURITE:
            intent[:, slot, action] = 1
            continue
        intent[:, slot, list(person.variants)] = (1 - person.loyalty) / (count - 1)
        intent[range(count), slot, list(person.variants)] = person.loyalty
    errors = person.errors[:, None, None, None]
    return intent * (1 - errors) + (1 - intent) * errors / (len(ACTIONS) - 1)


def favourite_next(person: Person) -> np.ndarray:
    """Chance of tomorrow's favourite given today's, [V, V]."""
    count = len(person.variants)
    same = np.eye(count)
    return same * (1 - person.drift) + (1 - same) * person.drift / (count - 1)


def echo_due(person: Person, actions: Sequence[np.ndarray], day: int) -> bool:
    """Whether the echo's cue was seen on the day it looks back to; `actions` are days lived."""
    back = day - person.echo.after_days
    return back >= 0 and bool((actions[back] == person.echo.cue).any())


def at_step(person: Person, told: np.ndarray, day: int, step: int, due: bool) -> np.ndarray:
    """Emissions [..., A] as they are at a step, with the weekly habit and the echo."""
    if step == person.echo.step:
        only = np.zeros_like(told)
        if due:
            only[..., person.echo.action] = 1
            return only
        only[...] = told
        only[..., person.echo.action] = 0
        return only / only.sum(axis=-1, keepdims=True)
    if step == person.weekly.step and day % 7 == person.weekly.weekday:
        told = told * (1 - person.weekly.chance)
        told[..., person.weekly.action] += person.weekly.chance
    return told


def cells(person: Person, lived: Sequence[Day]) -> list[tuple[int, int, str]]:
    """Steps that only a long memory foresees, as (index of the day, step, cell).

    "habit": the weekly habit's step on its weekday; "rule": the echo's step on days when its cue
    was seen `after_days` days before, so that its action is certain.
    """
    actions = [day.actions for day in lived]
    found = []
    for index, day in enumerate(lived):
        if day.number % 7 == person.weekly.weekday:
            found.append((index, person.weekly.step, "habit"))
        if echo_due(person, actions, index):
            found.append((index, person.echo.step, "rule"))
    return found
