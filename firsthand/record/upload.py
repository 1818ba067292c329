"""The way home: what waits on the card goes to the vault, and is cleared by its signed receipt.

Nothing else is a success: no status, no page of a captive portal, no receipt by another key. No
state is kept but the card itself; a broken upload goes on at the part where it broke.
"""

import base64
import contextlib
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from firsthand.errors import Damaged, Error, Locked
from firsthand.record import forget
from firsthand.record.card import Card, Waiting, card_error
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.health import Pulse
from firsthand.record.link import Denied, Link, Rejected, Unreached
from firsthand.record.replace import set_damaged_aside
from firsthand.record.salvage import salvage
from firsthand.segment import Receipt, verify_receipt

WAIT_FIRST_S, WAIT_MAX_S = 0.25, 60.0
NAP_S = 0.5  # a wait is slept in pieces, so that a request to stop is heard
PART_MAX = 64 << 20  # a part is held in memory


@dataclass(frozen=True)
class Carried:
    """What one run of the uploader did; `waiting_for` says why it is not further."""

    stored: int = 0
    refused: int = 0
    bytes_stored: int = 0
    bytes_sent: int = 0  # repeated parts included; one that broke counts whole
    retries: int = 0
    left: int = 0
    left_bytes: int = 0
    rejected: dict[str, str] = field(default_factory=dict)  # folder on the card: reason
    waiting_for: str = ""
    wait_s: float = 0.0


def carry_home(
    card: Card,
    device: Device,
    *,
    clock: Clock | None = None,
    chance: random.Random | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Carried], None] | None = None,
    patience_s: float | None = None,
    pulse: Pulse | None = None,
) -> Carried:
    """Carry until nothing is left, `stop` says so, or nothing went on for patience_s (None: ever).

    What the vault rejects is left on the card and named; what it refused for good, by a signed
    receipt, is cleared. Raises Locked if another carrier uses the card.
    """
    clock = clock or Clock()
    with card.lock("carrier"):
        _salvage_if_idle(card, device)
        link = Link(device, clock)
        chance = chance or random.Random()
        carrier = _Carrier(card, device, link, clock, chance, stop, progress, patience_s)
        carrier.pulse = pulse
        try:
            return carrier.run()
        finally:
            link.close()


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


class _Stopped(Exception):
    pass


@dataclass(frozen=True)
class _Upload:
    """An upload that the vault opened, with the parts that it lacks."""

    id: str = ""
    part_size: int = 0
    parts: tuple[dict[str, Any], ...] = ()


class _Carrier:
    def __init__(
        self,
        card: Card,
        device: Device,
        link: Link,
        clock: Clock,
        chance: random.Random,
        stop: Callable[[], bool],
        progress: Callable[[Carried], None] | None,
        patience_s: float | None,
    ) -> None:
        self._card, self._device, self._link = card, device, link
        self._clock, self._chance = clock, chance
        self._stop, self._progress, self._patience_s = stop, progress, patience_s
        self._done = Carried()
        self._failures = 0
        self._waited_s = 0.0
        self.pulse: Pulse | None = None

    def run(self) -> Carried:
        """Oldest first, until a look at the card finds nothing that could still be carried."""
        try:
            self._settle_first()
            self._beat()
            while queue := self._queue():
                for item in queue:
                    self._carry(item)
                    self._beat()
        except _Stopped:
            self._queue()
        return self._done

    def _beat(self) -> None:
        if self.pulse:
            self.pulse.beat(self._link)

    def _queue(self) -> list[Waiting]:
        waiting = self._card.waiting()
        left_bytes = sum(item.listed.size_bytes for item in waiting)
        self._note(left=len(waiting), left_bytes=left_bytes)
        return [item for item in waiting if item.folder.name not in self._done.rejected]

    def _carry(self, item: Waiting) -> None:
        """Try one item until a receipt clears it, or it turns out that it can't be carried."""
        upload = _Upload()
        try:
            item.verify(self._device.key.public)
        except Damaged as error:
            self._set_aside(item, error)
            return
        except OSError as error:  # it can't be read now, but perhaps later
            self._give_up(item, upload, card_error(self._card.path, error))
            return
        while True:
            if self._stop():
                raise _Stopped
            try:
                self._settle()
                forget.check(self._card, item)
                # Asked anew after each failure: the answer is the receipt if all is there, else
                # the parts that the vault lacks.
                upload, receipt = self._begin(item)
                self._clear(item, self._send(item, upload) if upload.id else receipt)
                return
            except forget.Gone:
                self._drop(upload)
                forget.carry_out(self._card, self._device)
                return
            except Unreached as error:
                self._wait(error)
            except Denied as error:
                self._wait(error)
                return  # until the next round: the others may fare better
            except (Rejected, Damaged) as error:
                self._give_up(item, upload, error)
                return
            except OSError as error:
                self._give_up(item, upload, card_error(self._card.path, error))
                return

    def _set_aside(self, item: Waiting, damage: Damaged) -> None:
        """What changed on the card is kept there; the vault gets a gap record in its place."""
        message = damage.message
        try:
            set_damaged_aside(self._card, self._device, item)
        except OSError as error:
            message += f"; {card_error(self._card.path, error).message}"
        self._note(rejected=self._done.rejected | {item.folder.name: message})

    def _begin(self, item: Waiting) -> tuple[_Upload, Any]:
        body = {"envelope": item.envelope, "headers": item.headers()}
        answer = self._link.ask("POST", "/api/uploads", body)
        if "receipt" in answer:
            return _Upload(), answer["receipt"]
        try:
            parts = tuple(_parts(answer, answer["part_size"], item.record.object_size))
            return _Upload(str(answer["upload"]), answer["part_size"], parts), None
        except (KeyError, TypeError, ValueError) as error:
            raise Unreached(f"the vault's answer makes no sense: {error}", _UPDATE) from error

    def _send(self, item: Waiting, upload: _Upload) -> Any:
        """Send the parts that the vault lacks, then ask for the receipt."""
        for part in upload.parts:
            if self._stop():
                raise _Stopped
            data = item.read((part["number"] - 1) * upload.part_size, part["size"])
            forget.check(self._card, item)
            digest = hashlib.md5(data, usedforsecurity=False).digest()
            self._link.put(part["url"], data, base64.b64encode(digest).decode())
            self._went_on()
        return self._link.ask("POST", f"/api/uploads/{upload.id}/complete", {}).get("receipt")

    def _clear(self, item: Waiting, answer: Any) -> None:
        try:
            receipt = check_receipt(answer, item, self._device)
        except Damaged as error:
            raise Unreached(f"the vault's receipt does not hold: {error.message}", _KEPT) from error
        self._card.clear(item, answer, receipt.time_ns)
        self._went_on()
        done, size = self._done, item.record.object_size
        self._note(left=done.left - 1, left_bytes=done.left_bytes - size)
        if receipt.kind == "stored":
            self._note(stored=done.stored + 1, bytes_stored=done.bytes_stored + size)
        else:
            self._note(refused=done.refused + 1)

    def _give_up(self, item: Waiting, upload: _Upload, error: Error) -> None:
        """Leave it on the card for the next run, and go on with the others."""
        self._drop(upload)
        with contextlib.suppress(forget.Gone):
            forget.check(self._card, item)
            self._note(rejected=self._done.rejected | {item.folder.name: error.message})

    def _drop(self, upload: _Upload) -> None:
        if upload.id:
            with contextlib.suppress(Unreached, Denied, Rejected):
                self._link.ask("DELETE", f"/api/uploads/{upload.id}")

    def _settle(self) -> None:
        """What the wearer wants forgotten goes before anything else."""
        try:
            if forget.settle(self._card, self._device, self._link):
                self._went_on()
        except Damaged as error:
            raise Unreached(f"the vault's receipt does not hold: {error.message}", _KEPT) from error
        except Rejected as error:
            self._note(rejected=self._done.rejected | {"forget": error.message})

    def _settle_first(self) -> None:
        while not self._stop():
            try:
                return self._settle()
            except Denied as error:
                return self._wait(error)
            except Unreached as error:
                self._wait(error)
        raise _Stopped

    def _went_on(self) -> None:
        self._failures, self._waited_s = 0, 0.0
        self._note(waiting_for="", wait_s=0.0)

    def _wait(self, error: Error) -> None:
        """Wait longer each time, by a random share, so that devices don't come back as one."""
        delay_s = WAIT_MAX_S
        if not isinstance(error, Denied):  # asking at once again won't change that
            delay_s = min(WAIT_MAX_S, WAIT_FIRST_S * 2 ** min(self._failures, 20))
        delay_s *= 0.5 + self._chance.random() / 2
        self._failures += 1
        self._note(retries=self._done.retries + 1, waiting_for=error.message, wait_s=delay_s)
        if self._patience_s is not None and self._waited_s + delay_s > self._patience_s:
            raise _Stopped
        self._waited_s += delay_s
        while delay_s > 0:
            if self._stop():
                raise _Stopped
            self._clock.sleep(min(delay_s, NAP_S))
            delay_s -= NAP_S

    def _note(self, **changes: Any) -> None:
        self._done = replace(self._done, bytes_sent=self._link.sent_bytes, **changes)
        if self._progress:
            self._progress(self._done)


_UPDATE = "update firsthand; footage stays on the card"
_KEPT = "nothing was cleared; check the vault's receipt key of this device"


def _parts(answer: dict[str, Any], part_size: int, total: int) -> list[dict[str, Any]]:
    """The parts to send, each within the object; raises KeyError, TypeError, ValueError."""
    if not 0 < part_size <= PART_MAX:
        raise ValueError(f"parts of {part_size} bytes")
    for part in answer["parts"]:
        left = total - (part["number"] - 1) * part_size
        if part["number"] < 1 or part["size"] != min(part_size, left) or part["size"] <= 0:
            raise ValueError(f"part {part['number']} of {part['size']} bytes")
        if not isinstance(part["url"], str):
            raise TypeError("a part without a URL")
    return answer["parts"]


def _salvage_if_idle(card: Card, device: Device) -> None:
    with contextlib.suppress(Locked):  # a recorder at work has seen to it itself
        salvage(card, device)
