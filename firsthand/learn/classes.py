"""The closed list of joint classes: a file of one class a row, such as a benchmark publishes."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.streams import Stream
from firsthand.learn.vocabulary import Vocabulary


def read_classes(path: Path, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """The classes of a CSV whose header names the own fields, in any order.

    Raises NotFound, or Damaged naming the row and the column.
    """
    if not path.is_file():
        raise NotFound(f"there is no file of classes {path}", "give a CSV with one class a row")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        missing = [name for name in fields if name not in header]
        if missing:
            raise Damaged(
                f"{path.name} has no column {missing[0]!r}", f"its header needs {','.join(fields)}"
            )
        columns = [header.index(name) for name in fields]
        classes: list[tuple[str, ...]] = []
        for number, row in enumerate(rows, start=2):
            if len(row) != len(header) or not all(row[c] for c in columns):
                raise Damaged(
                    f"{path.name} row {number}: {len(header)} filled columns expected", "mend it"
                )
            classes.append(tuple(row[c] for c in columns))
    if not classes:
        raise Damaged(f"{path.name} holds no class", "give one class a row")
    if len(set(classes)) < len(classes):
        twice = next(c for c in classes if classes.count(c) > 1)
        raise Damaged(f"{path.name} holds the class {twice} twice", "a list names each class once")
    return classes


def check_listed(stream: Stream, classes: set[tuple[str, ...]], file: str) -> None:
    """Raises Damaged at the first step whose class the list does not hold."""
    for number, step in enumerate(stream.steps):
        if step.own not in classes:
            raise Damaged(
                f"{file}, row {number + 1} of person {stream.person} (recording {step.recording}, "
                f"start_s {step.start_ns / 1e9:g}), columns {','.join(stream.own)}: "
                f"{','.join(step.own)} is not in the list of classes",
                "add it to the list, or leave --classes out",
            )


def closed(vocabulary: Vocabulary, classes: Sequence[tuple[str, ...]]) -> Vocabulary:
    """The vocabulary with exactly these joint classes and their field values."""
    if any(len(row) != len(vocabulary.own) for row in classes):
        raise Usage(f"a class needs a value for each of {tuple(vocabulary.own)}", "mend the list")
    own = {
        name: tuple(sorted({row[i] for row in classes})) for i, name in enumerate(vocabulary.own)
    }
    return replace(vocabulary, own=own, classes=tuple(sorted(classes)))
