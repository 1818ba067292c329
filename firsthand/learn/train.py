"""Trains a model: streams in, a model folder out. Interrupted, it goes on where it stopped.

The last day of each person is held out and never read here. The day before it is the
development day: what is chosen (length of training, penalties, the mixture's gate) is chosen
there, with experts that did not see it; then the experts are fitted again with it.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firsthand.errors import Usage
from firsthand.learn import slots, store
from firsthand.learn.counts import Chain
from firsthand.learn.linear import Lesson, Linear, choose_linear, fit_linear
from firsthand.learn.mix import Mixture, fit_linear_weights, fit_mixture
from firsthand.learn.network import fit
from firsthand.learn.network.distributed import here, in_turn
from firsthand.learn.network.metrics import Metrics
from firsthand.learn.network.model import Network, Shape, shape_for
from firsthand.learn.panel import (
    BASELINES,
    Panel,
    Said,
    can_be_linear,
    choose_chains,
    lessons_of,
    strangers,
)
from firsthand.learn.streams import Stream, check, split
from firsthand.learn.tokens.ticks import KINDS, to_predict, weights
from firsthand.learn.vocabulary import Codes, fit_vocabulary

HOLDOUTS = ("last-day",)
MOST_UPDATES = 600
FOLDS = 4  # groups of people for the experts that never saw a person; alone where people are few
DEV_BYTES = LESSON_BYTES = 256e6  # what the mixture's and the linear expert's steps may take
Progress = Callable[[str, float], None]
Pupils = tuple[list[Network], Linear | None]  # experts that were fitted on the same people


def train(
    release: Path | None = None,
    streams: list[Stream] | None = None,
    out: Path = Path("model"),
    seconds: float = 60.0,
    size: int = 1,
    seed: int = 0,
    holdout: str = "last-day",
    progress: Progress | None = None,
    updates: int | None = None,
    members: int = 1,
    kind: str | None = None,
    encoder: Path | None = None,
) -> dict[str, Any]:
    """Train on a release, or on streams, and write the model folder `out`; a summary.

    Of a release, `kind` is "events" or "ticks" (None: events where everybody has labels) and
    `encoder` the folder of a pretrained encoder that looks at its pictures; see footage.py.

    `seconds` bounds the fitting of the networks; with `updates` (of each network) instead, the
    same seed gives the same model. `members` networks are averaged. Run again after an
    interruption with the same arguments, it continues; a finished model is replaced.
    """
    if (release is None) == (streams is None):
        raise Usage("training takes a release or streams", "give exactly one of them")
    if release is None and (kind or encoder):
        raise Usage("only a release is cut into streams of a kind", "leave out kind and encoder")
    if holdout not in HOLDOUTS:
        raise Usage(f"unknown holdout {holdout!r}", f"one of {HOLDOUTS}")
    if size < 1 or members < 1 or seconds <= 0:
        raise Usage("size, members and seconds must be positive", "")
    tell = progress or (lambda stage, fraction: None)
    began = time.monotonic()
    config: dict[str, Any] = {
        "finished": False, "size": size, "seed": seed, "holdout": holdout, "members": members,
        "bound": {"updates": updates} if updates else {"seconds": seconds},
        "asked": {"kind": kind, "encoder": str(encoder.resolve()) if encoder else None},
    }  # fmt: skip
    place, given = here(), streams
    streams = in_turn(place, lambda: _streams(release, given, out, config, tell))
    config["splits"] = {s.person: list(split(s)) for s in streams}
    school = School(streams, config, out, updates, seconds, tell)
    model = school.run()
    if place.main:
        store.save(out, model)
        shutil.rmtree(out / "state", ignore_errors=True)
    place.wait()
    summary = {
        "model": str(out), "people": len(streams), "steps": sum(map(len, streams)),
        "kind": streams[0].kind, "classes": len(model.vocabulary.classes) or None,
        "parameters": sum(p.numel() for p in model.networks[0].parameters()),
        "updates": config["updates"], "dev_nats": config["dev_nats"],
        "lineage": config["lineage"], "wall_s": round(time.monotonic() - began, 2),
    }  # fmt: skip
    tell("train", 1.0)
    return summary


def _streams(
    release: Path | None,
    streams: list[Stream] | None,
    out: Path,
    config: dict[str, Any],
    tell: Progress,
) -> list[Stream]:
    """The streams to learn from, read or kept from an interrupted run; starts the folder.

    The interrupted run must have been given the same data and arguments; what another run left
    is cleared first.
    """
    if release is not None:
        from firsthand.learn.tokens import footage

        lineage = footage.lineage_of(release)
    else:
        streams = [check(s) for s in streams or [] if len(s)]
        if not streams:
            raise Usage("there is no step to learn from", "record more, or give another file")
        lineage = dict(streams[0].lineage) or {"release": "none"}
        lineage["digest"] = _digest(streams)
    config["lineage"] = lineage
    if (out / "config.json").is_file():
        old = store.read_config(out)
        # What was found out since then is added to what was known at the start.
        known = {**config, "lineage": old.get("lineage", {}) | lineage}
        same = all(old.get(k) == json.loads(json.dumps(v)) for k, v in known.items())
        kept = sorted((out / "people").glob("*/steps.parquet"))
        if same and len(kept) == old.get("kept"):
            config |= {name: old[name] for name in ("lineage", "kind", "kept")}
            tell("tokenise", 1.0)
            return [store.read_stream(path) for path in kept]
        clear(out)
    elif out.is_dir() and any(out.iterdir()):
        raise Usage(f"{out} is not empty and holds no model", "give another folder")
    store.write_config(out, config)
    if release is not None:
        asked, folder = config["asked"], out / "tokeniser"
        encoder = Path(asked["encoder"]) if asked["encoder"] else None
        streams = footage.streams_of(
            release, folder, lambda share: tell("tokenise", share),
            kind=asked["kind"], encoder=encoder, seed=config["seed"],
        )  # fmt: skip
        config["lineage"] = lineage | streams[0].lineage
    streams = streams or []
    config["kind"] = streams[0].kind
    for stream in streams:
        store.write_stream(out, stream)
    streams = sorted(streams, key=lambda s: store.person_folder(out, s.person).name)
    config["kept"] = len(streams)
    store.write_config(out, config)
    return streams


def clear(out: Path) -> None:
    """Remove what a training run writes, and nothing else."""
    for name in ("people", "matched", "tokeniser", "state", "evaluation"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("shared.safetensors", "mix.safetensors", "vocabulary.json", "metrics.jsonl"):
        (out / name).unlink(missing_ok=True)


def _digest(streams: list[Stream]) -> str:
    """SHA-256 of the steps, so that an interrupted run goes on only with the same data."""
    sums = hashlib.sha256()
    for stream in streams:
        sums.update(repr((stream.person, stream.own, stream.world)).encode())
        for step in stream.steps:
            sums.update(repr(step).encode())
    return sums.hexdigest()


class School:
    """One training run: what every part of it needs to know."""

    def __init__(
        self,
        streams: list[Stream],
        config: dict[str, Any],
        out: Path,
        updates: int | None,
        seconds: float,
        tell: Progress,
    ) -> None:
        self.streams = {s.person: s for s in streams}
        self.config, self.out, self.tell = config, out, tell
        self.updates, self.seconds = updates, seconds
        self.size, self.seed, self.members = config["size"], config["seed"], config["members"]
        self.numbers = {person: i + 1 for i, person in enumerate(self.streams)}
        self.cuts: dict[str, tuple[int, int]] = {p: split(s) for p, s in self.streams.items()}
        # Ticks are told what to predict only when cut, or the last would tell of the held-out day.
        seen = [to_predict(_cut(s, self.cuts[p][1])) for p, s in self.streams.items()]
        self.ticks = config["kind"] == "ticks"
        # The closed list may hold what only the development day showed, the held-out day's not.
        alike = KINDS.values() if self.ticks else ()
        self.vocabulary = fit_vocabulary(seen, alike, listed=not self.ticks)
        # From here on nobody sees a held-out step.
        self.known = {s.person: self.vocabulary.encode(s) for s in seen}
        self.fit_part = {p: c.cut(0, self.cuts[p][0]) for p, c in self.known.items()}
        if not any(len(c) for c in self.fit_part.values()):
            raise Usage("too few steps: nothing is left to fit", "record more")
        self.folds = min(FOLDS, len(self.streams))
        self.shares_done = 0

    def run(self) -> store.Trained:
        """All stages: choose on the development day, fit again with it, match without it."""
        vocabulary, config = self.vocabulary, self.config
        fields = tuple(vocabulary.own)
        shape = shape_for(
            self.size, vocabulary.own_sizes, vocabulary.world_sizes, len(self.numbers),
            weights=weights(fields) if self.ticks else None,
        )  # fmt: skip
        config["shape"] = shape.to_json()
        chains = () if self.ticks else choose_chains(vocabulary, self.fit_part)
        scouts, config["updates"] = self._scouts(shape)
        return self._slots(shape, scouts) if self.ticks else self._joint(shape, chains, scouts)

    def _joint(
        self, shape: Shape, chains: tuple[Chain, ...], scouts: list[Network]
    ) -> store.JointModel:
        """The experts on joint classes, and the mixtures of them."""
        vocabulary, config, updates = self.vocabulary, self.config, self.config["updates"]
        counted = self._count_dev(chains)
        penalties, scout = self._scout_linear(chains, counted)
        config["penalties"] = penalties
        networks = self._networks(shape, "network", self.known, updates)
        linear = self._linear(chains, self.known, penalties)
        matched: list[Pupils] = []
        for fold in range(self.folds):
            some = self._without(fold)
            pupils = self._networks(shape, f"without-{fold}", some, updates)
            matched.append((pupils, self._linear(chains, strangers(some), penalties)))
        self.tell("mix", 0.0)
        panel = Panel(vocabulary, chains, tuple(scouts), scout)
        full, bare = self._dev_said(panel, matched, counted)
        mixture, matched_mixture = _mixture(full), _mixture(bare)
        baselines = _baselines(full)
        config["dev_nats"] = _dev_nats(mixture, full)
        return store.JointModel(
            config, vocabulary, networks, self.streams, self.numbers, matched,
            chains, linear, mixture, matched_mixture, baselines,
        )  # fmt: skip

    def _slots(self, shape: Shape, scouts: list[Network]) -> store.SlotModel:
        """The networks, and their mixture with counts of tokens; see slots.py."""
        vocabulary, updates = self.vocabulary, self.config["updates"]
        networks = self._networks(shape, "network", self.known, updates)
        matched: list[Pupils] = []
        for fold in range(self.folds):
            pupils = self._networks(shape, f"without-{fold}", self._without(fold), updates)
            matched.append((pupils, None))
        self.tell("mix", 0.0)
        full, bare = [], []
        for person, codes in self.known.items():
            morning, others = self.cuts[person][0], self._others(person).values()
            if len(codes) == morning:
                continue
            number, strange = self.numbers[person], matched[self.fold(person)][0]
            today = codes.cut(morning, len(codes))
            full.append(slots.listen(vocabulary, scouts, number, codes, morning, others))
            bare.append(slots.listen(vocabulary, strange, 0, today, 0, others))
        fields = tuple(vocabulary.own)
        shares = slots.Shares(
            slots.fit_weights(fields, full, *slots.MODEL),
            slots.fit_weights(fields, bare, *slots.MODEL),
            slots.fit_weights(fields, full, *slots.REPEAT),
        )
        given = [slots.mixed(fields, shares.model, told, slots.MODEL) for told in full]
        self.config["dev_nats"] = float(-np.log(np.concatenate(given)).mean())
        return store.SlotModel(
            self.config, vocabulary, networks, self.streams, self.numbers, matched, shares
        )

    def _without(self, fold: int) -> dict[str, Codes]:
        """What is known of those who are not in this fold."""
        others = {p: c for p, c in self.known.items() if len(c) and self.fold(p) != fold}
        # Somebody alone in a release has nobody to be compared with: next to nothing is known
        # without that person.
        return others or {p: c.cut(0, 1) for p, c in self.known.items() if len(c)}

    def fold(self, person: str) -> int:
        """Which of the matched experts never saw this person."""
        return store.fold_of(self.numbers[person], self.folds)

    def _scouts(self, shape: Shape) -> tuple[list[Network], int]:
        """Networks that have not seen the development day, and how long to fit with it.

        The length is the one that was best on that day, longer by the share of new steps.
        """
        dev = [(self.numbers[p], c, self.cuts[p][0]) for p, c in self.known.items()]
        dev = [row for row in dev if len(row[1]) > row[2]]
        scouts, lengths = [], []
        for member in range(self.members):
            fitted = self._fit(shape, f"scout-{member}", self.fit_part, self.updates, member, dev)
            scouts.append(fitted.network)
            lengths.append(fitted.updates)
        grown = sum(map(len, self.known.values())) / sum(map(len, self.fit_part.values()))
        return scouts, max(1, round(float(np.mean(lengths)) * min(grown, 2.0)))

    def _networks(
        self, shape: Shape, name: str, lives: Mapping[str, Codes], updates: int
    ) -> list[Network]:
        return [
            self._fit(shape, f"{name}-{member}", lives, updates, member).network
            for member in range(self.members)
        ]

    def _fit(
        self,
        shape: Shape,
        name: str,
        lives: Mapping[str, Codes],
        updates: int | None,
        member: int,
        dev: list[tuple[int, Codes, int]] | None = None,
    ) -> fit.Fitted:
        """One network, its share of the time, its state file and its lines in metrics.jsonl."""
        # A scout looks beyond the best length before it stops: it has two shares.
        planned, share = self.members * (3 + self.folds), 2 if dev else 1
        seconds = 1e9 if self.updates else share * self.seconds / planned
        recipe = fit.recipe_for(self.size, self.seed + member, updates or MOST_UPDATES, seconds)
        rows = [(self.numbers[p], c) for p, c in lives.items() if len(c)]
        done = self.shares_done

        def tell(fraction: float) -> None:
            self.tell("train", (done + share * min(fraction, 1.0)) / planned)

        metrics = self.out / "metrics.jsonl"
        around = fit.Around(name, self.config["lineage"], metrics)
        fitted = fit.fit(shape, rows, recipe, self.out / "state" / name, dev or (), tell, around)
        self.shares_done += share
        if here().main:
            last = {"kept_update": fitted.updates, "dev": fitted.dev_nats}
            Metrics(metrics, name).tell(last)
        return fitted

    def _count_dev(self, chains: tuple[Chain, ...]) -> dict[str, Said]:
        """What the counts say on each person's development day, from everybody's fitted part."""
        panel, said = Panel(self.vocabulary, chains, (), None), {}
        for person, codes in self.known.items():
            morning = self.cuts[person][0]
            if len(codes) > morning:
                first = max(morning, len(codes) - most_steps(panel, len(self.streams)))
                said[person] = panel.count(person, codes, first, self._others(person))
        return said

    def _others(self, person: str) -> dict[str, Codes]:
        return {p: c for p, c in self.fit_part.items() if p != person}

    def _scout_linear(
        self, chains: tuple[Chain, ...], counted: Mapping[str, Said]
    ) -> tuple[tuple[float, float], Linear | None]:
        """Penalties chosen on the development day, and the expert that did not see it."""
        if not can_be_linear(self.vocabulary):
            return (0.0, 0.0), None
        panel = Panel(self.vocabulary, chains, (), None)
        dev = {p: panel.lesson(self.known[p], said) for p, said in counted.items()}
        return choose_linear(self._lessons(chains, self.fit_part), dev, self.vocabulary.size)

    def _linear(
        self, chains: tuple[Chain, ...], lives: Mapping[str, Codes], penalties: tuple[float, float]
    ) -> Linear | None:
        if not can_be_linear(self.vocabulary):
            return None
        return fit_linear(self._lessons(chains, lives), self.vocabulary.size, *penalties)

    def _lessons(self, chains: tuple[Chain, ...], lives: Mapping[str, Codes]) -> dict[str, Lesson]:
        lived = {p: c for p, c in lives.items() if len(c)}
        return lessons_of(self.vocabulary, chains, lived, LESSON_BYTES)

    def _dev_said(
        self, panel: Panel, matched: list[Pupils], counted: Mapping[str, Said]
    ) -> tuple[list[Said], list[Said]]:
        """What the panels say on the development day: with everybody's past, and without the
        person's own. No expert has seen the day of the person that it speaks about."""
        full, bare = [], []
        for person, said in counted.items():
            codes, others = self.known[person], self._others(person)
            first = len(codes) - len(said.joint)
            full.append(panel.listen(person, self.numbers[person], codes, first, others, said))
            networks, linear = matched[self.fold(person)]
            without = Panel(self.vocabulary, panel.chains, tuple(networks), linear)
            morning = self.cuts[person][0]
            today = codes.cut(morning, len(codes))
            bare.append(without.listen(person, 0, today, first - morning, others))
        return full, bare


def most_steps(panel: Panel, people: int) -> int:
    """How many development steps a person may give to the mixture, for memory's sake."""
    return max(1, int(DEV_BYTES / people / (8 * panel.vocabulary.size * (len(panel.chains) + 2))))


def _cut(stream: Stream, stop: int) -> Stream:
    return Stream(stream.person, stream.own, stream.world, stream.steps[:stop], stream.kind)


def _joined(said: list[Said]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_p, evidence, joint = ([getattr(s, n) for s in said] for n in ("log_p", "evidence", "joint"))
    return np.concatenate(log_p), np.concatenate(evidence), np.concatenate(joint)


def _mixture(said: list[Said]) -> Mixture:
    names = said[0].to_mix
    return fit_mixture(names, *_joined([s.pick(names) for s in said]))


def mixed(mixture: Mixture, said: Said) -> np.ndarray:
    """Log-probabilities [T, C] of the mixture of those experts that it was fitted for."""
    part = said.pick(mixture.names)
    return mixture.predict(part.log_p, part.evidence, part.joint)


def _dev_nats(mixture: Mixture, said: list[Said]) -> float:
    """Fitted on these very steps: for the log of the run, not a claim."""
    rows = [mixed(mixture, s) for s in said]
    picked = [r[np.arange(len(r)), s.joint] for r, s in zip(rows, said, strict=True)]
    return float(-np.concatenate(picked).mean())


def _baselines(said: list[Said]) -> dict[str, list[float]]:
    """Weights of the baselines, fitted on the development day like everything else.

    `ngram`: of every n-gram (pooled, own, today; orders 1 to 4), the better of their best
    mixture and the best single one. `repeat_last`: of repeating against the unigram.
    """
    log_p, _, joint = _joined(said)
    steps = np.arange(len(joint))
    given = np.exp(log_p[steps, : len(BASELINES), joint])
    mixed = fit_linear_weights(given)
    single = np.eye(len(BASELINES))[int(np.argmax(np.log(given).mean(0)))]
    better = max((mixed, single), key=lambda w: float(np.log(given @ w).mean()))
    last = np.concatenate([repeat_last(s) for s in said])
    unigram = np.exp(log_p[steps, 0, joint])
    both = np.stack([last[steps, joint], unigram], axis=1)
    return {"ngram": better.tolist(), "repeat_last": fit_linear_weights(both).tolist()}


def repeat_last(said: Said) -> np.ndarray:
    """All probability on the step before, [T, C]; even where there is none."""
    size = said.log_p.shape[2]
    rows = np.zeros((len(said.joint), size))
    rows[:1] = 1.0 / size
    rows[np.arange(1, len(rows)), said.joint[:-1]] = 1.0
    return rows
