"""Policies are true distributions, and the oracle pays exactly what they say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from firsthand.simulate.people import INDEX, Moment, Policy, live, live_day, policies
from firsthand.simulate.world import ACTS, LAMPS, ROOMS, THINGS, Scene, acts_in, next_scene


def random_moments(policy: Policy, count: int) -> list[Moment]:
    chance = np.random.default_rng(5)
    moments = []
    for _ in range(count):
        room = ROOMS[chance.integers(len(ROOMS))]
        rain, steam, visitor, cat = (bool(flag) for flag in chance.integers(2, size=4))
        thing = THINGS[room][chance.integers(5)][1]
        scene = Scene(room, thing, LAMPS[chance.integers(3)], rain, steam, visitor, cat)
        last = None if chance.random() < 0.1 else int(chance.integers(len(ACTS)))
        done = tuple(int(chance.integers(len(habit.script) + 1)) for habit in policy.habits)
        day, stay = int(chance.integers(9)), int(chance.integers(9))
        moments.append(Moment(scene, day, chance.random(), last, stay, done))
    return moments


def test_every_distribution_sums_to_one_over_the_possible_acts():
    for policy in policies(4, seed=3):
        for moment in random_moments(policy, 100):
            chance = policy.step(moment)
            assert chance.sum() == pytest.approx(1, abs=1e-12)
            possible = {ACTS[number] for number in np.flatnonzero(chance)}
            assert possible == set(acts_in(moment.scene))


def test_oracle_follows_from_what_was_seen_and_done_alone():
    """A predictor that rebuilds each moment from pictures and labels pays the same nats."""
    for policy in policies(2, seed=8):
        last, stay, room, done = None, 0, "bathroom", [0] * len(policy.habits)
        acts = live_day(policy, 1, seed=8)
        for act in acts:
            moment = Moment(act.scene, 1, act.start_s / 480, last, stay, tuple(done))
            number = INDEX[act.verb, act.noun]
            assert act.log_prob == pytest.approx(float(np.log(policy.step(moment)[number])))
            for which, habit in enumerate(policy.habits):
                due = habit.due(1, act.start_s / 480) and done[which] < len(habit.script)
                done[which] += due and habit.script[done[which]] == number
            room = act.noun if act.verb == "walk" else act.room
            last, stay = number, 0 if act.verb == "walk" else stay + 1
            assert act.after.room == room


def test_oracle_pays_its_own_entropy_on_average():
    acts = [act for policy in policies(12, seed=1) for act in live(policy, 2, seed=1)]
    excess = np.array([-act.log_prob - act.entropy for act in acts])
    error = excess.std() / np.sqrt(len(excess))
    assert len(acts) > 3000
    assert abs(excess.mean()) < 3 * error
    assert error < 0.03


def test_same_seed_gives_the_same_life_and_another_seed_another():
    policy = policies(1, seed=4)[0]
    assert live(policy, 2, seed=4) == live(policies(3, seed=4)[0], 2, seed=4)
    assert live(policy, 1, seed=4) != live(policy, 1, seed=5)
    assert live(policy, 2, seed=4)[: len(live(policy, 1, seed=4))] == live(policy, 1, seed=4)


def test_another_persons_ways_predict_a_life_worse_than_ones_own():
    one, other = policies(2, seed=2)
    own, stranger = [], []
    last, stay = None, 0
    for act in live_day(one, 0, seed=2):
        moment = Moment(act.scene, 0, act.start_s / 480, last, stay, (3, 3, 3))
        last = INDEX[act.verb, act.noun]
        own.append(np.log(one.step(moment)[last]))
        stranger.append(np.log(other.step(moment)[last]))
        stay = 0 if act.verb == "walk" else stay + 1
    assert np.mean(own) - np.mean(stranger) > 0.5


def test_habits_are_kept_on_most_of_their_days_and_seldom_on_others():
    kept: dict[bool, list[bool]] = {True: [], False: []}
    for policy in policies(6, seed=6):
        for day in range(6):
            acts = [INDEX[act.verb, act.noun] for act in live_day(policy, day, seed=6)]
            runs = {tuple(acts[at : at + 3]) for at in range(len(acts))}
            for habit in policy.habits:
                on_this_day = day % habit.every_days == habit.first_day
                kept[on_this_day].append(habit.script in runs)
    assert np.mean(kept[True]) > 0.7
    assert np.mean(kept[False]) < 0.4


def test_days_hold_an_act_every_three_to_four_seconds():
    for policy in policies(3, seed=9):
        acts = live_day(policy, 0, seed=9)
        assert 120 <= len(acts) <= 160
        assert all(act.start_s < act.stop_s <= 480 for act in acts)
        rests = [later.start_s - act.stop_s for act, later in pairwise(acts)]
        assert min(rests) >= 0.69  # so that pictures at 4 a second show every scene at rest


def test_time_of_acts_tells_nothing_of_them():
    policy = policies(1, seed=7)[0]
    tidy = replace(policy, taste=np.zeros(len(ACTS)))
    for act, other in zip(live_day(policy, 0, 7)[:3], live_day(tidy, 0, 7)[:3], strict=True):
        assert (act.start_s, act.stop_s) == (other.start_s, other.stop_s)


def test_a_walk_leads_to_its_room_and_takes_leave_of_visitor_and_cat():
    scene = Scene("study", "globe", "rose", visitor=True, cat=True)
    after = next_scene(scene, ("walk", "kitchen"), np.random.default_rng(0))
    assert (after.room, after.visitor, after.cat) == ("kitchen", False, False)
    assert after.thing in [noun for _, noun in THINGS["kitchen"]]


def test_kettle_steams_from_filling_until_tea_is_poured():
    chance = np.random.default_rng(0)
    scene = next_scene(Scene("kitchen", "apple", "rose"), ("fill", "kettle"), chance)
    assert scene.steam
    assert next_scene(scene, ("eat", "apple"), chance).steam
    assert not next_scene(scene, ("pour", "tea"), chance).steam
