"""Mounts the directory that forgets what was not synced (lossy_disk.py), and cuts its power."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Mounted:
    """A lossy directory that is mounted, and its power switch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def power(self, words: str) -> None:
        """See Lossy."""
        (self.path / ".power").write_text(words)

    @property
    def state(self) -> dict[str, int]:
        """Operations since `cut_at`, whether power is off, bytes that the cut took."""
        return json.loads((self.path / ".power").read_text())


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Mounted]:
    """A lossy directory at this new folder; the test is skipped where FUSE is not to be had."""
    folder.mkdir()
    log = folder.with_suffix(".log")
    program = str(Path(__file__).with_name("lossy_disk.py"))
    with open(log, "w") as errors:
        process = subprocess.Popen([sys.executable, program, str(folder), *options], stderr=errors)
    try:
        for _ in range(500):
            if process.poll() is not None or (folder / ".power").exists():
                break
            time.sleep(0.01)
        if process.poll() is not None:
            pytest.skip(f"no FUSE here: {log.read_text().strip()[-200:]}")
        yield Mounted(folder)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], capture_output=True)
        process.terminate()
        process.wait()
