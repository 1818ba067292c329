"""The object store: random-named sealed bytes, on local files (here) or any S3 (another URL).

The only file that knows obstore. What an object means stands in the catalogue.
"""

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore

from firsthand.errors import Failed, NotFound, Usage

READ_SIZE = 4 << 20


class Store:
    """Objects under keys: put once, read, listed, deleted; a put is durable when it returns."""

    def __init__(self, url: str) -> None:
        """Opens file:///folder (made if missing); Usage for a URL of another kind."""
        parsed = urlsplit(url)
        if parsed.scheme != "file" or parsed.netloc or not parsed.path.startswith("/"):
            raise Usage(f"store {url} is of an unknown kind", "give file:///absolute/folder")
        self.folder = Path(unquote(parsed.path))
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = LocalStore(str(self.folder))

    def put(self, key: str, data: bytes) -> None:
        """Writes an object once; Failed if the key is taken or the store is full."""
        try:
            obstore.put(self._store, key, data, mode="create", use_multipart=False)
        except (FileExistsError, obstore.exceptions.AlreadyExistsError) as error:
            raise Failed(f"object {key} exists already") from error
        except (OSError, obstore.exceptions.BaseError) as error:
            raise _unwritten(key, error) from error
        self._sync(key)

    def join(self, key: str, sources: Iterable[str]) -> None:
        """Writes the objects `sources`, one after the other, as the new object `key`."""
        try:
            with obstore.open_writer(self._store, key) as out:
                for source in sources:
                    for chunk in self.chunks(source):
                        out.write(chunk)
        except (OSError, obstore.exceptions.BaseError) as error:
            raise _unwritten(key, error) from error
        self._sync(key)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces of some MiB; NotFound."""
        try:
            for chunk in obstore.get(self._store, key).stream(READ_SIZE):
                yield bytes(chunk)
        except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
            raise _missing(key) from error

    def read(self, key: str, start: int, size: int) -> bytes:
        """A range of an object; NotFound, or Failed if the object is shorter."""
        if size == 0:
            return b""
        try:
            data = bytes(obstore.get_range(self._store, key, start=start, length=size))
        except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
            raise _missing(key) from error
        except obstore.exceptions.BaseError as error:
            raise Failed(f"cannot read object {key}: {error}") from error
        if len(data) != size:
            raise Failed(f"object {key} ends early", 'run "firsthand vault check"')
        return data

    def open(self, key: str, start: int, size: int) -> BinaryIO:
        """A seekable file over a range of an object; reads raise as `read` does."""
        return cast(BinaryIO, _Range(self, key, start, size))

    def size(self, key: str) -> int | None:
        """Size in bytes, or None if there is no such object."""
        try:
            return obstore.head(self._store, key)["size"]
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys under a prefix."""
        for batch in obstore.list(self._store, prefix):
            for item in batch:
                yield item["path"]

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        try:
            obstore.delete(self._store, key)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return

    def _sync(self, key: str) -> None:
        # A local put is only renamed into place; without these a power cut may undo a receipt.
        path = self.folder / key
        for each in (path, path.parent, path.parent.parent):
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


class _Range(io.RawIOBase):
    def __init__(self, store: Store, key: str, start: int, size: int) -> None:
        self._store, self._key, self._start, self._size = store, key, start, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = min(self._size, max(0, base + offset))
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        data = self._store.read(
            self._key, self._start + self._at, left if size < 0 else min(size, left)
        )
        self._at += len(data)
        return data


def _unwritten(key: str, error: Exception) -> Failed:
    # The store's own words run over many lines.
    said = str(error).partition("\n")[0] or type(error).__name__
    return Failed(f"cannot store object {key}: {said}", "make room in the store, then try again")


def _missing(key: str) -> NotFound:
    return NotFound(f"object {key} is not in the store", 'run "firsthand vault check"')
