"""What withholding costs: how much worse a model predicts as more of everyone's past is withheld.

Simulated people, of whom the last quarter of days is held out and foretold in full. Of the days
before, a share of the time is withheld, by chance (half hours) or always the same part of the day
(the evening backwards: what people who withhold would withhold). Reproducible from --seed.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SHARES = (0.0, 0.2, 0.4, 0.6)
HALF_HOUR_S = 1800
DAY_S = 86_400


def main() -> int:
    """Prints one JSON object with the curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--days", type=int, default=28)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = ("--people", str(given.people), "--days", str(given.days))
        firsthand(
            *("simulate", "people", "--seed", str(given.seed), *size),
            *("--out", str(folder / "all.csv"), "--oracle", str(folder / "oracle.csv")),
        )
        with (folder / "all.csv").open() as file:
            rows = list(csv.DictReader(file))
        held = set(sorted({row["recording"] for row in rows})[-(given.days // 4) :])
        write(folder / "test.csv", [row for row in rows if row["recording"] in held])
        lived = [row for row in rows if row["recording"] not in held]
        curve = []
        for how in ("by chance", "the evenings"):
            for share in SHARES if how == "by chance" else SHARES[1:]:
                left = without(lived, share, how, given.seed)
                write(folder / "train.csv", left)
                found = firsthand(
                    *("learn", "benchmark", "--json", "--train", str(folder / "train.csv")),
                    *("--test", str(folder / "test.csv")),
                )
                nats = json.loads(found)["nats"]["joint"]
                gone = 1 - len(left) / len(lived)
                curve.append({"how": how, "share": share, "events_gone": gone, "nats": nats})
                print(f"{how} {share:.0%}: {nats:.3f} nats", file=sys.stderr)
    print(json.dumps({"seed": given.seed, "people": given.people, "days": given.days,
                      "curve": curve}, indent=2))  # fmt: skip
    return 0


def without(rows: list[dict[str, str]], share: float, how: str, seed: int) -> list[dict[str, str]]:
    """The rows that are left when this share of the time is withheld."""
    if how == "the evenings":
        starts = sorted(float(row["start_s"]) % DAY_S for row in rows)
        until = starts[min(len(starts) - 1, round((1 - share) * len(starts)))]
        return [row for row in rows if float(row["start_s"]) % DAY_S < until]
    chance = random.Random(f"{seed} {share}")
    drawn: dict[tuple[str, int], bool] = {}
    left = []
    for row in rows:
        slot = row["person"], int(float(row["start_s"]) // HALF_HOUR_S)
        if slot not in drawn:
            drawn[slot] = chance.random() < share
        if not drawn[slot]:
            left.append(row)
    return left


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows as the public stream format."""
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def firsthand(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "firsthand", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
