"""The model's folder: what is shared in files of its own, what is a person's under people/.

Deleting people/PERSON removes that person's steps (and so counts), own weights and vector
exactly; nobody else's bytes change. Each file's hash is in config.json.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from firsthand.errors import Damaged, NotFound
from firsthand.learn.counts import Chain
from firsthand.learn.linear import Linear
from firsthand.learn.mix import Mixture
from firsthand.learn.network.model import Network, Shape
from firsthand.learn.panel import Panel
from firsthand.learn.slots import Shares
from firsthand.learn.streams import Step, Stream
from firsthand.learn.tokens.ticks import to_predict
from firsthand.learn.vocabulary import Codes, Vocabulary

MOST_NAME = 200  # letters of a person's folder
FORMAT = "firsthand-model/1"


@dataclass
class Model:
    """A trained model with its people, as train.py makes it and evaluate and emulate use it."""

    config: dict[str, Any]
    vocabulary: Vocabulary
    networks: list[Network]
    streams: dict[str, Stream]
    numbers: dict[str, int]  # a person's row in the networks
    matched: list[tuple[list[Network], Linear | None]]  # one for each fold of people

    def split(self, person: str) -> tuple[int, int]:
        """Indices (dev, test) of the person's steps; see streams.split."""
        dev, test = self.config["splits"][person]
        return dev, test

    def codes(self, stream: Stream) -> Codes:
        """The stream in numbers, as the model predicts it. Raises Usage for other fields."""
        return self.vocabulary.encode(to_predict(stream))

    def others(self, person: str) -> dict[str, Codes]:
        """The training steps of everybody else."""
        known = {p: s for p, s in self.streams.items() if p != person}
        return {p: self.codes(_before(s, self.split(p)[1])) for p, s in known.items()}


@dataclass
class SlotModel(Model):
    """A model of ticks: of each slot, given those before it; see slots.py."""

    shares: Shares


@dataclass
class JointModel(Model):
    """A model of events: of the joint class of all fields, by a panel of experts; see panel.py."""

    chains: tuple[Chain, ...]
    linear: Linear | None
    mixture: Mixture
    matched_mixture: Mixture
    baselines: dict[str, list[float]]

    def panel(self) -> Panel:
        """The experts that know everybody's past."""
        return Panel(self.vocabulary, self.chains, tuple(self.networks), self.linear)

    def matched_panel(self, person: str) -> Panel:
        """The experts that never saw this person."""
        networks, linear = self.matched[fold_of(self.numbers[person], len(self.matched))]
        return Panel(self.vocabulary, self.chains, tuple(networks), linear)


Trained = JointModel | SlotModel


def _before(stream: Stream, stop: int) -> Stream:
    return replace(stream, steps=stream.steps[:stop])


def person_folder(out: Path, person: str) -> Path:
    """Where a person's own files lie."""
    name = quote(person, safe="")
    if not name.strip("."):
        name = name.replace(".", "%2E")
    if len(name) > MOST_NAME:  # file systems take 255 bytes
        name = f"{name[:MOST_NAME]}-{hashlib.sha256(person.encode()).hexdigest()[:16]}"
    return out / "people" / name


def fold_of(number: int, folds: int) -> int:
    """The fold of a person; the matched experts of a fold saw nobody of it. They are kept to
    measure what a person's past is worth."""
    return number % folds


def write_stream(out: Path, stream: Stream) -> None:
    """A person's memory: the steps, in the public stream format plus world fields and gaps."""
    steps = stream.steps
    columns: dict[str, list[Any]] = {
        "recording": [s.recording for s in steps],
        "start_ns": [s.start_ns for s in steps],
        "stop_ns": [s.stop_ns for s in steps],
        "gap": [s.gap for s in steps],
    }
    for i, name in enumerate(stream.own):
        columns[f"own.{name}"] = [s.own[i] for s in steps]
    for i, name in enumerate(stream.world):
        columns[f"world.{name}"] = [s.world[i] for s in steps]
    table = pyarrow.table(columns).replace_schema_metadata(
        {"person": stream.person, "kind": stream.kind, "lineage": json.dumps(stream.lineage)}
    )
    folder = person_folder(out, stream.person)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "steps.partial"
    pyarrow.parquet.write_table(table, partial)
    partial.replace(folder / "steps.parquet")


def read_stream(path: Path) -> Stream:
    """The stream written by `write_stream`."""
    try:
        table = pyarrow.parquet.read_table(path)
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        columns = table.to_pydict()
        own = tuple(n.removeprefix("own.") for n in columns if n.startswith("own."))
        world = tuple(n.removeprefix("world.") for n in columns if n.startswith("world."))
        total = table.num_rows
        did = list(zip(*(columns[f"own.{n}"] for n in own), strict=True))
        seen = list(zip(*(columns[f"world.{n}"] for n in world), strict=True)) or [()] * total
        times = (columns["start_ns"], columns["stop_ns"], columns["recording"])
        steps = tuple(
            Step(start, stop, recording, own_values, world_values, gap)
            for start, stop, recording, own_values, world_values, gap in zip(
                *times, did, seen, columns["gap"], strict=True
            )
        )
        lineage = json.loads(meta["lineage"])
        return Stream(meta["person"], own, world, steps, meta["kind"], lineage)
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise Damaged(f"the memory {path} is damaged", "train the model again") from error


def save(out: Path, model: Trained) -> None:
    """Write everything; config.json last, so that a folder with a finished one is whole."""
    config, all_linear = dict(model.config), None
    if isinstance(model, JointModel):
        all_linear = model.linear
        mixtures = {
            "full.gate": model.mixture.gate, "full.scale": model.mixture.scale,
            "matched.gate": model.matched_mixture.gate,
            "matched.scale": model.matched_mixture.scale,
        }  # fmt: skip
        _write(out / "mix.safetensors", save_tensors({k: v.clone() for k, v in mixtures.items()}))
        config |= {
            "experts": list(model.mixture.names), "baselines": model.baselines,
            "chains": [{"scope": c.scope, "names": list(c.names)} for c in model.chains],
        }  # fmt: skip
    else:
        config["shares"] = asdict(model.shares)
    for person, stream in model.streams.items():
        write_stream(out, stream)
        own = {
            f"vector.{i}": net.person.weight.detach()[model.numbers[person]].clone()
            for i, net in enumerate(model.networks)
        }
        if all_linear is not None and person in all_linear.own:
            own["linear"] = all_linear.own[person]
        _write(person_folder(out, person) / "own.safetensors", save_tensors(own))
    for fold, (networks, linear) in enumerate(model.matched):
        path = out / "matched" / f"fold-{fold}.safetensors"
        _write(path, save_tensors(_shared(networks, linear)))
    _write(out / "shared.safetensors", save_tensors(_shared(model.networks, all_linear)))
    _write(out / "vocabulary.json", _json(model.vocabulary.to_json()))
    config |= {
        "format": FORMAT, "finished": True, "numbers": model.numbers,
        "files": {str(p.relative_to(out)): _sha256(p) for p in _model_files(out)},
    }  # fmt: skip
    _write(out / "config.json", _json(config))


def load(out: Path) -> Trained:
    """The model in this folder; people whose files were deleted are simply not in it."""
    config = read_config(out)
    if not config.get("finished"):
        raise NotFound(f"the model {out} is not trained to the end", 'run "learn train" again')
    for name, digest in config["files"].items():
        path = out / name
        if path.exists() and _sha256(path) != digest:
            raise Damaged(f"file {name} of the model {out} is damaged", "train it again")
    vocabulary = Vocabulary.from_json(json.loads((out / "vocabulary.json").read_text()))
    numbers = {p: n for p, n in config["numbers"].items() if person_folder(out, p).is_dir()}
    shape = Shape(**config["shape"])
    networks, linear = _load_shared(out / "shared.safetensors", shape)
    own: dict[str, torch.Tensor] = {}
    for person, number in numbers.items():
        tensors = _load(person_folder(out, person) / "own.safetensors")
        if "linear" in tensors:
            own[person] = tensors.pop("linear")
        for i, network in enumerate(networks):
            with torch.no_grad():
                network.person.weight[number] = tensors[f"vector.{i}"]
    if linear is not None:
        linear = Linear(linear.trust, linear.shared, own)
    folds = sorted(name for name in config["files"] if name.startswith("matched/"))
    streams = {p: read_stream(person_folder(out, p) / "steps.parquet") for p in numbers}
    matched = [_load_shared(out / name, shape) for name in folds]
    shared = (config, vocabulary, networks, streams, numbers, matched)
    if "shares" in config:
        return SlotModel(*shared, Shares(**config["shares"]))
    mixes, names = _load(out / "mix.safetensors"), tuple(config["experts"])
    return JointModel(
        *shared,
        chains=tuple(Chain(c["scope"], tuple(c["names"])) for c in config["chains"]),
        linear=linear,
        mixture=Mixture(names, mixes["full.gate"], mixes["full.scale"]),
        matched_mixture=Mixture(names, mixes["matched.gate"], mixes["matched.scale"]),
        baselines=config["baselines"],
    )


def read_config(out: Path) -> dict[str, Any]:
    """The model's config.json."""
    path = out / "config.json"
    if not path.is_file():
        raise NotFound(f"there is no model in {out}", 'train one with "firsthand learn train"')
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Damaged(f"{path} is no readable JSON", "train the model again") from error


def write_config(out: Path, config: dict[str, Any]) -> None:
    """Write config.json of a model in training."""
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "config.json", _json(config))


def forget(out: Path, person: str) -> None:
    """Remove a person from the model: steps (and so counts), vector and own weights."""
    if not person_folder(out, person).is_dir():
        raise NotFound(f"the model {out} knows no person {person}", "")
    shutil.rmtree(person_folder(out, person))


def _shared(networks: list[Network], linear: Linear | None) -> dict[str, torch.Tensor]:
    """Weights without any person's row; row 0 of the person table is "somebody"."""
    tensors = {}
    for i, network in enumerate(networks):
        for name, value in network.state_dict().items():
            kept = value[:1] if name == "person.weight" else value
            tensors[f"network.{i}.{name}"] = kept.clone().contiguous()
    if linear is not None:
        tensors |= {"linear": linear.shared.clone(), "trust": linear.trust.clone()}
    return tensors


def _load_shared(path: Path, shape: Shape) -> tuple[list[Network], Linear | None]:
    tensors = _load(path)
    table, trust = tensors.pop("linear", None), tensors.pop("trust", None)
    linear = None if table is None or trust is None else Linear(trust, table, {})
    count = 1 + max((int(name.split(".")[1]) for name in tensors), default=-1)
    networks = []
    for i in range(count):
        network = Network(shape)
        prefix = f"network.{i}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        rows = torch.zeros_like(network.person.weight)
        rows[:1] = state["person.weight"]
        network.load_state_dict(state | {"person.weight": rows})
        networks.append(network.eval())
    return networks, linear


def _load(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise Damaged(f"the model's file {path} is missing", "train the model again")
    try:
        return load_tensors(path.read_bytes())
    except Exception as error:
        raise Damaged(f"the model's file {path} is damaged", "train the model again") from error


def _model_files(out: Path) -> list[Path]:
    files = [*out.glob("*.safetensors"), *out.glob("vocabulary.json")]
    for folder in ("people", "matched", "tokeniser"):
        files += [path for path in (out / folder).rglob("*") if path.is_file()]
    return sorted(files)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _json(value: object) -> bytes:
    def plain(item: object) -> object:
        if isinstance(item, np.generic):
            return item.item()
        raise TypeError(f"{type(item)} is not JSON")

    return json.dumps(value, indent=1, default=plain).encode()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
