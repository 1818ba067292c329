"""Parts of an upload in a folder: each goes to its place in one file, written once.

The file becomes the object by another name, so no byte is copied. An empty file says of a part
that it is there, and how long it is; it is made only after the part's bytes are durable.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from firsthand.errors import Failed, NotFound
from firsthand.vault.digest import Running

# Written straight to the disk, bytes cost a quarter of the CPU that the page cache takes, and leave
# the cache to what is read. Places, sizes and memory must be multiples of this for it.
BLOCK = 4096


class StoreFull(Failed):
    """There is no room for these bytes; the device keeps them."""

    http_status = 507


class Writer:
    """Takes the bytes of one part in order; `finish` makes them count."""

    def __init__(
        self, folder: Path, number: int, offset: int, size: int, running: Running | None = None
    ) -> None:
        """Opens the place of part `number` in the upload of this folder; StoreFull."""
        self._running = running
        self._file = folder / "bytes"
        self._mark = folder / f"{number:05d}.{size}"
        self._at, self._stop = offset, offset + size
        with explained(self._mark):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._handle = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
            self._direct = _open_direct(self._file)
            with contextlib.suppress(FileNotFoundError):
                self._mark.unlink()  # until it is there anew

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return self._stop - self._at

    def write(self, data: memoryview | bytes) -> None:
        """The next bytes; StoreFull, or NotFound once the upload was finished or aborted."""
        view = memoryview(data)
        if len(view) > self.left:
            raise Failed("a part was given more bytes than belong to it")
        with explained(self._mark):
            # Shared with other writers, never with `finish`: what was verified is not written to.
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            try:
                self._check_open()
                if self._running is not None:  # first, as it brings the bytes into the cache
                    self._running.writes(self._at, view)
                while view:
                    count = self._put(view)
                    self._at += count
                    view = view[count:]
            finally:
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def finish(self) -> None:
        """Makes the part durable, then says that it is there; Failed if bytes are missing."""
        if self.left:
            raise Failed(f"a part lacks {self.left} bytes", "send it again")
        with explained(self._mark):
            os.fdatasync(self._handle)
            self._check_open()
            os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT, 0o600))

    def close(self) -> None:
        """Lets go of the file; without `finish` the part counts as not sent."""
        os.close(self._handle)
        if self._direct is not None:
            os.close(self._direct)

    def _put(self, view: memoryview) -> int:
        """Writes some of these bytes, past the page cache if they lie as that needs it."""
        whole = len(view) - len(view) % BLOCK
        if self._direct is not None and whole and self._at % BLOCK == 0:
            try:
                return os.pwrite(self._direct, view[:whole], self._at)
            except OSError as error:
                if error.errno != errno.EINVAL:  # bytes that lie across blocks of memory
                    raise
        return os.pwrite(self._handle, view, self._at)

    def _check_open(self) -> None:
        try:
            same = os.path.samestat(os.stat(self._file), os.fstat(self._handle))
        except FileNotFoundError:
            same = False
        if not same:
            raise NotFound("this upload was completed or ended", "ask for it again")


def _open_direct(file: Path) -> int | None:
    """A handle that writes straight to the disk; None where a file system has no such thing."""
    try:
        return os.open(file, os.O_WRONLY | os.O_DIRECT)
    except (OSError, AttributeError):
        return None


def held(folder: Path) -> dict[int, int]:
    """Sizes of the parts that are there, durable, by number."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    if "bytes" not in names:
        return {}
    marks = [name.split(".") for name in names if name[0].isdecimal()]
    return {int(number): int(size) for number, size in marks}


def sign_in(folder: Path, name: str) -> None:
    """Leaves word that a process writes to an upload."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(folder / f"by.{name}", os.O_WRONLY | os.O_CREAT, 0o600))


def others(folder: Path, name: str) -> bool:
    """Whether another process has written to an upload, or nobody has left word at all."""
    try:
        names = {each for each in os.listdir(folder) if each.startswith("by.")}
    except FileNotFoundError:
        return True
    return names != {f"by.{name}"}


def finish(folder: Path, target: Path) -> bool:
    """Makes the file the object `target`, durable but for its name; False if there is none.

    From here on no part can change it. Doing it again, or twice at once, comes to the same.
    """
    try:
        handle = os.open(folder / "bytes", os.O_WRONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.fsync(handle)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A link, as a rename could replace what another has just verified.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(folder / "bytes", target)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / "bytes")
    finally:
        os.close(handle)
    return True


@contextlib.contextmanager
def explained(what: Path | str) -> Iterator[None]:
    """Turns what a disk says into our errors; StoreFull if it has no room."""
    try:
        yield
    except OSError as error:
        hint = "make room in the store; the device keeps its footage and tries again"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull("the store is full", hint) from error
        raise Failed(f"cannot store {what}: {error.strerror}", hint) from error
