"""The whole demo, timed by stage: seconds of each, memory at its peak, figures of the model."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Runs the full demo in a temporary folder and prints what it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "firsthand", "--data", str(Path(folder) / "d")]
        done = subprocess.run([*command, "demo", "--json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    said = json.loads(done.stdout)
    for line in done.stderr.splitlines():
        if line.startswith("step_done"):
            print(line)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"whole demo {said['wall_s']} s, largest process {peak:.2f} GB")
    print(json.dumps(said["model"], indent=1))


if __name__ == "__main__":
    main()
