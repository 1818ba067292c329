"""How long `firsthand --help` takes, as a multiple of `python -c pass`. The bound is 16.

Runs both in turns and compares their medians, so that a busy machine slows both alike.
"""

import json
import statistics
import subprocess
import sys
import time

TURNS = 15
BOUND = 16


def seconds(command: list[str]) -> float:
    """Wall time of one run of the command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    """Prints the medians and their ratio as JSON; 1 if the ratio is above the bound."""
    empty, shown = [], []
    for _ in range(TURNS):
        empty.append(seconds([sys.executable, "-c", "pass"]))
        shown.append(seconds([sys.executable, "-m", "firsthand", "--help"]))
    pass_s, help_s = statistics.median(empty), statistics.median(shown)
    ratio = help_s / pass_s
    print(
        json.dumps(
            {
                "bench": "start",
                "pass_s": round(pass_s, 4),
                "help_s": round(help_s, 4),
                "ratio": round(ratio, 2),
                "bound": BOUND,
            }
        )
    )
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main())
