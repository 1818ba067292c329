"""Policies from the vault: corrupt, unsigned, another's or older ones change nothing."""

import json

import pytest
from recording import NumberedCamera, open_parts

from firsthand.age import Identity
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, Error, Refused
from firsthand.policy import Policy, sign_policy
from firsthand.record.recorder import record
from firsthand.record.wearer.policy import follow, held_policy, take


def policy(number, key, **changes):
    said = {"device": "d-1", "person": "p-1", "number": number}
    said |= {"recipient": str(Identity.generate().recipient)}
    return sign_policy(Policy(**(said | changes)), key)


@pytest.fixture
def good(device, keys):
    envelope = policy(202611, keys.receipt)
    take(device, envelope)
    return envelope


def test_a_policy_is_kept_and_followed(device, keys):
    envelope = policy(202611, keys.receipt)
    now = take(device, envelope)
    assert str(now.recipient) == envelope["policy"]["recipient"]
    assert now.policy == held_policy(device).hash()
    assert follow(device) == now
    assert take(device, envelope) == now
    newer = policy(202612, keys.receipt)
    assert str(take(now, newer).recipient) == newer["policy"]["recipient"]


@pytest.mark.fault("D23")
def test_d23_a_policy_changed_at_any_byte_is_not_taken(device, keys, good, tally):
    before = follow(device)
    whole = json.dumps(policy(202612, keys.receipt)).encode()
    for at in range(0, len(whole), 7):
        for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            try:
                take(device, json.loads(changed))
            except (ValueError, Error):
                pass
            else:
                pytest.fail(f"taken with byte {at} changed")
            assert follow(device) == before
            tally.add()


@pytest.mark.fault("D23")
def test_d23_unsigned_older_and_others_policies_are_refused(device, keys, good, tally):
    before = follow(device)
    for kind, envelope in [
        (Damaged, {"policy": policy(202612, keys.receipt)["policy"]}),
        (Damaged, policy(202612, SigningKey.generate())),
        (Damaged, policy(202612, device.key)),
        (Damaged, policy(202612, keys.receipt, device="d-2")),
        (Damaged, policy(202612, keys.receipt, person="p-2")),
        (Damaged, policy(202612, keys.receipt, recipient="age1nonsense")),
        (Damaged, policy(202612, keys.receipt, v=2)),
        (Damaged, policy(202611, keys.receipt)),
        (Refused, policy(202610, keys.receipt)),
        (Damaged, None),
    ]:
        with pytest.raises(kind):
            take(device, envelope)
        assert follow(device) == before
        tally.add()


@pytest.mark.fault("D23")
def test_d23_a_policy_that_rots_on_the_device_is_not_followed(device, good, tally):
    path = device.folder / "policy.json"
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert follow(device) == device
        tally.add()
    path.write_bytes(whole)
    assert follow(device) != device
    take(device, good)


def test_a_recording_seals_to_whom_the_policy_says_and_names_it(device, card, keys):
    identity = Identity.generate()
    envelope = policy(202611, keys.receipt, recipient=str(identity.recipient))
    take(device, envelope)
    record(NumberedCamera(1, size=(64, 48), sound_hz=0, senses=False), card, device)
    (item,) = card.waiting()
    assert item.record.policy == held_policy(device).hash()
    assert item.record.recipient == identity.recipient.key_id
    assert open_parts(item, identity)["video"]
