"""Compiled functions, kept between runs and compiled anew when any file of this folder changes.

Numba looks only at the file of a function for that, not at the files of those it calls, whose
code is part of it: an edit to tables.py alone would have left the gate as it was.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

FOLDER = Path(__file__).parent
SETTINGS: Any = config  # whose names Numba makes up as it starts


def _folder() -> str:
    """Where this version's compiled code is kept; empty, Numba's own choice, if it cannot be."""
    sums = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        sums.update(path.read_bytes())
    kept = FOLDER / "__pycache__" / f"compiled-{sums.hexdigest()[:12]}"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(kept) if os.access(kept, os.W_OK) else ""


_KEPT = _folder()


def compiled(function: Callable | None = None, *, fastmath: bool = False) -> Any:
    """A decorator that compiles a function on its first call."""

    def compile_(function: Callable) -> Any:
        before = SETTINGS.CACHE_DIR
        SETTINGS.CACHE_DIR = _KEPT or before
        try:
            return numba.njit(cache=True, fastmath=fastmath)(function)
        finally:
            SETTINGS.CACHE_DIR = before

    return compile_(function) if function else compile_
