"""Invented seconds for the tests: tick streams with habits in every kind of slot."""

import numpy as np

from firsthand.learn.streams import Step, Stream
from firsthand.learn.tokens.ticks import SCENE, WEARER

SECOND_NS, DAY_NS = 10**9, 86_400 * 10**9
ORDERS = {"ann": (0, 1, 2, 3), "bob": (0, 2, 1, 3), "cat": (3, 2, 1, 0)}


def ticking(person: str, days: int = 3, seconds: int = 40, seed: int = 0) -> Stream:
    """Somebody whose head turns in an order of their own while the scene changes now and then."""
    chance = np.random.default_rng([seed, ord(person[0])])
    order, steps, turn, place = ORDERS[person], [], 0, 0
    for day in range(days):
        for second in range(seconds):
            moved = []
            for _ in range(4):
                turn = (turn + 1) % 4 if chance.random() < 0.85 else int(chance.integers(4))
                moved.append(f"m{order[turn]}")
            seen = tuple(f"{(place + slot) % 5}" for slot in range(len(SCENE)))
            place = place if chance.random() < 0.7 else (place + 1) % 5
            hands = f"h{place % 3}", f"h{int(chance.integers(3))}"
            own = (*moved[:2], hands[0], *moved[2:], hands[1], "-", "tea" if place == 2 else "-")
            gap = "none" if second else "start"
            start_ns = day * DAY_NS + second * SECOND_NS
            steps.append(Step(start_ns, start_ns + SECOND_NS, f"day{day}", own, seen, gap))
    return Stream(person, WEARER, SCENE, tuple(steps), "ticks")


def tickings(**kwargs) -> list[Stream]:
    """Three such people."""
    return [ticking(person, **kwargs) for person in ORDERS]
