"""What the wearer asked of this device through the vault, taken when the vault is next met.

asked.json   in the device's folder: the number of the last request that was taken
"""

import json
from typing import Any

from firsthand.asking import HOLDS_NS, Ask, verify_ask
from firsthand.errors import Damaged
from firsthand.record.clock import Clock
from firsthand.record.device import Device
from firsthand.record.durable import write_durably
from firsthand.record.wearer.control import Control


def take(device: Device, envelope: Any, clock: Clock, now_ns: int) -> Ask | None:
    """Pauses as asked; None if it was taken before, or is too old. Damaged if nobody asked so.

    A pause that holds is never made shorter.
    """
    ask = verify_ask(envelope, device.receipt_key)
    if ask.device != device.name:
        raise Damaged(f"request {ask.number} is for another device")
    if ask.number <= _last(device) or now_ns - ask.asked_ns > HOLDS_NS:
        return None
    control = Control(device.folder, clock)
    held = control.paused()
    left_ns = held.rest_ns(clock) if held else 0
    if left_ns is not None and (not ask.pause_s or ask.pause_s * 10**9 > left_ns):
        control.pause(float(ask.pause_s) if ask.pause_s else None)
    # Afterwards: cut in between, it is taken again, and the pause lasts a little longer.
    data = json.dumps({"last": ask.number}).encode()
    write_durably(device.folder / "asked.json", data + b"\n")
    return ask


def _last(device: Device) -> int:
    try:
        return int(json.loads((device.folder / "asked.json").read_bytes())["last"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
