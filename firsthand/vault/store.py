"""The object store: random-named sealed bytes, in local files or in a bucket of any S3.

The only file that knows obstore. What an object means stands in the catalogue. Segments come in
parts: `begin`, then parts (put here in files, at signed URLs in S3), then `finish`.
"""

import contextlib
import io
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import obstore
import obstore.store as stores

from firsthand.config import Settings
from firsthand.errors import Error, Failed, NotFound, Usage
from firsthand.vault.s3 import Begun, Bucket, Key

READ_SIZE = 4 << 20
# Failures that may pass are tried again for this long; then the device keeps what it has.
RETRY_S = 20


class Store:
    """Objects under keys: put once, read, listed, deleted; a put is durable when it returns."""

    _store: "stores.LocalStore | stores.S3Store"

    def put(self, key: str, data: bytes) -> None:
        """Writes an object once; Failed if the key is taken or the store is full."""
        with _explained(key):
            obstore.put(self._store, key, data, mode="create", use_multipart=False)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces of some MiB; NotFound."""
        with _explained(key):
            for chunk in obstore.get(self._store, key).stream(READ_SIZE):
                yield bytes(chunk)

    def read(self, key: str, start: int, size: int) -> bytes:
        """A range of an object; NotFound, or Failed if the object is shorter."""
        if size == 0:
            return b""
        with _explained(key):
            data = bytes(obstore.get_range(self._store, key, start=start, length=size))
        if len(data) != size:
            raise Failed(f"object {key} ends early", _CHECK)
        return data

    def open(self, key: str, start: int, size: int) -> BinaryIO:
        """A seekable file over a range of an object; reads raise as `read` does."""
        return cast(BinaryIO, _Range(self, key, start, size))

    def size(self, key: str) -> int | None:
        """Size in bytes, or None if there is no such object."""
        try:
            with _explained(key):
                return obstore.head(self._store, key)["size"]
        except NotFound:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys under a prefix."""
        with _explained(prefix):
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    yield item["path"]

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        with contextlib.suppress(NotFound), _explained(key):
            obstore.delete(self._store, key)

    def begin(self, key: str) -> str:
        """Begins to take an object in parts; returns the id under which the store knows it."""
        raise NotImplementedError

    def part_url(
        self, key: str, upload: str, number: int, size: int, md5: str, lifetime_s: int
    ) -> str | None:
        """The store's own URL for one part, or None where parts come through `put_part`."""
        raise NotImplementedError

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keeps a part in place of any before it; not durable before `finish`."""
        raise NotImplementedError

    def parts(self, key: str, upload: str) -> dict[int, int]:
        """Sizes of the parts that are there, by number; NotFound if the upload is known no more."""
        raise NotImplementedError

    def finish(self, key: str, upload: str) -> None:
        """Makes the object of its parts, once: another time changes nothing; NotFound."""
        raise NotImplementedError

    def abort(self, key: str, upload: str) -> None:
        """Removes the parts of an upload, if there are any; a part that comes later is refused."""
        raise NotImplementedError

    def begun(self) -> Iterator[Begun]:
        """Uploads that are neither finished nor aborted."""
        raise NotImplementedError


class FileStore(Store):
    """Objects as files under one folder; parts under uploads/ until they are joined."""

    def __init__(self, folder: Path) -> None:
        """Uses the folder, made if missing."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = stores.LocalStore(str(folder))

    def put(self, key: str, data: bytes) -> None:
        """Writes an object once; Failed if the key is taken or the store is full."""
        super().put(key, data)
        # It is only renamed into place; without these a power cut may undo a receipt.
        with _explained(key):
            _sync(self.folder / key)
            self._sync_folders(key)

    def begin(self, key: str) -> str:
        """A random id; nothing is written before the first part."""
        return secrets.token_hex(16)

    def part_url(
        self, key: str, upload: str, number: int, size: int, md5: str, lifetime_s: int
    ) -> str | None:
        """None: parts come through `put_part`."""
        return None

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """Keeps a part in place of any before it; not durable before `finish`."""
        key = f"uploads/{upload}/{number:05d}"
        with _explained(key):
            obstore.put(self._store, key, data, use_multipart=False)

    def parts(self, key: str, upload: str) -> dict[int, int]:
        """Sizes of the parts that are there, by number."""
        return {number: path.stat().st_size for number, path in self._parts(upload)}

    def finish(self, key: str, upload: str) -> None:
        """Joins the parts; the object is linked into place, so that none is ever written over."""
        path = self.folder / key
        fresh = self.folder / "uploads" / upload / f"joined.{secrets.token_hex(4)}"
        try:
            with open(fresh, "xb") as out:
                for _, part in self._parts(upload):
                    with open(part, "rb") as source:
                        _copy(source, out)
                os.fsync(out.fileno())
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):  # finished before, perhaps just now
                os.link(fresh, path)
            self._sync_folders(key)
        except FileNotFoundError as error:
            if not path.exists():
                raise NotFound(f"upload {upload} is not in the store (any more)") from error
        except OSError as error:
            raise _unwritten(key, error) from error
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink()

    def abort(self, key: str, upload: str) -> None:
        """Removes the parts of an upload, if there are any."""
        shutil.rmtree(self.folder / "uploads" / upload, ignore_errors=True)

    def begun(self) -> Iterator[Begun]:
        """Uploads of which there are parts; whoever began them knows their keys."""
        with contextlib.suppress(FileNotFoundError):
            for each in os.scandir(self.folder / "uploads"):
                with contextlib.suppress(FileNotFoundError):
                    yield Begun("", each.name, each.stat().st_mtime)

    def _parts(self, upload: str) -> list[tuple[int, Path]]:
        try:
            names = sorted(os.listdir(self.folder / "uploads" / upload))
        except FileNotFoundError:
            return []
        folder = self.folder / "uploads" / upload
        return [(int(name), folder / name) for name in names if name.isdecimal()]

    def _sync_folders(self, key: str) -> None:
        folder = (self.folder / key).parent
        while True:
            _sync(folder)
            if folder == self.folder:
                return
            folder = folder.parent


class S3Store(Store):
    """Objects in a bucket, under a prefix; parts go from the device straight into it."""

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        """Uses a bucket that exists."""
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        retry: stores.RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=RETRY_S)}  # type: ignore[attr-defined]
        self._store = stores.S3Store(
            bucket.name,
            prefix=prefix or None,
            endpoint=bucket.endpoint,
            region=bucket.key.region,
            access_key_id=bucket.key.access_key,
            secret_access_key=bucket.key.secret_key,
            client_options={"allow_http": bucket.endpoint.startswith("http:")},
            retry_config=retry,
        )

    def begin(self, key: str) -> str:
        """Begins a multipart upload; returns the store's id of it."""
        return self._bucket.begin(self._prefix + key)

    def part_url(
        self, key: str, upload: str, number: int, size: int, md5: str, lifetime_s: int
    ) -> str | None:
        """A presigned URL at the store, for a part of just this size (and MD5, if given)."""
        full = self._prefix + key
        return self._bucket.part_url(full, upload, number, size, md5, lifetime_s)

    def put_part(self, upload: str, number: int, data: bytes) -> None:
        """NotFound: parts go to the store itself."""
        raise NotFound("parts go straight to the store, not here")

    def parts(self, key: str, upload: str) -> dict[int, int]:
        """Sizes of the parts in the store's own list; NotFound."""
        held = self._bucket.parts(self._prefix + key, upload)
        return {number: size for number, (size, _) in held.items()}

    def finish(self, key: str, upload: str) -> None:
        """Completes the multipart upload, with the ETags that the store itself names."""
        full = self._prefix + key
        try:
            etags = {number: etag for number, (_, etag) in self._bucket.parts(full, upload).items()}
            self._bucket.finish(full, upload, etags)
        except NotFound:
            # Some stores forget an upload once it is complete: then the object is there.
            if self.size(key) is None:
                raise

    def abort(self, key: str, upload: str) -> None:
        """Gives an upload up; its part URLs say 404 from now on."""
        self._bucket.abort(self._prefix + key, upload)

    def begun(self) -> Iterator[Begun]:
        """Uploads under this prefix that are neither finished nor aborted."""
        for each in self._bucket.begun(self._prefix):
            yield Begun(each.key.removeprefix(self._prefix), each.upload, each.begun_s)


def open_store(settings: Settings) -> Store:
    """The store of these settings: file:///absolute/folder or s3://bucket/prefix; Usage."""
    url = urlsplit(settings.store)
    if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return FileStore(Path(unquote(url.path)))
    if url.scheme != "s3" or not url.netloc or url.username or url.query:
        shown = f"{url.scheme}:" if url.scheme else "this"
        raise Usage(
            f"store_url is of an unknown kind ({shown})",
            "give file:///absolute/folder or s3://bucket/prefix",
        )
    if not (settings.s3_access_key and settings.s3_secret_key):
        raise Usage(
            f"the store {settings.store} needs a key",
            "set FIRSTHAND_S3_ACCESS_KEY and FIRSTHAND_S3_SECRET_KEY",
        )
    region = settings.s3_region
    endpoint = settings.s3_endpoint or f"https://s3.{region}.amazonaws.com"
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise Usage(f"s3_endpoint {endpoint} is no URL", "give https://host:port")
    key = Key(settings.s3_access_key, settings.s3_secret_key, region)
    return S3Store(Bucket(endpoint, url.netloc, key), url.path.strip("/"))


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


_CHECK = 'run "firsthand vault check"'


@contextlib.contextmanager
def _explained(key: str) -> Iterator[None]:
    """Turns the store's many errors into ours."""
    try:
        yield
    except Error:
        raise
    except (FileNotFoundError, obstore.exceptions.NotFoundError) as error:
        raise NotFound(f"object {key} is not in the store", _CHECK) from error
    except (FileExistsError, obstore.exceptions.AlreadyExistsError) as error:
        raise Failed(f"object {key} exists already") from error
    except (OSError, obstore.exceptions.BaseError) as error:
        raise _unwritten(key, error) from error


def _unwritten(key: str, error: Exception) -> Failed:
    # The store's own words run over many lines.
    said = str(error).partition("\n")[0] or type(error).__name__
    hint = "make room in the store, or see that it runs; then try again"
    return Failed(f"the store failed at object {key}: {said}", hint)


def _copy(source: BinaryIO, out: BinaryIO) -> None:
    """Copies the whole of a file; on Linux no byte comes up into Python."""
    if sys.platform != "linux":
        shutil.copyfileobj(source, out, READ_SIZE)
        out.flush()
        return
    while os.sendfile(out.fileno(), source.fileno(), None, 1 << 30):
        pass


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
