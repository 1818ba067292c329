"""The segment: about a minute of sealed footage, its signed record, and the vault's receipt.

Bytes and signatures only. Sealing is in age.py, the card in record/, storage in vault/.
"""

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from firsthand.crypto import SigningKey, VerifyKey, canonical
from firsthand.errors import Damaged

VERSION = 1
SEGMENT_S = 60.0
PARTS = ("video", "motion", "still", "events")
KINDS = ("segment", "gap", "withheld", "forgotten", "clock")
WALL_QUALITIES = ("none", "fake", "rtc", "ntp", "gps")

# Fields of events that are the wearer's and the device's own words: they reach no release.
OWN_FIELDS = ("bookmark", "device")

RECORD_CONTEXT = "firsthand/segment/v1"
RECEIPT_CONTEXT = "firsthand/receipt/v1"

# One motion sample: boot-clock ns, gyroscope x y z in rad/s, accelerometer x y z in m/s2.
# 32 bytes, so that a 64 KiB seal chunk holds whole rows; a row of zeros is padding.
MOTION = struct.Struct("<q6f")


@dataclass(frozen=True)
class Part:
    """One sealed part of a segment: its size and the hashes of its age payload and header."""

    name: str
    size_bytes: int
    payload_sha256: str
    header_sha256: str
    header_size: int
    cut: bool = False


@dataclass(frozen=True)
class Record:
    """What a device says, and signs, about one stretch of time; `prev` chains it to the last."""

    device: str
    person: str
    session: str
    seq: int
    prev: str
    kind: str
    boot_ns_start: int
    boot_ns_end: int
    wall_ns_start: int = 0
    wall_ns_end: int = 0
    wall_quality: str = "none"
    parts: tuple[Part, ...] = ()
    object_sha256: str = ""
    object_size: int = 0
    frames: int = 0
    dropped: int = 0
    longest_gap_ns: int = 0
    media: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    cut: bool = False
    recipient: str = ""
    policy: str = ""
    checkpoint: str = ""
    v: int = VERSION

    @property
    def duration_s(self) -> float:
        """Length in seconds on the device's own clock."""
        return (self.boot_ns_end - self.boot_ns_start) / 1e9

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values; `media` is the record's own."""
        # Not asdict, which copies deeply and took half of the time of a hash.
        return vars(self) | {"parts": [dict(vars(part)) for part in self.parts]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Record":
        """A record from JSON values; Damaged if a field is missing, unknown or of a wrong kind."""
        record = build(cls, data, "record")
        if not isinstance(record.parts, list | tuple) or not isinstance(record.media, dict):
            raise Damaged("record has parts or media of the wrong kind")
        parts = tuple(build(Part, part, "part") for part in record.parts)
        record = cls(**{**vars(record), "parts": parts})
        _check(record)
        return record

    def hash(self) -> str:
        """SHA-256 of the canonical record, in hexadecimal: what the next record's `prev` holds."""
        return hashlib.sha256(canonical(self.to_json())).hexdigest()


@dataclass(frozen=True)
class Receipt:
    """The vault's signed word on one record: stored, or refused for good."""

    kind: str
    record_hash: str
    device: str
    session: str
    seq: int
    object_sha256: str
    object_size: int
    log_index: int
    log_root: str
    time_ns: int
    reason: str = ""
    v: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """The receipt as plain JSON values."""
        return dict(vars(self))


def sign_record(record: Record, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a record: {"record": ..., "signature": base64}."""
    return sign_body("record", record.to_json(), key, RECORD_CONTEXT)


def verify_record(envelope: dict[str, Any], key: VerifyKey) -> Record:
    """The record inside an envelope; Damaged unless this key signed exactly these bytes."""
    return Record.from_json(verify_body("record", envelope, key, RECORD_CONTEXT))


def sign_receipt(receipt: Receipt, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a receipt: {"receipt": ..., "signature": base64}."""
    return sign_body("receipt", receipt.to_json(), key, RECEIPT_CONTEXT)


def verify_receipt(envelope: dict[str, Any], key: VerifyKey) -> Receipt:
    """The receipt inside an envelope; Damaged unless this key signed exactly these bytes."""
    receipt = build(Receipt, verify_body("receipt", envelope, key, RECEIPT_CONTEXT), "receipt")
    if receipt.v != VERSION or receipt.kind not in ("stored", "refused"):
        raise Damaged(f"receipt has unknown kind {receipt.kind!r} or version {receipt.v}")
    return receipt


def pack_motion(rows: Iterable[tuple[int, float, float, float, float, float, float]]) -> bytes:
    """Motion rows (boot ns, gyro x y z in rad/s, accel x y z in m/s2) as bytes, 32 a row."""
    return b"".join(MOTION.pack(*row) for row in rows)


def iter_motion(data: bytes) -> Iterator[tuple[int, float, float, float, float, float, float]]:
    """The motion rows in `data`; padding and a torn last row are passed over."""
    for row in MOTION.iter_unpack(data[: len(data) - len(data) % MOTION.size]):
        if any(row) and all(math.isfinite(value) for value in row):
            yield row  # type: ignore[misc]


def pack_events(events: Iterable[dict[str, Any]]) -> bytes:
    """Events ({"start_ns", "stop_ns", "fields"}) as JSON lines."""
    return b"".join(canonical(event) + b"\n" for event in events)


def iter_events(data: bytes) -> Iterator[dict[str, Any]]:
    """The events in JSON lines; white space is padding, a torn last line is passed over."""
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                if number < len(lines) - 1:
                    raise Damaged(f"line {number + 1} of the events is not JSON") from error


def sign_body(name: str, body: dict[str, Any], key: SigningKey, context: str) -> dict[str, Any]:
    """An envelope {name: body, "signature": base64}, signed in this context."""
    signature = key.sign(context, canonical(body))
    return {name: body, "signature": base64.b64encode(signature).decode()}


def verify_body(name: str, envelope: Any, key: VerifyKey, context: str) -> dict[str, Any]:
    """The body in an envelope; Damaged unless this key signed exactly these bytes."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get(name), dict):
        raise Damaged(f"this is no signed {name}")
    try:
        signature = base64.b64decode(str(envelope.get("signature")), validate=True)
    except ValueError as error:
        raise Damaged(f"the signature of this {name} is not base64") from error
    key.verify(context, canonical(envelope[name]), signature)
    return envelope[name]


def build(cls: type, data: Any, what: str) -> Any:
    """A dataclass from JSON values; Damaged if a field is missing, unknown or of a wrong kind."""
    if not isinstance(data, dict):
        raise Damaged(f"a {what} must be an object")
    known = {item.name: item.type for item in fields(cls)}
    unknown = data.keys() - known.keys()
    if unknown:
        raise Damaged(f"{what} has an unknown field {min(unknown)!r}")
    for name, value in data.items():
        kind = known[name]
        if kind in (int, str, bool) and type(value) is not kind:
            raise Damaged(f"{what} field {name!r} must be of type {kind.__name__}")
    try:
        return cls(**data)
    except TypeError as error:
        raise Damaged(f"{what} lacks a field") from error


def _check(record: Record) -> None:
    if record.v != VERSION:
        raise Damaged(
            f"record has version {record.v}, this program reads {VERSION}", "update firsthand"
        )
    if record.kind not in KINDS or record.wall_quality not in WALL_QUALITIES:
        raise Damaged("record has an unknown kind or wall_quality")
    numbers = [record.seq, record.object_size, record.boot_ns_end - record.boot_ns_start]
    numbers += [record.frames, record.dropped, record.longest_gap_ns]
    if min(numbers) < 0:
        raise Damaged("record has a negative size, number or duration")
    if any(min(part.size_bytes, part.header_size) < 1 for part in record.parts):
        raise Damaged("record has a part without bytes")
    names = [part.name for part in record.parts]
    if names != [name for name in PARTS if name in names]:
        raise Damaged("record has unknown parts, or parts out of order")
    if sum(part.size_bytes for part in record.parts) != record.object_size:
        raise Damaged("the parts of this record do not add up to its object")
    if (record.kind == "segment") != bool(record.parts):
        raise Damaged("a segment has parts, and nothing else has")
