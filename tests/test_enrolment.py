"""What a device and a vault say to each other at enrolment, and what no one else can make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand import enrolment
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, Refused, Usage

KEY, VAULT = SigningKey.from_bytes(bytes(range(32))), SigningKey.from_bytes(bytes(range(1, 33)))
GIVEN = {"device": "d-1", "person": "p-1", "recipient": "age1", "receipt_key": "ed25519:x"}


def test_a_code_has_100_bits_and_is_read_however_it_is_typed():
    code = enrolment.new_code()
    assert len(code.replace("-", "")) * 5 == 100
    assert enrolment.new_code() != code
    loose = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert enrolment.read_code(loose) == enrolment.read_code(code)


@pytest.mark.parametrize("text", ["", "ABCD", "U" * 20, "ABCD-ABCD-ABCD-ABCD-ABCDE", "é" * 20])
def test_what_is_no_code_is_told(text):
    with pytest.raises(Usage, match="no enrolment code"):
        enrolment.read_code(text)


def test_hello_and_welcome_are_believed_and_hold_no_trace_of_the_code():
    text = enrolment.new_code()
    code = enrolment.read_code(text)
    sent = enrolment.hello(code, KEY)
    assert enrolment.verify_hello(sent, code.key) == KEY.public
    answer = enrolment.welcome(sent, code.key, **GIVEN)
    assert GIVEN.items() <= enrolment.verify_welcome(answer, sent, code).items()
    overheard = f"{sent}{answer}"
    assert text not in overheard
    assert text.replace("-", "") not in overheard
    assert code.key.hex() not in overheard


def test_a_hello_without_the_code_or_without_the_key_is_refused():
    code = enrolment.read_code(enrolment.new_code())
    sent = enrolment.hello(code, KEY)
    with pytest.raises(Refused):
        enrolment.verify_hello(sent, enrolment.read_code(enrolment.new_code()).key)
    swapped = enrolment.hello(code, VAULT)
    with pytest.raises(Damaged):  # knows the code, but signs for a key that it does not hold
        enrolment.verify_hello(sent | {"signature": swapped["signature"]}, code.key)


@given(st.sampled_from(sorted(GIVEN)), st.text(max_size=8))
def test_whoever_stands_between_can_change_nothing_of_the_welcome(name, text):
    code = enrolment.read_code("0123-4567-89AB-CDEF-GHJK")
    sent = enrolment.hello(code, KEY)
    answer = enrolment.welcome(sent, code.key, **GIVEN)
    forged = {"welcome": answer["welcome"] | {name: GIVEN[name] + text}, "proof": answer["proof"]}
    if text:
        with pytest.raises(Refused, match="not made by the vault"):
            enrolment.verify_welcome(forged, sent, code)
    else:
        enrolment.verify_welcome(forged, sent, code)


def test_an_answer_to_another_hello_is_refused():
    code = enrolment.read_code(enrolment.new_code())
    old = enrolment.welcome(enrolment.hello(code, KEY), code.key, **GIVEN)
    with pytest.raises(Refused, match="not made by the vault"):
        enrolment.verify_welcome(old, enrolment.hello(code, KEY), code)


@pytest.mark.parametrize("answer", [None, [], {}, {"welcome": 1}, {"welcome": {}, "proof": "é"}])
def test_what_is_no_welcome_is_refused(answer):
    code = enrolment.read_code(enrolment.new_code())
    with pytest.raises(Refused):
        enrolment.verify_welcome(answer, enrolment.hello(code, KEY), code)


def test_the_fingerprint_is_of_both_keys():
    words = {
        enrolment.fingerprint(*keys)
        for keys in [(KEY.public, VAULT.public), (VAULT.public, KEY.public)]
    }
    words.add(enrolment.fingerprint(SigningKey.generate().public, VAULT.public))
    assert len(words) == 3
    assert all(len(word) == 9 and set(word) <= set(enrolment.DIGITS + "-") for word in words)
