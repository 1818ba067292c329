"""Footage that its device sealed wrongly is refused at the door, or when it is read."""

import base64
import hashlib
import os
from dataclasses import replace

import pytest
from faults import Tally

from firsthand import age
from firsthand.crypto import SLOT
from firsthand.errors import Damaged
from firsthand.segment import Part, sign_record
from firsthand.vault import catalog, reading

pytestmark = pytest.mark.files
PLAIN = b"v" * 300_000  # four whole chunks and a last one
HEAD = 16  # the payload's nonce


def signed(device, made, payloads: dict[str, bytes], headers=None):  # type: ignore[no-untyped-def]
    """The same segment with other bytes, hashed and signed as if they were right."""
    headers = headers or made.headers
    parts = []
    for name, payload in payloads.items():
        header = base64.b64decode(headers[name])
        hashes = hashlib.sha256(payload).hexdigest(), hashlib.sha256(header).hexdigest()
        parts.append(Part(name, len(payload), *hashes, len(header)))
    sealed = b"".join(payloads.values())
    record = replace(
        made.record,
        parts=tuple(parts),
        object_sha256=hashlib.sha256(sealed).hexdigest(),
        object_size=len(sealed),
    )
    envelope = sign_record(record, device.key)
    return replace(made, record=record, envelope=envelope, headers=headers, sealed=sealed)


def chunk(payload: bytes, number: int) -> bytes:
    return payload[HEAD + number * SLOT : HEAD + (number + 1) * SLOT]


def swapped(payload: bytes) -> bytes:
    first, second = chunk(payload, 1), chunk(payload, 2)
    rest = payload[HEAD + 3 * SLOT :]
    return payload[:HEAD] + chunk(payload, 0) + second + first + rest


WRONG = {
    "cut off between chunks": lambda payload: payload[: HEAD + 2 * SLOT],
    "cut off within a chunk": lambda payload: payload[:-1],
    "cut off within the nonce": lambda payload: payload[:9],
    "bytes appended": lambda payload: payload + os.urandom(40),
    "a chunk appended": lambda payload: payload + chunk(payload, 0),
    "the first two chunks swapped": lambda payload: (
        payload[:HEAD] + chunk(payload, 1) + chunk(payload, 0) + payload[HEAD + 2 * SLOT :]
    ),
    "two chunks in the middle swapped": swapped,
    "a chunk repeated": lambda payload: (
        payload[: HEAD + 2 * SLOT] + chunk(payload, 1) + payload[HEAD + 3 * SLOT :]
    ),
    "a chunk missing": lambda payload: payload[: HEAD + SLOT] + payload[HEAD + 2 * SLOT :],
    "another nonce": lambda payload: os.urandom(HEAD) + payload[HEAD:],
    "a nonce of zeros": lambda payload: bytes(HEAD) + payload[HEAD:],
}


def take_and_read(vault, device, bad) -> bytes:  # type: ignore[no-untyped-def]
    """Only a payload's two ends are opened at the door; what lies between, when it is read."""
    device.hand_in(bad)
    with vault.db.read() as connection:
        segment = catalog.find_record(connection, device.id, bad.record.seq)
    return reading.read_part(vault, segment.id, "video", "self", "x")


@pytest.mark.fault("K5")
@pytest.mark.parametrize("name", WRONG)
def test_k5_a_wrongly_sealed_payload_is_refused_and_gives_no_byte(
    vault, device, name, tally: Tally
):
    made = device.seal({"video": PLAIN})
    bad = signed(device, made, {"video": WRONG[name](made.sealed)})
    with pytest.raises(Damaged):
        take_and_read(vault, device, bad)
    tally.add()


@pytest.mark.fault("K5")
def test_k5_one_file_key_over_two_parts_is_refused(vault, device):
    made = device.seal({"video": PLAIN, "events": b"\n"})
    key = made.file_keys["video"]
    header = age.seal_header(key, [device.recipient])
    headers = {name: base64.b64encode(header).decode() for name in made.plain}
    payloads = {name: age.seal(key, plain) for name, plain in made.plain.items()}
    with pytest.raises(Damaged, match="one file key"):
        device.hand_in(signed(device, made, payloads, headers))
    right = {name: age.seal(made.file_keys[name], plain) for name, plain in made.plain.items()}
    assert device.hand_in(signed(device, made, right))["receipt"]["kind"] == "stored"


@pytest.mark.fault("K5")
def test_k5_the_header_of_one_part_over_the_payload_of_another_is_refused(vault, device):
    made = device.seal({"video": PLAIN, "events": b"\n" * 70_000})
    headers = {"video": made.headers["events"], "events": made.headers["video"]}
    first = made.record.parts[0].size_bytes
    payloads = {"video": made.sealed[:first], "events": made.sealed[first:]}
    with pytest.raises(Damaged):
        device.hand_in(signed(device, made, payloads, headers))
