"""Checkpoints of a training run: FOLDER/step-N/, of which the last two are kept.

Each holds the tensors as torch.distributed.checkpoint writes them (each process its part, to be
read by any number of processes), notes.json, and manifest.json with the SHA-256 of every file.
It is written to a partial folder and renamed: a cut leaves the one before. All processes must
see the same folder. As with any file that PyTorch unpickles, read only what you wrote.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from firsthand.errors import Damaged, Failed, Usage
from firsthand.learn.network.distributed import Place

FORMAT = "firsthand-checkpoint/1"
KEPT = 2
MANIFEST, NOTES, PARTIAL = "manifest.json", "notes.json", "partial"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are all as they were written."""

    path: Path
    update: int
    notes: dict[str, Any]


def save(
    folder: Path, update: int, tensors: Mapping[str, Tensor], notes: Mapping[str, Any], place: Place
) -> Path:
    """Write a checkpoint and drop those it supersedes; its folder. Collective.

    `notes` is plain JSON. Raises Failed where the disk refuses.
    """
    partial, final = folder / PARTIAL, folder / f"step-{update}"
    try:
        if place.main:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        place.wait()
        with _quiet():
            dcp.save(dict(tensors), checkpoint_id=partial, no_dist=place.world == 1)
        if place.main:
            _write(partial / NOTES, {"format": FORMAT, "update": update, **notes})
        place.wait()
        sums = hashes(partial, place)
        if not all(sums.values()):
            raise OSError("what was written cannot be read back")
        if place.main:
            _write(partial / MANIFEST, {"format": FORMAT, "sha256": sums, "sum": _sum(sums)})
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            _sync(folder)
            _prune(folder, update)
        place.wait()
    except (OSError, CheckpointException) as error:
        if place.main:
            shutil.rmtree(partial, ignore_errors=True)
        raise Failed(f"the checkpoint {final} could not be written: {_cause(error)}",
                     "free some disk space and start again: it continues from the one before",
                     ) from error  # fmt: skip
    return final


def last(
    folder: Path, place: Place, warn: Callable[[str], None] | None = None
) -> Checkpoint | None:
    """The newest whole checkpoint, None where there never was one. Collective.

    A damaged one is named on stderr and the one before it used. Raises Damaged (exit code 14)
    naming the file where none is whole.
    """
    if folder.exists() and not folder.is_dir():
        raise Damaged(f"{folder} is not a folder of checkpoints", "delete it and start again")
    bad = ""
    for path in reversed(_steps(folder)):
        fault = fault_of(path, place)
        if fault is None:
            notes = json.loads((path / NOTES).read_text())
            return Checkpoint(path, _number(path), notes)
        bad = bad or fault
        if place.main:
            (warn or _warn)(f"checkpoint_damaged file={json.dumps(fault)}")
    if bad:
        hint = f"no checkpoint is whole: delete {folder}, and this part is trained again"
        raise Damaged(f"the checkpoint's file {bad} is damaged", hint)
    return None


def read(found: Checkpoint, tensors: dict[str, Tensor], place: Place) -> None:
    """Fill the given tensors, sharded or not, with those of the checkpoint. Collective."""
    try:
        with _quiet():
            dcp.load(tensors, checkpoint_id=found.path, no_dist=place.world == 1)
    except (OSError, ValueError, KeyError, RuntimeError, CheckpointException) as error:
        raise Damaged(
            f"the checkpoint {found.path} cannot be read: {_cause(error)}",
            "delete it, and the one before it is used",
        ) from error


def compare(found: Checkpoint, config: Mapping[str, Any]) -> None:
    """Raises Usage, naming the key, where the checkpoint was made with another configuration."""
    made, given = _flat(found.notes.get("config", {})), _flat(json.loads(json.dumps(config)))
    for key in sorted(made.keys() | given.keys()):
        if made.get(key) != given.get(key):
            raise Usage(
                f"the checkpoint {found.path} was made with {key} = {_short(made.get(key))}, "
                f"this run has {_short(given.get(key))}",
                "give the same data and arguments, or another folder",
            )


def fault_of(path: Path, place: Place) -> str | None:
    """The first file of a checkpoint that is missing or not as written, None if all are well.

    Collective: each process reads its share of the files.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        wanted = manifest["sha256"]
        if manifest["format"] != FORMAT or manifest["sum"] != _sum(wanted):
            return str(path / MANIFEST)
    except (OSError, ValueError, KeyError, TypeError):
        return str(path / MANIFEST)
    have = hashes(path, place)
    for name, digest in wanted.items():
        if have.get(name) != digest:
            return str(path / name)
    return None


def hashes(path: Path, place: Place) -> dict[str, str]:
    """SHA-256 of each file but the manifest, by name; "" where unreadable. Collective."""
    files = sorted(file for file in path.iterdir() if file.name != MANIFEST)
    mine = {file.name: _sha256(file) for file in files[place.rank :: place.world]}
    return dict(sorted(item for part in place.gather(mine) for item in part.items()))


def _steps(folder: Path) -> list[Path]:
    """Folders step-N by their number."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((p for p in found if re.fullmatch(r"step-\d+", p.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _prune(folder: Path, update: int) -> None:
    """Keep the newest up to `update`; later ones are damaged or of a future that was left."""
    steps = _steps(folder)
    past = [path for path in steps if _number(path) <= update]
    for path in steps:
        if path not in past[-KEPT:]:
            shutil.rmtree(path)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as dotted keys."""
    if not isinstance(value, dict):
        return {name: value}
    rows: dict[str, Any] = {}
    for key, part in value.items():
        rows |= _flat(part, f"{name}.{key}" if name else str(key))
    return rows


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _cause(error: BaseException) -> str:
    """The reason in one line; torch.distributed.checkpoint's own errors hold one for each rank."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remark that one process is alone, which is meant so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    with path.open("w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sum(sums: Mapping[str, str]) -> str:
    """The manifest's hash of its own list."""
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
