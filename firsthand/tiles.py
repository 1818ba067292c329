"""The log as static files, a proof as one text, and the signatures of those who watch the log.

C2SP tlog-tiles, tlog-proof and tlog-cosignature (Ed25519). Pure functions over bytes: where tiles
lie, in a folder or behind a server, is the caller's business.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged, NotFound
from firsthand.tlog import ReadHash, key_hash, node_hash

WIDTH = 256  # hashes of a full tile
HEIGHT = 8  # levels of the tree that one tile spans
ENTRIES = -1  # the level of an entry bundle
PROOF = "c2sp.org/tlog-proof@v1"
COSIGNATURE = 0x04  # the type of an Ed25519 cosignature in its key's id
# fetch(path): the bytes of one tile, or an error of ours if it can't be had.
Fetch = Callable[[str], bytes]


class Tile(NamedTuple):
    """One tile, or with level ENTRIES one bundle of entries: `width` things from a place on."""

    level: int
    number: int
    width: int

    @property
    def start(self) -> int:
        """The number, in its row, of the first hash or entry that it holds."""
        return self.number * WIDTH

    @property
    def path(self) -> str:
        """Its path, such as tile/0/x001/x234/067.p/5."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        steps = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        place = "/".join([*(f"x{step}" for step in steps[:-1]), steps[-1]])
        part = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level == ENTRIES else self.level}/{place}{part}"


_PATH = re.compile(
    r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*)([0-9]{3})"
    r"(?:\.p/([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
)


def parse_path(path: str) -> Tile:
    """The tile of this path; NotFound unless it is written in the one way that a path is."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise NotFound(f"there is no tile {path!r}")
    level, outer, last, width = found.groups()
    number = int("".join(outer.replace("x", "").split("/")) + last)
    tile = Tile(ENTRIES if level == "entries" else int(level), number, int(width or WIDTH))
    if tile.path != path:
        raise NotFound(f"there is no tile {path!r}")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a log of this size."""
    for level in (ENTRIES, *range(64)):
        count = size >> HEIGHT * max(level, 0)
        if not count:
            return
        for number in range(-(-count // WIDTH)):
            yield Tile(level, number, min(WIDTH, count - number * WIDTH))


def holds(size: int, tile: Tile) -> bool:
    """Whether a log of this size has this tile, whole or as much of it as asked."""
    return tile.start + tile.width <= size >> HEIGHT * max(tile.level, 0)


def pack_tile(tile: Tile, read: ReadHash) -> bytes:
    """The hashes of a tile."""
    level = HEIGHT * tile.level
    return b"".join(read(level, tile.start + place) for place in range(tile.width))


def pack_bundle(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle: each after its length in two bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def open_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle; Damaged if it is cut."""
    entries, at = [], 0
    while at < len(data):
        stop = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if stop > len(data) or len(data) < at + 2:
            raise Damaged("a bundle of log entries is cut off")
        entries.append(data[at + 2 : stop])
        at = stop
    return entries


def reader(size: int, fetch: Fetch) -> ReadHash:
    """Subtree hashes of a log of this size, from its tiles; whoever asks compares the root."""

    @lru_cache(maxsize=64)
    def fetched(level: int, number: int) -> bytes:
        width = min(WIDTH, (size >> HEIGHT * level) - number * WIDTH)
        tile = Tile(level, number, width)
        data = fetch(tile.path)
        if len(data) != 32 * width:
            raise Damaged(f"{tile.path} has {len(data)} bytes, not {32 * width}")
        return data

    def read(level: int, index: int) -> bytes:
        row, height = divmod(level, HEIGHT)
        first, count = index << height, 1 << height
        data = fetched(row, first // WIDTH)
        at = first % WIDTH
        hashes = [data[32 * place : 32 * place + 32] for place in range(at, at + count)]
        while len(hashes) > 1:
            pairs = zip(hashes[::2], hashes[1::2], strict=True)
            hashes = [node_hash(left, right) for left, right in pairs]
        return hashes[0]

    return read


def entries_of(size: int, fetch: Fetch) -> Iterator[bytes]:
    """All entries of a log of this size, from its bundles."""
    for number in range(-(-size // WIDTH)):
        tile = Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH))
        entries = open_bundle(fetch(tile.path))
        if len(entries) != tile.width:
            raise Damaged(f"{tile.path} holds {len(entries)} entries, not {tile.width}")
        yield from entries


@dataclass(frozen=True)
class Proof:
    """That an entry is in a log: its index, the hashes up to the root, the log's checkpoint."""

    index: int
    hashes: list[bytes]
    checkpoint: str
    extra: bytes = b""


def proof_text(proof: Proof) -> str:
    """A proof as C2SP tlog-proof writes it."""
    lines = [PROOF]
    if proof.extra:
        lines.append(f"extra {base64.b64encode(proof.extra).decode()}")
    lines.append(f"index {proof.index}")
    lines += [base64.b64encode(value).decode() for value in proof.hashes]
    return "\n".join([*lines, "", proof.checkpoint])


def open_proof(text: str) -> Proof:
    """The proof in a text; Damaged if it is none. Nothing in it is verified yet."""
    head, _, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    try:
        if lines.pop(0) != PROOF:
            raise ValueError
        extra = b""
        if lines[0].startswith("extra "):
            extra = base64.b64decode(lines.pop(0)[6:], validate=True)
        name, _, digits = lines.pop(0).partition(" ")
        if name != "index" or str(int(digits)) != digits:
            raise ValueError
        hashes = [base64.b64decode(line, validate=True) for line in lines]
        if any(len(value) != 32 for value in hashes):
            raise ValueError
    except (ValueError, IndexError, binascii.Error) as error:
        raise Damaged("this is no proof of a log entry (C2SP tlog-proof)") from error
    return Proof(int(digits), hashes, checkpoint, extra)


def notes(text: str) -> Iterator[str]:
    """Each signed note of a text that holds several, one after another."""
    body: list[str] = []
    marks: list[str] = []
    for line in text.splitlines():
        if line.startswith("\u2014 "):
            marks.append(line)
        elif marks and line.strip():
            yield "\n".join([*body, "", *marks, ""])
            body, marks = [line], []
        elif line.strip():
            body.append(line)
    if marks:
        yield "\n".join([*body, "", *marks, ""])


def cosign(note: str, name: str, key: SigningKey, time_s: int) -> str:
    """The checkpoint with one more line: a witness saw this log at this time, and no fork of it."""
    message = f"cosignature/v1\ntime {time_s}\n{note.partition(chr(10) * 2)[0]}\n".encode()
    mark = key_hash(name, key.public, COSIGNATURE) + time_s.to_bytes(8, "big")
    mark += key.sign(None, message)
    return f"{note}\u2014 {name} {base64.b64encode(mark).decode()}\n"


def cosigned(note: str, name: str, key: VerifyKey) -> int:
    """When this witness signed the checkpoint, in seconds since 1970; Damaged if it did not."""
    text, _, marks = note.partition("\n\n")
    for line in marks.splitlines():
        if not line.startswith(f"\u2014 {name} "):
            continue
        try:
            mark = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
        except binascii.Error:
            continue
        if mark[:4] == key_hash(name, key, COSIGNATURE) and len(mark) == 76:
            time_s = int.from_bytes(mark[4:12], "big")
            message = f"cosignature/v1\ntime {time_s}\n{text}\n".encode()
            key.verify(None, message, mark[12:])
            return time_s
    raise Damaged(f"{name} did not sign this checkpoint")
