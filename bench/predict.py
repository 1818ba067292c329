"""The benchmark of prediction: real people's actions (EPIC-KITCHENS) and simulated people.

Real people: the folder of EPIC-KITCHENS-100's labels (CC BY-NC 4.0, Damen et al., IJCV 2022) is
the user's own: FIRSTHAND_TEST_DATA names the folder that holds `epic100/`; without it only
simulated people are judged. Of each person the last recordings are held out, as few as hold a
seventh of the steps; those of somebody with a single recording are all learned from.
"""

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

FRAMES_A_SECOND = 30
HELD_OUT = 7  # one step in so many, at least
COLUMNS = ("person", "recording", "start_s", "stop_s", "verb", "noun")
DAYS, HELD_OUT_DAYS, PEOPLE = 56, 14, 24


def main() -> int:
    """Prints one JSON object for each benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=1, help="seeds of simulated people")
    parser.add_argument("--skip-real", action="store_true")
    parser.add_argument("--keep", type=Path, help="keep streams and finished parts here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(__file__).parents[2] / "shared" / "data"
        labels = Path(os.environ.get("FIRSTHAND_TEST_DATA") or beside) / "epic100"
        if labels.is_dir() and not given.skip_real:
            real(labels, folder)
            listed = ("--classes", str(labels / "action_classes.csv"))
            show("epic", benchmark(folder, "epic", *listed))
        elif not given.skip_real:
            print("no labels of real people here: set FIRSTHAND_TEST_DATA", file=sys.stderr)
        for seed in range(1, given.seeds + 1):
            simulated(folder, seed)
            name = f"simulated-{seed}"
            show(name, benchmark(folder, name, "--oracle", str(folder / f"{name}-oracle.csv")))
    return 0


def real(labels: Path, folder: Path) -> None:
    """Write epic-train.csv and epic-test.csv: 67,217 actions of 32 people in the order lived."""
    rows = []
    with gzip.open(labels / "rulstm_ek100_training.csv.gz", "rt") as file:
        for row in csv.reader(file):
            narration, video, start, stop, verb, noun = (cell.strip() for cell in row[:6])
            person, number = video.split("_")
            times = (int(start) / FRAMES_A_SECOND, int(stop) / FRAMES_A_SECOND)
            order = (person, int(number), *times, int(narration.rsplit("_", 1)[1]))
            rows.append((order, (person, video, *times, verb, noun)))
    ordered = [row for _, row in sorted(rows)]
    held = held_out([row[:2] for row in ordered])
    write(folder / "epic-train.csv", [row for row in ordered if row[1] not in held])
    write(folder / "epic-test.csv", [row for row in ordered if row[1] in held])


def held_out(steps: list[tuple[str, str]]) -> set[str]:
    """The last recordings of each person, as few as hold a seventh of the person's steps."""
    held = set()
    for person in sorted({person for person, _ in steps}):
        lengths = Counter(recording for p, recording in steps if p == person)
        names, total, count = list(lengths), sum(lengths.values()), 0
        while len(names) > 1 and count < total / HELD_OUT:
            held.add(names[-1])
            count += lengths[names.pop()]
    return held


def simulated(folder: Path, seed: int) -> None:
    """Write the streams of simulated people, the last fortnight held out, and their oracle."""
    name = f"simulated-{seed}"
    events, oracle = folder / f"{name}.csv", folder / f"{name}-oracle.csv"
    command = ["simulate", "people", "--seed", str(seed), "--people", str(PEOPLE), "--force"]
    run(*command, "--days", str(DAYS), "--out", str(events), "--oracle", str(oracle))
    with events.open(newline="") as file:
        header, *rows = csv.reader(file)
    late = set(sorted({row[1] for row in rows})[-HELD_OUT_DAYS:])
    write(folder / f"{name}-train.csv", [r for r in rows if r[1] not in late], header)
    write(folder / f"{name}-test.csv", [r for r in rows if r[1] in late], header)


def write(path: Path, rows: list, header: list[str] | tuple[str, ...] = COLUMNS) -> None:
    """A stream file."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(header)
        out.writerows(rows)


def benchmark(folder: Path, name: str, *more: str) -> dict:
    """The benchmark's JSON, with the seconds that it took."""
    files = [
        "--train",
        str(folder / f"{name}-train.csv"),
        "--test",
        str(folder / f"{name}-test.csv"),
    ]
    began = time.monotonic()
    kept = ("--keep", str(folder / "parts"), "--per-step", str(folder / f"{name}-steps.parquet"))
    told = json.loads(run("learn", "benchmark", *files, *kept, *more, "--json"))
    return told | {"wall_s": round(time.monotonic() - began)}


def run(*arguments: str) -> str:
    """What a command prints; its own progress goes where ours goes."""
    command = [sys.executable, "-m", "firsthand", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def show(name: str, result: dict) -> None:
    """One JSON object, without the rows of single people, with the commit."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    shown = {key: value for key, value in result.items() if key != "per_person"}
    print(json.dumps({"bench": name, **shown, "commit": commit}))


if __name__ == "__main__":
    sys.exit(main())
