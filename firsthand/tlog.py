"""The mathematics of the append-only log: Merkle hashing, proofs, signed checkpoints.

RFC 6962 section 2.1 for hashes and proofs; C2SP tlog-checkpoint and signed-note for checkpoints.
Pure functions; log.py keeps a log in the database.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged

EMPTY_ROOT = hashlib.sha256(b"").digest()
# read(level, index): the hash of the complete subtree of 2**level leaves that starts at leaf
# index * 2**level.
ReadHash = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def new_hashes(index: int, leaf: bytes, read: ReadHash) -> Iterator[tuple[int, int, bytes]]:
    """(level, index, hash) of every subtree that appending leaf number `index` completes."""
    level, value = 0, leaf
    yield level, index, value
    while index % 2 == 1:
        value = node_hash(read(level, index - 1), value)
        level, index = level + 1, index // 2
        yield level, index, value


def frontier(size: int) -> list[tuple[int, int]]:
    """(level, index) of the complete subtrees that together hold the first `size` entries."""
    levels = range(size.bit_length())
    return [(level, (size >> level) - 1) for level in levels if size >> level & 1]


def root(size: int, read: ReadHash) -> bytes:
    """The root hash of the first `size` entries."""
    return _subtree(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: ReadHash) -> list[bytes]:
    """The hashes that show entry `index` in a log of `size` entries (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise Damaged(f"entry {index} is not in a log of {size}")
    return _path(index, 0, size, read)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], top: bytes) -> None:
    """Damaged unless the proof leads from this leaf to the root `top` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise Damaged(f"entry {index} is not in a log of {size}")
    position, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise Damaged(f"the proof of log entry {index} is too long")
        if position % 2 == 1 or position == last:
            value = node_hash(step, value)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            value = node_hash(value, step)
        position, last = position >> 1, last >> 1
    if last != 0 or value != top:
        raise Damaged(f"log entry {index} is not under this root")


def consistency_proof(old: int, new: int, read: ReadHash) -> list[bytes]:
    """The hashes that show a log of `old` entries at the head of one of `new` (RFC 6962 2.1.2)."""
    if not 0 < old <= new:
        raise Damaged(f"a log of {new} entries holds none of {old}")
    return [] if old == new else _consistency(old, 0, new, True, read)


def verify_consistency(
    old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Damaged unless the old log is the head of the new one (RFC 9162 2.1.4.2)."""
    wrong = Damaged(f"the log of {new} entries does not begin with the log of {old}")
    if not 0 < old <= new:
        raise wrong
    if old == new:
        if proof or old_root != new_root:
            raise wrong
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise wrong
    position, last = old - 1, new - 1
    while position % 2 == 1:
        position, last = position >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise wrong
        if position % 2 == 1 or position == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, step)
        position, last = position >> 1, last >> 1
    if last != 0 or first != old_root or second != new_root:
        raise wrong


@dataclass(frozen=True)
class Checkpoint:
    """The state of a log: its name, how many entries, and their root hash."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """The text that is signed (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()

    def sign(self, key: SigningKey) -> str:
        """The checkpoint as a signed note (C2SP signed-note), the key being named as the log."""
        mark = key_hash(self.origin, key.public) + key.sign(None, self.body())
        text = self.body().decode()
        return f"{text}\n\u2014 {self.origin} {base64.b64encode(mark).decode()}\n"


def open_checkpoint(note: str, origin: str, key: VerifyKey) -> Checkpoint:
    """The checkpoint in a signed note; Damaged unless this log's key signed it."""
    try:
        text, _, signatures = note.partition("\n\n")
        name, size, top = text.split("\n")[:3]
        checkpoint = Checkpoint(name, int(size), base64.b64decode(top, validate=True))
        line = next(
            line for line in signatures.splitlines() if line.startswith(f"\u2014 {origin} ")
        )
        mark = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
    except (ValueError, StopIteration, binascii.Error) as error:
        raise Damaged(f"this is no checkpoint of {origin}") from error
    if checkpoint.origin != origin or mark[:4] != key_hash(origin, key):
        raise Damaged(f"this checkpoint is not by {origin}")
    key.verify(None, text.encode() + b"\n", mark[4:])
    return checkpoint


def root_of(text: str) -> bytes:
    """The root hash that a checkpoint's text names; Damaged. Nothing is verified."""
    try:
        return base64.b64decode(text.split("\n")[2], validate=True)
    except (IndexError, binascii.Error) as error:
        raise Damaged("this is no checkpoint") from error


def log_name(key: VerifyKey) -> str:
    """The name of a vault's log, which holds its key: two vaults never share one."""
    return f"firsthand/{hashlib.sha256(key.to_bytes()).hexdigest()[:16]}"


def key_hash(name: str, key: VerifyKey, kind: int = 1) -> bytes:
    """The id of a key in a signed note (C2SP signed-note); kind 1 is a plain Ed25519 signature."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + key.to_bytes()).digest()[:4]


class Frontier:
    """The complete subtrees at the end of a log that grows, enough for its root at any size."""

    def __init__(self) -> None:
        self.size = 0
        self._whole: list[tuple[int, bytes]] = []  # (level, hash), the largest first

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Takes in a leaf; (level, index, hash) of every subtree that it completes."""
        level, index, value = 0, self.size, leaf
        made = [(level, index, value)]
        while index % 2 == 1:
            value = node_hash(self._whole.pop()[1], value)
            level, index = level + 1, index // 2
            made.append((level, index, value))
        self._whole.append((level, value))
        self.size += 1
        return made

    def root(self) -> bytes:
        """The root of what was taken in so far."""
        if not self._whole:
            return EMPTY_ROOT
        value = self._whole[-1][1]
        for _, left in reversed(self._whole[:-1]):
            value = node_hash(left, value)
        return value


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(start: int, stop: int, read: ReadHash) -> bytes:
    size = stop - start
    if size & (size - 1) == 0 and start % size == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(size)
    return node_hash(_subtree(start, middle, read), _subtree(middle, stop, read))


def _path(index: int, start: int, stop: int, read: ReadHash) -> list[bytes]:
    if stop - start == 1:
        return []
    middle = start + _split(stop - start)
    if index < middle:
        return [*_path(index, start, middle, read), _subtree(middle, stop, read)]
    return [*_path(index, middle, stop, read), _subtree(start, middle, read)]


def _consistency(old: int, start: int, stop: int, whole: bool, read: ReadHash) -> list[bytes]:
    if old == stop:
        return [] if whole else [_subtree(start, stop, read)]
    middle = start + _split(stop - start)
    if old <= middle:
        proof = _consistency(old, start, middle, whole, read)
        return [*proof, _subtree(middle, stop, read)]
    return [*_consistency(old, middle, stop, False, read), _subtree(start, middle, read)]
