"""Numbers for names: the values of each field, the closed list of joint classes, and the clock.

Everything here is fitted on training steps alone. Streams go in, integer arrays come out.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from firsthand.errors import Damaged, Usage
from firsthand.learn.streams import Stream
from firsthand.shard import GAPS

DAY_NS = 86_400_000_000_000
# Derived by the vocabulary from the times of a stream, and known before the step begins.
CLOCK_FIELDS = ("clock", "since", "lasted", "gap")
CLOCK_BINS, SPAN_BINS = 16, 8


@dataclass(frozen=True)
class Codes:
    """A stream as arrays over T steps: own [T,O], world [T,W], joint [T], recording [T]."""

    person: str
    own: np.ndarray
    world: np.ndarray
    joint: np.ndarray
    recording: np.ndarray
    start_ns: np.ndarray

    def __len__(self) -> int:
        return len(self.joint)

    def cut(self, start: int, stop: int) -> "Codes":
        """The steps from `start` up to, not including, `stop`."""
        part = slice(start, stop)
        arrays = (self.own, self.world, self.joint, self.recording, self.start_ns)
        return Codes(self.person, *(array[part] for array in arrays))


@dataclass(frozen=True)
class Vocabulary:
    """What the model knows the names of; value 0 of every field is "never seen in training"."""

    own: dict[str, tuple[str, ...]]
    world: dict[str, tuple[str, ...]]
    classes: tuple[tuple[str, ...], ...]
    clock_edges: tuple[float, ...]
    since_edges: tuple[float, ...]
    lasted_edges: tuple[float, ...]

    @property
    def own_sizes(self) -> list[int]:
        """How many values each own field has, the unknown included."""
        return [len(values) + 1 for values in self.own.values()]

    @property
    def world_fields(self) -> list[str]:
        """Names of the columns of `Codes.world`."""
        return [*self.world, *CLOCK_FIELDS]

    @property
    def world_sizes(self) -> list[int]:
        """How many values each column of `Codes.world` has."""
        clock = [CLOCK_BINS, SPAN_BINS, SPAN_BINS, len(GAPS)]
        return [len(values) + 1 for values in self.world.values()] + clock

    @property
    def size(self) -> int:
        """Number of joint classes; the last one stands for everything outside the list."""
        return len(self.classes) + 1

    @property
    def unseen_ways(self) -> int:
        """How many joint values lie outside the list: the mass of the last class is shared
        evenly among them, so that a class never seen is charged fairly."""
        return max(1, prod(self.own_sizes) - len(self.classes))

    @property
    def class_codes(self) -> np.ndarray:
        """Field codes of the listed classes, [C-1, O]."""
        index = [{v: i + 1 for i, v in enumerate(values)} for values in self.own.values()]
        rows = [[names[v] for names, v in zip(index, row, strict=True)] for row in self.classes]
        return np.array(rows, dtype=np.int64).reshape(len(self.classes), len(index))

    def encode(self, stream: Stream) -> Codes:
        """The stream as arrays. Raises Usage where its fields are not those of training."""
        if stream.own != tuple(self.own) or stream.world != tuple(self.world):
            raise Usage(
                f"the model knows the fields {(*self.own, *self.world)}, "
                f"the stream of {stream.person} has {(*stream.own, *stream.world)}",
                "use the model on streams like those that trained it",
            )
        own = [{v: i + 1 for i, v in enumerate(values)} for values in self.own.values()]
        world = [{v: i + 1 for i, v in enumerate(values)} for values in self.world.values()]
        joint = {row: i for i, row in enumerate(self.classes)}
        names = {name: i for i, name in enumerate(stream.recordings())}
        steps = stream.steps
        total, start_ns = len(steps), np.array([s.start_ns for s in steps], dtype=np.int64)
        own_codes = [[m.get(v, 0) for m, v in zip(own, s.own, strict=True)] for s in steps]
        seen = [[m.get(v, 0) for m, v in zip(world, s.world, strict=True)] for s in steps]
        clock, since, lasted = spans(stream)
        derived = [
            np.searchsorted(self.clock_edges, clock),
            np.searchsorted(self.since_edges, since),
            np.searchsorted(self.lasted_edges, lasted),
            np.array([GAPS.index(s.gap) for s in steps], dtype=np.int64),
        ]
        columns = [np.array(seen, dtype=np.int64).reshape(total, len(world)), *derived]
        return Codes(
            stream.person,
            np.array(own_codes, dtype=np.int64).reshape(total, len(own)),
            np.column_stack(columns).astype(np.int64),
            np.array([joint.get(s.own, len(self.classes)) for s in steps], dtype=np.int64),
            np.array([names[s.recording] for s in steps], dtype=np.int64),
            start_ns,
        )

    def to_json(self) -> dict[str, object]:
        """Plain JSON values that `from_json` reads back."""
        return {
            "own": {k: list(v) for k, v in self.own.items()},
            "world": {k: list(v) for k, v in self.world.items()},
            "classes": [list(row) for row in self.classes],
            "edges": [list(self.clock_edges), list(self.since_edges), list(self.lasted_edges)],
        }

    @classmethod
    def from_json(cls, value: dict) -> "Vocabulary":
        """The vocabulary written by `to_json`."""
        try:
            return cls(
                {k: tuple(v) for k, v in value["own"].items()},
                {k: tuple(v) for k, v in value["world"].items()},
                tuple(tuple(row) for row in value["classes"]),
                *(tuple(edges) for edges in value["edges"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise Damaged("the model's vocabulary is unreadable", "train it again") from error


def spans(stream: Stream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per step: the time of day, seconds since the step before stopped, seconds it lasted.

    All three are known when a step starts. A stream without wall time counts from the start of
    its recording instead of midnight. The first step of a recording has no step before it.
    """
    clock = np.array([s.start_ns % DAY_NS for s in stream.steps], dtype=np.float64) / 1e9
    since, lasted = np.zeros(len(stream)), np.zeros(len(stream))
    for index, step in enumerate(stream.steps):
        before = stream.steps[index - 1] if index else None
        if before is None or before.recording != step.recording:
            since[index] = -1e9
            continue
        since[index] = (step.start_ns - before.stop_ns) / 1e9
        # A step that overlaps the next is known only so far as it has lasted by then.
        lasted[index] = (min(before.stop_ns, step.start_ns) - before.start_ns) / 1e9
    return clock, since, lasted


def fit_vocabulary(
    streams: Iterable[Stream], alike: Iterable[Iterable[str]] = (), listed: bool = True
) -> Vocabulary:
    """The vocabulary of these (training) steps.

    Each group of fields in `alike` shares its values: one number means the same in all of them.
    Unless `listed`, the list of joint classes is left empty.
    """
    streams = list(streams)
    if not any(len(s) for s in streams):
        raise Usage("there is nothing to learn from: the training part has no steps", "record more")
    first = streams[0]
    joint: Counter = Counter()
    shared: dict[str, set[str]] = {}
    for names in alike:
        together: set[str] = set()
        shared |= dict.fromkeys(names, together)
    own: list[set] = [shared.get(name, set()) for name in first.own]
    world: list[set] = [shared.get(name, set()) for name in first.world]
    for stream in streams:
        for step in stream.steps:
            joint[step.own] += 1
            for seen, value in zip((*own, *world), (*step.own, *step.world), strict=True):
                seen.add(value)
    times = [np.concatenate(parts) for parts in zip(*map(spans, streams), strict=True)]
    return Vocabulary(
        {name: tuple(sorted(v)) for name, v in zip(first.own, own, strict=True)},
        {name: tuple(sorted(v)) for name, v in zip(first.world, world, strict=True)},
        tuple(sorted(joint)) if listed else (),
        _edges(times[0], CLOCK_BINS),
        _edges(times[1], SPAN_BINS),
        _edges(times[2], SPAN_BINS),
    )


def _edges(values: np.ndarray, bins: int) -> tuple[float, ...]:
    """Inner edges that cut the values into at most `bins` parts of about equal count."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return tuple(float(edge) for edge in np.unique(edges))
