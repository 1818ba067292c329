"""Several lives laid end to end as arrays, with what is known of each step's place in its life."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from firsthand.errors import Usage
from firsthand.learn.vocabulary import DAY_NS, Codes, Vocabulary

# Edges of the parts into which times are cut: of the day, in hours; since the step before stopped
# and how long that lasted, in seconds. Fixed, so that nobody's times shape what others share.
CLOCK_H = tuple(range(1, 24))
SINCE_S = (-2.0, -0.3, -0.05, 0.1, 0.5, 2.0, 10.0)
LASTED_S = (0.5, 1.0, 1.6, 2.5, 4.0, 8.0, 20.0)
YEAR_NS = 365 * DAY_NS  # times below it count from the start of a recording, not from 1970


@dataclass(frozen=True)
class Lives:
    """T steps of P people: joint [T], own [T, O], world [T, W]; recordings are numbered over all.

    `position` counts the steps of a recording from 0 on, `lived` those of the life, `day` the
    person's days: by the calendar where times are wall times, else by recordings. `span` [P, 2]
    holds each person's first step and the one after the last.
    """

    people: tuple[str, ...]
    joint: np.ndarray
    own: np.ndarray
    world: np.ndarray
    person: np.ndarray
    recording: np.ndarray
    position: np.ndarray
    lived: np.ndarray
    day: np.ndarray
    span: np.ndarray
    classes: np.ndarray  # [C, O] field codes of each joint class; the last stands for the unseen
    world_fields: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.joint)

    @property
    def size(self) -> int:
        """Number of joint classes, the unseen one included."""
        return len(self.classes)

    @property
    def own_sizes(self) -> np.ndarray:
        """Values of each own field, the unknown one included, [O]."""
        return np.maximum(self.classes.max(0), self.own.max(0, initial=0)) + 1


def fixed_times(vocabulary: Vocabulary) -> Vocabulary:
    """The vocabulary with the edges above in place of those fitted to training steps."""
    clock = tuple(3600.0 * hour for hour in CLOCK_H)
    return replace(vocabulary, clock_edges=clock, since_edges=SINCE_S, lasted_edges=LASTED_S)


def join(lives: Sequence[Codes], vocabulary: Vocabulary) -> Lives:
    """Lay lives end to end, each person once. Raises Usage where there is no step."""
    lives = [codes for codes in lives if len(codes)]
    if not lives:
        raise Usage("there is no step to learn from", "give a stream with rows")
    lengths = [len(codes) for codes in lives]
    stops = np.cumsum(lengths)
    recording, position, day, offset = [], [], [], 0
    for codes in lives:
        new = np.ones(len(codes), dtype=bool)
        new[1:] = codes.recording[1:] != codes.recording[:-1]
        number = np.cumsum(new) - 1
        recording.append(number + offset)
        offset += int(number[-1]) + 1
        index = np.arange(len(codes))
        position.append(index - np.maximum.accumulate(np.where(new, index, 0)))
        wall = codes.start_ns.min() > YEAR_NS
        day.append(codes.start_ns // DAY_NS if wall else number)
    listed = vocabulary.class_codes
    unseen = np.zeros((1, listed.shape[1]), dtype=np.int64)
    return Lives(
        people=tuple(codes.person for codes in lives),
        joint=np.concatenate([codes.joint for codes in lives]).astype(np.int64),
        own=np.concatenate([codes.own for codes in lives]).astype(np.int64),
        world=np.concatenate([codes.world for codes in lives]).astype(np.int64),
        person=np.repeat(np.arange(len(lives)), lengths),
        recording=np.concatenate(recording),
        position=np.concatenate(position),
        lived=np.concatenate([np.arange(length) for length in lengths]),
        day=np.concatenate([d - d.min() for d in day]).astype(np.int64),
        span=np.stack([stops - lengths, stops], axis=1),
        classes=np.concatenate([listed, unseen]),
        world_fields=tuple(vocabulary.world_fields),
    )
