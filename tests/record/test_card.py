import json
from dataclasses import replace

import pytest
from recording import SECOND_NS, NumberedCamera, segments

from firsthand.errors import Damaged, Failed, Locked, NotFound, Usage
from firsthand.record.card import listing
from firsthand.record.card.card import Card
from firsthand.record.card.status import status
from firsthand.record.device import create_device, load_device
from firsthand.record.durable import append_durably
from firsthand.record.recorder import record
from firsthand.record.sealing.chain import folder_name, open_chain
from firsthand.segment import Receipt, sign_receipt, sign_record


def receipt_for(item, keys, **changes):
    held = item.record
    receipt = Receipt(
        kind="stored",
        record_hash=held.hash(),
        device=held.device,
        session=held.session,
        seq=held.seq,
        object_sha256=held.object_sha256,
        object_size=held.object_size,
        log_index=17,
        log_root="ab" * 32,
        time_ns=1_800_000_000 * SECOND_NS,
    )
    return sign_receipt(replace(receipt, **changes), keys.receipt)


def test_an_unmounted_card_is_refused(tmp_path):
    with pytest.raises(NotFound, match="no card"):
        Card(tmp_path / "missing")
    with pytest.raises(NotFound, match="not marked"):
        Card(tmp_path)


def test_a_folder_of_something_else_is_not_taken_as_card(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(Failed, match="not empty"):
        Card.create(tmp_path)


def test_preparing_a_card_twice_keeps_it(tmp_path):
    first = Card.create(tmp_path / "card", budget_bytes=10**9)
    assert Card.create(tmp_path / "card").id == first.id
    assert Card(tmp_path / "card").budget_bytes == 10**9


def test_a_range_of_the_object_may_lie_over_several_parts(card, device):
    record(NumberedCamera(3), card, device)
    item = segments(card)[0]
    whole = item.read(0, item.record.object_size)
    sizes = [part.size_bytes for part in item.record.parts]
    assert len(whole) == sum(sizes)
    assert item.read(sizes[0] - 5, 10) == whole[sizes[0] - 5 : sizes[0] + 5]
    assert item.read(10, len(whole) - 20) == whole[10:-10]


def test_an_object_that_lost_bytes_is_damaged_and_not_padded(card, device):
    record(NumberedCamera(3), card, device)
    item = segments(card)[0]
    with open(item.folder / "events.sealed", "r+b") as file:
        file.truncate(3)
    with pytest.raises(Damaged, match="short of its record"):
        item.read(0, item.record.object_size)


def test_a_ready_folder_that_cannot_be_read_hides_no_other(card, device):
    record(NumberedCamera(1), card, device)
    bad = card.path / "ready" / "0000000000-bad"
    bad.mkdir()
    (bad / "record.json").write_text("{")
    assert len(card.waiting()) == 1
    assert card.damaged() == ["0000000000-bad"]
    assert status(card).damaged == 1


def test_clearing_keeps_the_receipt_and_removes_the_rest(card, device, keys):
    record(NumberedCamera(1), card, device)
    item = segments(card)[0]
    envelope = receipt_for(item, keys)
    card.clear(item, envelope, envelope["receipt"]["time_ns"])
    assert not card.waiting()
    assert not item.folder.exists()
    assert json.loads((card.path / "receipts" / "2027-01.jsonl").read_text()) == envelope
    assert card.last_receipt() == Receipt(**envelope["receipt"])


def test_the_next_record_names_the_log_that_the_last_receipt_showed(card, device, keys):
    record(NumberedCamera(1), card, device)
    item = segments(card)[0]
    card.clear(item, receipt_for(item, keys), 1_800_000_000 * SECOND_NS)
    record(NumberedCamera(1), card, device)
    assert segments(card)[0].record.checkpoint == f"17 {'ab' * 32}"


def test_a_receipt_torn_by_a_power_cut_hides_no_other(card, device, keys):
    record(NumberedCamera(1), card, device)
    envelope = receipt_for(segments(card)[0], keys)
    journal = card.path / "receipts" / "2027-01.jsonl"
    append_durably(journal, json.dumps(envelope).encode())
    with open(journal, "ab") as file:
        file.write(b'{"receipt": {"kin')
    assert card.last_receipt() == Receipt(**envelope["receipt"])
    append_durably(journal, json.dumps(envelope).encode())
    assert len(journal.read_bytes().splitlines()) == 3


def test_status_counts_what_waits_and_how_long_the_card_lasts(card, device, keys):
    empty = status(card)
    assert empty.all_home
    assert not empty.rate_measured
    assert empty.hours_left == pytest.approx(empty.room_bytes / 3e9)
    record(NumberedCamera(10), card, device, segment_s=5.0)
    now = status(card)
    assert (now.segments, now.gaps, now.open, now.waiting_s) == (2, 0, 0, 10.0)
    assert now.waiting_bytes == sum(item.record.object_size for item in card.waiting())
    assert now.used_bytes > now.waiting_bytes
    assert now.rate_measured
    assert now.hours_left == pytest.approx(now.room_bytes / (now.waiting_bytes / 10 * 3600))
    assert not now.all_home
    assert now.last_receipt is None


def test_a_card_with_weeks_on_it_is_known_without_opening_its_folders(card, device, monkeypatch):
    record(NumberedCamera(1), card, device)
    one = segments(card)[0]
    for seq in range(2, 300):
        folder = card.path / "ready" / folder_name(seq, one.record.session)
        folder.mkdir()
        held = replace(one.record, seq=seq)
        (folder / "record.json").write_text(json.dumps(sign_record(held, device.key)))
    assert len(Card(card.path).waiting()) == 299  # opened once, and noted
    opened, look = [], listing._look
    monkeypatch.setattr(listing, "_look", lambda folder: opened.append(folder) or look(folder))
    again = Card(card.path)
    assert status(again).segments == 299
    assert again.room().used_bytes > 0
    assert not opened
    index = card.path / "index.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join([*lines[:-2], lines[-1][:20]]))  # torn, and one lost
    Card(card.path).waiting()
    assert len(opened) == 2


def test_what_the_index_says_of_folders_that_are_gone_is_dropped(card, device):
    record(NumberedCamera(1), card, device)
    line = json.dumps(["0000000009-gone", "segment", "", *[1] * 7]).encode() + b"\n"
    with open(card.path / "index.jsonl", "ab") as file:
        file.write(line * 3000)
    (item,) = Card(card.path).waiting()
    assert item.folder == segments(card)[0].folder
    assert len((card.path / "index.jsonl").read_bytes().splitlines()) == 1


def test_a_device_is_the_same_after_loading(device):
    again = load_device(device.folder)
    assert again == device
    assert again.key.to_bytes() == device.key.to_bytes()
    assert (device.folder / "signing.key").stat().st_mode & 0o777 == 0o600


def test_a_device_is_never_overwritten(device, keys):
    arguments = {
        "name": "d-2",
        "person": "p",
        "vault_url": "https://vault.example",
        "recipient": str(keys.ingest.recipient),
        "receipt_key": str(keys.receipt.public),
    }
    with pytest.raises(Locked):
        create_device(device.folder, **arguments)
    with pytest.raises(Usage, match="vault URL"):
        create_device(device.folder / "other", **(arguments | {"vault_url": "vault"}))
    with pytest.raises(Usage, match="device name"):
        create_device(device.folder / "other", **(arguments | {"name": "a/b"}))


def test_a_missing_and_a_damaged_device_are_told_apart(device, tmp_path):
    with pytest.raises(NotFound):
        load_device(tmp_path / "nowhere")
    data = json.loads((device.folder / "device.json").read_text())
    del data["recipient"]
    (device.folder / "device.json").write_text(json.dumps(data))
    with pytest.raises(Damaged, match="recipient"):
        load_device(device.folder)


def test_one_device_records_with_one_recorder_only(device):
    with open_chain(device), pytest.raises(Locked), open_chain(device):
        pass
