from dataclasses import replace

import pytest

from firsthand.errors import Usage
from firsthand.learn.streams import Step, Stream
from firsthand.learn.tokens.scale import BLANK
from firsthand.learn.tokens.ticks import AHEAD, SCENE, WEARER, foretell, role, weights

SECOND_NS = 10**9


def ticks(gaps=("start", "none", "withheld", "none")):
    steps, start_ns = [], 0
    for number, gap in enumerate(gaps):
        start_ns += SECOND_NS * (100 if gap == "withheld" else 1)
        own, world = (f"o{number}",) * len(WEARER), (f"w{number}",) * len(SCENE)
        steps.append(Step(start_ns, start_ns + SECOND_NS, "day", own, world, gap))
    return Stream("ann", WEARER, SCENE, tuple(steps), "ticks")


def test_a_tick_has_sixteen_slots_of_which_eight_are_the_wearers():
    own = foretell(ticks()).own
    assert len(own) == 16
    assert [role(field) for field in own] == ["own"] * 8 + ["world"] * 8
    assert weights(own) == (1.0,) * 8 + (0.25,) * 8


def test_the_scene_ahead_is_the_one_that_the_next_second_begins_with():
    told = foretell(ticks())
    ahead = [step.own[8:] for step in told.steps]
    assert ahead[0] == ("w1",) * len(AHEAD)
    # Nobody saw how the second before a gap ended.
    assert ahead[1] == (BLANK,) * len(AHEAD)
    assert ahead[2] == ("w3",) * len(AHEAD)
    assert ahead[3] == (BLANK,) * len(AHEAD)
    assert [step.own[:8] for step in told.steps] == [step.own for step in ticks().steps]


def test_of_a_life_without_a_second_nothing_is_foretold():
    assert len(foretell(replace(ticks(), steps=()))) == 0


def test_only_ticks_can_be_foretold():
    with pytest.raises(Usage, match="ann"):
        foretell(replace(ticks(), kind="events"))
    with pytest.raises(Usage, match="ann"):
        foretell(foretell(ticks()))
