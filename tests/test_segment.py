"""Records and receipts: what is signed is what is read, and nothing else passes."""

import base64
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.crypto import SigningKey, canonical
from firsthand.errors import Damaged, Error
from firsthand.segment import (
    KINDS,
    MOTION,
    RECEIPT_CONTEXT,
    RECORD_CONTEXT,
    WALL_QUALITIES,
    Part,
    Receipt,
    Record,
    iter_events,
    iter_motion,
    pack_events,
    pack_motion,
    sign_receipt,
    sign_record,
    verify_receipt,
    verify_record,
)

KEY = SigningKey.from_bytes(bytes(range(32)))
PARTS = (Part("video", 700, "aa", "bb", 90), Part("events", 300, "cc", "dd", 90, cut=True))
RECORD = Record(
    device="d1",
    person="p-00000001",
    session="boot1",
    seq=4,
    prev="ee" * 32,
    kind="segment",
    boot_ns_start=5_000_000_000,
    boot_ns_end=65_000_000_000,
    wall_ns_start=1_793_520_000_000_000_000,
    wall_ns_end=1_793_520_060_000_000_000,
    wall_quality="ntp",
    parts=PARTS,
    object_sha256="ff" * 32,
    object_size=1000,
    frames=480,
    media={"width": 160, "height": 120},
)
GAP = replace(RECORD, kind="gap", parts=(), object_size=0, object_sha256="", reason="paused")
RECEIPT = Receipt("stored", "aa" * 32, "d1", "boot1", 4, "ff" * 32, 1000, 9, "cc" * 32, 17)

numbers = st.integers(0, 2**62)
parts = st.lists(st.sampled_from(["video", "motion", "still", "events"]), unique=True)


@st.composite
def records(draw: st.DrawFn) -> Record:
    names = [name for name in ("video", "motion", "still", "events") if name in draw(parts)]
    listed = tuple(
        Part(name, draw(st.integers(1, 2**40)), draw(st.text()), "bb", 5, draw(st.booleans()))
        for name in names
    )
    start_ns = draw(numbers)
    return Record(
        device=draw(st.text(max_size=9)),
        person=draw(st.text(max_size=9)),
        session=draw(st.text(max_size=9)),
        seq=draw(numbers),
        prev=draw(st.text(max_size=9)),
        kind="segment" if listed else draw(st.sampled_from(KINDS[1:])),
        boot_ns_start=start_ns,
        boot_ns_end=start_ns + draw(st.integers(0, 2**50)),
        wall_quality=draw(st.sampled_from(WALL_QUALITIES)),
        parts=listed,
        object_size=sum(part.size_bytes for part in listed),
        media={"width": draw(numbers), "note": draw(st.text(max_size=9))},
        reason=draw(st.text(max_size=9)),
        cut=draw(st.booleans()),
    )


@settings(max_examples=50, deadline=None)
@given(records())
def test_a_record_comes_back_from_its_envelope_as_it_went_in(record):
    envelope = sign_record(record, KEY)
    assert verify_record(envelope, KEY.public) == record
    assert verify_record(envelope, KEY.public).hash() == record.hash()


def test_a_receipt_comes_back_from_its_envelope_as_it_went_in():
    for kind in ("stored", "refused"):
        receipt = replace(RECEIPT, kind=kind)
        assert verify_receipt(sign_receipt(receipt, KEY), KEY.public) == receipt


def test_a_record_knows_its_length():
    assert RECORD.duration_s == 60.0


def forge(change: dict[str, Any], record: Record = RECORD) -> dict[str, Any]:
    """What a device that writes nonsense would sign."""
    body = record.to_json() | change
    signature = KEY.sign(RECORD_CONTEXT, canonical(body))
    return {"record": body, "signature": base64.b64encode(signature).decode()}


part = PARTS[0].__dict__


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"parts": [part | {"colour": "red"}]}, "part has an unknown field 'colour'"),
        ({"seq": -1}, "negative"),
        ({"frames": -1}, "negative"),
        ({"dropped": -1}, "negative"),
        ({"longest_gap_ns": -1}, "negative"),
        ({"boot_ns_end": 4_999_999_999}, "negative"),
        ({"object_size": -1, "parts": [], "kind": "gap"}, "negative"),
        ({"parts": [part | {"size_bytes": -700}], "object_size": -700}, "negative"),
        ({"parts": [part | {"size_bytes": 1001}, PARTS[1].__dict__ | {"size_bytes": -1}]}, "bytes"),
        ({"parts": [part | {"size_bytes": 0}], "object_size": 0}, "without bytes"),
        ({"parts": [part | {"size_bytes": 1000, "header_size": 0}]}, "without bytes"),
        ({"object_size": 999}, "add up"),
        ({"parts": [part]}, "add up"),
        ({"kind": "gap"}, "a segment has parts"),
        ({"parts": [], "object_size": 0}, "a segment has parts"),
        ({"kind": "film"}, "unknown kind"),
        ({"kind": ""}, "unknown kind"),
        ({"wall_quality": "perfect"}, "unknown kind or wall_quality"),
        ({"parts": [part, part], "object_size": 1400}, "out of order"),
        ({"parts": [p.__dict__ for p in reversed(PARTS)]}, "out of order"),
        ({"parts": [part | {"name": "sound", "size_bytes": 1000}]}, "unknown parts"),
        ({"v": 2}, "version 2"),
        ({"seq": "4"}, "must be of type int"),
        ({"seq": True}, "must be of type int"),
        ({"cut": 0}, "must be of type bool"),
        ({"device": None}, "must be of type str"),
        ({"parts": 5}, "wrong kind"),
        ({"parts": {"video": part}}, "wrong kind"),
        ({"parts": ["video"]}, "part must be an object"),
        ({"parts": [{"name": "video"}]}, "part lacks a field"),
        ({"media": ["width"]}, "wrong kind"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_though_it_is_signed(change, words):
    with pytest.raises(Damaged, match=words):
        verify_record(forge(change), KEY.public)


@pytest.mark.parametrize("name", ["device", "person", "session", "seq", "prev", "kind"])
def test_a_record_that_lacks_a_field_is_refused(name):
    body = RECORD.to_json()
    del body[name]
    envelope = {"record": body}
    envelope["signature"] = base64.b64encode(KEY.sign(RECORD_CONTEXT, canonical(body))).decode()
    with pytest.raises(Damaged, match="lacks a field"):
        verify_record(envelope, KEY.public)


@pytest.mark.parametrize("name", RECORD.to_json())
def test_no_field_of_a_record_can_be_changed_under_its_signature(name):
    envelope = sign_record(RECORD, KEY)
    value = envelope["record"][name]
    changed = {int: 1, str: "x", bool: True, list: [], dict: {}}[type(value)]
    envelope["record"] = envelope["record"] | {name: changed}
    if changed != value:
        with pytest.raises(Damaged):
            verify_record(envelope, KEY.public)


@pytest.mark.parametrize(
    "envelope",
    [
        None,
        [],
        "record",
        {},
        {"record": RECORD.to_json()},
        {"record": [], "signature": ""},
        sign_record(RECORD, KEY) | {"signature": "é"},
        sign_record(RECORD, KEY) | {"signature": "????"},
        sign_record(RECORD, KEY) | {"signature": ""},
        sign_record(RECORD, KEY) | {"signature": 7},
        sign_record(RECORD, KEY) | {"signature": base64.b64encode(bytes(64)).decode()},
        sign_record(RECORD, KEY) | {"signature": base64.b64encode(bytes(63)).decode()},
        sign_record(RECORD, SigningKey.generate()),
    ],
)
def test_what_is_not_signed_by_this_key_is_no_record(envelope):
    with pytest.raises(Damaged):
        verify_record(envelope, KEY.public)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=6,
    )
)
def test_nonsense_is_refused_with_an_error_of_ours(value):
    for envelope in (value, {"record": value, "signature": value}):
        with pytest.raises(Error):
            verify_record(envelope, KEY.public)
        with pytest.raises(Error):
            verify_receipt(envelope, KEY.public)


def test_a_records_signature_does_not_serve_as_a_receipts():
    body = RECEIPT.to_json()
    mark = base64.b64encode(KEY.sign(RECORD_CONTEXT, canonical(body))).decode()
    with pytest.raises(Damaged):
        verify_receipt({"receipt": body, "signature": mark}, KEY.public)
    body = RECORD.to_json()
    mark = base64.b64encode(KEY.sign(RECEIPT_CONTEXT, canonical(body))).decode()
    with pytest.raises(Damaged):
        verify_record({"record": body, "signature": mark}, KEY.public)


def test_a_signed_record_is_no_receipt_under_another_name():
    envelope = sign_record(RECORD, KEY)
    with pytest.raises(Damaged):
        verify_receipt(envelope, KEY.public)
    with pytest.raises(Damaged):
        verify_receipt({"receipt": envelope["record"], **envelope}, KEY.public)


@pytest.mark.parametrize(
    "change", [{"kind": "lost"}, {"v": 2}, {"seq": "4"}, {"colour": "red"}, {"time_ns": None}]
)
def test_a_receipt_that_makes_no_sense_is_refused_though_it_is_signed(change):
    body = RECEIPT.to_json() | change
    mark = base64.b64encode(KEY.sign(RECEIPT_CONTEXT, canonical(body))).decode()
    with pytest.raises(Damaged):
        verify_receipt({"receipt": body, "signature": mark}, KEY.public)


def test_each_record_is_chained_to_the_one_before():
    second = replace(GAP, seq=5, prev=RECORD.hash())
    assert second.prev == RECORD.hash()
    # Whoever changes the first in any way breaks the link, and the second's hash shows the link.
    for change in ({"seq": 3}, {"parts": (replace(PARTS[0], cut=True), PARTS[1])}, {"prev": ""}):
        assert replace(RECORD, **change).hash() != second.prev
    assert replace(second, prev=replace(RECORD, seq=3).hash()).hash() != second.hash()


def test_a_gap_has_no_bytes_and_says_why():
    found = verify_record(sign_record(GAP, KEY), KEY.public)
    assert (found.parts, found.object_size, found.reason) == ((), 0, "paused")


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2**62), *[finite] * 6), max_size=20), st.integers(0, 31))
def test_motion_comes_back_through_padding_and_a_torn_last_row(rows, torn):
    padding = bytes(MOTION.size * 3)
    half = len(rows) // 2
    data = pack_motion(rows[:half]) + padding + pack_motion(rows[half:]) + b"\x01" * torn
    assert list(iter_motion(data)) == rows


def test_motion_that_is_no_number_is_passed_over():
    good = (5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    bad = (6, math.nan, 0.0, math.inf, 0.0, 0.0, 0.0)
    assert list(iter_motion(pack_motion([bad, good]))) == [good]


def test_events_come_back_through_padding_and_a_torn_last_line():
    events = [
        {"start_ns": 1, "stop_ns": 2, "fields": {"verb": "take", "noun": "cup"}},
        {"start_ns": 3, "stop_ns": 9, "fields": {"verb": "drink\n", "noun": "\u00e9"}},
    ]
    data = pack_events(events[:1]) + b"   \n\n \t\n" + pack_events(events[1:]) + b'{"start_'
    assert list(iter_events(data)) == events


def test_a_broken_line_between_events_is_damage():
    data = b'{"start_ns":\n' + pack_events([{"start_ns": 1}])
    with pytest.raises(Damaged, match="line 1"):
        list(iter_events(data))
