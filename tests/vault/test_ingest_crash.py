"""Whatever breaks on the way in: nothing half stored, and all of it can be repeated."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from backends import send_part
from holdings import SECOND_NS, assert_clean, entries, held, objects, staged

from firsthand.consent import people
from firsthand.errors import Damaged, Failed, NotFound
from firsthand.segment import verify_receipt
from firsthand.vault import catalog, ingest, reading
from firsthand.vault import receipt as receipts
from firsthand.vault.check import check
from firsthand.vault.ingest import completing
from firsthand.vault.vault import Vault


class Crash(BaseException):
    """The process dies here: nothing of ours catches it."""


def crash(*_: object, **__: object) -> None:
    raise Crash


CRASHES: dict[str, Callable[[Any, Vault], None]] = {
    "joining": lambda patch, vault: patch.setattr(vault.store, "finish", crash),
    "verifying": lambda patch, vault: patch.setattr(completing, "_verify_object", crash),
    "opening headers": lambda patch, vault: patch.setattr(completing, "open_headers", crash),
    "making the day key": lambda patch, vault: patch.setattr(vault.keyring, "day_key", crash),
    "logging": lambda patch, vault: patch.setattr(people, "note", crash),
    "signing": lambda patch, vault: patch.setattr(receipts, "sign_receipt", crash),
    "writing the row": lambda patch, vault: patch.setattr(catalog, "insert", crash),
    "removing the parts": lambda patch, vault: patch.setattr(vault.store, "abort", crash),
}


@pytest.mark.parametrize("where", CRASHES)
def test_a_crash_anywhere_leaves_no_row_without_its_object_and_can_be_repeated(
    vault, person, device, monkeypatch, where
):
    for killed in (False, True):
        made = device.seal(start_s=60 * killed)
        upload = device.open(made)["upload"]
        device.put(made, upload)
        with monkeypatch.context() as patch:
            CRASHES[where](patch, vault)
            if killed:  # then nothing is tidied up either
                patch.setattr(vault.store, "delete", crash)
            with pytest.raises(Crash):
                ingest.complete(vault, upload, device.id)
        stored = killed + (where == "removing the parts")
        assert (len(held(vault, person)), entries(vault).count("segment_stored")) == (stored,) * 2
        found = check(vault)
        assert found.faults == []
        # Whatever lies about is named, whole, and never taken for footage.
        known = [segment.object for segment in held(vault, person)]
        with vault.db.read() as connection:  # joined already, to be verified at the next try
            known += connection.scalars(sa.select(catalog.uploads.c.object)).all()
        assert [key for key in objects(vault) if key not in known] == []
        assert [item for item in found.orphans if not item.key.startswith("uploads/")] == []
        receipt = verify_receipt(device.hand_in(made), vault.keyring.log_key().public)
        assert receipt.kind == "stored"
        segment = held(vault, person)[killed]
        assert reading.read_part(vault, segment.id, "video", "self", "x") == made.plain["video"]
        assert check(vault).faults == []


def test_parts_that_no_upload_knows_are_visible_to_a_check(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    assert check(vault).orphans == []  # an open upload's parts are in their place
    with vault.db.write() as connection:
        connection.execute(catalog.uploads.delete())
    (begun,) = vault.store.begun()
    assert [item.key for item in check(vault).orphans] == [f"uploads/{begun.upload}"]
    assert len(staged(vault)) == 1


def test_what_was_begun_and_left_alone_is_swept_away_and_can_be_begun_again(vault, device, clock):
    old, new, stray = device.seal(), device.seal(start_s=60), device.seal(start_s=120)
    upload = device.open(old)["upload"]
    device.put(old, upload)
    clock.now_ns += 3 * ingest.STALE_S * SECOND_NS // 4
    device.put(new, device.open(new)["upload"])
    device.put(stray, device.open(stray)["upload"])
    with vault.db.write() as connection:  # as after a crash between the store and the row
        where = catalog.uploads.c.id.startswith(f"{stray.record.seq}-")
        connection.execute(catalog.uploads.delete().where(where))
    assert (ingest.sweep(vault), len(staged(vault))) == (0, 3)
    clock.now_ns += ingest.STALE_S * SECOND_NS // 2
    assert (ingest.sweep(vault), len(staged(vault))) == (1, 2)  # the store's clock ran for seconds
    later_s = time.time() + ingest.STALE_S + 60
    assert (ingest.sweep(vault, now_s=lambda: later_s), len(staged(vault))) == (1, 1)
    with pytest.raises(NotFound):
        ingest.missing_parts(vault, upload, device.id)
    for each in (old, new, stray):
        assert device.hand_in(each)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_an_upload_that_the_store_forgot_is_begun_anew_under_its_name(vault, device):
    made = device.seal({"video": b"v" * 3000})
    upload = device.open(made)["upload"]
    device.put(made, upload)
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    vault.store.abort(row.object, row.multipart)
    with pytest.raises(Damaged, match="lacks"):
        ingest.complete(vault, upload, device.id)
    assert ingest.missing_parts(vault, upload, device.id)[0] == []
    device.put(made, upload)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_upload_given_up_while_it_was_verified_is_not_stored(vault, device, monkeypatch):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    verify = completing._verify_object

    def slow(*arguments: Any) -> None:
        verify(*arguments)
        ingest.abort(vault, upload, device.id)

    with monkeypatch.context() as patch:
        patch.setattr(completing, "_verify_object", slow)
        with pytest.raises(NotFound):
            ingest.complete(vault, upload, device.id)
    assert (objects(vault), staged(vault)) == ([], [])
    assert device.hand_in(made)["receipt"]["kind"] == "stored"
    assert_clean(vault)


def test_a_part_that_comes_late_changes_nothing_that_was_verified(vault, person, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    device.put(made, upload)
    ingest.complete(vault, upload, device.id)
    with pytest.raises(NotFound):
        send_part(vault, upload, part, bytes(len(made.sealed)))
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed


def test_finishing_again_with_other_parts_changes_nothing_that_was_verified(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    device.put(made, upload)
    vault.store.finish(row.object, row.multipart)
    with suppress(NotFound):  # in S3 the upload is over by now
        send_part(vault, upload, part, bytes(len(made.sealed)))
    vault.store.finish(row.object, row.multipart)
    assert b"".join(vault.store.chunks(row.object)) == made.sealed


def test_a_full_store_is_no_success(vault, person, device, monkeypatch):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)

    def full(*_: object) -> None:
        raise Failed("cannot store object: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(vault.store, "finish", full)
        with pytest.raises(Failed):
            ingest.complete(vault, upload, device.id)
    assert (held(vault, person), objects(vault)) == ([], [])
    assert len(staged(vault)) == 1  # what came is kept: the device need not send it again
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_an_object_that_went_missing_or_was_changed_is_named_by_a_check(vault, person, device):
    for number in range(3):
        device.hand_in(device.seal(start_s=60 * number))
    segments = held(vault, person)
    vault.store.delete(segments[0].object)
    data = bytearray(b"".join(vault.store.chunks(segments[1].object)))
    data[0] ^= 1
    vault.store.delete(segments[1].object)
    vault.store.put(segments[1].object, bytes(data))
    faults = check(vault).faults
    assert len(faults) == 2
    assert any(segments[0].id == fault.segment and fault.kind == "missing" for fault in faults)
    assert any(segments[1].id == fault.segment and fault.kind == "changed" for fault in faults)
