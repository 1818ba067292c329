"""The oracle is exact: it equals enumeration, looks at no later event, and refuses false lives."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from firsthand.errors import Damaged, Usage
from firsthand.simulate.habits import ACTIONS, FAVOURITE, Day, Echo, Person, Weekly, live
from firsthand.simulate.oracle import chance_seen, forecast, oracle_nats
from firsthand.simulate.population import make_people


@pytest.fixture(scope="module")
def person() -> Person:
    return next(person for person in make_people(1, 4) if person.weekly.weekday != 0)


@pytest.fixture(scope="module")
def lived(person: Person) -> list[Day]:
    return live(person, 9, 1)


def tiny_person(seed: int) -> Person:
    """Two activities of two slots, two moods, two variants, two parts, four steps a day."""
    chance = np.random.default_rng(seed)
    return Person(
        number=seed,
        scripts=((5, 6), (FAVOURITE, 7)),
        variants=(0, 1),
        loyalty=0.7,
        drift=0.3,
        errors=np.array([0.15, 0.4]),
        mood_first=chance.dirichlet((1, 1)),
        mood_next=chance.dirichlet((1, 1), 2),
        first=chance.dirichlet((1, 1), 2),
        follow=chance.dirichlet((1, 1), (2, 2, 2)),
        weekly=Weekly(weekday=1, step=1, action=6, chance=0.6),
        echo=Echo(cue=5, action=6, step=2, after_days=2),
        steps=4,
    )


def says(person: Person, action: int, wanted: int, favourite: int, mood: int) -> float:
    """Chance of an action where the script wants another, in words of the generator."""
    error = person.errors[mood]
    wants = {wanted: 1.0}
    if wanted == FAVOURITE:
        liked, other = person.variants[favourite], person.variants[1 - favourite]
        wants = {liked: person.loyalty, other: 1 - person.loyalty}
    return sum(
        share * ((1 - error) if want == action else error / (len(ACTIONS) - 1))
        for want, share in wants.items()
    )


def told(person: Person, days: list[list[int]], d: int, t: int, *hidden: int) -> float:
    """Chance of the action of day d, step t, with the weekly habit and the echo."""
    action = days[d][t]
    plain = says(person, action, *hidden)
    if t == person.echo.step:
        if d >= 2 and person.echo.cue in days[d - 2]:
            return float(action == person.echo.action)
        silent = 1 - says(person, person.echo.action, *hidden)
        return 0.0 if action == person.echo.action else plain / silent
    if t == person.weekly.step and d == person.weekly.weekday:
        habit = person.weekly.chance
        return habit * (action == person.weekly.action) + (1 - habit) * plain
    return plain


def brute_force(person: Person, days: list[list[int]]) -> list[float]:
    """-ln p of each action given those before, by adding up every hidden path."""
    joint = np.zeros(len(days) * 4)
    for moods in product((0, 1), repeat=len(days)):
        for favourites in product((0, 1), repeat=len(days)):
            prior = person.mood_first[moods[0]] / 2
            for d in range(1, len(days)):
                moved = favourites[d] != favourites[d - 1]
                prior *= person.mood_next[moods[d - 1], moods[d]]
                prior *= person.drift if moved else 1 - person.drift
            for done in product((0, 1), repeat=2 * len(days)):
                weight, steps = prior, []
                for d, mood in enumerate(moods):
                    early, late = done[2 * d], done[2 * d + 1]
                    weight *= person.first[mood, early] * person.follow[mood, 1, early, late]
                    wanted = [*person.scripts[early], *person.scripts[late]]
                    steps += [
                        told(person, days, d, t, want, favourites[d], mood)
                        for t, want in enumerate(wanted)
                    ]
                joint += weight * np.cumprod(steps)
    return list(-np.diff(np.log(joint), prepend=0.0))


def test_filter_equals_enumeration_of_all_hidden_paths() -> None:
    kept = set()
    for seed in (1, 2, 3):
        person = tiny_person(seed)
        lived = live(person, 3, seed)
        days = [day.actions.tolist() for day in lived]
        kept.add(person.echo.cue in days[0])
        exact = np.reshape(brute_force(person, days), (3, 4))
        assert oracle_nats(person, lived) == pytest.approx(exact, abs=1e-12)
    assert kept == {True, False}


def test_later_events_never_change_earlier_forecasts(person: Person, lived: list[Day]) -> None:
    before = forecast(person, lived)
    for day, step in ((8, 47), (5, 20), (3, 0)):
        actions = lived[day].actions.copy()
        # Neither from nor to the cue: what the rule then says is not what was done.
        others = [a for a in range(len(ACTIONS)) if a not in (actions[step], person.echo.cue)]
        assert actions[step] != person.echo.cue
        actions[step] = others[0]
        changed = [*lived]
        changed[day] = replace(lived[day], actions=actions)
        after = forecast(person, changed)
        same = day * 48 + step + 1
        flat, flat_after = before.reshape(-1, len(ACTIONS)), after.reshape(-1, len(ACTIONS))
        assert np.array_equal(flat[:same], flat_after[:same])
        assert same == 9 * 48 or not np.array_equal(flat[same:], flat_after[same:])


def test_chance_seen_is_the_share_of_days_on_which_an_action_is_seen(person: Person) -> None:
    mornings = 600
    days = [live(person, 1, seed)[0].actions for seed in range(mornings)]
    share = np.mean([np.bincount(day, minlength=len(ACTIONS)) > 0 for day in days], axis=0)
    chance = chance_seen(person)
    error = np.sqrt(chance * (1 - chance) / mornings)
    apart = np.abs(share - chance) / error
    apart[person.echo.action] = 0  # never at its own step of a first day
    assert apart.max() < 5
    assert chance.std() > 0.1


def test_oracle_refuses_days_that_are_missing_or_too_short(
    person: Person, lived: list[Day]
) -> None:
    with pytest.raises(Usage, match="no day"):
        forecast(person, [])
    with pytest.raises(Usage, match=f"day 1 of {person.name} is missing"):
        forecast(person, [lived[0], lived[2]])
    short = replace(lived[1], actions=lived[1].actions[:40])
    with pytest.raises(Usage, match="has 40 steps"):
        forecast(person, [lived[0], short])


def test_oracle_refuses_what_this_person_cannot_have_done(person: Person, lived: list[Day]) -> None:
    actions = lived[0].actions.copy()
    actions[30] = person.echo.action
    with pytest.raises(Damaged, match=f"{person.name} cannot have done action 30 of day 0"):
        forecast(person, [replace(lived[0], actions=actions)])
