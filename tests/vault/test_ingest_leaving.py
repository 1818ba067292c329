"""What comes after its person left or erased it gets a signed refusal."""

from typing import Any

import pytest
from holdings import SECOND_NS, entries, held, objects, staged

from firsthand.consent import erasure, people
from firsthand.consent.estate import death
from firsthand.errors import NotFound, Refused
from firsthand.segment import verify_receipt
from firsthand.vault import erase, ingest
from firsthand.vault.vault import Vault


def refusal(vault: Vault, envelope: dict[str, Any]) -> str:
    receipt = verify_receipt(envelope, vault.keyring.log_key().public)
    assert receipt.kind == "refused"
    return receipt.reason


def leave(vault: Vault) -> None:
    with vault.db.write() as connection:
        connection.execute(people.people.update().values(status="withdrawn"))


def test_after_withdrawal_a_segment_is_refused_with_a_signed_receipt(vault, person, device):
    made, gap = device.seal(), device.seal({})
    leave(vault)
    assert refusal(vault, device.open(made)["receipt"]) == "withdrawn"
    assert refusal(vault, device.open(gap)["receipt"]) == "withdrawn"
    assert (held(vault, person), objects(vault), staged(vault)) == ([], [], [])
    assert entries(vault)[-1] == "ingest_refused"


def test_a_withdrawal_during_an_upload_refuses_it_and_throws_its_bytes_away(vault, person, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    leave(vault)
    assert refusal(vault, ingest.complete(vault, upload, device.id)) == "withdrawn"
    assert (held(vault, person), objects(vault), staged(vault)) == ([], [], [])


def test_while_a_death_can_be_denied_nothing_on_a_card_is_refused_for_good(vault, person, device):
    made = device.seal()
    with vault.db.write() as connection:
        death.attest(connection, person, "bea", "Oak 2", "a" * 64)
        death.attest(connection, person, "cem", "Elm 1", "b" * 64)
    with pytest.raises(Refused, match="attested"):
        device.open(made)
    assert (held(vault, person), objects(vault), staged(vault)) == ([], [], [])
    with vault.db.write() as connection:
        death.deny(connection, person, "she called")
    assert verify_receipt(device.hand_in(made), vault.keyring.log_key().public).kind == "stored"


def erase_person(vault: Vault, person: people.Person) -> None:
    with vault.db.write() as connection:
        order = erasure.order(connection, person)
    erase.carry_out(vault, order)


def test_after_erasure_a_device_still_gets_its_refusal_and_can_clear_its_card(
    vault, person, device
):
    made, late = device.seal(), device.seal(start_s=60)
    upload = device.open(made)["upload"]
    device.put(made, upload)
    erase_person(vault, person)
    assert staged(vault) == []
    with vault.db.read() as connection:
        people.find_device(connection, device.id)  # else it could not even ask
    for each in (made, late):
        assert refusal(vault, device.open(each)["receipt"]) == "erased"
    with pytest.raises(NotFound):
        ingest.complete(vault, upload, device.id)
    assert (objects(vault), staged(vault)) == ([], [])


def test_what_comes_late_from_an_erased_interval_is_refused_and_the_rest_is_not(
    vault, person, device, clock
):
    made = [device.seal(start_s=60 * number) for number in range(4)]
    upload = device.open(made[1])["upload"]
    device.put(made[1], upload)
    with vault.db.write() as connection:
        bounds = clock.now_ns + 70 * SECOND_NS, clock.now_ns + 80 * SECOND_NS
        order = erasure.order(connection, person, bounds)
    # Ordered but not carried out yet, an erasure counts already.
    assert refusal(vault, ingest.complete(vault, upload, device.id)) == "erased"
    erase.carry_out(vault, order)
    assert refusal(vault, device.open(made[1])["receipt"]) == "erased"
    for number in (0, 2, 3):
        assert device.hand_in(made[number])["receipt"]["kind"] == "stored"
    assert [segment.seq for segment in held(vault, person)] == [1, 3, 4]
