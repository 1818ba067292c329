"""The age v1 file format (C2SP age.md): identities, recipients, headers, payloads, whole files.

Header and payload can be had apart, because the vault keeps the payload and re-wraps the file key.
The chunks of a payload are sealed in `crypto.py`. ASCII armor and plugins are not supported.
"""

import base64
import hashlib
import hmac
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firsthand.bech32 import parse_bech32, write_bech32
from firsthand.crypto import TAG, ChunkReader, ChunkWriter, seal_chunks
from firsthand.errors import Damaged, Usage, WrongKey

FILE_KEY_SIZE = 16
NONCE_SIZE = 16  # random bytes in front of a payload
BODY_SIZE = FILE_KEY_SIZE + TAG
SCRYPT_LOG2 = 15  # our own files: 32 MiB and about 0.1 s
SCRYPT_LOG2_MAX = 20  # files of others: 1 GiB and seconds

_STANZA = rb"-> ([!-~]+(?: [!-~]+)*)\n((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)"
_HEADER = re.compile(rb"(age-encryption\.org/v1\n(?:" + _STANZA + rb")+---) ([A-Za-z0-9+/]{43})\n")


# --- recipients and identities


@dataclass(frozen=True)
class Stanza:
    """One recipient's wrapped file key in a header."""

    args: tuple[str, ...]
    body: bytes


class Wrapper(Protocol):
    """Whatever a file key can be sealed to."""

    def wrap(self, file_key: bytes) -> Stanza: ...


class Unwrapper(Protocol):
    """Whatever may open a stanza: None says that it's another's, Damaged that it's malformed."""

    def unwrap(self, stanza: Stanza) -> bytes | None: ...


_XWING = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_XWING_INFO = b"age-encryption.org/mlkem768x25519"
_XWING_ENC_SIZE = 1120
_MLKEM_PUBLIC_SIZE = 1184


@dataclass(frozen=True)
class Recipient:
    """A public X-Wing key (ML-KEM-768 with X25519): safe now and against a quantum computer."""

    public: bytes

    @classmethod
    @lru_cache(maxsize=1024)  # 2000 digits take some ms, and each device asks for its own often
    def parse(cls, text: str) -> "Recipient":
        """The recipient written as `age1pq1...`; raises Usage."""
        return cls(parse_bech32("age1pq", text, _MLKEM_PUBLIC_SIZE + 32, "recipient"))

    def __str__(self) -> str:
        return write_bech32("age1pq", self.public)

    @property
    def key_id(self) -> str:
        """16 hex digits that name this key in records."""
        return hashlib.sha256(self.public).hexdigest()[:16]

    def wrap(self, file_key: bytes) -> Stanza:
        """The stanza from which only this recipient's identity gets the file key."""
        try:
            sealed = _XWING.encrypt(file_key, self._key(), _XWING_INFO)
        except ValueError:
            raise Usage("the recipient is not a valid X-Wing key") from None
        enc, body = sealed[:_XWING_ENC_SIZE], sealed[_XWING_ENC_SIZE:]
        return Stanza(("mlkem768x25519", _to_base64(enc)), body)

    def _key(self) -> hpke.MLKEM768X25519PublicKey:
        return hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.public[:_MLKEM_PUBLIC_SIZE]),
            X25519PublicKey.from_public_bytes(self.public[_MLKEM_PUBLIC_SIZE:]),
        )


@dataclass(frozen=True)
class Identity:
    """A secret X-Wing key, kept as its 32-byte seed."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != 32:  # a seed of any length would seem to work
            raise Usage(f"an identity has 32 bytes, not {len(self.secret)}")

    @classmethod
    def generate(cls) -> "Identity":
        """A new random identity."""
        return cls(os.urandom(32))

    @classmethod
    def parse(cls, text: str) -> "Identity":
        """The identity written as `AGE-SECRET-KEY-PQ-1...`; raises Usage."""
        return cls(parse_bech32("AGE-SECRET-KEY-PQ-", text, 32, "identity"))

    def __str__(self) -> str:
        return write_bech32("AGE-SECRET-KEY-PQ-", self.secret)

    @cached_property
    def recipient(self) -> Recipient:
        """The public half."""
        mlkem, x25519 = self._halves
        return Recipient(
            mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        )

    @cached_property
    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        seeds = hashlib.shake_256(self.secret).digest(96)
        return (
            MLKEM768PrivateKey.from_seed_bytes(seeds[:64]),
            X25519PrivateKey.from_private_bytes(seeds[64:]),
        )

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, None if the stanza is another's; raises Damaged if it's malformed."""
        if stanza.args[0] != "mlkem768x25519":
            return None
        (enc,) = _arguments(stanza, 1)
        share = _fixed_base64(enc, _XWING_ENC_SIZE)
        # HPKE would report a share of low order as a wrong key, but the file is malformed.
        _exchange(self._halves[1], share[-32:])
        try:
            key = hpke.MLKEM768X25519PrivateKey(*self._halves)
            return _XWING.decrypt(share + stanza.body, key, _XWING_INFO)
        except InvalidTag:
            return None


_X25519_INFO = b"age-encryption.org/v1/X25519"


@dataclass(frozen=True)
class X25519Recipient:
    """A classical public key, for exchange with other age tools; footage is never sealed to one."""

    public: bytes

    @classmethod
    def parse(cls, text: str) -> "X25519Recipient":
        """The recipient written as `age1...`; raises Usage."""
        return cls(parse_bech32("age", text, 32, "recipient"))

    def __str__(self) -> str:
        return write_bech32("age", self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        """The stanza from which only this recipient's identity gets the file key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:
            raise Usage("the recipient is not a valid X25519 key") from None
        key = _hkdf(secret, share + self.public, _X25519_INFO)
        return Stanza(("X25519", _to_base64(share)), _wrap_body(key, file_key))


@dataclass(frozen=True)
class X25519Identity:
    """A classical secret key, 32 bytes."""

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "X25519Identity":
        """A new random identity."""
        return cls(os.urandom(32))

    @classmethod
    def parse(cls, text: str) -> "X25519Identity":
        """The identity written as `AGE-SECRET-KEY-1...`; raises Usage."""
        return cls(parse_bech32("AGE-SECRET-KEY-", text, 32, "identity"))

    def __str__(self) -> str:
        return write_bech32("AGE-SECRET-KEY-", self.secret)

    @cached_property
    def recipient(self) -> X25519Recipient:
        """The public half."""
        return X25519Recipient(self._key.public_key().public_bytes_raw())

    @cached_property
    def _key(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.secret)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, None if the stanza is another's; raises Damaged if it's malformed."""
        if stanza.args[0] != "X25519":
            return None
        (text,) = _arguments(stanza, 1)
        share = _fixed_base64(text, 32)
        secret = _exchange(self._key, share)
        return _unwrap_body(_hkdf(secret, share + self.recipient.public, _X25519_INFO), stanza.body)


@dataclass(frozen=True)
class Passphrase:
    """A passphrase as recipient and identity; `log2` sets the cost of each guess (2**log2 KiB)."""

    text: str = field(repr=False)
    log2: int = SCRYPT_LOG2

    def wrap(self, file_key: bytes) -> Stanza:
        """The stanza that this passphrase opens; it must be a file's only one."""
        if not 1 <= self.log2 <= SCRYPT_LOG2_MAX:
            raise Usage(f"the scrypt work factor must be 1 to {SCRYPT_LOG2_MAX}, not {self.log2}")
        salt = os.urandom(16)
        body = _wrap_body(self._key(salt, self.log2), file_key)
        return Stanza(("scrypt", _to_base64(salt), str(self.log2)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, None if the stanza is another's; raises Damaged if it's malformed."""
        if stanza.args[0] != "scrypt":
            return None
        salt, log2 = _arguments(stanza, 2)
        if not re.fullmatch("[1-9][0-9]?", log2) or int(log2) > SCRYPT_LOG2_MAX:
            raise Damaged(
                f"the age header names {log2[:20]!r} as scrypt work factor",
                f"1 to {SCRYPT_LOG2_MAX} is read, so that no file can take all memory",
            )
        return _unwrap_body(self._key(_fixed_base64(salt, 16), int(log2)), stanza.body)

    def _key(self, salt: bytes, log2: int) -> bytes:
        n = 2**log2
        salt = b"age-encryption.org/v1/scrypt" + salt
        memory = 128 * 8 * (n + 2) + 2**20  # what scrypt needs, and a little
        return hashlib.scrypt(self.text.encode(), salt=salt, n=n, r=8, p=1, maxmem=memory, dklen=32)


# --- headers


def new_file_key() -> bytes:
    """16 random bytes, the secret of one file."""
    return os.urandom(FILE_KEY_SIZE)


def seal_header(file_key: bytes, recipients: Iterable[Wrapper]) -> bytes:
    """The age header from which each recipient gets the file key; raises Usage on mixed kinds."""
    recipients = list(recipients)
    if len(file_key) != FILE_KEY_SIZE:
        raise Usage(f"a file key has {FILE_KEY_SIZE} bytes, not {len(file_key)}")
    if not recipients:
        raise Usage("a file needs a recipient", "pass a key that starts with age1pq1")
    if len({type(each) for each in recipients}) > 1:
        # The weakest stanza decides: one X25519 recipient would undo the post-quantum seal.
        raise Usage("kinds of recipients must not be mixed in one file", "write one file per kind")
    if isinstance(recipients[0], Passphrase) and len(recipients) > 1:
        raise Usage("a passphrase must be a file's only recipient")
    stanzas = b"".join(_write_stanza(each.wrap(file_key)) for each in recipients)
    head = b"age-encryption.org/v1\n" + stanzas + b"---"
    return head + b" " + _to_base64(_mac(file_key, head)).encode() + b"\n"


def open_header(header: bytes, identities: Sequence[Unwrapper]) -> bytes:
    """The file key; raises WrongKey if no identity fits, Damaged if a byte is out of place."""
    match = _HEADER.fullmatch(header)
    if not match:
        raise Damaged("the age header is malformed")
    head, mac = match[1], _from_base64(match[4].decode())
    stanzas = [
        Stanza(tuple(each[1].decode().split(" ")), _from_base64(each[2].decode().replace("\n", "")))
        for each in re.finditer(_STANZA, head)
    ]
    if len(stanzas) > 1 and any(stanza.args[0] == "scrypt" for stanza in stanzas):
        raise Damaged("the age header has a passphrase beside other recipients")
    keys = (identity.unwrap(stanza) for identity in identities for stanza in stanzas)
    file_key = next((key for key in keys if key is not None), None)
    if file_key is None:
        raise WrongKey("none of the given keys opens this age file")
    if not hmac.compare_digest(_mac(file_key, head), mac):
        raise Damaged("the age header was changed: its mac does not match")
    return file_key


def split(age_file: bytes) -> tuple[bytes, bytes]:
    """(header, payload) of a whole age file; raises Damaged."""
    match = _HEADER.match(age_file)
    if not match:
        raise Damaged("this does not begin with an age header")
    return age_file[: match.end()], age_file[match.end() :]


def _mac(file_key: bytes, head: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), head, "sha256")


def _write_stanza(stanza: Stanza) -> bytes:
    # All kinds here have a body of 32 bytes, which fits the one short line that ends a stanza.
    return f"-> {' '.join(stanza.args)}\n{_to_base64(stanza.body)}\n".encode()


# --- payloads and whole files


class Sealer(ChunkWriter):
    """Writes a payload as it comes: nonce, then each chunk once it is full."""

    def __init__(self, file_key: bytes, out: BinaryIO) -> None:
        nonce = os.urandom(NONCE_SIZE)
        super().__init__(_payload_key(file_key, nonce), out)
        self._put(nonce)


class Opener(ChunkReader):
    """Reads a payload of `size` bytes from where `source` stands, all or any range."""

    def __init__(
        self, file_key: bytes, source: BinaryIO, size: int, allow_cut: bool = False
    ) -> None:
        nonce = source.read(min(size, NONCE_SIZE))
        if len(nonce) < NONCE_SIZE and not allow_cut:
            raise Damaged("the age payload is cut off within its nonce")
        body_size = max(0, size - NONCE_SIZE)
        super().__init__(_payload_key(file_key, nonce), source, body_size, allow_cut)


def seal(file_key: bytes, plain: bytes) -> bytes:
    """The payload of an age file; a file key seals one payload only."""
    out = io.BytesIO()
    nonce = os.urandom(NONCE_SIZE)
    out.write(nonce)
    seal_chunks(_payload_key(file_key, nonce), plain, out)
    return out.getvalue()


def unseal(file_key: bytes, payload: bytes, allow_cut: bool = False) -> bytes:
    """What the payload holds; raises Damaged."""
    return Opener(file_key, io.BytesIO(payload), len(payload), allow_cut).read_all()


def encrypt(
    plain: bytes,
    recipients: Iterable[Wrapper] = (),
    passphrase: str | None = None,
    scrypt_log2: int = SCRYPT_LOG2,
) -> bytes:
    """A whole age file to these recipients, or to a passphrase alone."""
    if passphrase is not None:
        recipients = [*recipients, Passphrase(passphrase, scrypt_log2)]
    file_key = new_file_key()
    return seal_header(file_key, recipients) + seal(file_key, plain)


def decrypt(
    age_file: bytes, identities: Sequence[Unwrapper] = (), passphrase: str | None = None
) -> bytes:
    """What a whole age file holds; raises WrongKey, Damaged."""
    if passphrase is not None:
        identities = [*identities, Passphrase(passphrase)]
    header, payload = split(age_file)
    return unseal(open_header(header, identities), payload)


# --- the format's small parts


def _payload_key(file_key: bytes, nonce: bytes) -> bytes:
    return _hkdf(file_key, nonce, b"payload")


def _hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def _wrap_body(key: bytes, file_key: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)


def _unwrap_body(key: bytes, body: bytes) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), body, None)
    except InvalidTag:
        return None


def _arguments(stanza: Stanza, count: int) -> tuple[str, ...]:
    if len(stanza.args) != 1 + count or len(stanza.body) != BODY_SIZE:
        raise Damaged(f"the {stanza.args[0]} stanza of the age header is malformed")
    return stanza.args[1:]


def _exchange(secret: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Damaged("an X25519 share in the age header is of low order") from None


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        data = None
    if data is None or _to_base64(data) != text:
        raise Damaged("the age header holds malformed base64")
    return data


def _fixed_base64(text: str, size: int) -> bytes:
    data = _from_base64(text)
    if len(data) != size:
        raise Damaged(f"the age header holds {len(data)} bytes where {size} belong")
    return data
