"""Simulated lives: the oracle pays what it expects, the rules show, counts learn half of it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import log

import numpy as np
import pytest

from firsthand.errors import Usage
from firsthand.simulate.habits import (
    ACTIONS,
    FAVOURITE,
    Day,
    Echo,
    Person,
    Weekly,
    cells,
    live,
)
from firsthand.simulate.oracle import forecast, oracle_nats
from firsthand.simulate.population import PRIVATE, make_people

PEOPLE, DAYS, TRAIN, SEED = 24, 56, 42, 1


@dataclass(frozen=True)
class Town:
    people: list[Person]
    lives: list[list[Day]]

    @cached_property
    def foreseen(self) -> np.ndarray:
        """(people, days, steps, actions)"""
        return np.stack([forecast(*pair) for pair in zip(self.people, self.lives, strict=True)])

    @cached_property
    def actions(self) -> np.ndarray:
        """(people, days, steps)"""
        return np.array([[day.actions for day in lived] for lived in self.lives])

    @cached_property
    def nats(self) -> np.ndarray:
        """(people, days, steps)"""
        paid = np.take_along_axis(self.foreseen, self.actions[..., None], -1)[..., 0]
        return -np.log(paid)


@pytest.fixture(scope="module")
def town() -> Town:
    people = make_people(SEED, PEOPLE)
    return Town(people, [live(person, DAYS, SEED) for person in people])


# --- the oracle over whole lives


def test_every_forecast_sums_to_one(town: Town) -> None:
    assert town.foreseen.shape == (PEOPLE, DAYS, 48, len(ACTIONS))
    assert town.foreseen.min() >= 0
    assert abs(town.foreseen.sum(axis=-1) - 1).max() < 1e-9


def excess(foreseen: np.ndarray, actions: np.ndarray) -> tuple[float, float]:
    """Mean of what is paid beyond the forecast's own expectation, and its standard error."""
    paid = -np.log(np.take_along_axis(foreseen, actions[..., None], -1)[..., 0])
    entropy = -(foreseen * np.log(np.where(foreseen > 0, foreseen, 1))).sum(axis=-1)
    # The terms are differences of a martingale: uncorrelated, so this is the error of the mean.
    more = paid - entropy
    return float(more.mean()), float(more.std() / np.sqrt(more.size))


def test_oracle_pays_its_own_entropy_on_average(town: Town) -> None:
    mean, error = excess(town.foreseen, town.actions)
    assert abs(mean) < 3 * error
    assert error < 0.01


def test_slightly_wrong_filter_does_not_pay_its_own_entropy(town: Town) -> None:
    """The check above has teeth: a predictor who thinks errors rarer is found out."""
    few = slice(0, 4)
    wrong = [replace(person, errors=person.errors * 0.8) for person in town.people[few]]
    foreseen = np.stack([forecast(*pair) for pair in zip(wrong, town.lives[few], strict=True)])
    mean, error = excess(foreseen, town.actions[few])
    assert abs(mean) > 3 * error


def test_oracle_nats_are_of_what_was_done(town: Town) -> None:
    nats = oracle_nats(town.people[3], town.lives[3])
    assert nats.shape == (DAYS, 48)
    assert nats == pytest.approx(town.nats[3], abs=1e-12)
    assert nats.min() >= 0


# --- what people are like


def glass_person() -> Person:
    """All that is hidden shows: mood in the first action, favourite in the second, and in the
    third and fourth that another part of the day has begun."""
    later = np.zeros((2, 2, 3, 3))
    later[:, 0, :, 2] = later[:, 1, :, 0] = 1
    return Person(
        number=0,
        scripts=((5,), (6,), (FAVOURITE,)),
        variants=(0, 1, 2),
        loyalty=1.0,
        drift=0.25,
        errors=np.zeros(2),
        mood_first=np.array([0.5, 0.5]),
        mood_next=np.array([[0.6, 0.4], [0.1, 0.9]]),
        first=np.array([[1.0, 0, 0], [0, 1.0, 0]]),
        follow=later,
        weekly=Weekly(weekday=0, step=0, action=9, chance=0.0),
        echo=Echo(cue=9, action=8, step=3, after_days=2),
        steps=4,
    )


def test_mood_favourite_and_part_of_day_change_as_often_as_they_should() -> None:
    person, days = glass_person(), 4000
    actions = np.array([day.actions for day in live(person, days, SEED)])
    assert (actions[:, 2:] == 5).all()
    moods, favourites = actions[:, 0] - 5, actions[:, 1]
    for mood in (0, 1):
        after = moods[1:][moods[:-1] == mood]
        chance = person.mood_next[mood, 1]
        assert abs(after.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / len(after))
    moved = favourites[1:] != favourites[:-1]
    assert abs(moved.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(moved))
    step = (favourites[1:] - favourites[:-1])[moved] % 3
    assert abs((step == 1).mean() - 0.5) < 4 * np.sqrt(0.25 / len(step))


def test_the_first_people_and_days_are_the_same_however_many_are_asked_for(town: Town) -> None:
    [person] = make_people(SEED, 1)
    for mine, theirs in zip(live(person, 9, SEED), town.lives[0], strict=False):
        assert np.array_equal(mine.actions, theirs.actions)
        assert np.array_equal(mine.start_s, theirs.start_s)
        assert np.array_equal(mine.stop_s, theirs.stop_s)


def test_steps_stand_in_the_waking_hours_of_their_date_and_never_overlap(town: Town) -> None:
    assert town.lives[0][0].recording == "2024-01-01"
    assert town.lives[0][DAYS - 1].recording == "2024-02-25"
    for lived in town.lives:
        for day in lived:
            midnight_s = 1_704_067_200 + day.number * 86_400
            assert (day.start_s >= midnight_s + 7 * 3600).all()
            assert (day.stop_s <= midnight_s + 21 * 3600).all()
            assert (day.stop_s > day.start_s).all()
            assert (day.start_s[1:] >= day.stop_s[:-1]).all()
    gaps = np.diff([day.start_s for day in town.lives[0]], axis=1)
    assert len(np.unique(gaps)) > 100


def test_a_share_of_every_script_is_private(town: Town) -> None:
    slots = np.array([[a for script in p.scripts for a in script] for p in town.people])
    common = np.array([np.bincount(column + 1).argmax() - 1 for column in slots.T])
    private = (slots != common).sum(axis=1)
    assert set(private) == {round(PRIVATE * slots.shape[1])}
    alike = [(a == b)[(a != common) & (b != common)].mean() for a, b in pairwise(slots)]
    assert np.mean(alike) < 0.2


def test_two_day_rule_holds_without_exception_on_about_a_third_of_days(town: Town) -> None:
    fired = 0
    for person, actions in zip(town.people, town.actions, strict=True):
        rule = person.echo
        seen = (actions[:-2] == rule.cue).any(axis=1)
        assert np.array_equal(actions[2:, 30] == rule.action, seen)
        assert not (actions[:2, 30] == rule.action).any()
        fired += seen.sum()
    assert 0.25 < fired / (PEOPLE * (DAYS - 2)) < 0.45


def test_weekly_habit_shows_on_its_weekday_and_not_on_others(town: Town) -> None:
    on, off = [], []
    for person, actions in zip(town.people, town.actions, strict=True):
        habit = person.weekly
        assert habit.chance >= 0.9
        done = actions[:, habit.step] == habit.action
        today = np.arange(DAYS) % 7 == habit.weekday
        on.extend(done[today])
        off.extend(done[~today])
    assert np.mean(on) > 0.9
    assert np.mean(off) < 0.1
    assert len({person.weekly.weekday for person in town.people}) > 3


def test_cells_name_the_steps_that_a_long_memory_foresees(town: Town) -> None:
    for person, lived, actions in zip(town.people, town.lives, town.actions, strict=True):
        found = {(day, step): cell for day, step, cell in cells(person, lived)}
        assert sum(cell == "habit" for cell in found.values()) == DAYS // 7
        for (day, step), cell in found.items():
            if cell == "rule":
                assert actions[day, step] == person.echo.action
            else:
                assert (day % 7, step) == (person.weekly.weekday, person.weekly.step)
        unnamed = [day for day in range(DAYS) if (day, 30) not in found]
        assert not (actions[unnamed, 30] == person.echo.action).any()


def test_oracle_knows_rule_and_habit(town: Town) -> None:
    paid = defaultdict(list)
    for person, lived, nats in zip(town.people, town.lives, town.nats, strict=True):
        for day, step, cell in cells(person, lived):
            paid[cell].append(nats[day, step])
    assert max(paid["rule"]) < 1e-9
    assert np.mean(paid["habit"]) < 0.6
    assert 1.1 < town.nats.mean() < 1.7


# --- hard, but no noise


class KneserNey:
    """Interpolated Kneser-Ney of one discount (Chen & Goodman 1998), counted as it goes."""

    def __init__(self, order: int) -> None:
        self.levels: list[dict] = [defaultdict(dict) for _ in range(order + 1)]

    def update(self, before: tuple[int, ...], action: int) -> None:
        for depth in range(len(self.levels) - 1, -1, -1):
            row = self.levels[depth][before[len(before) - depth :]]
            row[action] = row.get(action, 0) + 1
            if row[action] > 1:
                return  # lower levels count contexts, not events

    def chance(self, before: tuple[int, ...], action: int, base: float) -> float:
        for depth, level in enumerate(self.levels):
            row = level.get(before[len(before) - depth :])
            if not row:
                break
            backed = 0.75 * len(row) * base
            base = (max(row.get(action, 0) - 0.75, 0) + backed) / sum(row.values())
        return base


def in_order(days: np.ndarray, order: int) -> Iterator[tuple[tuple[int, ...], int]]:
    for day in days:
        before = (-1,) * order
        for action in day.tolist():
            yield before, action
            before = (*before, action)[1:]


def kneser_ney_nats(actions: np.ndarray, order: int) -> float:
    """Mean nats of the days from TRAIN on: a person's own counts, updated, backed by all's."""
    pool = KneserNey(order)
    for person in actions:
        for step in in_order(person[:TRAIN], order):
            pool.update(*step)
    paid = []
    for person in actions:
        own = KneserNey(order)
        for step in in_order(person[:TRAIN], order):
            own.update(*step)
        for step in in_order(person[TRAIN:], order):
            paid.append(-log(own.chance(*step, pool.chance(*step, 1 / len(ACTIONS)))))
            own.update(*step)
    return float(np.mean(paid))


def test_counts_of_short_contexts_recover_half_of_the_way_but_not_the_rest(town: Town) -> None:
    oracle = town.nats[:, TRAIN:].mean()
    share = np.bincount(town.actions[:, :TRAIN].ravel()) / town.actions[:, :TRAIN].size
    unigram = -np.log(share)[town.actions[:, TRAIN:]].mean()
    best = min(kneser_ney_nats(town.actions, order) for order in (1, 2, 3))
    assert 3.3 < unigram < log(len(ACTIONS))
    assert 0.4 < (unigram - best) / (unigram - oracle) < 0.7


# --- bad input


@pytest.mark.parametrize(("seed", "people"), [(0, 0), (0, -3), (-1, 2)])
def test_people_that_cannot_be_made_are_refused(seed: int, people: int) -> None:
    with pytest.raises(Usage):
        make_people(seed, people)


@pytest.mark.parametrize(("days", "seed"), [(0, 1), (-1, 1), (40_000, 1), (3, -1)])
def test_days_that_cannot_be_lived_are_refused(days: int, seed: int, town: Town) -> None:
    with pytest.raises(Usage):
        live(town.people[0], days, seed)
