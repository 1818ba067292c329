"""Pictures show what policies heed, show faces where they say, and hide what comes next."""

from dataclasses import replace

import numpy as np
import pytest

from firsthand.simulate.looks import LOOKS, VISITOR
from firsthand.simulate.picture import HEIGHT, WIDTH, View, face_box, render
from firsthand.simulate.world import ACTS, LAMPS, MANNERS, ROOMS, THINGS, Scene

SCENE = Scene("kitchen", "apple", "amber")


def reduced(view: View) -> np.ndarray:
    """The picture at 32x24, as a tokeniser would shrink it at least."""
    return render(view).reshape(24, 5, 32, 5, 3).mean(axis=(1, 3))


def seen(one: Scene, other: Scene) -> int:
    """How many of 768 blurred pixels tell two scenes apart at a glance."""
    pictures = [reduced(View(scene, 0.4, 10.0)) for scene in (one, other)]
    return int((np.abs(pictures[0] - pictures[1]).max(axis=2) > 25).sum())


@pytest.mark.parametrize(
    "change",
    [
        {"steam": True},
        {"visitor": True},
        {"cat": True},
        {"rain": True},
        *({"lamp": lamp} for lamp in LAMPS[1:]),
    ],
)
def test_what_a_policy_heeds_is_large_in_the_picture(change: dict):
    assert seen(SCENE, replace(SCENE, **change)) >= 30


@pytest.mark.parametrize("room", ROOMS)
def test_things_on_a_table_look_different_from_each_other(room: str):
    scenes = [Scene(room, noun, "blue") for _, noun in THINGS[room]]
    for number, one in enumerate(scenes):
        assert all(seen(one, other) >= 30 for other in scenes[:number])


def test_time_of_day_shows_in_the_window():
    shades = [render(View(SCENE, part, 10.0))[20, 130] for part in (0.05, 0.5, 0.95)]
    assert len({tuple(shade) for shade in shades}) == 3


@pytest.mark.parametrize(("verb", "noun"), ACTS)
def test_every_act_can_be_seen_under_way(verb: str, noun: str):
    after = replace(SCENE, room="garden", thing="tomato")
    rest = View(SCENE, 0.4, 10.0)
    act = replace(rest, verb=verb, noun=noun, progress=0.5, after=after)
    picture = render(act)
    assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert (picture != render(rest)).any(axis=2).sum() > 200


def test_every_verb_has_a_manner_and_every_thing_a_look():
    assert {verb for verb, _ in ACTS} == set(MANNERS)
    assert {noun for things in THINGS.values() for _, noun in things} <= set(LOOKS)


def test_face_is_in_its_box_and_only_with_a_visitor():
    scene = replace(SCENE, visitor=True)
    for second in np.arange(0, 20, 0.7):
        view = View(scene, 0.4, float(second))
        assert face_box(replace(view, scene=SCENE)) is None
        x, y, width, height = face_box(view) or (0, 0, 0, 0)
        skin = (render(view) == VISITOR[1][-1]).all(axis=2)
        assert skin[y : y + height, x : x + width].mean() > 0.5
        rows, columns = np.nonzero(skin)
        assert (columns.min(), columns.max(), rows.min()) == (x, x + width - 1, y)
        assert 0 <= x <= WIDTH - width
        assert 0 <= y <= HEIGHT - height


def test_face_box_leaves_the_picture_with_the_room():
    scene = replace(SCENE, visitor=True)
    view = View(scene, 0.4, 0.0, verb="walk", noun="study", after=replace(SCENE, room="study"))
    boxes = [face_box(replace(view, progress=part / 20)) for part in range(21)]
    assert boxes[0]
    assert boxes[-1] is None
    assert all(box is None or (box[0] >= 0 and box[2] > 0) for box in boxes)


def test_drawing_leaves_the_kept_scene_unharmed():
    rest = View(SCENE, 0.4, 10.0)
    before = render(rest).copy()
    render(replace(rest, verb="eat", noun="apple", progress=0.5))[:] = 0
    assert (render(rest) == before).all()
