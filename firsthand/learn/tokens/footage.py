"""From a sealed release to streams: fits the tokeniser on its training days, then looks at each
sample, tokenises it, and cuts it into steps.

Labelled actions become event steps, with what was seen just before each; without labels every
second is a step (ticks.py). A day of the release is a recording.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from firsthand.errors import NotFound, Usage
from firsthand.learn.streams import Step, Stream, split
from firsthand.learn.tokens.clips import actions, gap_before, read_clip
from firsthand.learn.tokens.encoders import Encoder, load_encoder
from firsthand.learn.tokens.eye import SECOND_NS, Eye, Sight
from firsthand.learn.tokens.ticks import SCENE, WEARER
from firsthand.learn.tokens.tokeniser import (
    Measured,
    Tokeniser,
    check_encoder,
    encoder_folder,
    fit_tokeniser,
    load_tokeniser,
    save_tokeniser,
)
from firsthand.shard import ReleaseReader, Sample, open_release

NO_LABEL = "?"  # of a field that an annotator left out
# Samples (a minute each) that a tokeniser is fitted on: a tick costs some 20 ms to look at.
FITTED_ON = {"events": 96, "ticks": 32}
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Moment:
    """A step before anything is looked at; `fields` are an action's labels."""

    start_ns: int
    stop_ns: int
    gap: str
    fields: dict[str, str]

    @property
    def day(self) -> str:
        """The day (UTC) that it starts on, as a recording's name."""
        return datetime.fromtimestamp(self.start_ns / 1e9, UTC).date().isoformat()


def lineage_of(release: Path) -> dict[str, object]:
    """Where a model's data come from: the release, the log's length at its making, the run."""
    manifest = open_release(release).manifest
    keys = ("release", "log_index", "run", "purpose")
    return {key: manifest.get(key) for key in keys}


def streams_of(
    release: Path,
    tokeniser_folder: Path,
    progress: Progress | None = None,
    fitted: bool = False,
    kind: str | None = None,
    encoder: Path | None = None,
    seed: int = 0,
) -> list[Stream]:
    """The streams of a release: one a person, of events or of ticks.

    The tokeniser is fitted on the training days and written to its folder, or read from there if
    `fitted`. `kind` is "events" or "ticks"; by default what a fitted tokeniser was fitted for,
    else events where everybody has labelled actions. `encoder` is the folder of a pretrained
    encoder that looks at the pictures (see encoders.py). The same release and seed give the same
    streams. NotFound for a release without a step, Usage for another kind or encoder, Damaged
    for a sample or file that is broken.
    """
    reader = open_release(release)
    people = list(reader.people)
    if not people:
        raise NotFound("the release holds no person", "propose the run again")
    tokeniser = load_tokeniser(tokeniser_folder) if fitted else None
    if kind is None:
        kind = tokeniser.kind if tokeniser else "events" if _labelled(reader) else "ticks"
    if kind not in FITTED_ON:
        raise Usage(f"there are no streams of kind {kind!r}", f"one of {tuple(FITTED_ON)}")
    lives = {person: list(_moments(reader, person, kind)) for person in people}
    lives = {person: rows for person, rows in lives.items() if any(rows)}
    if not lives:
        raise NotFound("the release holds no step to learn from", "record longer")
    source = encoder_folder(tokeniser_folder, encoder) if tokeniser else encoder
    watcher = Watcher(reader, kind, lives, load_encoder(source) if source else None)
    tell = progress or (lambda _: None)
    if tokeniser:
        check_encoder(tokeniser, watcher.encoder)
    else:
        tokeniser = watcher.fit(seed, lambda share: tell(0.6 * share))
        save_tokeniser(tokeniser, tokeniser_folder, source)
    lineage = lineage_of(release) | {"tokeniser": tokeniser.digest}
    streams = []
    for number, person in enumerate(lives):
        streams.append(watcher.stream(person, tokeniser, lineage))
        tell(0.6 + 0.4 * (number + 1) / len(lives))
    return streams


def actions_of(release: Path) -> list[Stream]:
    """What the people of a release did, as labelled, with nothing decoded; none without labels."""
    reader = open_release(release)
    if not _labelled(reader):
        return []
    lives = {person: list(_moments(reader, person, "events")) for person in reader.people}
    watcher = Watcher(reader, "events", lives, None)
    own, lineage = watcher.labels, lineage_of(release)
    return [
        Stream(
            person,
            own,
            (),
            tuple(
                Step(m.start_ns, m.stop_ns, m.day, tuple(m.fields.get(n, NO_LABEL) for n in own))
                for moments in samples
                for m in moments
            ),
            lineage=lineage,
        )
        for person, samples in watcher.lives.items()
    ]


def _labelled(reader: ReleaseReader) -> bool:
    """Whether every person of the release has labelled actions."""
    return all(
        any(actions(sample) for sample in reader.samples(person)) for person in reader.people
    )


def _moments(reader: ReleaseReader, person: str, kind: str) -> Iterator[list[Moment]]:
    """The steps of each sample of a person, undecoded. The first step after a gap tells it."""
    gap, last_ns = "start", -1
    for sample in reader.samples(person):
        gap = gap if gap_before(sample) == "none" else gap_before(sample)
        moments = []
        for start_ns, stop_ns, fields in _spans(sample, kind):
            # An action that two samples share is listed in both.
            if start_ns > last_ns:
                moments.append(Moment(start_ns, stop_ns, gap, fields))
                gap, last_ns = "none", start_ns
        yield moments


def _spans(sample: Sample, kind: str) -> list[tuple[int, int, dict[str, str]]]:
    """The actions of a sample in order of time, or its whole seconds."""
    if kind == "events":
        return sorted(actions(sample), key=lambda event: event[:2])
    starts = range(sample.start_ns, sample.stop_ns - SECOND_NS + 1, SECOND_NS)
    return [(start_ns, start_ns + SECOND_NS, {}) for start_ns in starts]


class Watcher:
    """Decodes the samples of a release and measures what its steps need, a sample at a time."""

    def __init__(
        self,
        reader: ReleaseReader,
        kind: str,
        lives: dict[str, list[list[Moment]]],
        encoder: Encoder | None,
    ) -> None:
        """`lives` holds the steps of each sample of each person."""
        self.reader, self.kind, self.lives, self.encoder = reader, kind, lives, encoder
        self.size = encoder.size if encoder else None  # of large pictures
        # The fields of all people in the order met: a model has one set of them.
        rows = (moment for samples in lives.values() for row in samples for moment in row)
        self.labels = tuple(dict.fromkeys(name for moment in rows for name in moment.fields))
        # What the fit measured of each life from its start on without a hole, and the eye then:
        # of a small release that is most of it, and nothing is decoded twice.
        self.kept: dict[str, tuple[list[Measured], Eye]] = {}

    def fit(self, seed: int, progress: Progress) -> Tokeniser:
        """The tokeniser, fitted on samples drawn from the training days. The held-out day is not
        looked at."""
        ends = {person: self._training_ends(person) for person in self.lives}
        known = [
            (person, number)
            for person, samples in self.lives.items()
            for number, moments in enumerate(samples)
            if any(moment.stop_ns <= ends[person] for moment in moments)
        ]
        if len(known) > FITTED_ON[self.kind]:
            chance = np.random.default_rng(seed)
            drawn = chance.choice(len(known), FITTED_ON[self.kind], replace=False)
            known = [known[number] for number in sorted(drawn)]
        measured, done = Measured(), 0
        for person in self.lives:
            mine = [number for name, number in known if name == person]
            for some in self._sample(person, ends[person], mine):
                measured.join(some)
                done += 1
                progress(0.7 * done / len(known))
        digest = self.encoder.digest if self.encoder else ""
        return fit_tokeniser(
            measured, seed, digest, self.kind, lambda share: progress(0.7 + 0.3 * share)
        )

    def stream(self, person: str, tokeniser: Tokeniser, lineage: dict[str, Any]) -> Stream:
        """A person's whole stream."""
        own, world = (self.labels, tokeniser.look_fields)
        if self.kind == "ticks":
            own, world = WEARER, SCENE
        steps: list[Step] = []
        for moments, measured in zip(self.lives[person], self._watch(person), strict=True):
            if self.kind == "events":
                done = [tuple(m.fields.get(n, NO_LABEL) for n in own) for m in moments]
                before = tokeniser.looks(measured)
            else:
                done, before = tokeniser.seconds(measured), tokeniser.scenes(measured)
            for m, did, seen in zip(moments, done, before, strict=True):
                steps.append(Step(m.start_ns, m.stop_ns, m.day, did, seen, m.gap))
        return Stream(person, own, world, tuple(steps), self.kind, lineage)

    def _training_ends(self, person: str) -> int:
        """The time at which the held-out part of a person's life begins."""
        moments = [moment for row in self.lives[person] for moment in row]
        steps = tuple(Step(m.start_ns, m.stop_ns, m.day, ()) for m in moments)
        return steps[split(Stream(person, (), (), steps))[1]].start_ns

    def _sample(self, person: str, until_ns: int, numbers: list[int]) -> Iterator[Measured]:
        """What the steps that stop by `until_ns` need, of the samples with these numbers."""
        eye, last, whole = Eye(), -1, True
        kept: list[Measured] = []
        self.kept[person] = kept, Eye()
        for number, sample in enumerate(self.reader.samples(person)):
            if number not in numbers:
                continue
            if number != last + 1:
                eye, whole = Eye(), False
            last = number
            eye.turn_to(read_clip(sample, self.size))
            moments = self.lives[person][number]
            known = [moment for moment in moments if moment.stop_ns <= until_ns]
            measured = self._measure(eye, known)
            whole = whole and len(known) == len(moments)
            if whole:
                kept.append(measured)
                self.kept[person] = kept, copy(eye)
            yield measured

    def _watch(self, person: str) -> Iterator[Measured]:
        """What the steps of each sample of a person need."""
        kept, eye = self.kept.pop(person, ([], Eye()))
        for number, sample in enumerate(self.reader.samples(person)):
            if number < len(kept):
                yield kept[number]
                continue
            eye.turn_to(read_clip(sample, self.size))
            yield self._measure(eye, self.lives[person][number])

    def _measure(self, eye: Eye, moments: list[Moment]) -> Measured:
        measured = Measured()
        sights = [eye.sight(moment.start_ns) for moment in moments]
        features = self._features(sights)
        for moment, sight, feature in zip(moments, sights, features, strict=True):
            measured.sight(sight, feature)
            if self.kind == "events":
                measured.look(eye.look(moment.start_ns))
            else:
                measured.second(eye.watch(moment.start_ns))
        return measured

    def _features(self, sights: list[Sight]) -> list[np.ndarray | None]:
        """What the encoder says of each picture in sight; 0 where there is none."""
        if self.encoder is None:
            return [None] * len(sights)
        found = np.zeros((len(sights), self.encoder.width), dtype=np.float32)
        large = {n: sight.large for n, sight in enumerate(sights) if sight.large is not None}
        if large:
            found[list(large)] = self.encoder.features(np.stack(list(large.values())))
        return list(found)
