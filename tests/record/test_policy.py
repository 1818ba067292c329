"""Policies from the vault: corrupt, unsigned, another's or older ones change nothing."""

import hashlib
import json

import pytest
from recording import NumberedCamera, open_parts

from firsthand.age import Identity
from firsthand.crypto import SigningKey, canonical
from firsthand.errors import Damaged, Error, Refused
from firsthand.policy import LAST, Policy, last_policy, sign_policy
from firsthand.record.recorder import record
from firsthand.record.wearer.policy import Left, follow, held_policy, take


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


def final(device, keys):
    return sign_policy(last_policy(device.name, device.person), keys.receipt)


def test_nothing_is_recorded_once_the_wearer_has_left(device, card, keys, good):
    take(device, final(device, keys))
    with pytest.raises(Refused, match="has left"):
        record(NumberedCamera(1, senses=False), card, device)
    assert card.waiting() == []
    assert not held_policy(device).record


def test_a_recording_that_goes_on_stops_when_the_word_comes(device, card, keys):
    class Interrupted(NumberedCamera):
        def samples(self):
            for number, sample in enumerate(super().samples()):
                if number == 20:
                    take(device, final(device, keys))
                yield sample

    done = record(Interrupted(60, size=(64, 48), sound_hz=0, senses=False), card, device)
    assert done.stopped
    assert 0 < sum(item.record.frames for item in card.waiting()) <= 21


@pytest.mark.fault("C1")
def test_c1_a_device_that_was_told_to_stop_takes_no_other_word(device, keys, good, tally):
    """Neither the policy of last month, sent again, nor one of next year makes it record."""
    take(device, final(device, keys))
    for kind, envelope in [
        (Refused, good),
        (Refused, policy(202712, keys.receipt)),
        (Damaged, policy(LAST, keys.receipt)),
        (Damaged, policy(LAST + 1, keys.receipt, record=False, person="p-2")),
    ]:
        with pytest.raises(kind):
            take(device, envelope)
        assert Left(device)()
        tally.add()
    assert take(device, final(device, keys)).recipient == device.recipient


def test_a_policy_that_lets_record_has_the_bytes_that_it_had(keys):
    said = Policy("d-1", "p-1", 202611, "age1x")
    assert "record" not in sign_policy(said, keys.receipt)["policy"]
    body = {"device": "d-1", "person": "p-1", "number": 202611, "recipient": "age1x", "v": 1}
    assert said.hash() == hashlib.sha256(canonical(body)).hexdigest()


def test_a_recorder_at_work_seals_to_next_months_key_from_its_next_segment_on(device, card, keys):
    months = [Identity.generate(), Identity.generate()]
    envelopes = [
        policy(number, keys.receipt, recipient=str(identity.recipient))
        for number, identity in zip((202611, 202612), months, strict=True)
    ]
    take(device, envelopes[0])

    class Turning(NumberedCamera):
        def samples(self):
            for row in super().samples():
                if row.time_ns >= 3 * 10**9 and len(envelopes) > 1:
                    take(device, envelopes.pop())  # as the carrier does, beside it
                yield row

    record(Turning(6, senses=False), card, device, segment_s=2.0)
    waiting = card.waiting()
    numbers = [[202611, 202611, 202612][at] for at in range(len(waiting))]
    assert len(waiting) == 3
    for item, number in zip(waiting, numbers, strict=True):
        identity = months[number == 202612]
        assert item.record.recipient == identity.recipient.key_id
        assert open_parts(item, identity)["video"]
    assert waiting[1].record.policy != waiting[2].record.policy
