"""Where the server of a data folder answers while it runs: what links and QR codes then say.

Another command may print them than the one that serves. The server's own address lies in a file,
locked as long as it lives; a crash frees the lock, so that an old address is not believed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from firsthand.config import Settings


@contextmanager
def announced(data: Path, url: str) -> Iterator[None]:
    """Tells the folder's other commands this address while the block runs.

    Of two servers of one folder, the one that began last is told.
    """
    handle = os.open(_file(data), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Shared, so that it waits for no other server; whoever asks tries for it alone.
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.ftruncate(handle, 0)
        os.pwrite(handle, url.encode(), 0)
        yield
    finally:
        os.close(handle)


def address(settings: Settings) -> str:
    """The setting `vault_url`; else where the folder's server answers; else its host and port."""
    return settings.vault_url or _running(settings.data) or settings.vault


def _running(data: Path) -> str:
    """The address of the server that runs over this folder; empty if none does."""
    with suppress(OSError):
        handle = os.open(_file(data), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(handle, 1024, 0).decode()
        finally:
            os.close(handle)
    return ""


def _file(data: Path) -> Path:
    return data / "vault" / "serving"
