"""From a sealed release to streams: looks at each sample once, tokenises, and cuts into steps.

Labelled actions become event steps, with what was seen just before each; without labels every
second is a step. A day of the release is a recording.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firsthand.errors import NotFound
from firsthand.learn.clips import Clip, Eye, read_clip
from firsthand.learn.streams import Step, Stream, split
from firsthand.learn.tokeniser import (
    Measured,
    Tokeniser,
    fit_tokeniser,
    load_tokeniser,
    save_tokeniser,
)
from firsthand.shard import ReleaseReader, open_release

SECOND_NS = 1_000_000_000
TICK_OWN = ("motion", "sound")
NO_LABEL = "?"  # of a field that an annotator left out


@dataclass
class Notes:
    """What was seen of one person: measurements at times, and what makes them steps."""

    at: list[tuple[int, int, str, str, dict[str, str]]] = field(default_factory=list)
    measured: Measured = field(default_factory=Measured)
    # For ticks: the step's own second, measured when it has passed.
    after: Measured = field(default_factory=Measured)


def lineage_of(release: Path) -> dict[str, object]:
    """Where a model's data come from: the release, the log's length at its making, the run."""
    manifest = open_release(release).manifest
    keys = ("release", "log_index", "run", "purpose")
    return {key: manifest.get(key) for key in keys}


def streams_of(
    release: Path,
    tokeniser_folder: Path,
    progress: Callable[[float], None] | None = None,
    fitted: bool = False,
) -> list[Stream]:
    """The streams of a release. The tokeniser is fitted on the training days and written to its
    folder, or read from there if `fitted`."""
    reader = open_release(release)
    tell = progress or (lambda _: None)
    people = list(reader.people)
    if not people:
        raise NotFound("the release holds no person", "propose the run again")
    labelled = _labelled(reader)
    notes = {}
    for number, person in enumerate(people):
        notes[person] = _watch(reader, person, labelled)
        tell(0.9 * (number + 1) / len(people))
    notes = {person: note for person, note in notes.items() if note.at}
    if not notes:
        raise NotFound("the release holds no step to learn from", "record longer")
    if fitted:
        tokeniser = load_tokeniser(tokeniser_folder)
    else:
        tokeniser = fit_tokeniser(_training_part(notes))
        save_tokeniser(tokeniser, tokeniser_folder)
    tell(0.95)
    lineage = lineage_of(release) | {"tokeniser": tokeniser.digest}
    if not labelled:
        return [_ticks(person, note, tokeniser, lineage) for person, note in notes.items()]
    # The fields of all people in the order met: a model has one set of them.
    own = tuple(dict.fromkeys(name for n in notes.values() for row in n.at for name in row[4]))
    return [_events(person, note, own, tokeniser, lineage) for person, note in notes.items()]


def _labelled(reader: ReleaseReader) -> bool:
    """Whether every person of the release has labelled actions."""
    return all(
        any(
            "face" not in row["fields"]
            for sample in reader.samples(person)
            for row in json.loads(sample.files.get("events.json", b"[]"))
        )
        for person in reader.people
    )


def _watch(reader: ReleaseReader, person: str, labelled: bool) -> Notes:
    """Look at all samples of a person, in order, and note what was seen when."""
    notes, eye, gap = Notes(), Eye(), "start"
    for sample in reader.samples(person):
        clip = read_clip(sample)
        if clip.gap != "none":
            gap = clip.gap
        eye.turn_to(clip)
        if labelled:
            gap = _watch_events(notes, eye, clip, gap)
        else:
            gap = _watch_seconds(notes, eye, clip, gap)
    return notes


def _watch_events(notes: Notes, eye: Eye, clip: Clip, gap: str) -> str:
    """Note what was seen before each action; the gap that is still to be told."""
    for start_ns, stop_ns, fields in sorted(clip.events, key=lambda event: event[:2]):
        # An action that two samples share is listed in both.
        if notes.at and start_ns <= notes.at[-1][0]:
            continue
        notes.at.append((start_ns, stop_ns, day_of(start_ns), gap, fields))
        notes.measured.add(eye.look(start_ns))
        gap = "none"
    return gap


def _watch_seconds(notes: Notes, eye: Eye, clip: Clip, gap: str) -> str:
    """Note what was seen before and in each whole second of the clip."""
    for start_ns in range(clip.start_ns, clip.stop_ns - SECOND_NS + 1, SECOND_NS):
        stop_ns = start_ns + SECOND_NS
        notes.at.append((start_ns, stop_ns, day_of(start_ns), gap, {}))
        notes.measured.add(eye.look(start_ns))
        notes.after.add(eye.look(stop_ns))
        gap = "none"
    return gap


def day_of(time_ns: int) -> str:
    """The day (UTC) of a wall time, as a recording's name."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).date().isoformat()


def _training_part(notes: dict[str, Notes]) -> Measured:
    """What was measured on training days; the held-out day is not looked at."""
    joined = Measured()
    for person, note in notes.items():
        steps = tuple(Step(a, b, day, ()) for a, b, day, _, _ in note.at)
        stop = split(Stream(person, (), (), steps))[1]
        for name in ("pictures", "sound", "imu", "flow"):
            getattr(joined, name).extend(getattr(note.measured, name)[:stop])
            # A tick's own second is the next one's past: only the last one is new.
            getattr(joined, name).extend(getattr(note.after, name)[max(0, stop - 1) : stop])
    return joined


def _events(
    person: str, notes: Notes, own: tuple[str, ...], tokeniser: Tokeniser, lineage: dict[str, Any]
) -> Stream:
    """Labelled actions as steps; their world fields are what was sensed before they began."""
    measured = notes.measured
    scenes = tokeniser.scenes(measured.pictures)
    sounds = tokeniser.sounds(measured.sound)
    bodies = tokeniser.bodies(measured.imu, measured.flow)
    steps = tuple(
        Step(start, stop, day, tuple(fields.get(n, NO_LABEL) for n in own), (*s, h, b), gap)
        for (start, stop, day, gap, fields), s, h, b in zip(
            notes.at, scenes, sounds, bodies, strict=True
        )
    )
    world = (*tokeniser.scene_slots, "heard", "moved")
    return Stream(person, own, world, steps, "events", lineage)


def _ticks(person: str, notes: Notes, tokeniser: Tokeniser, lineage: dict[str, Any]) -> Stream:
    """Seconds as steps: the wearer's own motion and sound, after the scene seen before."""
    scenes = tokeniser.scenes(notes.measured.pictures)
    sounds = tokeniser.sounds(notes.after.sound)
    bodies = tokeniser.bodies(notes.after.imu, notes.after.flow)
    steps = tuple(
        Step(start, stop, day, (b, h), s, gap)
        for (start, stop, day, gap, _), s, h, b in zip(
            notes.at, scenes, sounds, bodies, strict=True
        )
    )
    world = tuple(tokeniser.scene_slots)
    return Stream(person, TICK_OWN, world, steps, "ticks", lineage)
