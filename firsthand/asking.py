"""What a wearer asks of their device through the vault: a signed request to pause, taken once.

It can only make a device record less: nothing that a vault signs starts a recording or ends a
pause. Bytes and signatures only; the device takes it in record/wearer/asked.py.
"""

from dataclasses import asdict, dataclass
from typing import Any

from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged
from firsthand.segment import build, sign_body, verify_body

VERSION = 1
CONTEXT = "firsthand/ask/v1"
LONGEST_S = 24 * 3600
# One that was not taken for so long is not taken any more: nobody remembers having asked.
HOLDS_NS = 24 * 3600 * 10**9


@dataclass(frozen=True)
class Ask:
    """To pause from the moment it is taken, for so long; 0: until the wearer resumes."""

    device: str
    number: int  # grows: a device takes none twice, and none that came before another
    pause_s: int
    asked_ns: int
    v: int = VERSION


def sign_ask(ask: Ask, key: SigningKey) -> dict[str, Any]:
    """The signed envelope of a request: {"ask": ..., "signature": base64}."""
    return sign_body("ask", asdict(ask), key, CONTEXT)


def verify_ask(envelope: Any, key: VerifyKey) -> Ask:
    """The request inside an envelope; Damaged unless this key signed it and it can be followed."""
    ask = build(Ask, verify_body("ask", envelope, key, CONTEXT), "ask")
    if ask.v != VERSION or not 0 <= ask.pause_s <= LONGEST_S:
        raise Damaged(f"request {ask.number} of version {ask.v} cannot be followed", "update both")
    return ask
