"""Bytes and headers that are not what was signed and sealed are refused."""

import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from holdings import assert_clean, entries, held, objects, staged

from firsthand import age
from firsthand.errors import Damaged, WrongKey
from firsthand.segment import sign_record
from firsthand.vault import catalog, ingest, reading


def test_wrong_bytes_are_refused_and_thrown_away_so_that_the_right_ones_can_follow(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload, bytes(len(made.sealed)))
    with pytest.raises(Damaged, match="not what it names"):
        ingest.complete(vault, upload, device.id)
    assert (staged(vault), objects(vault)) == ([], [])
    assert "segment_stored" not in entries(vault)
    device.put(made, upload)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_the_whole_and_each_part_must_be_what_the_record_names(vault, device):
    made = device.seal()
    video, events = made.record.parts
    for change in (
        {"object_sha256": "00" * 32},
        {"parts": (video, replace(events, payload_sha256="00" * 32))},
        {"parts": (replace(video, payload_sha256=events.payload_sha256), events)},
    ):
        record = replace(made.record, **change)
        forged = replace(made, record=record, envelope=sign_record(record, device.key))
        with pytest.raises(Damaged, match="not what it names"):
            device.hand_in(forged)
    assert (objects(vault), staged(vault)) == ([], [])
    device.hand_in(made)


@pytest.mark.parametrize("at", [0, 100, -1])
def test_one_flipped_bit_is_enough_to_refuse(vault, device, at):
    made = device.seal()
    upload = device.open(made)["upload"]
    changed = bytearray(made.sealed)
    changed[at] ^= 1
    device.put(made, upload, bytes(changed))
    with pytest.raises(Damaged):
        ingest.complete(vault, upload, device.id)
    assert objects(vault) == []


def change_header(made: Any, name: str, header: bytes) -> Any:
    return replace(made, headers=made.headers | {name: base64.b64encode(header).decode()})


def resign(device: Any, made: Any, header: bytes) -> Any:
    """The same segment whose record names another header for the video."""
    video, *rest = made.record.parts
    hashes = {"header_sha256": hashlib.sha256(header).hexdigest(), "header_size": len(header)}
    record = replace(made.record, parts=(replace(video, **hashes), *rest))
    changed = change_header(made, "video", header)
    return replace(changed, record=record, envelope=sign_record(record, device.key))


def test_a_header_that_the_record_does_not_name_is_refused(vault, device):
    made = device.seal()
    for header in (b"", b"age-encryption.org/v1\n", base64.b64decode(made.headers["events"])):
        with pytest.raises(Damaged):
            device.open(change_header(made, "video", header))
    with pytest.raises(Damaged):
        device.open(replace(made, headers={}))
    for nonsense in ("é", "????", None, 5):
        with pytest.raises(Damaged):
            device.open(replace(made, headers=made.headers | {"video": nonsense}))
    assert device.open(made)["upload"]


@pytest.mark.fault("U17")
def test_u17_a_header_that_is_not_for_our_key_is_refused_before_any_byte_travels(vault, device):
    made = device.seal()
    header = age.seal_header(made.file_keys["video"], [age.Identity.generate().recipient])
    with pytest.raises(WrongKey):
        device.open(resign(device, made, header))
    ours = base64.b64decode(made.headers["video"])
    changed = ours[:-10] + (b"A" if ours[-10:-9] != b"A" else b"B") + ours[-9:]
    for broken in (b"none", header[:-5], changed):
        with pytest.raises((Damaged, WrongKey)):
            device.open(resign(device, made, broken))


def test_a_header_for_another_wearer_is_refused(vault, device, make_device):
    ben = make_device(vault.add_person("ben"), "d2")
    theirs = ben.seal()
    with pytest.raises(WrongKey):
        device.open(resign(device, device.seal(), base64.b64decode(theirs.headers["video"])))


def test_headers_that_no_part_asks_for_are_not_kept(vault, device):
    made = device.seal({"video": b"x"})
    device.open(replace(made, headers=made.headers | {"still": "junk", "x": "y" * 1000}))
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    assert row.headers == made.headers


def claim(device: Any, made: Any, sealed: bytes, **changes: Any) -> Any:
    """A segment of one part whose record truly names `sealed` as that part's bytes."""
    digest = hashlib.sha256(sealed).hexdigest()
    (part,) = made.record.parts
    part = replace(part, size_bytes=len(sealed), payload_sha256=digest, **changes)
    record = replace(made.record, parts=(part,), object_sha256=digest, object_size=len(sealed))
    return replace(made, record=record, envelope=sign_record(record, device.key), sealed=sealed)


@pytest.mark.fault("U17")
@pytest.mark.parametrize("cut", [False, True])
def test_u17_plaintext_is_refused_though_its_hashes_are_right(vault, device, cut):
    for size in (1, 40, 5_000, 70_000, 200_000):
        plain = (b"plain footage " * 15_000)[:size]
        with pytest.raises(Damaged):
            device.hand_in(claim(device, device.seal({"video": b"x"}), plain, cut=cut))
    assert (objects(vault), staged(vault)) == ([], [])


@pytest.mark.fault("U17")
def test_u17_bytes_sealed_with_another_file_key_are_refused(vault, device):
    made = device.seal({"video": b"x"})
    with pytest.raises(Damaged):
        device.hand_in(claim(device, made, age.seal(age.new_file_key(), b"v" * 100_000)))
    assert objects(vault) == []


def test_bytes_whose_beginning_alone_or_end_alone_is_sealed_are_refused(vault, device):
    made = device.seal({"video": b"x"})
    sealed = age.seal(made.file_keys["video"], b"v" * 200_000)
    for forged in (bytes(70_000) + sealed[70_000:], sealed[:140_000] + bytes(60_064)):
        assert forged != sealed
        with pytest.raises(Damaged):
            device.hand_in(claim(device, made, forged))
    device.hand_in(claim(device, made, sealed))


def test_a_cut_part_is_stored_only_if_it_is_said_to_be_cut_and_read_as_far_as_it_goes(
    vault, person, device
):
    made = device.seal({"video": b"x"})
    plain = bytes(range(250)) * 600
    torn = age.seal(made.file_keys["video"], plain)[:140_000]
    with pytest.raises(Damaged):
        device.hand_in(claim(device, made, torn))
    device.hand_in(claim(device, made, torn, cut=True))
    (segment,) = held(vault, person)
    found = reading.read_part(vault, segment.id, "video", "self", "test")
    assert found == plain[: 2 * 65_536]
