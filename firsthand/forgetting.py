"""Forgetting the last minutes: what a device asks of the vault, the vault's receipt, and the rule
by which both find what these minutes touch.

Bytes and signatures only. The card is in record/, the erasure in vault/.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged
from firsthand.segment import Record, build, sign_body, verify_body

VERSION = 1
REASON = "wearer"  # of a forgotten record
REQUEST_CONTEXT = "firsthand/forget/v1"
RECEIPT_CONTEXT = "firsthand/forgotten/v1"
# A device may erase so much at a time: who steals one can't wipe a life with a single request.
LONGEST_NS = 24 * 3600 * 10**9


@dataclass(frozen=True)
class Forget:
    """The last length_ns before the wearer's press; wall times are 0 if the device knew none."""

    id: str
    device: str
    person: str
    length_ns: int
    top: int  # the highest number that the device had taken
    session: str  # of the last recording, with its own clock at the press; may be empty
    boot_ns: int
    wall_ns_start: int = 0
    wall_ns_stop: int = 0
    v: int = VERSION


@dataclass(frozen=True)
class Forgotten:
    """The vault's signed word that nothing of these minutes is left in it."""

    id: str
    device: str
    person: str
    segments: int
    size_bytes: int
    log_index: int
    log_root: str
    time_ns: int
    v: int = VERSION


def sign_forget(forget: Forget, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a request: {"forget": ..., "signature": base64}."""
    return sign_body("forget", asdict(forget), key, REQUEST_CONTEXT)


def verify_forget(envelope: Any, key: VerifyKey) -> Forget:
    """The request inside an envelope; Damaged unless this key signed it and it is in bounds."""
    forget = build(Forget, verify_body("forget", envelope, key, REQUEST_CONTEXT), "forget")
    if forget.v != VERSION:
        raise Damaged(f"request to forget has version {forget.v}", "update firsthand")
    span_ns = forget.wall_ns_stop - forget.wall_ns_start
    if not 0 < forget.length_ns <= LONGEST_NS or not 0 <= span_ns <= LONGEST_NS:
        raise Damaged("request to forget asks for less than nothing, or for more than a day")
    return forget


def sign_forgotten(receipt: Forgotten, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a receipt: {"forgotten": ..., "signature": base64}."""
    return sign_body("forgotten", asdict(receipt), key, RECEIPT_CONTEXT)


def verify_forgotten(envelope: Any, key: VerifyKey) -> Forgotten:
    """The receipt inside an envelope; Damaged unless this key signed exactly these bytes."""
    body = verify_body("forgotten", envelope, key, RECEIPT_CONTEXT)
    receipt = build(Forgotten, body, "receipt")
    if receipt.v != VERSION:
        raise Damaged(f"receipt has version {receipt.v}", "update firsthand")
    return receipt


def touched(records: Iterable[Record], forget: Forget) -> set[int]:
    """The numbers of a device's records that the request touches.

    A record of the last session is placed by that session's own clock, another one by the date
    if both sides know it. What can't be placed is taken as if the device had never been off:
    walking back from the newest, until the records walked over are as long as the request. So
    more may be forgotten than was asked, never less.
    """
    found, walked_ns = set(), 0
    for record in sorted(records, key=lambda record: -record.seq):
        if record.seq > forget.top:
            continue
        if record.session == forget.session:
            inside = record.boot_ns_end > forget.boot_ns - forget.length_ns
        elif forget.wall_ns_stop and told(record):
            inside = record.wall_ns_end > forget.wall_ns_start
        else:
            inside = walked_ns < forget.length_ns
        if inside:
            found.add(record.seq)
        walked_ns += record.boot_ns_end - record.boot_ns_start
    return found


def told(record: Record) -> bool:
    """Whether the device had the time from a clock that runs while it is off, or from outside."""
    return record.wall_quality in ("rtc", "ntp", "gps") and record.wall_ns_start > 0
