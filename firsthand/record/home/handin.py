"""Handing one segment in: open, send the parts that the vault lacks, complete, check the receipt.

No state is kept but what card and vault hold: whatever breaks, the vault is asked again what
it lacks. When to try, and what first, is decided in upload.py.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firsthand.errors import Damaged
from firsthand.record.card.card import Waiting
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.home.link import Link, Unreached
from firsthand.segment import Receipt, verify_receipt

MIB = 1 << 20
PART_MIN = 5 * MIB  # S3 takes no smaller ones, but for the last
PART_MAX = 16 * MIB  # a part is held in memory, and a Pi Zero 2 W has 512 MB
# A break costs at most the part under way. Parts above the least are at most a 20th of what passed
# since the last break, so that breaks cost at most 5 %.
CLEAN_PER_PART = 20
# What a vault of another configuration may ask for.
ANY_PART_MAX = 64 * MIB


@dataclass(frozen=True)
class Upload:
    """An upload that the vault opened, with the parts that it lacks."""

    id: str
    part_size: int
    parts: tuple[dict[str, Any], ...]


class HandIn:
    """Hands segments in over one link, in parts as large as the link has earned."""

    def __init__(
        self,
        link: Link,
        device: Device,
        clock: Clock,
        went_on: Callable[[], None] = lambda: None,
        before_part: Callable[[], None] = lambda: None,
    ) -> None:
        """`went_on` is called after each part that arrived; `before_part` may raise to stop."""
        self._link, self._device, self._clock = link, device, clock
        self._went_on, self._before_part = went_on, before_part
        self._clean_bytes = 0  # passed since the link broke last
        self._broken = 0  # breaks since a part arrived
        self._begun = ""  # the upload under way
        self.sends_md5 = False  # whether the vault's store checks each part's MD5
        self.bytes_per_s = 0.0

    @property
    def part_size(self) -> int:
        """How large the parts of an upload begun now should be."""
        earned = self._clean_bytes // CLEAN_PER_PART // MIB * MIB
        return max(PART_MIN, min(PART_MAX, earned))

    def announce(self, item: Waiting) -> Any:
        """Tell the vault what is to come; the answer is the receipt if nothing is left to send."""
        body = self._asked(item) | {"announce": True}
        return self._link.ask("POST", "/api/uploads", body).get("receipt")

    def hand_in(self, item: Waiting) -> tuple[dict[str, Any], Receipt]:
        """The vault's receipt, as signed and as checked; raises as Link does, Damaged, OSError."""
        self._begun = ""
        upload, answer = self._open(item)
        self._begun = upload.id if upload else ""
        if upload and upload.part_size > self.part_size and self._broken > 1:
            # Cut for a link that was better: such a part might never pass again.
            self.give_up()
            upload, answer = self._open(item)
        if upload:
            self._send(item, upload)
            answer = self._link.ask("POST", f"/api/uploads/{upload.id}/complete", {}).get("receipt")
        try:
            return answer, check_receipt(answer, item, self._device)
        except Damaged as error:
            raise not_holding(error) from error

    def give_up(self) -> None:
        """Have the vault throw away what it has of the last item; raises as Link does."""
        if self._begun:
            self._link.ask("DELETE", f"/api/uploads/{self._begun}")

    def _asked(self, item: Waiting) -> dict[str, Any]:
        headers = _headers(item)
        return {"envelope": item.envelope, "headers": headers, "part_size": self.part_size}

    def _open(self, item: Waiting) -> tuple[Upload | None, Any]:
        body = self._asked(item)
        if self.sends_md5:  # so that nobody who sees a part's URL can put other bytes there
            size = item.record.object_size
            starts = range(0, size, self.part_size)
            body["md5"] = [_md5(item.read(at, min(self.part_size, size - at))) for at in starts]
        answer = self._link.ask("POST", "/api/uploads", body)
        if "receipt" in answer:
            return None, answer["receipt"]
        try:
            parts = tuple(_parts(answer, answer["part_size"], item.record.object_size))
            return Upload(str(answer["upload"]), answer["part_size"], parts), None
        except (KeyError, TypeError, ValueError) as error:
            raise Unreached(f"the vault's answer makes no sense: {error}", _UPDATE) from error

    def _send(self, item: Waiting, upload: Upload) -> None:
        for part in upload.parts:
            self._before_part()
            data = item.read((part["number"] - 1) * upload.part_size, part["size"])
            began_ns = self._clock.boot_ns()
            try:
                self._link.put(part["url"], data, _md5(data))
            except Unreached:
                self._clean_bytes, self._broken = 0, self._broken + 1
                raise
            self._arrived(len(data), self._clock.boot_ns() - began_ns)

    def _arrived(self, size: int, took_ns: int) -> None:
        self._clean_bytes, self._broken = self._clean_bytes + size, 0
        rate = size / max(took_ns / 1e9, 1e-6)
        # Over about the last five parts: an estimate that jumps is none.
        self.bytes_per_s += (rate - self.bytes_per_s) * (0.2 if self.bytes_per_s else 1.0)
        self._went_on()


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def not_holding(error: Damaged) -> Unreached:
    """What a receipt that does not hold means: as if there were none."""
    return Unreached(f"the vault's receipt does not hold: {error.message}", _KEPT)


def _headers(item: Waiting) -> dict[str, str]:
    # A cut while a receipted segment was cleared leaves the record alone: the vault, asked again,
    # answers with the receipt. For one that it lacks, it says itself that headers are missing.
    try:
        return item.headers()
    except Damaged:
        return {}


def check_receipt(answer: Any, item: Waiting, device: Device) -> Receipt:
    """The receipt in a vault's answer, if it is signed and says that just this is kept; Damaged."""
    receipt = verify_receipt(answer, device.receipt_key)
    record = item.record
    said = (receipt.record_hash, receipt.device, receipt.session, receipt.seq)
    if said != (record.hash(), record.device, record.session, record.seq):
        raise Damaged("the vault's receipt is for another record", "nothing was cleared")
    kept = (receipt.object_sha256, receipt.object_size)
    if receipt.kind == "stored" and kept != (record.object_sha256, record.object_size):
        raise Damaged("the vault's receipt is for other bytes", "nothing was cleared")
    return receipt


_UPDATE = "update firsthand; footage stays on the card"
_KEPT = "nothing was cleared; check the vault's receipt key of this device"


def _parts(answer: dict[str, Any], part_size: int, total: int) -> list[dict[str, Any]]:
    """The parts to send, each within the object; raises KeyError, TypeError, ValueError."""
    if not 0 < part_size <= ANY_PART_MAX:
        raise ValueError(f"parts of {part_size} bytes")
    for part in answer["parts"]:
        left = total - (part["number"] - 1) * part_size
        if part["number"] < 1 or part["size"] != min(part_size, left) or part["size"] <= 0:
            raise ValueError(f"part {part['number']} of {part['size']} bytes")
        if not isinstance(part["url"], str):
            raise TypeError("a part without a URL")
    return answer["parts"]
