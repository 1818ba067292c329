"""Parts in one file: what was verified can't be changed, and hashes kept in passing are true."""

import hashlib
import random
import threading
from urllib.parse import parse_qsl, urlsplit

import pytest

from firsthand.errors import Damaged, Failed, NotFound
from firsthand.vault import ingest, parts
from firsthand.vault.check import check
from firsthand.vault.digest import Digest, Running
from firsthand.vault.ingest import opening, uploads

pytestmark = pytest.mark.files


@pytest.mark.parametrize("seed", range(20))
def test_a_digest_in_pieces_is_that_of_the_whole_and_of_each_stretch(seed):
    chance = random.Random(seed)
    sizes = [chance.randrange(1, 300) for _ in range(chance.randrange(1, 5))]
    data = chance.randbytes(sum(sizes) + chance.choice([0, 0, 9]))
    digest, at = Digest(sizes), 0
    while at < len(data):
        step = chance.randrange(1, 200)
        digest.update(data[at : at + step])
        at += step
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    stretches = [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    found = [hashlib.sha256(stretch).hexdigest() for stretch in stretches]
    assert digest.result() == (hashlib.sha256(data).hexdigest(), found)


def test_hashes_in_passing_are_given_only_if_every_byte_came_in_order():
    def run(*writes: tuple[int, bytes]):
        running = Running([6])
        for at, data in writes:
            running.writes(at, data)
        return running.result(6)

    whole = hashlib.sha256(b"abcdef").hexdigest()
    assert run((0, b"abc"), (3, b"def")) == (whole, [whole])
    assert run((0, b"abc")) is None
    assert run((3, b"def"), (0, b"abc")) is None
    assert run((0, b"abc"), (3, b"def"), (3, b"xyz")) is None
    assert run((0, b"abc"), (3, b"de"), (3, b"def")) is None
    assert run((0, b"xx"), (0, b"abc"), (3, b"def")) == (whole, [whole])  # begun again
    assert run((0, b"xxx"), (0, b"ab"), (3, b"def"), (2, b"c")) is None


def prepare(device, size=3000, part=1000):
    made = device.seal({"video": bytes(size), "events": b"{}\n"})
    opening.PART_SIZE, whole = part, opening.PART_SIZE
    try:
        upload = device.open(made)["upload"]
    finally:
        opening.PART_SIZE = whole
    return made, upload


def sent(vault, device, upload):
    _, need = ingest.missing_parts(vault, upload, device.id)
    return need


def put(vault, upload, need, made, data=None):
    start = (need["number"] - 1) * 1000
    data = made.sealed[start : start + need["size"]] if data is None else data
    asked = dict(parse_qsl(urlsplit(need["url"]).query))
    ingest.put_part(vault, upload, need["number"], int(asked["expires"]), asked["mac"], data, "")


@pytest.mark.parametrize("order", ["in order", "backwards", "twice"])
def test_parts_in_any_order_are_verified_whether_read_back_or_not(
    vault, device, order, monkeypatch
):
    read = []
    whole = vault.store.chunks
    monkeypatch.setattr(vault.store, "chunks", lambda key: read.append(key) or whole(key))
    made, upload = prepare(device)
    need = sent(vault, device, upload)
    listed = {"in order": need, "backwards": need[::-1], "twice": [*need, need[1]]}[order]
    for part in listed:
        put(vault, upload, part, made)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
    assert bool([key for key in read if key.startswith("segments")]) == (order != "in order")
    assert check(vault).faults == []


def test_wrong_bytes_are_found_without_reading_back_too(vault, device):
    made, upload = prepare(device)
    for part in sent(vault, device, upload):
        put(vault, upload, part, made, bytes(part["size"]))
    with pytest.raises(Damaged, match="not what it names"):
        ingest.complete(vault, upload, device.id)
    for part in sent(vault, device, upload):
        put(vault, upload, part, made)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_bytes_written_by_another_process_are_read_back(open_vault, vault, device):
    other = open_vault()
    made, upload = prepare(device)
    need = sent(vault, device, upload)
    for part in need:
        put(vault, upload, part, made)
    put(other, upload, need[0], made, b"\xff" * 1000)  # over what this one has hashed
    with pytest.raises(Damaged, match="not what it names"):
        ingest.complete(vault, upload, device.id)


def test_a_writer_that_was_open_cannot_change_what_was_verified(vault, device):
    made, upload = prepare(device)
    need = sent(vault, device, upload)
    for part in need:
        put(vault, upload, part, made)
    with vault.db.read() as connection:
        row = uploads.known(connection, upload)
    late = vault.store.open_part(row.multipart, 1, 0, 1000)
    late.write(made.sealed[:500])
    put(vault, upload, need[0], made)
    ingest.complete(vault, upload, device.id)
    with pytest.raises(NotFound, match="completed or ended"):
        late.write(b"\xff" * 500)
    with pytest.raises(Failed):
        late.finish()
    late.close()
    assert check(vault).faults == []


def test_a_part_counts_only_when_it_is_whole(tmp_path):
    folder = tmp_path / "u"
    writer = parts.Writer(folder, 2, 10, 5)
    writer.write(b"abc")
    assert parts.held(folder) == {}
    with pytest.raises(Failed, match="lacks 2 bytes"):
        writer.finish()
    with pytest.raises(Failed, match="more bytes"):
        writer.write(b"defg")
    writer.write(b"de")
    writer.finish()
    writer.close()
    assert parts.held(folder) == {2: 5}
    again = parts.Writer(folder, 2, 10, 5)  # begun again: not there until it is
    assert parts.held(folder) == {}
    again.close()
    (folder / "bytes").unlink()
    assert parts.held(folder) == {}


def test_finishing_at_once_from_many_sides_makes_one_object(tmp_path):
    folder, target = tmp_path / "u", tmp_path / "o"
    writer = parts.Writer(folder, 1, 0, 3)
    writer.write(b"abc")
    writer.finish()
    writer.close()
    done: list[bool] = []
    threads = [
        threading.Thread(target=lambda: done.append(parts.finish(folder, target))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (any(done), target.read_bytes(), target.stat().st_nlink) == (True, b"abc", 1)
