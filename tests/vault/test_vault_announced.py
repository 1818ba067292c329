"""An announced segment is a row and nothing more, until its parts are asked for."""

import pytest
from backends import send_part

from firsthand.consent import erasure
from firsthand.errors import Damaged, NotFound
from firsthand.vault import catalog, erase, ingest
from firsthand.vault.check import check
from firsthand.vault.ingest import uploads


def announce(vault, device, made) -> str:
    args = (vault, device.enrolled, made.envelope, made.headers)
    answer = ingest.open_upload(*args, announce=True)
    assert set(answer) == {"upload", "part_size"}
    return answer["upload"]


def begun(vault) -> list[str]:
    return [each.upload for each in vault.store.begun()]


def rows(vault) -> list:
    with vault.db.read() as connection:
        return list(connection.execute(catalog.uploads.select()))


@pytest.fixture
def asked(vault, monkeypatch) -> list[str]:
    """The keys for which the store was asked to begin."""
    keys: list[str] = []
    begin = vault.store.begin
    monkeypatch.setattr(vault.store, "begin", lambda key: (keys.append(key), begin(key))[1])
    return keys


def test_a_day_of_announcements_begins_nothing_in_the_store(vault, device, asked):
    made = [device.seal(start_s=60 * number) for number in range(5)]
    uploads = [announce(vault, device, each) for each in made]
    assert (asked, begun(vault), len(rows(vault))) == ([], [], 5)
    assert [device.open(made[0])["upload"], announce(vault, device, made[1])] == uploads[:2]
    assert asked == []
    ingest.missing_parts(vault, uploads[0], device.id)
    ingest.missing_parts(vault, uploads[0], device.id)
    assert len(asked) == 1
    for each in made:
        assert device.hand_in(each)["receipt"]["kind"] == "stored"
    assert len(asked) == 5
    found = check(vault)
    assert (found.faults, found.orphans, rows(vault)) == ([], [], [])


def test_an_announced_segment_is_no_segment_yet(vault, device):
    upload = announce(vault, device, device.seal())
    with pytest.raises(Damaged, match="lacks 1 of 1 parts"):
        ingest.complete(vault, upload, device.id)


@pytest.mark.parametrize("how", ["given up", "swept", "erased"])
def test_ending_what_was_only_announced_harms_no_other_upload(
    vault, person, device, make_device, clock, how
):
    announced = announce(vault, device, device.seal())
    clock.now_ns += 2 * ingest.STALE_S * 10**9
    bo = vault.add_person("bo", "sim")
    other = make_device(bo, "d2")
    made = other.seal()
    upload = other.open(made)["upload"]
    other.put(made, upload)
    if how == "given up":
        ingest.abort(vault, announced, device.id)
    elif how == "swept":
        assert ingest.sweep(vault) == 1
    else:
        with vault.db.write() as connection:
            order = erasure.order(connection, person, None)
        erase.carry_out(vault, order)
    assert [row.id for row in rows(vault)] == [upload]
    assert ingest.complete(vault, upload, other.id)["receipt"]["kind"] == "stored"


def test_a_url_of_an_upload_that_was_given_up_is_over_when_it_is_announced_again(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    ingest.abort(vault, upload, device.id)
    assert announce(vault, device, made) == upload
    with pytest.raises(NotFound):
        send_part(vault, upload, part, made.sealed)
    assert begun(vault) == []
    assert device.hand_in(made)["receipt"]["kind"] == "stored"


def test_two_that_ask_for_the_parts_of_an_announced_segment_at_once_get_the_same(
    vault, device, asked, monkeypatch
):
    made = device.seal()
    upload = announce(vault, device, made)
    fresh, first = uploads.new_place, []

    def slow(vault_):  # another asks while the store begins
        if not first:
            first.append(None)
            first.append(ingest.missing_parts(vault_, upload, device.id))
        return fresh(vault_)

    monkeypatch.setattr(uploads, "new_place", slow)
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    assert len(asked) == 2
    send_part(vault, upload, part, made.sealed)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
    assert begun(vault) == []
