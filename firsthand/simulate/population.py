"""People to predict: what they share, what is their own, and how much of each."""

from dataclasses import dataclass, replace

import numpy as np

from firsthand.errors import Usage
from firsthand.simulate.habits import ACTIONS, FAVOURITE, VARIANTS, Echo, Person, Weekly
from firsthand.simulate.oracle import chance_seen

STEPS, PARTS = 48, 4
LENGTHS = (4, 5, 5, 6, 6, 6, 6, 7, 7, 8)  # of the scripts
FAVOURITE_SLOTS = 6  # in as many scripts
PRIVATE = 0.35  # of all slots
LOYALTY, DRIFT = 0.85, 1 / 20
MOOD_STAYS = 0.7  # from one day to the next
ERRORS = (0.08, 0.17, 0.32)  # by mood
# In nats of preference for the next activity. Alike for all: by part of day, by mood. A person's
# own: by part of day, and for one favourite successor of each activity.
SHARED_PART, SHARED_MOOD, OWN_PART, OWN_NEXT = 1.2, 1.0, 1.0, 1.5
WEEKLY_STEPS, WEEKLY_CHANCE = (11, 12, 13), 0.95
ECHO_STEP, ECHO_DAYS, CUE_SEEN = 30, 2, 1 / 3


@dataclass(frozen=True)
class Ways:
    """What all people of one seed share."""

    scripts: tuple[tuple[int, ...], ...]
    part: np.ndarray  # (P, K) nats of preference
    mood: np.ndarray  # (M, K) nats of preference


def make_people(seed: int, people: int) -> list[Person]:
    """So many people; the first ones are the same however many are asked for. Raises Usage."""
    if people < 1:
        raise Usage(f"{people} people are too few", "ask for at least 1")
    if seed < 0:
        raise Usage(f"{seed} is no seed", "seeds are 0 or more")
    ways = _ways(np.random.default_rng([seed, 3]))
    return [_person(number, seed, ways) for number in range(people)]


def _ways(chance: np.random.Generator) -> Ways:
    """Scripts in which every action has a place, and the preferences common to all."""
    kinds, total = len(LENGTHS), sum(LENGTHS)
    plain = chance.permutation(np.arange(len(VARIANTS), len(ACTIONS)))
    again = chance.choice(plain, total - FAVOURITE_SLOTS - len(plain), replace=False)
    left = [*plain, *again]
    scripts = []
    drinks = set(chance.choice(kinds, FAVOURITE_SLOTS, replace=False).tolist())
    for activity, length in enumerate(chance.permutation(LENGTHS)):
        script = [int(left.pop()) for _ in range(length - (activity in drinks))]
        if activity in drinks:
            script.insert(int(chance.integers(1, length)), FAVOURITE)
        scripts.append(tuple(script))
    return Ways(
        tuple(scripts),
        SHARED_PART * chance.standard_normal((PARTS, kinds)),
        SHARED_MOOD * chance.standard_normal((len(ERRORS), kinds)),
    )


def _person(number: int, seed: int, ways: Ways) -> Person:
    chance = np.random.default_rng([seed, 4, number])
    kinds, moods = len(LENGTHS), len(ERRORS)
    like = ways.mood[:, None] + ways.part + OWN_PART * chance.standard_normal((PARTS, kinds))
    after = np.zeros((kinds, kinds))
    after[np.arange(kinds), _others(kinds, chance)] = OWN_NEXT
    np.fill_diagonal(after, -np.inf)
    weekly_action, echo_action, placeholder = chance.choice(
        np.arange(len(VARIANTS), len(ACTIONS)), 3, replace=False
    ).tolist()
    weekly = Weekly(
        int(chance.integers(7)), int(chance.choice(WEEKLY_STEPS)), weekly_action, WEEKLY_CHANCE
    )
    person = Person(
        number=number,
        scripts=_own_scripts(ways.scripts, chance),
        variants=tuple(range(len(VARIANTS))),
        loyalty=LOYALTY,
        drift=DRIFT,
        errors=np.array(ERRORS),
        mood_first=np.full(moods, 1 / moods),
        mood_next=_mostly_same(moods, MOOD_STAYS),
        first=_shares(like[:, 0]),
        follow=_shares(like[:, :, None] + after),
        weekly=weekly,
        echo=Echo(placeholder, echo_action, ECHO_STEP, ECHO_DAYS),
        steps=STEPS,
    )
    far = np.abs(chance_seen(person) - CUE_SEEN)
    far[[weekly_action, echo_action]] = np.inf
    return replace(person, echo=replace(person.echo, cue=int(far.argmin())))


def _own_scripts(
    scripts: tuple[tuple[int, ...], ...], chance: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """The common scripts with a share of the slots, never a FAVOURITE, given other actions."""
    wanted = np.array([action for script in scripts for action in script])
    private = chance.choice(
        np.flatnonzero(wanted != FAVOURITE), round(PRIVATE * len(wanted)), replace=False
    )
    plain = len(ACTIONS) - len(VARIANTS)
    turned = wanted[private] - len(VARIANTS) + chance.integers(1, plain, len(private))
    wanted[private] = turned % plain + len(VARIANTS)
    ends = np.cumsum([len(script) for script in scripts])[:-1]
    return tuple(tuple(script.tolist()) for script in np.split(wanted, ends))


def _others(count: int, chance: np.random.Generator) -> np.ndarray:
    """For each of so many things another one, shape (count,)."""
    return (np.arange(count) + chance.integers(1, count, count)) % count


def _mostly_same(count: int, stays: float) -> np.ndarray:
    same = np.eye(count)
    return same * stays + (1 - same) * (1 - stays) / (count - 1)


def _shares(liking: np.ndarray) -> np.ndarray:
    """Preferences in nats [..., K] as chances that sum to 1."""
    weight = np.exp(liking - liking.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)
