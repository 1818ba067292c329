"""What a lens on the chest sees of the house: 160x120 RGB pictures, and where faces are in them.

Whatever the policy of a person heeds is large in the picture. Nothing here knows what comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, pi, sin

import numpy as np

from firsthand.simulate.looks import (
    CAT_FUR,
    FURNITURE,
    LAMP_LIGHT,
    LOOKS,
    RAIN,
    SKINS,
    SKY,
    SLEEVES,
    STEEL,
    TABLE_TOP,
    VISITOR,
    WALLS,
    WHITE,
    WOOD,
    Colour,
    Shape,
)
from firsthand.simulate.world import MANNERS, Scene

Box = tuple[int, int, int, int]  # x, y, width, height in pixels
WIDTH, HEIGHT = 160, 120
MARGIN = 4  # pixels drawn beyond each edge of the picture, for the sway of a body
LIGHT_STEPS = 24  # of a day; a scene under one of them is drawn once and kept
REACH = 0.15  # of an act: the hand goes out, and at the end comes back
# Boxes x, y, width, height in the picture. What a policy heeds is at least 26 pixels wide, so that
# it survives a reduction to 64x48.
WALL = (0, 0, 104, 78)
WINDOW = (108, 6, 46, 46)
LAMP = (4, 4, 36, 40)
TABLE = (46, 94, 88, 30)
THING = (50, 54, 62, 44)
KETTLE = (42, 42, 26, 20)
STEAM = (40, 0, 34, 42)
FACE = (74, 14, 26, 32)
FACE_AND_BODY = (62, 10, 50, 84)
CAT = (0, 78, 46, 38)
HELD = (30, 24)  # width and height of a thing in the hand


@dataclass(frozen=True)
class View:
    """What the lens is pointed at, at one instant; `verb` is empty while the hands rest."""

    scene: Scene
    time_of_day: float  # 0 to 1
    second: float  # since the day began: moves rain, steam and body
    wearer: int = 0
    verb: str = ""
    noun: str = ""
    progress: float = 0.0  # of the act, 0 to 1
    after: Scene | None = None  # what a walk leads to


def render(view: View) -> np.ndarray:
    """The picture of a view: uint8 RGB, shape (HEIGHT, WIDTH, 3)."""
    light = min(int(view.time_of_day * LIGHT_STEPS), LIGHT_STEPS - 1)
    canvas = _draw_scene(view.scene, light)
    x, y = _sway(view)
    rows = slice(y, y + HEIGHT)
    shift = _pan(view)
    if shift and view.after:
        image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        image[:, : WIDTH - shift] = canvas[rows, x + shift : x + WIDTH]
        image[:, WIDTH - shift :] = _draw_scene(view.after, light)[rows, x : x + shift]
    else:
        image = canvas[rows, x : x + WIDTH].copy()
        _draw_weather(image, view, MARGIN - x, MARGIN - y)
    _draw_hand(image, view)
    return image


def face_box(view: View) -> tuple[int, int, int, int] | None:
    """Where the visitor's face is in the picture (x, y, width, height), None if it is not."""
    if not view.scene.visitor:
        return None
    x, y = _sway(view)
    left = FACE[0] + MARGIN - x - _pan(view)
    right = left + FACE[2]
    return (
        None if right <= 0 else (max(left, 0), FACE[1] + MARGIN - y, right - max(left, 0), FACE[3])
    )


def _sway(view: View) -> tuple[int, int]:
    """Where the picture is cut out of the canvas; a body breathes and, walking, bobs."""
    x = 1.6 * sin(2 * pi * view.second / 11 + view.wearer)
    y = 1.2 * sin(2 * pi * view.second / 7)
    if view.verb == "walk":
        y += 2.2 * sin(2 * pi * MANNERS["walk"][0] * view.second)
    return MARGIN + round(x), MARGIN + round(y)


def _pan(view: View) -> int:
    """How far a walk has turned the picture to the next room, in pixels."""
    if view.verb != "walk":
        return 0
    return round(WIDTH * (1 - cos(pi * min(max(view.progress, 0.0), 1.0))) / 2)


@lru_cache(maxsize=16)
def _draw_scene(scene: Scene, light: int) -> np.ndarray:
    """All that keeps still, with a margin all around; shared, so never written to."""
    canvas = np.empty((HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN, 3), np.uint8)
    wall, floor = WALLS[scene.room]
    horizon = WALL[3] + MARGIN
    canvas[:horizon], canvas[horizon:] = wall, floor
    _paint(canvas, WALL, FURNITURE[scene.room])
    sky = _sky(light, scene.rain)
    canvas[:] = canvas * np.array([0.88 + 0.12 * value / 255 for value in sky], np.float32)
    _light_lamp(canvas, LAMP_LIGHT[scene.lamp])
    if scene.room == "garden":
        _oval(canvas, (WINDOW[0] - 8, WINDOW[1] - 6, WINDOW[2] + 22, WINDOW[3] + 12), sky)
    else:
        _rect(canvas, (WINDOW[0] - 3, WINDOW[1] - 3, WINDOW[2] + 6, WINDOW[3] + 6), WHITE)
        _rect(canvas, WINDOW, sky)
    if scene.room == "kitchen":
        _paint(canvas, KETTLE, LOOKS["kettle"])
    if scene.visitor:
        _paint(canvas, FACE_AND_BODY, VISITOR)
    _rect(canvas, TABLE, WOOD)
    _rect(canvas, (TABLE[0] - 4, TABLE[1] - 6, TABLE[2] + 8, 8), TABLE_TOP)
    _paint(canvas, THING, LOOKS[scene.thing])
    if scene.cat:
        _paint(canvas, CAT, CAT_FUR)
    canvas.flags.writeable = False
    return canvas


def _sky(light: int, rain: bool) -> Colour:
    """Colour of the sky, from dawn over noon to night."""
    place = light / LIGHT_STEPS * (len(SKY) - 1)
    before, part = int(place), place % 1
    clear = np.array(SKY[before]) * (1 - part) + np.array(SKY[before + 1]) * part
    red, green, blue = (0.35 * clear + 0.65 * np.array(RAIN) if rain else clear).astype(int)
    return int(red), int(green), int(blue)


def _light_lamp(canvas: np.ndarray, colour: Colour) -> None:
    """A lamp whose light fills the left of the wall."""
    x, y, width, height = LAMP
    glow = _glow()
    canvas[:] = canvas * (1 - glow) + glow * np.array(colour, np.float32)
    _rect(canvas, (x + 16, y + 24, 4, 34), STEEL)
    _oval(canvas, LAMP, colour)
    _oval(canvas, (x + 10, y + 10, width - 20, height - 20), WHITE)


@lru_cache(maxsize=1)
def _glow() -> np.ndarray:
    x, y, width, height = LAMP
    rows, columns = np.ogrid[: HEIGHT + 2 * MARGIN, : WIDTH + 2 * MARGIN]
    far = np.hypot(columns - (x + width / 2), rows - (y + height / 2)) / 62
    return np.asarray(0.6 * np.clip(1 - far, 0, 1)[..., None], np.float32)


def _draw_weather(image: np.ndarray, view: View, x: int, y: int) -> None:
    """Falling rain and rising steam, on a picture cut out at this shift."""
    step = int(view.second * 8)
    if view.scene.rain:
        left, top, width, height = WINDOW
        pane = image[top + y : top + y + height, left + x : left + x + width]
        for start in range(4):
            for length in range(5):
                row = (start * 5 + step * 4 + length) % 14
                pane[row::14, start * 3 + length // 3 :: 12] = (215, 228, 248)
    if view.scene.steam and view.scene.room == "kitchen":
        left, top, width, height = STEAM
        for puff in range(3):
            up = (step + puff * 4) % 12
            size = width - 14 + up
            aside = left + (width - size) // 2 + (3 if (step // 4 + puff) % 2 else -3)
            _oval(image, (aside + x, top + height - 20 - up * 3 + y, size, 22), WHITE, 0)


def _draw_hand(image: np.ndarray, view: View) -> None:
    """The wearer's arm: low while it rests; in an act it goes to the thing and works on it."""
    sleeve, skin = SLEEVES[view.wearer % len(SLEEVES)], SKINS[view.wearer % len(SKINS)]
    _rect(image, (130, 112, 30, 8), sleeve, 0)
    if not view.verb:
        return
    times, aside, up = MANNERS[view.verb][:3]
    out = min(view.progress / REACH, (1 - view.progress) / REACH, 1.0)
    turn = 2 * pi * times * view.second
    goal_x, goal_y = _goal(view)
    x = 140 + (goal_x + aside * sin(turn) - 140) * out
    y = 116 + (goal_y + up * cos(turn) - 116) * out
    _draw_arm(image, x, y, sleeve)
    _oval(image, (int(x) - 11, int(y) - 10, 22, 20), skin, 0)
    _oval(image, (int(x) - 12, int(y) - 12, 9, 14), skin, 0)
    if view.noun in LOOKS and view.noun != view.scene.thing:
        _paste(image, int(x) - HELD[0] + 4, int(y) - HELD[1] + 2, _sprite(view.noun))


def _draw_arm(image: np.ndarray, x: float, y: float, sleeve: Colour) -> None:
    """A sleeve from the lower right corner to the hand, row by row: ten times as fast as ovals."""
    slope = (152 - x) / (132 - y)
    half = 10 * hypot(1, slope)
    for row in range(max(int(y), 0), HEIGHT):
        middle = x + slope * (row - y)
        image[row, max(int(middle - half), int(x) - 6, 0) : max(int(middle + half), 0)] = sleeve


def _goal(view: View) -> tuple[int, int]:
    """Where in the picture the hand goes for an act."""
    if view.verb == "greet":
        return 124, 62
    if view.verb == "walk":
        return 138, 104
    box = {"cat": CAT, "kettle": KETTLE, "tea": KETTLE}.get(view.noun, THING)
    return box[0] + box[2] * 3 // 4, box[1] + box[3] * 2 // 3


@lru_cache(maxsize=64)
def _sprite(noun: str) -> tuple[np.ndarray, np.ndarray]:
    """A small picture of a thing, and which of its pixels are the thing."""
    pictures = []
    for ground in (0, 255):
        picture = np.full((HELD[1], HELD[0], 3), ground, np.uint8)
        _paint(picture, (0, 0, *HELD), LOOKS[noun], 0)
        pictures.append(picture)
    return pictures[0], (pictures[0] == pictures[1]).all(axis=2)


def _paste(image: np.ndarray, x: int, y: int, sprite: tuple[np.ndarray, np.ndarray]) -> None:
    part, inside = _clip(image, (x, y, *HELD), 0)
    part[sprite[1][inside]] = sprite[0][inside][sprite[1][inside]]


def _paint(canvas: np.ndarray, box: Box, shapes: Sequence[Shape], margin: int = MARGIN) -> None:
    """Draw shapes given in units of the box."""
    x, y, width, height = box
    for kind, x0, y0, x1, y1, colour in shapes:
        left, top = x + round(x0 * width), y + round(y0 * height)
        size = (x + round(x1 * width) - left, y + round(y1 * height) - top)
        (_rect if kind == "rect" else _oval)(canvas, (left, top, *size), colour, margin)


def _rect(canvas: np.ndarray, box: Box, colour: Colour, margin: int = MARGIN) -> None:
    part, _ = _clip(canvas, box, margin)
    part[:] = colour


def _oval(canvas: np.ndarray, box: Box, colour: Colour, margin: int = MARGIN) -> None:
    part, inside = _clip(canvas, box, margin)
    part[_disc(box[2], box[3])[inside]] = colour


@lru_cache(maxsize=512)
def _disc(width: int, height: int) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    x, y = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    return np.asarray(x * x + y * y <= 0.25)


def _clip(canvas: np.ndarray, box: Box, margin: int) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The part of the canvas under a box, and which part of the box that is."""
    x, y, width, height = box[0] + margin, box[1] + margin, box[2], box[3]
    left, top = max(x, 0), max(y, 0)
    right = max(min(x + width, canvas.shape[1]), left)
    bottom = max(min(y + height, canvas.shape[0]), top)
    inside = (slice(top - y, bottom - y), slice(left - x, right - x))
    return canvas[top:bottom, left:right], inside
