"""metrics.jsonl of a training run: one line for each update that is told, as it happens.

A run that goes on from a checkpoint first takes back the lines that the checkpoint does not know.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firsthand.errors import Failed


class Metrics:
    """The lines of one network; other networks may have lines in the same file."""

    def __init__(self, path: Path | None, network: str) -> None:
        self.path, self.network = path, network

    def rewind(self, update: int) -> None:
        """Forget this network's lines after `update`, and a last line that was cut."""
        if self.path is None or not self.path.exists():
            return
        text = self.path.read_text()
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and self._stands(line, update)]
        if len(kept) == len(lines):
            return
        partial = self.path.with_name(self.path.name + ".partial")
        with partial.open("w") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def tell(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Add a line; what was written."""
        row = {"network": self.network, **line}
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            except OSError as error:
                raise Failed(
                    f"the metrics {self.path} cannot be written: {error.strerror}",
                    "free some disk space and start again: it goes on from the last checkpoint",
                ) from error
        return row

    def _stands(self, line: str, update: int) -> bool:
        try:
            row = json.loads(line)
        except ValueError:
            return False
        if row.get("network") != self.network:
            return True
        return row.get("update", update + 1) <= update
