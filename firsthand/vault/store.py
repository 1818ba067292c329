"""The object store: random-named sealed bytes, in local files or in a bucket of any S3.

The only file that knows obstore. What an object means stands in the catalogue. Segments come in
parts: `begin`, then parts (put here in files, at signed URLs in S3), then `finish`.
"""

import contextlib
import errno
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import obstore
import obstore.store as stores

from firsthand.config import Settings
from firsthand.errors import Error, Failed, NotFound, Usage
from firsthand.vault import parts
from firsthand.vault.digest import Running
from firsthand.vault.parts import StoreFull, Writer
from firsthand.vault.s3 import Begun, Bucket, Key

MAX_RUNNING = 1024  # uploads whose hashes are kept while they come in
READ_SIZE = 256 << 10  # stays in a core's own cache while it is hashed
# Failures that may pass are tried again for this long; then the device keeps what it has.
RETRY_S = 20


@dataclass(frozen=True)
class Listed:
    """One object in a listing."""

    key: str
    size: int
    changed_ns: int


class Store:
    """Objects under keys: put once, read, listed, deleted; a put is durable when it returns."""

    checks_md5 = False  # whether a part's URL can be made to take the bytes of one MD5 alone
    _store: "stores.LocalStore | stores.S3Store"

    def put(self, key: str, data: bytes) -> None:
        """Writes an object once; Failed if the key is taken or the store is full."""
        with _explained(key):
            obstore.put(self._store, key, data, mode="create", use_multipart=False)

    def replace(self, key: str, data: bytes | Iterator[bytes]) -> None:
        """Writes an object, whole, in place of the one that may be there."""
        with _explained(key):
            obstore.put(self._store, key, data, use_multipart=not isinstance(data, bytes))

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

    def keys(self, prefix: str, after: str | None = None) -> Iterator[str]:
        """All keys under a prefix, or those that come after one."""
        for item in self.listed(prefix, after):
            yield item.key

    def listed(self, prefix: str, after: str | None = None) -> Iterator[Listed]:
        """All objects under a prefix, as the store lists them: which may be a little late."""
        with _explained(prefix):
            for batch in obstore.list(self._store, prefix, offset=after):
                for item in batch:
                    changed_ns = int(item["last_modified"].timestamp()) * 10**9
                    yield Listed(item["path"], item["size"], changed_ns)

    def move(self, key: str, to: str) -> None:
        """Gives an object another key, in place of what may be there; NotFound."""
        with _explained(key):
            obstore.rename(self._store, key, to)

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

    def open_part(
        self, upload: str, number: int, offset: int, size: int, stretches: Sequence[int] = ()
    ) -> Writer:
        """Where the bytes of a part go, which belongs at `offset`; NotFound where they can't."""
        raise NotImplementedError

    def digests(self, upload: str, size: int) -> tuple[str, list[str]] | None:
        """Hashes of the whole and its stretches, where they are known without reading."""
        return None

    def free_bytes(self) -> int | None:
        """How much room is left, or None where nobody says."""
        return None

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
        self._running: dict[str, Running] = {}
        self._name = secrets.token_hex(8)
        self._durable: set[Path] = set()  # folders whose own names are on the disk

    # Past obstore where every segment passes: its runtime takes twice the CPU of the calls alone.

    def put(self, key: str, data: bytes) -> None:
        """Writes an object once; Failed if the key is taken or the store is full."""
        self._write(key, [data], os.link)

    def replace(self, key: str, data: bytes | Iterator[bytes]) -> None:
        """Writes an object, whole, in place of the one that may be there."""
        self._write(key, [data] if isinstance(data, bytes) else data, os.replace)

    def move(self, key: str, to: str) -> None:
        """Gives an object another key, in place of what may be there; NotFound."""
        target = self.folder / to
        with _explained(key):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.replace(self.folder / key, target)
            self._sync_folders(key)
            self._sync_folders(to)

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object's bytes in pieces; NotFound."""
        with _explained(key), open(self.folder / key, "rb", buffering=0) as file:
            while chunk := file.read(READ_SIZE):
                yield chunk

    def read(self, key: str, start: int, size: int) -> bytes:
        """A range of an object; NotFound, or Failed if the object is shorter."""
        with _explained(key), open(self.folder / key, "rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, start)
        if len(data) != size:
            raise Failed(f"object {key} ends early", _CHECK)
        return data

    def size(self, key: str) -> int | None:
        """Size in bytes, or None if there is no such object."""
        try:
            with _explained(key):
                return os.stat(self.folder / key).st_size
        except NotFound:
            return None

    def delete(self, key: str) -> None:
        """Removes an object, if it is there."""
        with contextlib.suppress(NotFound), _explained(key):
            os.unlink(self.folder / key)

    def begin(self, key: str) -> str:
        """A random id; nothing is written before the first part."""
        return secrets.token_hex(16)

    def part_url(
        self, key: str, upload: str, number: int, size: int, md5: str, lifetime_s: int
    ) -> str | None:
        """None: parts come through `put_part`."""
        return None

    def open_part(
        self, upload: str, number: int, offset: int, size: int, stretches: Sequence[int] = ()
    ) -> Writer:
        """Where the bytes of a part go: their place in the one file of the upload."""
        folder = self.folder / "uploads" / upload
        running = self._running.get(upload)
        if running is None:
            while len(self._running) >= MAX_RUNNING:  # the oldest will have to be read
                self._running.pop(next(iter(self._running)), None)
            running = self._running.setdefault(upload, Running(stretches))
            parts.sign_in(folder, self._name)
        return Writer(folder, number, offset, size, running)

    def digests(self, upload: str, size: int) -> tuple[str, list[str]] | None:
        """The hashes as the bytes were written, if all came in order and through this process."""
        running = self._running.get(upload)
        if running is None or parts.others(self.folder / "uploads" / upload, self._name):
            return None
        return running.result(size)

    def free_bytes(self) -> int | None:
        """How much room is left in the file system."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def parts(self, key: str, upload: str) -> dict[int, int]:
        """Sizes of the parts that are there, by number."""
        return parts.held(self.folder / "uploads" / upload)

    def finish(self, key: str, upload: str) -> None:
        """Links the file into place, so that no byte is copied and none ever written over."""
        path = self.folder / key
        with parts.explained(key):
            made = parts.finish(self.folder / "uploads" / upload, path)
            if not made and not path.exists():
                raise NotFound(f"upload {upload} is not in the store (any more)")
            self._sync_folders(key)

    def abort(self, key: str, upload: str) -> None:
        """Removes the parts of an upload, if there are any."""
        self._running.pop(upload, None)
        shutil.rmtree(self.folder / "uploads" / upload, ignore_errors=True)

    def begun(self) -> Iterator[Begun]:
        """Uploads of which there are parts; whoever began them knows their keys."""
        with contextlib.suppress(FileNotFoundError):
            for each in os.scandir(self.folder / "uploads"):
                with contextlib.suppress(FileNotFoundError):
                    yield Begun("", each.name, each.stat().st_mtime)

    def _write(
        self, key: str, pieces: Iterable[bytes], place: Callable[[Path, Path], None]
    ) -> None:
        """Durable before it has its name, and its name before this returns."""
        path = self.folder / key
        fresh = self.folder / "unfinished" / secrets.token_hex(16)
        with _explained(key):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.parent.mkdir(exist_ok=True, mode=0o700)
            try:
                with open(fresh, "xb", buffering=0) as file:
                    for piece in pieces:
                        _write_all(file, piece)
                    os.fsync(file.fileno())
                place(fresh, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    fresh.unlink()
            self._sync_folders(key)

    def _sync_folders(self, key: str) -> None:
        folder = (self.folder / key).parent
        _sync(folder)
        while folder not in self._durable and folder != self.folder:
            _sync(folder.parent)
            self._durable.add(folder)
            folder = folder.parent


class S3Store(Store):
    """Objects in a bucket, under a prefix; parts go from the device straight into it."""

    checks_md5 = True

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

    def open_part(
        self, upload: str, number: int, offset: int, size: int, stretches: Sequence[int] = ()
    ) -> Writer:
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


def aside_of(key: str) -> str:
    """Where the bad bytes of an object are kept."""
    return f"aside/{key.rpartition('/')[2]}"


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
    if "No space left" in str(error) or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(
            f"the store has no room for {key}", "make room in the store, then try again"
        )
    hint = "make room in the store, or see that it runs; then try again"
    return Failed(f"the store failed at object {key}: {said}", hint)


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
