"""A segment that is handed in is stored once, and said to be so only when it is."""

import base64
import hashlib
import threading
from typing import Any

import pytest
from holdings import assert_clean, entries, held, objects, staged

from firsthand import log, tlog
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged
from firsthand.segment import verify_receipt
from firsthand.vault import ingest, reading


def test_a_handed_in_segment_is_stored_and_opens_to_the_same_bytes(vault, person, device):
    made = device.seal({"video": b"v" * 70_000, "events": b"{}\n"})
    device.hand_in(made)
    (segment,) = held(vault, person)
    assert b"".join(vault.store.chunks(segment.object)) == made.sealed
    for name, plain in made.plain.items():
        assert reading.read_part(vault, segment.id, name, "self", "test") == plain
    assert staged(vault) == []
    assert_clean(vault)


def test_the_receipt_says_what_was_stored_and_is_proven_by_the_log(vault, device):
    made = device.seal()
    receipt = verify_receipt(device.hand_in(made), vault.keyring.log_key().public)
    assert (receipt.kind, receipt.reason) == ("stored", "")
    assert (receipt.record_hash, receipt.device, receipt.seq) == (made.record.hash(), "d1", 1)
    assert receipt.object_sha256 == hashlib.sha256(made.sealed).hexdigest()
    assert receipt.object_size == len(made.sealed)
    vault.add_person("later")
    with vault.db.read() as connection:
        # Its root is that of the log up to and with its entry, at the head of every later log.
        size, read = log.size(connection), log.reader(connection)
        first = receipt.log_index + 1
        assert first < size
        proof = tlog.consistency_proof(first, size, read)
        top = log.root(connection)
        tlog.verify_consistency(first, size, proof, bytes.fromhex(receipt.log_root), top)
        (entry,) = [each for each in log.read(connection) if each.index == receipt.log_index]
    assert (entry.kind, entry.public["record"]) == ("segment_stored", made.record.hash())


def test_a_receipt_by_another_vault_does_not_pass(device):
    with pytest.raises(Damaged):
        verify_receipt(device.hand_in(device.seal()), SigningKey.generate().public)


@pytest.mark.files
def test_no_header_and_no_file_key_is_kept_in_the_open(vault, device, tmp_path):
    made = device.seal()
    device.hand_in(made)
    vault.close()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "data").rglob("*") if p.is_file())
    assert made.record.object_sha256.encode() in everything  # the search itself works
    for name, header in made.headers.items():
        assert header[:60].encode() not in everything
        assert base64.b64decode(header)[-60:] not in everything
        assert made.file_keys[name] not in everything
        assert made.plain[name] * 5 not in everything


def test_handing_in_again_gives_the_same_receipt_and_no_second_object(vault, device):
    made = device.seal()
    opened = device.open(made)
    device.put(made, opened["upload"])
    first = ingest.complete(vault, opened["upload"], device.id)
    size = len(entries(vault))
    assert ingest.complete(vault, opened["upload"], device.id) == first
    assert device.open(made) == {"receipt": first}
    assert device.hand_in(made) == first
    assert (len(objects(vault)), len(entries(vault))) == (1, size)


def test_opening_again_before_completing_finds_the_same_upload(vault, device):
    made = device.seal()
    assert device.open(made) == device.open(made)
    assert entries(vault).count("segment_stored") == 0


@pytest.mark.parametrize("instances", [1, 2])
def test_completing_at_once_from_many_sides_stores_one_object(open_vault, vault, device, instances):
    made = device.seal({"video": b"v" * 300_000})
    upload = device.open(made)["upload"]
    device.put(made, upload)
    vaults = [vault, open_vault()][:instances]
    receipts: list[Any] = []
    barrier = threading.Barrier(4)

    def complete(number: int) -> None:
        barrier.wait()
        try:
            receipts.append(ingest.complete(vaults[number % instances], upload, device.id))
        except BaseException as error:
            receipts.append(error)

    threads = [threading.Thread(target=complete, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts == [receipts[0]] * 4
    assert verify_receipt(receipts[0], vault.keyring.log_key().public).kind == "stored"
    assert entries(vault).count("segment_stored") == 1
    assert_clean(vault)
