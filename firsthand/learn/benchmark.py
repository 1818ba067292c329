"""The benchmark: how well the next step of people is foretold, beside baselines, in one run.

Strict: what is shared was fitted on other people (folds of people), and a person's own earlier
steps are used test-then-train. Official: what is shared may have seen the person's training part.
Every step of every test recording counts, the first included; losses are proper log-losses over
the closed list of joint classes.
"""

import csv
import hashlib
import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn import baselines
from firsthand.learn.baselines import Truths
from firsthand.learn.classes import closed
from firsthand.learn.past import predictor
from firsthand.learn.past.lives import Lives, fixed_times, join
from firsthand.learn.streams import Stream
from firsthand.learn.vocabulary import Vocabulary, fit_vocabulary

REGIMES = ("strict", "official")
FOLDS = 4
MOST_CANDIDATES = 64  # people among whom a wearer is sought
MOST_NAMING = 200  # steps of a recording by which its wearer is sought
DRAWS = 2000  # of the bootstrap
BINS = 15  # of confidence
JUDGED, TRUTHS = ("joint", "fields", "rank", "sure", "right"), ("steps", "chance", "part", "names")
ORACLE_COLUMNS = ("person", "recording", "step", "nats")
Progress = Callable[[float], None]
Oracle = dict[tuple[str, str, int], float]


@dataclass(frozen=True)
class Task:
    """People and steps: [T] which steps others may learn from, and which are judged."""

    lives: Lives
    vocabulary: Vocabulary
    known: np.ndarray
    judged: np.ndarray
    recordings: tuple[str, ...]  # their names, by number
    regime: str
    folds: int
    seed: int

    def fold(self, person: int) -> int:
        """The fold of a person; in the official regime all are in one."""
        return person % self.folds

    def pool(self, fold: int) -> list[int]:
        """Whose lives the shared part of this fold is fitted on."""
        people = range(len(self.lives.people))
        return [p for p in people if self.regime == "official" or self.fold(p) != fold]

    def tested(self, fold: int) -> list[int]:
        """The people of this fold who have a step to judge."""
        held = [p for p in range(len(self.lives.people)) if self.fold(p) == fold]
        return [p for p in held if self.judged[slice(*self.lives.span[p])].any()]

    def mask(self, person: int) -> np.ndarray:
        """The steps of a person that are judged, [T]."""
        return self.judged & (self.lives.person == person)


def task_of(
    train: Sequence[Stream],
    test: Sequence[Stream],
    classes: Sequence[tuple[str, ...]] | None = None,
    regime: str = "strict",
    folds: int = FOLDS,
    seed: int = 0,
) -> tuple[Task, str]:
    """The task of these streams, and how recordings of both files were put in order: by "time"
    (starts do not restart), by "name" (as a number is counted) or by "file" (all training first).

    Raises Usage where the files do not fit together.
    """
    if regime not in REGIMES:
        raise Usage(f"unknown regime {regime!r}", f"one of {REGIMES}")
    if not train or not test:
        raise Usage("a benchmark needs training and test rows", "give files with rows")
    if seed < 0:
        raise Usage(f"{seed} is no seed", "seeds are 0 or more")
    fields = {(s.own, s.world) for s in (*train, *test)}
    if len(fields) > 1:
        raise Usage(
            f"the training file has the fields {train[0].own}, the test file {test[0].own}",
            "give both files the same columns",
        )
    _check_apart(train, test)
    vocabulary = fixed_times(fit_vocabulary(train))
    if classes is not None:
        vocabulary = closed(vocabulary, classes)
    by_name = {s.person: s for s in test}
    order = _order(train, by_name)
    lives, known, judged = [], [], []
    names: list[str] = []
    for person in sorted({s.person for s in (*train, *test)}):
        first = next((s for s in train if s.person == person), None)
        joined, is_test = _merge(first, by_name.get(person), order)
        lives.append(vocabulary.encode(joined))
        names += [joined.steps[i].recording for i in _firsts(joined)]
        judged.append(is_test)
        known.append(~is_test)
    whole = join(lives, vocabulary)
    people = len(whole.people)
    folds = 1 if regime == "official" else max(1, min(folds, people))
    made = Task(whole, vocabulary, np.concatenate(known), np.concatenate(judged),
                tuple(names), regime, folds, seed)  # fmt: skip
    return made, order


def _check_apart(train: Sequence[Stream], test: Sequence[Stream]) -> None:
    """Raises Usage where a step to foretell stands in the training file as well."""
    known = {(t.person, s.recording, s.start_ns, s.own) for t in train for s in t.steps}
    for stream in test:
        again = [
            s for s in stream.steps if (stream.person, s.recording, s.start_ns, s.own) in known
        ]
        if again:
            raise Usage(
                f"{len(again)} of {len(stream)} test steps of {stream.person} are in the training "
                f"file as well, the first in recording {again[0].recording}",
                "give two files that share no step",
            )


def _order(train: Sequence[Stream], test: dict[str, Stream]) -> str:
    """How the recordings of both files can be put in the order lived."""
    pairs = [(s, test[s.person]) for s in train if s.person in test]
    both = [s for pair in pairs for s in pair]
    starts = [[s.steps[i].start_ns for i in _firsts(s)] for s in both]
    if any(len(times) > 1 for times in starts) and all(
        all(a < b for a, b in pairwise(times)) for times in starts
    ):
        return "time"
    keys = [[_natural(name) for name in s.recordings()] for s in both]
    alike = all(_shape(a) == _shape(b) for row in keys for a in row for b in row)
    ordered = all(row == sorted(row) for row in keys) if alike else False
    return "name" if ordered else "file"


def _firsts(stream: Stream) -> list[int]:
    steps = stream.steps
    return [i for i in range(len(steps)) if not i or steps[i].recording != steps[i - 1].recording]


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that orders names as a reader would: P1_2 before P1_10."""
    parts: list[str] = []
    for letter in name:
        if parts and parts[-1].isdigit() == letter.isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts)


def _shape(key: tuple[tuple[int, int, str], ...]) -> tuple[object, ...]:
    return tuple(part[2] if part[0] == 0 else 0 for part in key)


def _merge(train: Stream | None, test: Stream | None, order: str) -> tuple[Stream, np.ndarray]:
    """One life from both files, and which of its steps are the test file's."""
    parts: list[tuple[Any, int, list[Any]]] = []
    for which, stream in enumerate((train, test)):
        for start in _firsts(stream) if stream else []:
            assert stream is not None
            name = stream.steps[start].recording
            run = _run(stream, start)
            key: Any = {"time": run[0].start_ns, "name": _natural(name), "file": 0}[order]
            parts.append((key, which, run))
    parts.sort(key=lambda part: (part[0], part[1]))
    some = train or test
    assert some is not None
    steps = [step for _, _, run in parts for step in run]
    marks = [which == 1 for _, which, run in parts for _ in run]
    return replace(some, steps=tuple(steps)), np.array(marks, dtype=bool)


def _run(stream: Stream, start: int) -> list[Any]:
    """The steps of the recording that begins at this step."""
    stop = start + 1
    while stop < len(stream) and stream.steps[stop].recording == stream.steps[start].recording:
        stop += 1
    return list(stream.steps[start:stop])


@dataclass
class Judged:
    """A person's judged steps [N]: log-probability of the truth, of each field's truth [N, O],
    rank of the truth (0 is first), the chance of the likeliest class and whether it is right."""

    joint: np.ndarray
    fields: np.ndarray
    rank: np.ndarray
    sure: np.ndarray
    right: np.ndarray


def together(rows: Sequence["Judged"]) -> "Judged":
    """Several people's judged steps, one after the other."""
    return Judged(*(np.concatenate([getattr(row, name) for row in rows]) for name in JUDGED))


def judge(task: Task, mask: np.ndarray, log_p: np.ndarray) -> Judged:
    """Measure predictions [N, C] of the steps in the mask [T]."""
    lives, vocabulary = task.lives, task.vocabulary
    truth, steps = lives.joint[mask], np.arange(int(mask.sum()))
    chance = np.exp(log_p.astype(np.float64))
    listed, rest = chance[:, :-1], chance[:, -1]
    unseen = truth == lives.size - 1
    joint = log_p[steps, truth].astype(np.float64)
    joint = joint - np.where(unseen, np.log(vocabulary.unseen_ways), 0.0)
    fields = []
    for number, size in enumerate(vocabulary.own_sizes):
        code = lives.classes[:-1, number]
        table = np.zeros((lives.size - 1, size))
        table[np.arange(len(code)), code] = 1
        # The unseen class is spread evenly over what the list leaves out.
        ways = np.prod(vocabulary.own_sizes) / size - table.sum(0)
        spread = rest[:, None] * np.maximum(ways, 0) / vocabulary.unseen_ways
        both = listed @ table + spread
        own = lives.own[mask, number]
        fields.append(np.log(np.maximum(both[steps, own], 1e-12)))
    best = np.where(unseen, -1.0, listed[steps, np.minimum(truth, lives.size - 2)])
    rank = (listed > best[:, None]).sum(1)
    rank[unseen] = lives.size
    sure = listed.max(1)
    return Judged(joint, np.stack(fields, 1), rank, sure, listed.argmax(1) == truth)


# --- The parts of the work, each in a process of its own.

_task: Task | None = None
_boards: dict[bool, predictor.Board] = {}
_told: Any = None


def _begin(blob: bytes, told: Any) -> None:
    global _task, _told
    _task, _told = pickle.loads(blob), told
    _boards.clear()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


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
            early = mask & (task.lives.position < MOST_NAMING)
            found[person]["who"] = predictor.likelihoods(board, shared, person, among, early)
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
    pool = ProcessPoolExecutor(workers, context, _begin, (blob, told))
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


def _version() -> bytes:
    """Changes with the code that parts are made by."""
    here = Path(__file__).parent
    files = [*(here / "past").glob("*.py"), *(here / f"{n}.py" for n in ("benchmark", "baselines"))]
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


# --- The figures.


def summarise(
    task: Task,
    found: dict[str, dict[int, Any]],
    order: str,
    oracle: Oracle | None = None,
    only: str | None = None,
) -> tuple[dict[str, Any], pyarrow.Table]:
    """The figures as plain JSON values, and a row for each judged step."""
    lives = task.lives
    people = [p for fold in range(task.folds) for p in task.tested(fold)]
    people.sort()
    mask = np.concatenate([np.flatnonzero(task.mask(p)) for p in people])
    names = task.vocabulary.own
    result: dict[str, Any] = {
        "regime": task.regime, "n": len(mask), "people": len(people),
        "recordings": len(np.unique(lives.recording[mask])), "folds": task.folds,
        "classes": len(task.vocabulary.classes), "order": order, "seed": task.seed,
        "unseen": int((lives.joint[mask] == lives.size - 1).sum()),
    }  # fmt: skip
    columns: dict[str, Any] = {
        "person": [lives.people[p] for p in lives.person[mask]],
        "recording": [task.recordings[r] for r in lives.recording[mask]],
        "step": lives.position[mask],
    }  # fmt: skip
    logs: dict[str, np.ndarray] = {}
    if found.get("baselines"):
        logs |= _baselines(task, found["baselines"], people)
        if only in baselines.NAMES:
            logs = {only: logs[only]}
        result["baselines"] = {name: -float(value.mean()) for name, value in logs.items()}
    if found.get("model"):
        rows = [found["model"][p]["model"] for p in people]
        whole = together(rows)
        result |= scores(whole, lives.joint[mask], list(names))
        logs["model"] = whole.joint
        recording = lives.recording[mask]
        if "mixture" in logs:
            gain = logs["model"] - logs["mixture"]
            result["gain_over_mixture"] = _interval(gain, recording)
        if found.get("without_past"):
            rows = [found["without_past"][p]["without_past"] for p in people]
            logs["without_past"] = np.concatenate([r.joint for r in rows])
            result["without_past"] = -float(logs["without_past"].mean())
            result["history_gain"] = _interval(logs["model"] - logs["without_past"], recording)
        result |= _identity(task, found["model"], people)
        if "stranger" in found["model"][people[0]]:
            rows = [found["model"][p]["stranger"] for p in people]
            logs["stranger"] = np.concatenate([r.joint for r in rows])
            result["stranger_loss"] = -float(logs["stranger"].mean())
        result["per_person"] = _per_person(lives, mask, logs)
        if oracle is not None:
            result["oracle"], columns["nats.oracle"] = _oracle(task, mask, logs, oracle)
    for name, value in logs.items():
        columns[f"log_p.{name}"] = value
    return result, pyarrow.table(columns)


def _baselines(
    task: Task, counted: dict[int, Truths], people: Sequence[int]
) -> dict[str, np.ndarray]:
    """Log-chances of the truths in the order of `people`, unseen classes charged fairly."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in baselines.NAMES}
    chosen = {}
    for fold in range(task.folds):
        fitted = [counted[p] for p in task.pool(fold) if len(counted[p].steps)]
        known = [task.known[t.steps] for t in fitted]
        if sum(int(m.sum()) for m in known) == 0:
            fitted = [t for t in counted.values() if len(t.steps)]
            known = [np.ones(len(t.steps), dtype=bool) & task.known[t.steps] for t in fitted]
        chosen[fold] = baselines.choose(fitted, known)
    for person in people:
        truths = counted[person]
        judged = task.judged[truths.steps]
        truth = task.lives.joint[truths.steps[judged]]
        fair = np.where(truth == task.lives.size - 1, np.log(task.vocabulary.unseen_ways), 0.0)
        for name, value in baselines.named(truths, judged, chosen[task.fold(person)]).items():
            found[name].append(value - fair)
    return {name: np.concatenate(rows) for name, rows in found.items()}


def scores(judged: Judged, truth: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Losses in nats, hits among the best 1 and 5 (also as a mean over classes), calibration."""
    nats = {"joint": -float(judged.joint.mean())}
    nats |= {name: -float(judged.fields[:, i].mean()) for i, name in enumerate(names)}
    found = [float((judged.rank[truth == c] < 5).mean()) for c in np.unique(truth)]
    bins = np.minimum((judged.sure * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(bins, judged.sure - judged.right, BINS))
    return {
        "nats": nats, "top1": float((judged.rank < 1).mean()),
        "top5": float((judged.rank < 5).mean()), "recall5": float(np.mean(found)),
        "ece": float(gaps.sum() / len(truth)),
    }  # fmt: skip


def _interval(gain: np.ndarray, recording: np.ndarray) -> dict[str, float]:
    """Mean of paired differences [N] and its 95 % interval, by a bootstrap over recordings."""
    _, group = np.unique(recording, return_inverse=True)
    sums, counts = np.bincount(group, gain), np.bincount(group)
    draws = np.random.default_rng(0).integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"nats": float(gain.mean()), "low": float(low), "high": float(high)}


def _identity(task: Task, found: dict[int, Any], people: Sequence[int]) -> dict[str, Any]:
    """How often the wearer of a recording is named among all people, by likelihood."""
    rows = np.concatenate([found[p]["who"].argmax(1) == 0 for p in people])
    if len(task.lives.people) < 2:
        return {"who_top1": None}
    candidates = min(MOST_CANDIDATES, len(task.lives.people))
    return {"who_top1": float(rows.mean()), "who_candidates": candidates,
            "who_recordings": len(rows)}  # fmt: skip


def _per_person(
    lives: Lives, mask: np.ndarray, logs: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    owner = lives.person[mask]
    kept = [n for n in ("model", "without_past", "stranger", "mixture") if n in logs]
    return {
        lives.people[p]: {"n": int((owner == p).sum())}
        | {name: -float(logs[name][owner == p].mean()) for name in kept}
        for p in np.unique(owner).tolist()
    }


def _oracle(
    task: Task, mask: np.ndarray, logs: dict[str, np.ndarray], oracle: Oracle
) -> tuple[dict[str, float | int | None], np.ndarray]:
    """The best possible predictor's loss, and how far towards it from unigram the model comes.

    Only steps that the oracle has a row for count. Raises Usage where there are none.
    """
    lives = task.lives
    keys = [
        (lives.people[lives.person[t]], task.recordings[lives.recording[t]], int(lives.position[t]))
        for t in mask.tolist()
    ]
    best = np.array([oracle.get(key, np.nan) for key in keys])
    known = np.isfinite(best)
    if not known.any():
        raise Usage("no row of the oracle belongs to a test step", "check its person and recording")
    nats, model = float(best[known].mean()), -float(logs["model"][known].mean())
    found: dict[str, float | int | None] = {
        "nats": nats, "excess": model - nats, "recovered": None, "n": int(known.sum()),
    }  # fmt: skip
    if "unigram" in logs:
        unigram = -float(logs["unigram"][known].mean())
        found["recovered"] = (unigram - model) / (unigram - nats) if unigram > nats else None
    return found, best


def check_writable(path: Path) -> None:
    """Raises NotFound or Usage where rows of steps cannot or must not be written."""
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder {path.parent}", "make it, or name another file")
    if path.exists() and (not path.is_file() or path.suffix.lower() != ".parquet"):
        raise Usage(f"{path} exists and is no Parquet file", "name another file to write")


def write_steps(steps: pyarrow.Table, path: Path) -> None:
    """Write the rows of the judged steps as Parquet."""
    check_writable(path)
    pyarrow.parquet.write_table(steps, path)


def read_oracle(path: Path) -> Oracle:
    """A CSV of person, recording, step (from 0 within the recording) and nats.

    Raises NotFound, or Damaged naming the row and the column.
    """
    if not path.is_file():
        raise NotFound(f"there is no oracle file {path}", "give a CSV person,recording,step,nats")
    found: Oracle = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = [n for n in ORACLE_COLUMNS if n not in (rows.fieldnames or ())]
        if missing:
            raise Damaged(f"{path.name} has no column {missing[0]!r}", ",".join(ORACLE_COLUMNS))
        for number, row in enumerate(rows, start=2):
            for name, kind in (("step", int), ("nats", float)):
                try:
                    good = 0 <= kind(row[name] or "") < np.inf
                except (TypeError, ValueError):
                    good = False
                if not good:
                    raise Damaged(
                        f"{path.name} row {number}, column {name}: {row[name]!r} will not do",
                        "a step is a whole number from 0 on, nats are 0 or more",
                    )
            key = row["person"], row["recording"], int(row["step"])
            if key in found:
                raise Damaged(f"{path.name} row {number}: the step stands there twice", "mend it")
            found[key] = float(row["nats"])
    return found
