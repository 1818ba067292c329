"""The object store: random-named sealed bytes, on local files (here) or any S3 (another URL).

The only file that knows obstore. What an object means stands in the catalogue.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import obstore
from obstore.store import LocalStore

from firsthand.errors import Failed, NotFound, Usage

READ_SIZE = 4 << 20


class Store:
    """Objects under keys: put once, read, listed, deleted; a put is durable when it returns."""

    def __init__(self, url: str) -> None:
        """Opens file:///folder (made if missing); Usage for a URL of another kind."""
        parsed = urlparse(url)
        if parsed.scheme != "file":
            raise Usage(f"store {url} is of an unknown kind", "give file:///absolute/folder")
        self.folder = Path(parsed.path)
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


def _unwritten(key: str, error: Exception) -> Failed:
    return Failed(f"cannot store object {key}: {error}", "make room in the store, then try again")


def _missing(key: str) -> NotFound:
    return NotFound(f"object {key} is not in the store", 'run "firsthand vault check"')
