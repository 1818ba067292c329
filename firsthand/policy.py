"""What the vault tells a device to do from now on: a signed, numbered policy.

Today it holds whom to seal to, which changes each month. Bytes and signatures only; the device
keeps it in record/wearer/policy.py.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from firsthand.age import Recipient
from firsthand.crypto import SigningKey, VerifyKey, canonical
from firsthand.errors import Damaged, Error
from firsthand.segment import build, sign_body, verify_body

VERSION = 1
CONTEXT = "firsthand/policy/v1"


@dataclass(frozen=True)
class Policy:
    """For one device; a higher number takes the place of a lower one, and never the other way."""

    device: str
    person: str
    number: int
    recipient: str
    v: int = VERSION

    def hash(self) -> str:
        """What the records made under it hold as `policy`."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()


def sign_policy(policy: Policy, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a policy: {"policy": ..., "signature": base64}."""
    return sign_body("policy", asdict(policy), key, CONTEXT)


def verify_policy(envelope: Any, key: VerifyKey) -> Policy:
    """The policy inside an envelope; Damaged unless this key signed it and it can be followed."""
    policy = build(Policy, verify_body("policy", envelope, key, CONTEXT), "policy")
    if policy.v != VERSION:
        raise Damaged(f"policy has version {policy.v}", "update firsthand")
    try:
        Recipient.parse(policy.recipient)
    except Error as error:
        raise Damaged(f"policy {policy.number} names no recipient: {error.message}") from error
    return policy
