"""People with known habits: each has a policy, an explicit distribution over the next act.

Everything that a policy looks at was seen by the camera or done by the person before, so the
log-probability of the chosen act is exactly what the best possible predictor would pay. How the
house looks and changes is in `world.py`.
"""

from dataclasses import dataclass, replace

import numpy as np

from firsthand.simulate.world import (
    ACTS,
    PLACES,
    ROOMS,
    THINGS,
    Scene,
    acts_in,
    first_scene,
    next_scene,
)

INDEX = {act: number for number, act in enumerate(ACTS)}
DAY_S = 480.0
DAY_PARTS = 4
REST_S = (0.7, 1.2)  # between two acts, hands down
ACT_S = (2.0, 3.0)
HABIT_WINDOW = 0.12  # of a day: how long a habit is waited for before the day goes on without it
# What all people share, in nats of preference.
THING_ON_TABLE = 2.9
DO_HABIT = 7.0
FOLLOW_ORDER = {"amber": 3.6, "blue": 2.0, "rose": 2.4}  # by mood: diligent, idle, restless
CHECK_PHONE = {"amber": -2.5, "blue": 1.6, "rose": -1.5}
WALK_OFF = {"amber": -0.5, "blue": -0.5, "rose": 1.8}
REPEAT = -3.0
ROUTE_AT_ONCE, ROUTE_PER_ACT = -4.6, 0.85
# What tells people apart, beside order and habits: the spread of their favourites and of their
# ways through the day.
TASTE, ROUTE = 0.9, 2.0


@dataclass(frozen=True)
class Habit:
    """Acts done in a row in one room, from a time of day (0 to 1) on, every so many days."""

    room: str
    script: tuple[int, ...]
    begin: float
    every_days: int
    first_day: int

    def due(self, day: int, time_of_day: float) -> bool:
        """Whether this is a day and a time for it."""
        on_this_day = day % self.every_days == self.first_day
        return on_this_day and self.begin <= time_of_day < self.begin + HABIT_WINDOW


@dataclass(frozen=True)
class Moment:
    """All that an act depends on: what is seen, the time, and what was done before."""

    scene: Scene
    day: int
    time_of_day: float  # 0 to 1
    last: int | None  # number of the act before, None when the day begins
    stay: int  # acts done in this room so far
    habits_done: tuple[int, ...]  # acts done today of each habit's script


@dataclass(frozen=True, eq=False)
class Policy:
    """One person's ways, all in nats of preference; `step` makes them a distribution."""

    index: int
    taste: np.ndarray  # (acts,)
    order: np.ndarray  # (acts,) the act that this person likes to do after each act
    route: np.ndarray  # (day parts, rooms)
    habits: tuple[Habit, ...]

    def step(self, moment: Moment) -> np.ndarray:
        """Probability of each act of ACTS at this moment, shape (acts,), summing to 1."""
        scene = moment.scene
        liking = self.taste.copy()
        for room in ROOMS:
            part = min(int(moment.time_of_day * DAY_PARTS), DAY_PARTS - 1)
            leave = ROUTE_AT_ONCE + ROUTE_PER_ACT * moment.stay + WALK_OFF[scene.lamp]
            liking[INDEX["walk", room]] = leave + self.route[part, ROOMS.index(room)]
        if moment.last is not None:
            liking[self.order[moment.last]] += FOLLOW_ORDER[scene.lamp]
            liking[moment.last] += REPEAT
        _heed(scene, liking)
        for habit, done in zip(self.habits, moment.habits_done, strict=True):
            if habit.due(moment.day, moment.time_of_day) and done < len(habit.script):
                here = habit.room == scene.room
                liking[habit.script[done] if here else INDEX["walk", habit.room]] += DO_HABIT
        possible = [INDEX[act] for act in acts_in(scene)]
        chance = np.zeros(len(ACTS))
        chance[possible] = np.exp(liking[possible] - liking[possible].max())
        return chance / chance.sum()


def _heed(scene: Scene, liking: np.ndarray) -> None:
    """Add to the liking of each act what the things in sight call for, for everyone alike."""
    for number, (_, noun) in enumerate(ACTS):
        if noun == scene.thing:
            liking[number] += THING_ON_TABLE
        elif noun == "tea":
            liking[number] += 3.5 if scene.steam else -3.0
        elif noun == "kettle":
            liking[number] += -4.0 if scene.steam else 1.5
        elif noun == "visitor":
            liking[number] += 3.0
        elif noun == "cat":
            liking[number] += 2.5
        elif noun == "phone":
            liking[number] += CHECK_PHONE[scene.lamp]
    if scene.rain:
        liking[INDEX["walk", "garden"]] -= 3.0
        if scene.room == "garden":
            for number, (verb, _) in enumerate(ACTS):
                liking[number] += 2.5 if verb == "walk" else 0.0


def policies(count: int, seed: int) -> list[Policy]:
    """So many people; the first ones are the same however many are asked for."""
    return [_policy(index, seed) for index in range(count)]


def _policy(index: int, seed: int) -> Policy:
    chance = np.random.default_rng([seed, 2, index])
    order = np.arange(len(ACTS))
    for room in ROOMS:
        turn = chance.permutation([INDEX[act] for act, place in PLACES.items() if place == room])
        order[turn] = np.roll(turn, -1)
        order[INDEX["walk", room]] = turn[0]
    return Policy(
        index=index,
        taste=TASTE * chance.standard_normal(len(ACTS)),
        order=order,
        route=ROUTE * chance.standard_normal((DAY_PARTS, len(ROOMS))),
        habits=_habits(chance),
    )


def _habits(chance: np.random.Generator) -> tuple[Habit, ...]:
    """One habit of every morning, one of every afternoon, one of every other evening."""
    habits = []
    for begin, every_days in ((0.2, 1), (0.5, 1), (0.75, 2)):
        room = ROOMS[chance.integers(len(ROOMS))]
        turn = chance.permutation(len(THINGS[room]))[:3]
        habits.append(
            Habit(
                room=room,
                script=tuple(INDEX[THINGS[room][number]] for number in turn),
                begin=begin + 0.1 * chance.random(),
                every_days=every_days,
                first_day=int(chance.integers(every_days)),
            )
        )
    return tuple(habits)


@dataclass(frozen=True)
class Act:
    """One act of a life, with what was in sight before it and what the best predictor pays."""

    day: int
    start_s: float  # since the day began
    stop_s: float
    verb: str
    noun: str
    room: str
    log_prob: float  # nats
    entropy: float  # nats; the best predictor's own expectation of -log_prob
    scene: Scene
    after: Scene  # in sight from stop_s on


def live(policy: Policy, days: int, seed: int, day_s: float = DAY_S) -> list[Act]:
    """All acts of the days from the first on; the same seed gives the same life."""
    return [act for day in range(days) for act in live_day(policy, day, seed, day_s)]


def live_day(policy: Policy, day: int, seed: int, day_s: float = DAY_S) -> list[Act]:
    """The acts of one day, counted from 0; what a day needs of the past is the day's number."""
    chance = np.random.default_rng([seed, 3, policy.index, day])
    done = tuple(0 for _ in policy.habits)
    moment = Moment(first_scene(chance), day, 0.0, None, 0, done)
    acts: list[Act] = []
    clock_s = 0.0
    while True:
        # Rest and act are drawn before the choice: neither may hint at it.
        start_s = round(clock_s + chance.uniform(*REST_S), 3)
        stop_s = round(start_s + chance.uniform(*ACT_S), 3)
        if stop_s > day_s:
            return acts
        moment = replace(moment, time_of_day=start_s / day_s)
        probabilities = policy.step(moment)
        number = _draw(probabilities, chance)
        after = next_scene(moment.scene, ACTS[number], chance)
        acts.append(_act(moment, number, probabilities, start_s, stop_s, after))
        moment = _then(policy, moment, number, after)
        clock_s = stop_s


def _draw(probabilities: np.ndarray, chance: np.random.Generator) -> int:
    return int(np.searchsorted(np.cumsum(probabilities), chance.random() * probabilities.sum()))


def _act(
    moment: Moment,
    number: int,
    probabilities: np.ndarray,
    start_s: float,
    stop_s: float,
    after: Scene,
) -> Act:
    possible = probabilities[probabilities > 0]
    verb, noun = ACTS[number]
    return Act(
        day=moment.day,
        start_s=start_s,
        stop_s=stop_s,
        verb=verb,
        noun=noun,
        room=moment.scene.room,
        log_prob=float(np.log(probabilities[number])),
        entropy=float(-(possible * np.log(possible)).sum()),
        scene=moment.scene,
        after=after,
    )


def _then(policy: Policy, moment: Moment, number: int, after: Scene) -> Moment:
    """The moment after an act; its time of day is set when the next act starts."""
    done = tuple(
        count
        + (
            count < len(habit.script)
            and habit.script[count] == number
            and habit.due(moment.day, moment.time_of_day)
        )
        for habit, count in zip(policy.habits, moment.habits_done, strict=True)
    )
    stay = 0 if after.room != moment.scene.room else moment.stay + 1
    return replace(moment, scene=after, last=number, stay=stay, habits_done=done)
