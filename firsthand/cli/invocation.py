"""The running command's settings: what --data said, joined with file and environment.

A plain module value and no context variable: threads that a command starts must see it too.
"""

from pathlib import Path
from typing import Any

from firsthand.config import Settings, load

_folder: Path | None = None


def begin(folder: Path | None) -> None:
    """Notes the data folder that the command line names, or None."""
    global _folder
    _folder = folder


def settings(**flags: Any) -> Settings:
    """Settings of this invocation; `flags` that are not None overrule file and environment."""
    return load(_folder, **flags)


def demo_settings(folder: Path) -> Settings:
    """Settings of the demo: a folder and a passphrase of its own, nothing shared with real data."""
    return Settings(data=_folder or folder)
