"""The stream: a person's life as steps of discrete fields, with true times and typed gaps.

Also reads the public event format (CSV or Parquet). What turns footage into a stream is in
footage.py; what turns field values into numbers is in vocabulary.py.
"""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.shard import GAPS

MOST_S = 9e9  # the year 2255; what an int64 holds in nanoseconds
FIXED_COLUMNS = ("person", "recording", "start_s", "stop_s")


@dataclass(frozen=True)
class Step:
    """One step: `own` is what the wearer did, `world` what could be seen before it began."""

    start_ns: int
    stop_ns: int
    recording: str
    own: tuple[str, ...]
    world: tuple[str, ...] = ()
    gap: str = "none"


@dataclass(frozen=True)
class Stream:
    """The steps of one person in the order lived; `kind` is "events" or "ticks"."""

    person: str
    own: tuple[str, ...]
    world: tuple[str, ...]
    steps: tuple[Step, ...]
    kind: str = "events"
    lineage: dict[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.steps)

    def recordings(self) -> list[str]:
        """The names of the recordings (days, for footage) in the order lived."""
        return list(dict.fromkeys(step.recording for step in self.steps))


def split(stream: Stream) -> tuple[int, int]:
    """Indices (dev, test): steps before `dev` fit, `dev`..`test` are the last training day,
    and those from `test` on are the held-out last day.

    A recording stands for a day. A stream of too few recordings is cut by steps instead: its
    last fifth is held out, and the last fifth of the rest is the development part.
    """
    names = stream.recordings()
    starts: dict[str, int] = {}
    for index, step in enumerate(stream.steps):
        starts.setdefault(step.recording, index)
    total = len(stream)
    test = starts[names[-1]] if len(names) >= 2 else total - max(1, total // 5)
    if len(names) >= 3:
        dev = starts[names[-2]]
    else:
        dev = test - max(1, test // 5)
    return max(dev, 0), max(test, 0)


def check(stream: Stream) -> Stream:
    """The stream itself, or an error that names the first step which breaks the format."""
    for index, step in enumerate(stream.steps):
        where = f"step {index} of person {stream.person}"
        if len(step.own) != len(stream.own) or len(step.world) != len(stream.world):
            raise Damaged(f"{where} has {len(step.own)}+{len(step.world)} fields", "see the header")
        if step.stop_ns < step.start_ns:
            raise Damaged(f"{where} stops before it starts", "check its times")
        if step.gap not in GAPS:
            raise Damaged(f"{where} follows a gap of unknown kind {step.gap!r}", f"one of {GAPS}")
    return stream


def read_streams(path: Path, own: tuple[str, ...] | None = None) -> list[Stream]:
    """Streams from a CSV or Parquet file `person,recording,start_s,stop_s,<fields>`.

    Rows of one person stand in the order lived; steps may overlap. Every field is an own field
    unless `own` names those that are. Raises errors that name the row and the column.
    """
    if not path.is_file():
        raise NotFound(f"there is no stream file {path}", "give a CSV or Parquet file")
    columns, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    twice = [name for name in columns if columns.count(name) > 1 or not name.strip()]
    if twice:
        raise Damaged(f"{path.name} has the column {twice[0]!r} twice or without a name", "mend it")
    missing = [name for name in FIXED_COLUMNS if name not in columns]
    names = tuple(name for name in columns if name not in FIXED_COLUMNS)
    hint = "a stream has person,recording,start_s,stop_s and then one column per field"
    if missing:
        raise Damaged(f"{path.name} has no column {missing[0]!r}", hint)
    if not names:
        raise Damaged(f"{path.name} has no column with a field", hint)
    unknown = [name for name in own or () if name not in names]
    if unknown:
        raise Usage(f"{path.name} has no column {unknown[0]!r}", f"its fields are {names}")
    own = own or names
    world = tuple(name for name in names if name not in own)
    steps: dict[str, list[Step]] = {}
    for number, row in rows:
        person, step = _step(path.name, number, row, own, world)
        lived = steps.setdefault(person, [])
        first = not lived or lived[-1].recording != step.recording
        if not first and step.start_ns < lived[-1].start_ns:
            raise Damaged(
                f"{path.name} row {number}, column start_s: time runs backwards",
                "rows of one recording must stand in the order lived",
            )
        lived.append(replace(step, gap="start") if first else step)
    if not steps:
        raise Damaged(f"{path.name} holds no rows", hint)
    lineage: dict[str, object] = {"release": "none", "file": path.name}
    return [Stream(p, own, world, tuple(s), "events", lineage) for p, s in steps.items()]


def _step(
    file: str, number: int, row: dict[str, str], own: Iterable[str], world: Iterable[str]
) -> tuple[str, Step]:
    """One row as (person, step)."""
    for name in (*FIXED_COLUMNS, *own, *world):
        if row.get(name) in (None, ""):
            raise Damaged(f"{file} row {number}, column {name}: empty", "fill it or drop the row")
    start_s, stop_s = (_seconds(file, number, name, row[name]) for name in ("start_s", "stop_s"))
    if stop_s < start_s:
        raise Damaged(f"{file} row {number}, column stop_s: before start_s", "check the times")
    values = tuple(row[name] for name in own)
    seen = tuple(row[name] for name in world)
    start_ns, stop_ns = round(start_s * 1e9), round(stop_s * 1e9)
    return row["person"], Step(start_ns, stop_ns, row["recording"], values, seen)


def _seconds(file: str, number: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Damaged(f"{file} row {number}, column {column}: {text!r} is no time", "use seconds")
    if abs(value) > MOST_S:
        raise Damaged(
            f"{file} row {number}, column {column}: {text} is too far off to be seconds",
            "give seconds, not milliseconds or microseconds",
        )
    return value


def _csv(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names and (row number as an editor shows it, row)."""
    lines = _lines(path)
    columns = next(lines, (0, []))[1]

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for number, row in lines:
            if len(row) != len(columns):
                raise Damaged(f"{path.name} row {number}: {len(columns)} columns expected", "")
            yield number, dict(zip(columns, row, strict=True))

    return columns, rows()


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line."""
    number = 0
    try:
        # With or without the mark that spreadsheets begin a file with.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in reader:
                number = reader.line_num
                if row:
                    yield number, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise Damaged(
            f"{path.name} is no CSV in UTF-8 after row {number}: {error}", "save it as UTF-8"
        ) from error


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise Damaged(f"{path.name} is no readable Parquet file", "write it again") from error
    rows = (
        (number, {name: _text(path.name, number, name, value) for name, value in row.items()})
        for number, row in enumerate(table.to_pylist(), start=1)
    )
    return table.column_names, rows


def _text(file: str, number: int, column: str, value: object) -> str:
    """A Parquet value as a CSV would hold it: text or a whole number, times also as a fraction."""
    time = column in ("start_s", "stop_s")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float) if time else (str, int)):
        raise Damaged(
            f"{file} row {number}, column {column}: {value!r} is no {'time' if time else 'text'}",
            "write names as text, times as seconds",
        )
    return str(value)
