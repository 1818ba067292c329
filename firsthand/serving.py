"""Where the server of a data folder answers while it runs: what links and QR codes then say.

Another command may print them than the one that serves. Each server's own address lies in a file of
its own, locked as long as it lives; a crash frees the lock, so that an old address is not believed.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firsthand.config import Settings


@contextmanager
def announced(data: Path, url: str) -> Iterator[None]:
    """Tells the folder's other commands this address while the block runs.

    Of the servers of one folder that run, the one that began last is told.
    """
    folder = _folder(data)
    folder.mkdir(mode=0o700, exist_ok=True)
    for each in _files(folder):
        if _told_by(each) is None:
            each.unlink(missing_ok=True)  # of one that was killed
    name = f"{time.time_ns():020d}-{os.getpid()}"
    draft, file = folder / f".{name}", folder / name
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, url.encode())
        draft.replace(file)  # never seen without its lock and its address
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def address(settings: Settings) -> str:
    """The setting `vault_url`; else where the folder's server answers; else its host and port."""
    return settings.vault_url or _running(settings.data) or settings.vault


def _running(data: Path) -> str:
    """The address of the server that runs over this folder; empty if none does."""
    told = (_told_by(each) for each in reversed(_files(_folder(data))))
    return next(filter(None, told), "")


def _told_by(file: Path) -> str | None:
    """The address of a server that lives; None if it does not."""
    with suppress(OSError):
        handle = os.open(file, os.O_RDONLY)
        try:
            # Shared: whoever asks at the same moment is not taken for the server.
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(handle, 1024, 0).decode()
        finally:
            os.close(handle)
    return None


def _files(folder: Path) -> list[Path]:
    """Oldest first; none while there is no such folder."""
    with suppress(OSError):
        return sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    return []


def _folder(data: Path) -> Path:
    return data / "vault" / "servers"
