"""The best possible prediction of a life: the exact Bayes filter over everything hidden.

It knows the person's chances (`habits.Person`) and all that was done before, and weighs every
mood, favourite and place in a script that could have led there; nothing is sampled or cut off.
"""

from collections.abc import Sequence

import numpy as np

from firsthand.errors import Damaged, Usage
from firsthand.simulate.habits import (
    Day,
    Person,
    at_step,
    echo_due,
    emissions,
    favourite_next,
    slots,
)


def forecast(person: Person, lived: Sequence[Day]) -> np.ndarray:
    """Probability of each action before each step, [days, steps, A], given all that came before.

    The forward algorithm (Rabiner 1989) on the state (mood, favourite, slot). `lived` are days
    from the first on. Raises Usage if a day is missing or has another number of steps, Damaged
    at an action that this person could not have done.
    """
    _check(person, lived)
    told, favourites = emissions(person), favourite_next(person)
    belief = _morning(person, _waking(person))
    before = [day.actions for day in lived]
    foreseen = np.empty((len(lived), person.steps, told.shape[-1]))
    for number, actions in enumerate(before):
        if number:
            hidden = person.mood_next.T @ belief.sum(axis=-1) @ favourites
            belief = _morning(person, hidden)
        due = echo_due(person, before, number)
        for step, action in enumerate(actions):
            if step:
                belief = _advance(person, belief, step)
            now = at_step(person, told, number, step, due)
            foreseen[number, step] = belief.reshape(-1) @ now.reshape(-1, now.shape[-1])
            belief = belief * now[..., action]
            belief /= _possible(belief.sum(), person, number, step)
    return foreseen


def oracle_nats(person: Person, lived: Sequence[Day]) -> np.ndarray:
    """What the best predictor pays for each step, -ln p of what was done, shape [days, steps]."""
    truth = np.stack([day.actions for day in lived])[..., None]
    paid = np.take_along_axis(forecast(person, lived), truth, axis=-1)[..., 0]
    # Rounding may leave a certainty just above 1.
    return 0.0 - np.log(np.minimum(paid, 1.0))


def chance_seen(person: Person) -> np.ndarray:
    """Chance of each action to be seen at all on a day like the first, shape (A,).

    Without the weekly habit and the echo.
    """
    unseen = np.moveaxis(1 - emissions(person), -1, 0)
    belief = np.broadcast_to(_morning(person, _waking(person)), unseen.shape)
    for step in range(person.steps):
        if step:
            belief = _advance(person, belief, step)
        belief = belief * unseen
    return 1 - belief.sum(axis=(1, 2, 3))


def _check(person: Person, lived: Sequence[Day]) -> None:
    if not lived:
        raise Usage("there is no day to foresee", "live at least one day")
    for index, day in enumerate(lived):
        if day.number != index:
            raise Usage(f"day {index} of {person.name} is missing", "give all days from the first")
        if day.actions.shape != (person.steps,):
            raise Usage(
                f"day {index} of {person.name} has {len(day.actions)} steps",
                f"each day of this person has {person.steps}",
            )


def _possible(chance: float, person: Person, day: int, step: int) -> float:
    if not chance > 0:
        raise Damaged(
            f"{person.name} cannot have done action {step} of day {day}",
            "foresee the days as this person lived them",
        )
    return chance


def _waking(person: Person) -> np.ndarray:
    """Chance of mood and favourite on the first day, [M, V]."""
    return np.repeat(person.mood_first[:, None], len(person.variants), 1) / len(person.variants)


def _morning(person: Person, hidden: np.ndarray) -> np.ndarray:
    """Belief [M, V, slots] before the first step of a day, from that of mood and favourite."""
    first, last = slots(person)
    belief = np.zeros((*hidden.shape, last[-1] + 1))
    belief[..., first] = hidden[..., None] * person.first[:, None]
    return belief


def _advance(person: Person, belief: np.ndarray, step: int) -> np.ndarray:
    """Belief [..., M, V, slots] moved on to this step: one slot on, or into the next activity."""
    first, last = slots(person)
    moved = np.zeros_like(belief)
    moved[..., 1:] = belief[..., :-1]
    # A script's end leads to the beginning of any; what slid there from its neighbour goes.
    moved[..., first] = belief[..., last] @ person.follow[:, person.part(step)]
    return moved
