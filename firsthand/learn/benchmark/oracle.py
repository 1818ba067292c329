"""The oracle: a file of the best possible predictor's loss at each step, made by a simulation."""

import csv
from pathlib import Path

import numpy as np

from firsthand.errors import Damaged, NotFound

COLUMNS = ("person", "recording", "step", "nats")
Oracle = dict[tuple[str, str, int], float]


def read_oracle(path: Path) -> Oracle:
    """A CSV of person, recording, step (from 0 within the recording) and nats.

    Raises NotFound, or Damaged naming the row and the column.
    """
    if not path.is_file():
        raise NotFound(f"there is no oracle file {path}", "give a CSV person,recording,step,nats")
    found: Oracle = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = [n for n in COLUMNS if n not in (rows.fieldnames or ())]
        if missing:
            raise Damaged(f"{path.name} has no column {missing[0]!r}", ",".join(COLUMNS))
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
