"""Files that are the old one or the new one after a power cut, never half of each."""

import os
from pathlib import Path

FILE_MODE = 0o600


def write_durably(path: Path, data: bytes) -> None:
    """Replace a small file as a whole, and return once the disk has it; raises OSError."""
    draft = path.with_name(path.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync_folder(path.parent)


def append_durably(path: Path, line: bytes) -> None:
    """Add one line, and return once the disk has it; a line torn by a cut is ended first."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, FILE_MODE)
    with os.fdopen(handle, "r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write((b"\n" if torn else b"") + line + b"\n")
        os.fsync(file.fileno())
    if not size:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
