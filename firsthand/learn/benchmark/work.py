"""The work: each predictor on each fold of people, in processes of their own; parts can be kept."""

import hashlib
import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from firsthand.errors import Usage
from firsthand.learn.benchmark import baselines
from firsthand.learn.benchmark.baselines import Truths
from firsthand.learn.benchmark.judge import JUDGED, Judged, judge
from firsthand.learn.benchmark.task import Task
from firsthand.learn.past import predictor

MOST_CANDIDATES = 64  # people among whom a wearer is sought
TRUTHS = ("steps", "chance", "part", "names")
Progress = Callable[[float], None]


def run(
    task: Task,
    keep: Path | None = None,
    jobs: int | None = None,
    only: str | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[int, Any]]:
    """All parts' results by part and person. With `keep`, finished ones are kept in that folder,
    and a run that was interrupted goes on from them. `only` leaves all other parts out."""
    if only not in (None, "model", *baselines.NAMES):
        raise Usage(f"there is no predictor {only!r}", f"model, or one of {baselines.NAMES}")
    names = ["baselines"] if only in baselines.NAMES else ["baselines", "model", "without_past"]
    if only == "model":
        names = ["model"]
    work = [(name, fold) for name in names for fold in range(task.folds)]
    blob = pickle.dumps(task)
    digest = hashlib.sha256(blob + _version()).hexdigest()[:16]
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[int, Any]] = {name: {} for name in names}
    left = []
    for name, fold in work:
        path = keep / f"{digest}-{name}-{fold}.npz" if keep else None
        kept = _read(path) if path else None
        if kept is None:
            left.append((name, fold, path))
        else:
            found[name] |= kept
    predictor.warm_up()
    context = get_context("spawn")
    told = context.Array("d", len(left), lock=False)
    workers = max(1, min(jobs or os.cpu_count() or 1, len(left)))
    pool = ProcessPoolExecutor(workers, context, _begin, (blob, told, os.getpid()))
    try:
        futures: dict[Future, tuple[str, Path | None]] = {
            pool.submit(_work, name, fold, number): (name, path)
            for number, (name, fold, path) in enumerate(left)
        }
        while futures:
            for future in [f for f in futures if f.done()]:
                name, path = futures.pop(future)
                result = future.result()
                found[name] |= result
                if path:
                    _write(path, result)
            if progress:
                progress((len(work) - len(left) + sum(told)) / len(work))
            time.sleep(0.2)
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found


# --- In a process of its own.

_task: Task | None = None
_boards: dict[bool, predictor.Board] = {}
_told: Any = None


def _begin(blob: bytes, told: Any, parent: int) -> None:
    global _task, _told
    _task, _told = pickle.loads(blob), told
    _boards.clear()
    # The parent's number is given, as it may have been killed before this process asks for it.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the process that began this one has: killed, it could not say so."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _board(own: bool) -> predictor.Board:
    assert _task is not None
    if own not in _boards:
        _boards.clear()
        _boards[own] = predictor.Board(_task.lives, _task.known, own)
    return _boards[own]


def _tell(number: int) -> Progress:
    def tell(fraction: float) -> None:
        if _told is not None:
            _told[number] = fraction

    return tell


def _work(name: str, fold: int, number: int) -> dict[int, Any]:
    """One part for one fold of people; by person."""
    assert _task is not None
    task, tell = _task, _tell(number)
    tested = task.tested(fold)
    found: dict[int, Any] = {}
    if name == "baselines":
        people = [p for p in range(len(task.lives.people)) if task.fold(p) == fold]
        return baselines.count_all(task.lives, task.known, people, task.judged, tell)
    board = _board(own=name != "without_past")
    share = 0.5 if name == "model" else 0.8
    shared = predictor.fit_shared(board, task.pool(fold), task.seed, lambda f: tell(share * f))
    for done, person in enumerate(tested):
        mask = task.mask(person)
        log_p = predictor.foretell(board, shared, person, mask)
        found[person] = {name: judge(task, mask, log_p)}
        if name == "model":
            other = _stranger(task, person)
            if other is not None:
                log_p = predictor.foretell_as(board, shared, person, other, mask)
                found[person]["stranger"] = judge(task, mask, log_p)
            among = _candidates(task, person)
            found[person]["who"] = predictor.likelihoods(board, shared, person, among, mask)
        tell(share + (1 - share) * (done + 1) / len(tested))
    return found


def _stranger(task: Task, person: int) -> int | None:
    """Somebody else who has a past: the next in the list."""
    people = len(task.lives.people)
    ring = [(person + k) % people for k in range(1, people)]
    return next((p for p in ring if task.known[slice(*task.lives.span[p])].any()), None)


def _candidates(task: Task, person: int) -> list[int]:
    """The people among whom the wearer is sought, the wearer first."""
    others = [p for p in range(len(task.lives.people)) if p != person]
    return [person, *others[: MOST_CANDIDATES - 1]]


# --- Parts that are kept.


def _version() -> bytes:
    """Changes with the code that parts are made by."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *(here.parent / "past").glob("*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).digest()


def _write(path: Path, part: dict[int, Any]) -> None:
    """Keep a part: the SHA-256 of what follows, then plain arrays."""
    arrays: dict[str, np.ndarray] = {}
    for person, result in part.items():
        if isinstance(result, Truths):
            for name in TRUTHS:
                arrays[f"{person}/truths/{name}"] = np.asarray(getattr(result, name))
            continue
        for kind, value in result.items():
            if isinstance(value, Judged):
                arrays |= {f"{person}/{kind}/{name}": getattr(value, name) for name in JUDGED}
            else:
                arrays[f"{person}/{kind}/array"] = value
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(hashlib.sha256(packed.getvalue()).digest() + packed.getvalue())
    partial.replace(path)


def _read(path: Path) -> dict[int, Any] | None:
    """A part that was kept; None, and so made again, where there is none or it is damaged."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        print(f"part_damaged file={path.name}: it is made again", file=sys.stderr)
        return None
    groups: dict[tuple[int, str], dict[str, Any]] = {}
    with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
        for key in arrays.files:
            person, kind, name = key.split("/")
            groups.setdefault((int(person), kind), {})[name] = arrays[key]
    part: dict[int, Any] = {}
    for (person_number, kind), values in groups.items():
        if kind == "truths":
            part[person_number] = Truths(**values | {"names": values["names"].tolist()})
        else:
            whole = values["array"] if "array" in values else Judged(**values)
            part.setdefault(person_number, {})[kind] = whole
    return part
