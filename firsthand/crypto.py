"""Primitives that the rest is built of: canonical JSON, signatures, wrapped keys, sealed chunks.

The age file format (identities, headers, whole files) is in `age.py`; who holds which key is the
vault's business. All arithmetic is done by `cryptography`; nothing is invented here.
"""

import base64
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from firsthand.errors import Damaged, Failed, Forged, Usage, WrongKey

CHUNK = 64 * 1024  # plain bytes in each sealed chunk but the last
TAG = 16  # bytes that sealing adds to a chunk
SLOT = CHUNK + TAG  # bytes of one full sealed chunk
BATCH = 16  # chunks fetched from a source at once (1 MiB): few requests, little memory


# --- canonical JSON


def canonical(obj: Any) -> bytes:
    """The one UTF-8 JSON text of `obj` (RFC 8785: sorted keys, no spaces); raises Usage.

    Only str, int, bool, None, list, tuple and dict with string keys are accepted. Integers may be
    as large as 64 signed bits, where RFC 8785 stops at 2**53, because times are in nanoseconds;
    a reader whose numbers are doubles needs such values as strings.
    """
    try:
        text = json.dumps(_ordered(obj), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Usage("canonical json: a string holds half of a surrogate pair") from None
    except RecursionError:
        raise Usage("canonical json: the value is nested too deeply") from None


def _ordered(value: Any) -> Any:
    # Asked by exact type first: nearly all values are plain, and this runs for each of them.
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Usage(f"canonical json: the integer {value} needs more than 64 bits")
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Usage("canonical json: every key must be a string")
        # RFC 8785 orders by UTF-16 code units, which differs from code points above U+FFFF.
        plain = all(map(str.isascii, value))
        keys = sorted(value) if plain else sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, str):
        return value
    raise Usage(
        f"canonical json: a value of type {type(value).__name__} has no single form",
        "use whole numbers in a smaller unit, or a string",
    )


# --- signatures


@dataclass(frozen=True)
class VerifyKey:
    """The public half of a signing key; its text form is `ed25519:` and base64."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise Usage(f"a verify key has 32 bytes, not {len(self.raw)}")

    @classmethod
    def from_bytes(cls, raw: bytes) -> "VerifyKey":
        """The key of these 32 bytes; raises Usage."""
        return cls(bytes(raw))

    @classmethod
    def from_text(cls, text: str) -> "VerifyKey":
        """The key that `str()` wrote; raises Usage."""
        kind, _, encoded = text.strip().partition(":")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        if kind != "ed25519" or len(raw) != 32 or base64.b64encode(raw).decode() != encoded:
            raise Usage("not a verify key", 'it reads "ed25519:" and 44 characters of base64')
        return cls(raw)

    def to_bytes(self) -> bytes:
        """The 32 bytes of the key."""
        return self.raw

    def __str__(self) -> str:
        return "ed25519:" + base64.b64encode(self.raw).decode()

    def verify(self, context: str | None, data: bytes, signature: bytes) -> None:
        """Return only if this key signed `data` in this context; raises Forged."""
        try:
            key = Ed25519PublicKey.from_public_bytes(self.raw)
            key.verify(bytes(signature), _in_context(context, data))
        except InvalidSignature:
            raise Forged(f"the signature over {context or 'this text'} is not by {self}") from None


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key that signs bytes for one named purpose at a time."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise Usage(f"a signing key has 32 bytes, not {len(self.raw)}")

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new random key."""
        return cls(os.urandom(32))

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SigningKey":
        """The key of these 32 secret bytes; raises Usage."""
        return cls(bytes(raw))

    def to_bytes(self) -> bytes:
        """The 32 secret bytes."""
        return self.raw

    @property
    def public(self) -> VerifyKey:
        """The key that verifies what this one signs."""
        key = Ed25519PrivateKey.from_private_bytes(self.raw)
        return VerifyKey(key.public_key().public_bytes_raw())

    def sign(self, context: str | None, data: bytes) -> bytes:
        """64 bytes that hold for `data` in this context only; None signs bare text.

        Public formats (RFC 9421, signed notes) sign bare text. It may hold no zero byte, so that
        it can never equal a message in a context.
        """
        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(_in_context(context, data))


def _in_context(context: str | None, data: bytes) -> bytes:
    if context is None:
        if b"\0" in data:
            raise Usage("bytes with a zero byte are signed in a named context only")
        return data
    if not context or "\0" in context:
        raise Usage("a signing context is a name without a zero byte")
    return context.encode() + b"\0" + data


# --- wrapped keys


class Wrapping:
    """A key under which others are wrapped; for many of them 2.4 times as fast as one by one."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_key32(key))

    def wrap(self, data: bytes, aad: bytes) -> bytes:
        """`data` sealed by AES-256-GCM and bound to `aad`; 28 bytes longer."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, data, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """What was wrapped; raises WrongKey if key, aad or a byte differs, Damaged if short."""
        if len(wrapped) < 12 + TAG:
            raise Damaged(f"a wrapped key of {len(wrapped)} bytes is cut off")
        try:
            return self._cipher.decrypt(wrapped[:12], wrapped[12:], aad)
        except InvalidTag:
            raise WrongKey("the wrapped key does not open: wrong key, place or bytes") from None


def wrap(key: bytes, data: bytes, aad: bytes) -> bytes:
    """`data` sealed by AES-256-GCM under a 32-byte key and bound to `aad`; 28 bytes longer."""
    return Wrapping(key).wrap(data, aad)


def unwrap(key: bytes, wrapped: bytes, aad: bytes) -> bytes:
    """What was wrapped; raises WrongKey if key, aad or a byte differs, Damaged if it is short."""
    return Wrapping(key).unwrap(wrapped, aad)


def _key32(key: bytes) -> bytes:
    if len(key) != 32:
        raise Usage(f"this takes a key of 32 bytes, not {len(key)}")
    return key


# --- sealed chunks (the STREAM of age v1: ChaCha20-Poly1305, 64 KiB, counter and last-chunk flag)


def stream_seal(key: bytes, plain: bytes) -> bytes:
    """`plain` as sealed chunks; a 32-byte key must never seal two different texts."""
    out = io.BytesIO()
    seal_chunks(key, plain, out)
    return out.getvalue()


def stream_open(key: bytes, data: bytes) -> bytes:
    """What `stream_seal` sealed, whole and in order; raises Damaged."""
    return ChunkReader(key, io.BytesIO(data), len(data)).read_all()


def _nonce(number: int, final: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if final else b"\x00")


def seal_chunks(key: bytes, plain: bytes, out: io.BytesIO) -> None:
    """Append all of `plain` to `out` as sealed chunks; here the last one may be full."""
    cipher = ChaCha20Poly1305(_key32(key))
    view = memoryview(plain)
    last = max(0, (len(view) - 1) // CHUNK)
    for number in range(last + 1):
        chunk = view[number * CHUNK : (number + 1) * CHUNK]
        # BytesIO hands out its buffer uncopied; joining a list of chunks was half as fast.
        out.write(cipher.encrypt(_nonce(number, number == last), chunk, None))


class ChunkWriter:
    """Seals a live stream: each chunk goes to `out` the moment it is full.

    A full chunk is never the last, so `close` needs at least one pending byte, unless nothing was
    ever written: whoever writes a format ends it with a byte of padding.
    """

    def __init__(self, key: bytes, out: BinaryIO) -> None:
        self._cipher = ChaCha20Poly1305(_key32(key))
        self._out = out
        # Both are used again for every chunk: fresh memory for each took as long as sealing it.
        self._plain, self._sealed = memoryview(bytearray(CHUNK)), memoryview(bytearray(SLOT))
        self._filled = 0
        self._number = 0
        self._usable = True
        self.plain_size = 0  # bytes taken in
        self.written = 0  # bytes given to `out`

    @property
    def pending(self) -> int:
        """Bytes taken in but not yet sealed."""
        return self._filled

    @property
    def room(self) -> int:
        """Bytes until the chunk is full; 1 to CHUNK."""
        return CHUNK - self._filled

    def write(self, data: bytes) -> int:
        """Take in all of `data`; returns its length, raises what `out` raises."""
        self._check()
        view = memoryview(data).cast("B")
        start, size = 0, len(view)
        filled = self._filled
        if filled + size < CHUNK:  # most pieces of a stream
            self._plain[filled : filled + size] = view
            self._filled = filled + size
            self.plain_size += size
            return size
        if filled:
            start = self._fill(view[: CHUNK - filled])
        while size - start >= CHUNK:
            self._seal(view[start : start + CHUNK], final=False)
            start += CHUNK
        if start < size:
            self._fill(view[start:])
        self.plain_size += size
        return size

    def flush_chunk(self) -> None:
        """Flush `out`, all of it sealed; raises Usage while bytes are pending."""
        self._check()
        if self._filled:
            raise Usage(f"{self.pending} bytes are not sealed yet", f"write {self.room} more")
        self._out.flush()

    def close(self) -> None:
        """Seal the pending bytes as the last chunk; `out` stays open. Raises Usage."""
        self._check()
        if not self._filled and self._number:
            raise Usage(
                "the last chunk of a sealed payload must not be empty",
                "write at least one byte of padding before close",
            )
        self._seal(self._plain[: self._filled], final=True)
        self._filled = 0
        self._usable = False

    def _fill(self, view: memoryview) -> int:
        """Put bytes that fit into the open chunk, and seal it once it is full."""
        size = len(view)
        self._plain[self._filled : self._filled + size] = view
        self._filled += size
        if self._filled == CHUNK:
            self._seal(self._plain, final=False)
            self._filled = 0
        return size

    def _seal(self, chunk: memoryview, final: bool) -> None:
        sealed = self._sealed[: len(chunk) + TAG]
        self._cipher.encrypt_into(_nonce(self._number, final), chunk, None, sealed)
        # A number sealed twice would give its text away: after a failed write there is no next try.
        self._number += 1
        self._put(sealed)

    def _put(self, data: bytes | memoryview) -> None:
        self._usable = False
        view = memoryview(data)
        while view:  # a raw file may take less than it is given
            count = self._out.write(view)
            if not count:
                raise Failed("the sealed payload's file takes no more bytes")
            view = view[count:]
            self.written += count
        self._usable = True

    def _check(self) -> None:
        if not self._usable:
            raise Failed("this payload is closed, or a write to it failed", "begin a new file key")


class ChunkReader:
    """Opens sealed chunks, all or any range, from a seekable source of known size.

    The end is verified first. With `allow_cut` an end that is missing or torn is left out: what
    opens is then a prefix, and `cut` is True. A chunk that opens behind one that doesn't is damage.
    """

    def __init__(self, key: bytes, source: BinaryIO, size: int, allow_cut: bool = False) -> None:
        self._cipher = ChaCha20Poly1305(_key32(key))
        self._source = source
        self._start = source.tell()
        self._size = size
        self._last, self._tail, self.cut = self._find_end(allow_cut)
        self.plain_size = self._last * CHUNK + len(self._tail)

    def read_all(self) -> bytes:
        """The whole text; raises Damaged and gives out nothing if any byte differs."""
        return self.read_range(0, self.plain_size)

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`, or to the end; raises Usage, Damaged."""
        if not 0 <= start <= stop:
            raise Usage(f"there is no range of bytes from {start} to {stop}")
        stop = min(stop, self.plain_size)
        if start >= stop:
            return b""
        first, last = start // CHUNK, (stop - 1) // CHUNK
        out = io.BytesIO()
        for number, plain in self._open(first, last + 1):
            low = start - first * CHUNK if number == first else 0
            high = stop - last * CHUNK if number == last else CHUNK
            out.write(plain[low:high])  # a whole chunk's slice is no copy
        return out.getvalue()

    def _open(self, first: int, stop: int) -> Iterator[tuple[int, bytes]]:
        for batch in range(first, min(stop, self._last), BATCH):
            end = min(batch + BATCH, stop, self._last)
            sealed = memoryview(self._fetch(batch, end))
            for number in range(batch, end):
                offset = (number - batch) * SLOT
                plain = self._try(number, sealed[offset : offset + SLOT], final=False)
                if plain is None:
                    raise Damaged(f"chunk {number} of the sealed payload does not open")
                yield number, plain
        if stop > self._last:
            yield self._last, self._tail

    def _find_end(self, allow_cut: bool) -> tuple[int, bytes, bool]:
        slots = -(-self._size // SLOT)
        for number in range(slots - 1, -1, -1):
            sealed = self._fetch(number, number + 1)
            plain = self._try(number, sealed, final=True)
            if plain is not None and (plain or number == 0):
                if number < slots - 1:
                    raise Damaged("bytes follow the last chunk of the sealed payload")
                return number, plain, False
            plain = self._try(number, sealed, final=False) if len(sealed) == SLOT else None
            if plain is not None and allow_cut:
                return number, plain, True
            if plain is not None:
                raise Damaged("the sealed payload is cut off: its last chunk is missing")
            if not allow_cut:
                raise Damaged(f"chunk {number} of the sealed payload does not open")
        # After a cut a last chunk may be gone, but a first whole one that doesn't open is damage.
        if self._size >= SLOT or not allow_cut:
            raise Damaged("no chunk of the sealed payload opens")
        return 0, b"", True

    def _try(self, number: int, sealed: bytes | memoryview, final: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(_nonce(number, final), sealed, None)
        except InvalidTag:
            return None

    def _fetch(self, first: int, stop: int) -> bytes:
        size = min(stop * SLOT, self._size) - first * SLOT
        self._source.seek(self._start + first * SLOT)
        data = self._source.read(size)
        while len(data) < size:  # a raw file may give less than it is asked for
            more = self._source.read(size - len(data))
            if not more:
                raise Damaged("the sealed payload ends before its stated size")
            data += more
        return data
