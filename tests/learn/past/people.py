"""Invented people with two fields, unequal lives, overlapping steps: enough for every expert."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from firsthand.learn.past.lives import Lives, join
from firsthand.learn.streams import Step, Stream
from firsthand.learn.vocabulary import Vocabulary, fit_vocabulary

VERBS = ("take", "wash", "cut", "put", "open")
NOUNS = ("knife", "board", "carrot", "tap", "plate", "bowl", "pan", "lid")


def person(name: str, recordings: int = 6, steps: int = 40, seed: int = 0) -> Stream:
    """Somebody who takes things, does something to them and puts them down, in an own order."""
    chance = np.random.default_rng([seed, *name.encode()])
    habit = chance.permutation(len(NOUNS))
    lived: list[Step] = []
    for number in range(recordings):
        at, place, verb = 0.0, int(chance.integers(len(NOUNS))), 0
        for step in range(steps):
            verb = (verb + 1) % 4 if chance.random() < 0.8 else int(chance.integers(len(VERBS)))
            if verb == 0:
                place = (place + 1) % len(NOUNS)
            noun = habit[place] if chance.random() < 0.9 else int(chance.integers(len(NOUNS)))
            start, at = at, at + chance.uniform(0.5, 3)
            stop = at + chance.uniform(-0.4, 0.6)  # some overlap the next
            own = (VERBS[verb], NOUNS[noun])
            lived.append(
                Step(round(start * 1e9), round(max(stop, start) * 1e9), f"{name}_{number + 1}", own,
                     (), "start" if step == 0 else "none")
            )  # fmt: skip
    return Stream(name, ("verb", "noun"), (), tuple(lived), "events", {"release": "none"})


def people(count: int = 5, **more: int) -> list[Stream]:
    return [person(f"P{i:02d}", **more) for i in range(1, count + 1)]


def halves(stream: Stream, recordings: int = 4) -> tuple[Stream, Stream]:
    """The first recordings, and the others."""
    names = stream.recordings()[:recordings]
    first = tuple(s for s in stream.steps if s.recording in names)
    return replace(stream, steps=first), replace(stream, steps=stream.steps[len(first) :])


def write(path: Path, streams: list[Stream]) -> Path:
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["person", "recording", "start_s", "stop_s", *streams[0].own])
        for stream in streams:
            for s in stream.steps:
                times = (s.start_ns / 1e9, s.stop_ns / 1e9)
                out.writerow([stream.person, s.recording, *times, *s.own])
    return path


def laid(streams: list[Stream], vocabulary: Vocabulary | None = None) -> Lives:
    vocabulary = vocabulary or fit_vocabulary(streams)
    return join([vocabulary.encode(stream) for stream in streams], vocabulary)
