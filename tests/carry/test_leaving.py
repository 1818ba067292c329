"""A wearer leaves while their device is away: it learns so at its next contact, and stops."""

import random

import pytest
from way import InlineLink

from firsthand import log
from firsthand.consent.terms import consents
from firsthand.errors import Refused
from firsthand.record.home.upload import carry_home
from firsthand.record.wearer.policy import Left, require_taking_part
from firsthand.segment import verify_receipt


def carry(pack, clock, served):
    link = InlineLink(pack.device, clock, served)
    chance = random.Random(1)
    return carry_home(
        pack.card, pack.device, link=link, patience_s=30.0, chance=chance, clock=clock
    )


@pytest.mark.fault("C1")
@pytest.mark.fault("U18")
def test_c1_a_device_that_was_away_learns_at_its_next_contact_that_its_wearer_left(
    pack, clock, served, vault, small_parts
):
    pack.capture({"video": bytes(2500)})
    carry(pack, clock, served)
    late = [pack.capture({"video": bytes(2500)}, start_s=60 * n) for n in (1, 2)]
    with vault.db.write() as connection:
        consents.leave(connection, pack.wearer.person, clock())
    left = Left(pack.device)
    assert not left()  # nobody told it yet
    done = carry(pack, clock, served)
    assert (done.refused, done.rejected) == (2, {})
    assert left()
    with pytest.raises(Refused, match="has left"):
        require_taking_part(pack.device)
    # What it held is nowhere: not on the card, not in the vault; the vault's word on it stays.
    assert not list((pack.card.path / "ready").iterdir())
    assert len(pack.rows()) == 1
    key = pack.device.receipt_key
    told = [verify_receipt(each, key) for each in pack.receipts().values()]
    refused = [receipt for receipt in told if receipt.kind == "refused"]
    assert {each.record_hash for each in refused} == {made.record.hash() for made in late}
    assert {each.reason for each in refused} == {"withdrawn"}


@pytest.mark.fault("C1")
def test_c1_what_is_sent_again_after_the_withdrawal_stores_nothing(
    pack, clock, served, vault, small_parts
):
    """The same segments, from a copy of the card, twice more: refused each time, stored never."""
    made = pack.capture({"video": bytes(2500)})
    with vault.db.write() as connection:
        consents.leave(connection, pack.wearer.person, clock())
    for again in (False, True):
        if again:
            pack.lay(made)
        assert carry(pack, clock, served).refused == 1
        assert pack.rows() == {}
    with vault.db.read() as connection:
        kinds = {entry.kind for entry in log.read(connection)}
    assert "segment_stored" not in kinds
