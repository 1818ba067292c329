"""What the vault tells a device to do from now on: a signed, numbered policy.

It holds whom to seal to, which changes each month, and what may be recorded where; or that nothing
is to be recorded any more. Bytes and signatures only; the device keeps it in
record/wearer/policy.py.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from firsthand.age import Recipient
from firsthand.capture import Rules
from firsthand.crypto import SigningKey, VerifyKey, canonical
from firsthand.errors import Damaged, Error
from firsthand.segment import build, sign_body, verify_body

VERSION = 1
CONTEXT = "firsthand/policy/v1"
# Above every time: a device that was told to stop takes no older word, whoever sends it again.
LAST = 2**62


@dataclass(frozen=True)
class Policy:
    """For one device; a higher number takes the place of a lower one, and never the other way."""

    device: str
    person: str
    number: int
    recipient: str
    v: int = VERSION
    record: bool = True  # false once the wearer has left: nothing is recorded, and nothing sealed
    rules: dict[str, Any] = field(default_factory=dict)  # as capture.Rules; empty: none were told

    def hash(self) -> str:
        """What the records made under it hold as `policy`."""
        return hashlib.sha256(canonical(_body(self))).hexdigest()


def last_policy(device: str, person: str) -> Policy:
    """What a device is told when its wearer has left: record nothing, for good."""
    return Policy(device, person, LAST, "", record=False)


def sign_policy(policy: Policy, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a policy: {"policy": ..., "signature": base64}."""
    return sign_body("policy", _body(policy), key, CONTEXT)


def verify_policy(envelope: Any, key: VerifyKey) -> Policy:
    """The policy inside an envelope; Damaged unless this key signed it and it can be followed."""
    policy = build(Policy, verify_body("policy", envelope, key, CONTEXT), "policy")
    if policy.v != VERSION:
        raise Damaged(f"policy has version {policy.v}", "update firsthand")
    if not policy.record:
        return policy
    try:
        Recipient.parse(policy.recipient)
        if policy.rules:
            Rules.from_json(policy.rules)
    except Error as error:
        raise Damaged(f"policy {policy.number} cannot be followed: {error.message}") from error
    return policy


def _body(policy: Policy) -> dict[str, Any]:
    body = asdict(policy)
    if policy.record:  # the bytes of a policy that lets record are those of before
        del body["record"]
    if not policy.rules:
        del body["rules"]
    return body
