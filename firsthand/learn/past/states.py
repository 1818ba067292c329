"""Objects and the state they are in: how long ago each was used in this recording, and for what.

For an object (the value of the own field with most values) the rate at which each act (the other
fields together) follows, given its state: exposures and hits are counted, as for competing risks
(Prentice et al. 1978). Rates know nothing of the object's name unless their kind says so, so that
what is learned of one object serves another. Of all experts these were worth most: 0.10 nats.
"""

from typing import NamedTuple

import numpy as np

from firsthand.learn.past.compiled import compiled
from firsthand.learn.past.lives import Lives
from firsthand.learn.past.tables import log

KINDS = 6
ROWS = 2 * KINDS  # each among all people and in this life
PRIOR = np.float32(4.0)  # exposures that a coarser kind's rate is worth
MOST_STATES = 1 << 16  # of a kind; beyond it states share places
MOST_CELLS = 1 << 25  # states x acts of all kinds; beyond it states share places: 256 MiB
MOST_PAIRS = 1 << 21  # objects x acts; beyond it acts are not told apart: 96 MiB of rates


class Objects(NamedTuple):
    """Object and act of each step [T] and of each joint class [C], and how many there are."""

    object_: np.ndarray
    act: np.ndarray
    class_object: np.ndarray
    class_act: np.ndarray
    objects: int
    acts: int


class Rates(NamedTuple):
    """Hits [2, states, acts] and exposures [2, states]; kinds follow each other at `offset`."""

    hits: np.ndarray
    exposures: np.ndarray
    offset: np.ndarray


class Scene(NamedTuple):
    """What the recording did to each object so far: last and earlier act, step of the last use,
    number of uses; `used` lists the objects met."""

    last: np.ndarray
    earlier: np.ndarray
    when: np.ndarray
    uses: np.ndarray
    used: np.ndarray


def objects_of(lives: Lives) -> Objects:
    """Take the classes apart; a stream of one field has objects and no acts."""
    field = int(np.argmax(lives.own_sizes))
    rest = np.delete(lives.classes, field, axis=1)
    kinds, class_act = np.unique(rest, axis=0, return_inverse=True)
    if len(kinds) * int(lives.own_sizes[field]) > MOST_PAIRS:
        kinds, class_act = kinds[:1], np.zeros(len(rest), dtype=np.int64)
    act_of = {tuple(row): number for number, row in enumerate(kinds.tolist())}
    acts = [act_of.get(tuple(row), 0) for row in np.delete(lives.own, field, axis=1).tolist()]
    return Objects(
        lives.own[:, field].copy(), np.array(acts, dtype=np.int64),
        lives.classes[:, field].copy(), class_act.reshape(-1).astype(np.int64),
        int(lives.own_sizes[field]), len(kinds),
    )  # fmt: skip


def rates_of(objects: Objects) -> tuple[Rates, Scene]:
    """Nothing counted yet."""
    acts, count = objects.acts, objects.objects
    sizes = [41, 1 + 10 * acts, 1 + 3 * acts * (acts + 1), 2 * (acts + 1) ** 2,
             count * (acts + 1), 11 * count]  # fmt: skip
    most = max(1, min(MOST_STATES, MOST_CELLS // (KINDS * max(1, acts))))
    sizes = [min(size, most) for size in sizes]
    offset = np.cumsum([0, *sizes]).astype(np.int64)
    hits = np.zeros((2, offset[-1], acts), np.float32)
    rows = [np.zeros(count, np.int64) for _ in range(5)]
    return Rates(hits, np.zeros((2, offset[-1])), offset), Scene(*rows)


@compiled
def age_bucket(age: int) -> int:
    """0 to 9 for an age in steps, from 1 on."""
    if age <= 4:
        return age - 1
    for bucket, limit in ((4, 6), (5, 9), (6, 15), (7, 30), (8, 80)):
        if age <= limit:
            return bucket
    return 9


@compiled
def _state(kind, obj, step, scene, act1, object1, acts) -> int:  # type: ignore[no-untyped-def]
    """The state of an object in a kind, before it is folded into the kind's size."""
    new = scene.when[obj] < 0
    if kind == 0:
        if new:
            return 0
        return 1 + age_bucket(step - scene.when[obj]) * 4 + min(scene.uses[obj], 4) - 1
    if kind == 1:
        return 0 if new else 1 + scene.last[obj] * 10 + age_bucket(step - scene.when[obj])
    if kind == 2:
        if new:
            return 0
        near = 0 if obj == object1 else (1 if step - scene.when[obj] < 6 else 2)
        return 1 + (scene.last[obj] * (acts + 1) + scene.earlier[obj] + 1) * 3 + near
    last = 0 if new else 1 + scene.last[obj]
    if kind == 3:
        return ((last * (acts + 1)) + act1 + 1) * 2 + (1 if obj == object1 else 0)
    if kind == 4:
        return obj * (acts + 1) + last
    return obj * 11 + (0 if new else 1 + age_bucket(step - scene.when[obj]))


@compiled
def _place(kind, obj, step, scene, act1, object1, acts, offset) -> int:  # type: ignore[no-untyped-def]
    state = _state(kind, obj, step, scene, act1, object1, acts)
    return offset[kind] + state % (offset[kind + 1] - offset[kind])


@compiled
def clear(scene: Scene) -> None:
    """A new recording: no object has been met."""
    scene.last[:] = -1
    scene.earlier[:] = -1
    scene.when[:] = -1
    scene.uses[:] = 0


@compiled
def count(rates, scene, objects, scope, sign, step, act1, object1, used) -> None:  # type: ignore[no-untyped-def]
    """Count what happened at a step (0: among all people, 1: in this life), before `move`."""
    obj, act = objects.object_[step], objects.act[step]
    for kind in range(KINDS):
        for i in range(used):
            place = _place(kind, scene.used[i], step, scene, act1, object1, objects.acts,
                           rates.offset)  # fmt: skip
            rates.exposures[scope, place] += sign
        place = _place(kind, obj, step, scene, act1, object1, objects.acts, rates.offset)
        rates.hits[scope, place, act] += sign
        if scene.when[obj] < 0:
            rates.exposures[scope, place] += sign


@compiled
def move(scene: Scene, objects: Objects, step: int, used: int) -> int:
    """The scene after a step; how many objects have been met."""
    obj = objects.object_[step]
    if scene.when[obj] < 0:
        scene.used[used] = obj
        used += 1
    scene.earlier[obj] = scene.last[obj]
    scene.last[obj] = objects.act[step]
    scene.when[obj] = step
    scene.uses[obj] += 1
    return used


@compiled
def replay(rates, scene, objects, position, scope, start, stop, sign) -> None:  # type: ignore[no-untyped-def]
    """Count the steps from start to stop; sign -1 takes them out again."""
    used, act1, object1 = 0, -1, -1
    for step in range(start, stop):
        if position[step] == 0:
            clear(scene)
            used, act1, object1 = 0, -1, -1
        count(rates, scene, objects, scope, np.float32(sign), step, act1, object1, used)
        used = move(scene, objects, step, used)
        act1, object1 = objects.act[step], objects.object_[step]


@compiled(fastmath=True)
def say(rates, scene, objects, step, act1, object1, own, share, rate, log_p, row) -> None:  # type: ignore[no-untyped-def]
    """What the rates say before a step: rows [ROWS] of log_p from `row` on, [., C].

    `share` [objects] is how likely each object is at all; objects not yet met divide the rate of
    the new among them by it. `rate` is [KINDS, 2, objects, acts].
    """
    left = np.float32(1e-9)
    for obj in range(objects.objects):
        if scene.when[obj] < 0:
            left += share[obj]
    for kind in range(KINDS):
        coarser = 0 if kind in (1, 5) else 1
        for scope in range(2):
            for obj in range(objects.objects):
                place = _place(kind, obj, step, scene, act1, object1, objects.acts, rates.offset)
                new = scene.when[obj] < 0
                exposed = np.float32(rates.exposures[scope, place])
                hits = rates.hits[scope, place]
                out = rate[kind, scope, obj]
                # Of kinds that do not know the name, a new object has its share of the new.
                part = share[obj] / left if new and kind < 4 else np.float32(1.0)
                if kind == 0 and scope == 0:
                    each = part / (exposed + np.float32(20.0))
                    for act in range(objects.acts):
                        out[act] = (hits[act] + np.float32(0.01)) * each
                    continue
                base = rate[kind, 0, obj] if scope == 1 else rate[coarser, 0, obj]
                if scope == 1 and not own:
                    for act in range(objects.acts):
                        out[act] = base[act]
                    continue
                if new and kind >= 4:
                    # Exposures of a named new object are its first uses: only their acts count.
                    part = np.float32(0.0)
                    for act in range(objects.acts):
                        part += base[act]
                each = np.float32(1.0) / (exposed + PRIOR)
                for act in range(objects.acts):
                    out[act] = (hits[act] * part + PRIOR * base[act]) * each
            x = log_p[row + 2 * kind + scope]
            table = rate[kind, scope]
            for c in range(x.shape[0]):
                x[c] = table[objects.class_object[c], objects.class_act[c]] + np.float32(1e-9)
            log(x, x)
