"""A small house: its rooms and things, what can be done where, and the rules by which it changes.

How it looks is in `picture.py`; who acts, and why, in `people.py`.
"""

from dataclasses import dataclass

import numpy as np

THINGS = {  # what may stand on the table of each room, and what one does with it
    "bathroom": (
        ("brush", "teeth"),
        ("comb", "hair"),
        ("wash", "hands"),
        ("fold", "towel"),
        ("take", "vitamins"),
    ),
    "kitchen": (
        ("cut", "cake"),
        ("eat", "apple"),
        ("cook", "soup"),
        ("wash", "plate"),
        ("peel", "banana"),
    ),
    "living room": (
        ("read", "book"),
        ("play", "guitar"),
        ("knit", "scarf"),
        ("water", "lilies"),
        ("spin", "record"),
    ),
    "study": (
        ("type", "report"),
        ("write", "letter"),
        ("draw", "picture"),
        ("repair", "radio"),
        ("turn", "globe"),
    ),
    "garden": (
        ("pick", "tomato"),
        ("cut", "sunflower"),
        ("plant", "onions"),
        ("paint", "chair"),
        ("pump", "wheel"),
    ),
}
ROOMS = tuple(THINGS)
LAMPS = ("amber", "blue", "rose")  # the wearer's mood, as the lamp shows it
PLACES: dict[tuple[str, str], str | None] = {  # where each act can be done; None: anywhere
    **{act: room for room, acts in THINGS.items() for act in acts},
    ("fill", "kettle"): "kitchen",
    ("pour", "tea"): "kitchen",
    ("greet", "visitor"): None,
    ("stroke", "cat"): None,
    ("check", "phone"): None,
    **{("walk", room): None for room in ROOMS},
}
ACTS = tuple(PLACES)
Manner = tuple[float, float, float, str, float]
# How each verb moves the hand (times a second, pixels aside, pixels up) and sounds (kind, pitch).
MANNERS: dict[str, Manner] = {
    "brush": (3.5, 7, 1, "scrape", 900),
    "comb": (1.2, 2, 12, "scrape", 500),
    "wash": (1.6, 8, 5, "water", 0),
    "fold": (0.7, 16, 5, "scrape", 200),
    "take": (1.0, 1, 10, "clatter", 1400),
    "cut": (2.6, 2, 9, "clatter", 500),
    "eat": (0.9, 3, 18, "clatter", 250),
    "cook": (1.3, 9, 3, "water", 120),
    "peel": (1.5, 3, 12, "scrape", 350),
    "read": (0.4, 10, 1, "scrape", 150),
    "play": (2.2, 3, 9, "notes", 220),
    "knit": (3.0, 4, 4, "clatter", 2200),
    "water": (0.5, 6, 3, "water", 60),
    "spin": (1.1, 8, 6, "notes", 180),
    "type": (5.0, 10, 3, "clatter", 1800),
    "write": (4.0, 5, 1, "scrape", 1200),
    "draw": (2.0, 9, 6, "scrape", 700),
    "repair": (1.8, 3, 3, "clatter", 900),
    "turn": (0.8, 12, 1, "notes", 110),
    "pick": (0.9, 5, 10, "scrape", 300),
    "plant": (1.0, 4, 16, "steps", 90),
    "paint": (1.2, 12, 5, "scrape", 250),
    "pump": (2.4, 1, 12, "steps", 160),
    "fill": (0.5, 2, 2, "water", 200),
    "pour": (0.6, 3, 4, "water", 300),
    "greet": (2.0, 12, 2, "notes", 150),
    "stroke": (0.9, 10, 2, "notes", 55),
    "check": (2.5, 1, 2, "clatter", 1100),
    "walk": (2.0, 0, 3, "steps", 70),
}


@dataclass(frozen=True)
class Scene:
    """What is in sight before an act."""

    room: str
    thing: str  # the noun on the table
    lamp: str
    rain: bool = False
    steam: bool = False  # from the kettle, which only the kitchen shows
    visitor: bool = False
    cat: bool = False


def first_scene(chance: np.random.Generator) -> Scene:
    """How a day begins: in the bathroom, alone."""
    return Scene(
        room="bathroom",
        thing=_thing("bathroom", chance),
        lamp=LAMPS[chance.integers(len(LAMPS))],
        rain=chance.random() < 0.4,
    )


def next_scene(scene: Scene, act: tuple[str, str], chance: np.random.Generator) -> Scene:
    """What is in sight after the act; what the next act will be has no part in it."""
    verb, noun = act
    walked = verb == "walk"
    room = noun if walked else scene.room
    roll = chance.random(5)
    other_lamps = [lamp for lamp in LAMPS if lamp != scene.lamp]
    new_lamp = other_lamps[chance.integers(len(other_lamps))]
    new_thing = _thing(room, chance)
    return Scene(
        room=room,
        thing=new_thing if walked or roll[0] < 0.8 else scene.thing,
        lamp=new_lamp if roll[1] < 0.08 else scene.lamp,
        rain=scene.rain ^ bool(roll[2] < 0.04),
        steam=noun == "kettle" or (scene.steam and noun != "tea"),
        visitor=not walked and bool(roll[3] < (0.6 if scene.visitor else 0.06)),
        cat=not walked and bool(roll[4] < (0.7 if scene.cat else 0.08)),
    )


def acts_in(scene: Scene) -> list[tuple[str, str]]:
    """The acts that can be done in this scene."""
    here = (None, scene.room)
    return [act for act, place in PLACES.items() if place in here and _fits(act, scene)]


def _fits(act: tuple[str, str], scene: Scene) -> bool:
    verb, noun = act
    if verb == "walk":
        return noun != scene.room
    if verb in ("greet", "stroke"):
        return scene.visitor if verb == "greet" else scene.cat
    return True


def _thing(room: str, chance: np.random.Generator) -> str:
    return THINGS[room][chance.integers(len(THINGS[room]))][1]
