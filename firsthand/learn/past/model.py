"""A trained predictor in a folder: what is shared, and each person's remembered steps apart.

people/PERSON/steps.parquet holds a person's life, and so that person's counts; deleting the
folder removes them exactly, and changes nobody else's bytes. Counts are made anew from the steps
when a model is opened. The gate and the ranking network hold what all people taught them: only
training anew takes somebody out of those, and the lineage names who was in.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from firsthand.errors import Damaged, Usage
from firsthand.learn import store
from firsthand.learn.benchmark.figures import scores as figures_of
from firsthand.learn.benchmark.judge import judge, together
from firsthand.learn.benchmark.task import Task
from firsthand.learn.classes import closed
from firsthand.learn.past import predictor
from firsthand.learn.past.gate import Gate
from firsthand.learn.past.lives import fixed_times, join
from firsthand.learn.past.predictor import Board, Shared
from firsthand.learn.past.ranking import Ranker
from firsthand.learn.streams import Stream, check
from firsthand.learn.vocabulary import Vocabulary, fit_vocabulary

FORMAT = "firsthand-past/1"
MOST_FIELDS = 4  # own fields that are foretold jointly
NEEDED = ("files", "people", "classes", "own", "features", "field_sizes", "acts", "lineage")
SHARED, VOCABULARY = "shared.safetensors", "vocabulary.json"
Progress = Callable[[float], None]


@dataclass
class PastModel:
    """What was trained, with the lives it remembers."""

    config: dict[str, Any]
    vocabulary: Vocabulary
    shared: Shared
    streams: dict[str, Stream]


def train(
    streams: Sequence[Stream],
    out: Path,
    classes: Sequence[tuple[str, ...]] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on all steps of these streams and write the model; a summary.

    The same arguments give the same model. The folder is written as a whole at the end: an
    interrupted training leaves what was there. Raises Usage where there is nothing to learn from.
    """
    began = time.monotonic()
    streams = [check(stream) for stream in streams if len(stream)]
    if not streams:
        raise Usage("there is no step to learn from", "give a stream with rows")
    if len(streams[0].own) > MOST_FIELDS:
        raise Usage(
            f"{len(streams[0].own)} own fields are too many to foretell jointly",
            f"give at most {MOST_FIELDS}, or train on a release, whose slots are foretold apart",
        )
    out = out.resolve()
    _check_place(out)
    vocabulary = fixed_times(fit_vocabulary(streams))
    if classes is not None:
        vocabulary = closed(vocabulary, classes)
    lives = join([vocabulary.encode(stream) for stream in streams], vocabulary)
    board = Board(lives, np.ones(len(lives), dtype=bool))
    shared = predictor.fit_shared(board, range(len(lives.people)), seed, progress)
    config: dict[str, Any] = {
        "format": FORMAT, "seed": seed, "classes": len(vocabulary.classes),
        "own": list(streams[0].own), "world": list(streams[0].world),
        "closed": classes is not None, "experts": len(board.desk.log_p),
        "contexts": board.contexts_held, "features": len(board.features),
        "field_sizes": lives.own_sizes.tolist(), "acts": board.objects.acts,
        "people": [stream.person for stream in streams],
        "lineage": dict(streams[0].lineage) or {"release": "none"},
    }  # fmt: skip
    model = PastModel(config, vocabulary, shared, {s.person: s for s in streams})
    _write(out, model)
    return {
        "model": str(out), "people": len(streams), "steps": len(lives),
        "classes": len(vocabulary.classes), "experts": config["experts"],
        "lineage": config["lineage"], "wall_s": round(time.monotonic() - began, 2),
    }  # fmt: skip


def evaluate(
    model_dir: Path, streams: Sequence[Stream], progress: Progress | None = None
) -> dict[str, Any]:
    """Foretell every step of these streams, test-then-train, and measure it.

    A person whom the model knows goes on from the remembered life, anybody else begins without a
    past. Raises Usage where the fields are not those of training.
    """
    model, tell = load(model_dir), progress or (lambda _: None)
    streams = [check(stream) for stream in streams if len(stream)]
    if not streams:
        raise Usage("there is no step to judge", "give a stream with rows")
    for stream in streams:
        model.vocabulary.encode(replace(stream, steps=()))  # the fields must be those of training
    remembered = dict(model.streams)
    for stream in streams:
        past = remembered.get(stream.person)
        known_steps = {(s.recording, s.start_ns) for s in past.steps} if past else set()
        again = sum((s.recording, s.start_ns) in known_steps for s in stream.steps)
        if again:
            raise Usage(
                f"{again} of {len(stream)} steps of {stream.person} are in the remembered past",
                "give steps that the model was not trained on",
            )
    lives, known = [], []
    for person in sorted({*remembered, *(s.person for s in streams)}):
        lived = remembered.get(person)
        new = next((s for s in streams if s.person == person), None)
        some = lived or new
        assert some is not None
        steps = (lived.steps if lived else ()) + (new.steps if new else ())
        lives.append(model.vocabulary.encode(replace(some, steps=steps)))
        length = len(lived) if lived else 0
        known.append(np.arange(len(steps)) < length)
    whole = join(lives, model.vocabulary)
    mask = np.concatenate(known)
    board = Board(whole, mask)
    task = Task(whole, model.vocabulary, mask, ~mask, (), "official", 1, 0)
    rows, order = [], task.tested(0)
    for done, number in enumerate(order):
        scored = task.mask(number)
        log_p = predictor.foretell(board, model.shared, number, scored)
        rows.append(judge(task, scored, log_p))
        tell((done + 1) / len(order))
    truth = np.concatenate([whole.joint[task.mask(p)] for p in order])
    scores = figures_of(together(rows), truth, model.config["own"])
    people = {
        whole.people[p]: {"n": len(row.joint), "nats": -float(row.joint.mean())}
        for p, row in zip(order, rows, strict=True)
    }
    return {
        "n": len(truth), "people": len(order), "classes": model.config["classes"], **scores,
        "per_person": people, "lineage": model.config["lineage"],
    }  # fmt: skip


def is_past(folder: Path) -> bool:
    """Whether the folder holds a model of this kind."""
    if not (folder / "config.json").is_file():
        return False
    config = store.read_config(folder)
    return isinstance(config, dict) and config.get("format") == FORMAT


def load(folder: Path) -> PastModel:
    """The model in this folder; people whose files were deleted are simply not in it.

    Raises NotFound, or Damaged naming the file whose bytes are not those that were written.
    """
    config = store.read_config(folder)
    if not isinstance(config, dict):
        raise Damaged(f"{folder / 'config.json'} is no model's", "train the model again")
    if config.get("format") != FORMAT:
        raise Usage(f"{folder} was not trained on a stream file", "evaluate it without --stream")
    lacking = [name for name in NEEDED if name not in config]
    if lacking:
        raise Damaged(f"{folder / 'config.json'} has no {lacking[0]!r}", "train the model again")
    strange = {p.name for p in (folder / "people").glob("*")} - {
        store.person_folder(folder, person).name for person in config["people"]
    }
    if strange:
        raise Damaged(
            f"{folder / 'people' / sorted(strange)[0]} is of nobody in the model's config.json",
            "give the folder its name again, or train the model again",
        )
    for name, digest in config["files"].items():
        path = folder / name
        if name.startswith("people/") and not path.parent.is_dir():
            continue
        if not path.is_file():
            raise Damaged(f"the model's file {path} is missing", "train the model again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise Damaged(f"the model's file {path} is damaged", "train the model again")
    vocabulary = Vocabulary.from_json(json.loads((folder / VOCABULARY).read_text()))
    try:
        tensors = load_tensors((folder / SHARED).read_bytes())
    except SafetensorError as error:
        raise Damaged(f"the model's file {folder / SHARED} is damaged", "train it again") from error
    gate = Gate(*(tensors.pop(f"gate.{name}").numpy() for name in Gate._fields))
    ranker = None
    if tensors:
        ranker = Ranker(config["features"], config["field_sizes"], config["acts"] + 1)
        ranker.load_state_dict(tensors)
        ranker.eval()
    paths = [store.person_folder(folder, p) / "steps.parquet" for p in config["people"]]
    streams = [store.read_stream(path) for path in paths if path.is_file()]
    return PastModel(config, vocabulary, Shared(gate, ranker), {s.person: s for s in streams})


def _check_place(out: Path) -> None:
    """Raises Usage unless a model may be put here: nothing but a model of this kind is replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise Usage(f"{out} is no folder", "give another place for the model")
    held = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}
    if not held:
        return
    if not is_past(out):
        raise Usage(f"{out} is not empty and holds no model of a stream", "give another folder")
    strange = held - {"config.json", *store.read_config(out).get("files", {})}
    if strange:
        raise Usage(
            f"{out} holds {sorted(strange)[0]}, which is not the model's", "move it, or its model"
        )


def _write(out: Path, model: PastModel) -> None:
    """Write everything beside the place, then put it there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for stream in model.streams.values():
            store.write_stream(partial, stream)
        gate = model.shared.gate._asdict()
        tensors = {f"gate.{name}": torch.from_numpy(array) for name, array in gate.items()}
        if model.shared.ranker is not None:
            tensors |= model.shared.ranker.state_dict()
        packed = save_tensors({name: value.contiguous() for name, value in tensors.items()})
        (partial / SHARED).write_bytes(packed)
        (partial / VOCABULARY).write_text(json.dumps(model.vocabulary.to_json()))
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        sums = {
            str(path.relative_to(partial)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }
        store.write_config(partial, {**model.config, "files": sums})
        partial.chmod(0o755)
        if out.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
            out.rename(old / "old")
            partial.rename(out)
            shutil.rmtree(old)
        else:
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
