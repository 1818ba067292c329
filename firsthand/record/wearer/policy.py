"""The vault's policy on a device: the last good one is kept, an older one is never taken.

policy.json   in the device's folder, the signed envelope; device.json holds what was agreed at
              enrolment, and stands in where this one is missing or damaged
"""

import json
import os
from dataclasses import replace
from typing import Any

from firsthand.age import Recipient
from firsthand.errors import Damaged, Error, Refused
from firsthand.policy import Policy, verify_policy
from firsthand.record.device import Device
from firsthand.record.durable import write_durably


def take(device: Device, envelope: Any) -> Device:
    """The device under this policy, which it keeps; Damaged or Refused if it must not be taken."""
    policy = _check(device, envelope)
    held = held_policy(device)
    if held is not None and policy.number < held.number:
        raise Refused(
            f"policy {policy.number} is older than {held.number}, which this device has",
            "the vault may run on an old copy of its data",
        )
    if held is not None and policy.number == held.number and policy != held:
        raise Damaged(f"the vault signed two different policies numbered {policy.number}")
    if policy != held:
        write_durably(device.folder / "policy.json", json.dumps(envelope).encode() + b"\n")
    return _under(device, policy)


def follow(device: Device) -> Device:
    """The device under the policy that it kept, or as it was enrolled."""
    held = held_policy(device)
    return device if held is None else _under(device, held)


class Left:
    """Says whether the wearer has left; one look at a file's state while nothing changes."""

    def __init__(self, device: Device) -> None:
        self._device, self._left = device, False
        self._name = str(device.folder / "policy.json")  # it is looked at with each sample
        self._seen: tuple[int, ...] | None = None

    def __call__(self) -> bool:
        """Whether the vault's last word is that nothing is to be recorded any more."""
        try:
            found = os.stat(self._name)
        except OSError:
            return False
        state = (found.st_mtime_ns, found.st_ino, found.st_size)
        if state != self._seen:
            self._seen = state
            policy = held_policy(self._device)
            self._left = policy is not None and not policy.record
        return self._left


def require_taking_part(device: Device) -> None:
    """Refused once the vault has said that the wearer has left."""
    if Left(device)():
        raise Refused(
            f"the wearer of {device.name} has left the programme: nothing is recorded",
            "to take part again, enrol as a new person",
        )


def held_policy(device: Device) -> Policy | None:
    """The policy that the device kept, if it still is what the vault signed."""
    try:
        return _check(device, json.loads((device.folder / "policy.json").read_bytes()))
    except (OSError, ValueError, Error):
        return None


def _check(device: Device, envelope: Any) -> Policy:
    policy = verify_policy(envelope, device.receipt_key)
    if (policy.device, policy.person) != (device.name, device.person):
        raise Damaged(f"policy {policy.number} is for another device")
    return policy


def _under(device: Device, policy: Policy) -> Device:
    if not policy.record:
        return replace(device, policy=policy.hash())
    return replace(device, recipient=Recipient.parse(policy.recipient), policy=policy.hash())
