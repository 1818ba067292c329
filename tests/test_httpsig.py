"""Signed requests: whatever is altered, the request is refused."""

import base64
import hashlib

import pytest

from firsthand import httpsig
from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Damaged, Error, NotFound, Refused

KEY = SigningKey.from_bytes(bytes(range(32)))
OTHER = SigningKey.generate()
NOW_S = 1_793_520_000
BODY = b'{"a":1}'
PATH = "/api/uploads?x=1"
NONCE = "nonce-0001"


def signed(**changes: object) -> dict[str, str]:
    values = {"key": KEY, "keyid": "d1", "method": "POST", "path": PATH, "body": BODY}
    values |= {"now_s": NOW_S, "nonce": NONCE}
    headers = httpsig.sign_request(**(values | changes))  # type: ignore[arg-type]
    return {name.lower(): value for name, value in headers.items()}


def find_key(keyid: str) -> VerifyKey:
    keys = {"d1": KEY.public, "d2": OTHER.public}
    if keyid not in keys:
        raise NotFound(f"device {keyid} is not enrolled")
    return keys[keyid]


def verify(headers: dict[str, str], **changes: object) -> tuple[str, str]:
    values = {"method": "POST", "path": PATH, "body": BODY, "now_s": NOW_S} | changes
    return httpsig.verify_request(find_key, headers=headers, **values)  # type: ignore[arg-type]


def test_a_signed_request_gives_its_device_and_nonce():
    assert verify(signed()) == ("d1", NONCE)


def test_an_empty_body_is_covered_too():
    headers = signed(body=b"", method="GET")
    assert verify(headers, body=b"", method="GET") == ("d1", NONCE)
    with pytest.raises(Damaged):
        verify(headers, body=b"x", method="GET")


def test_the_signature_is_over_the_base_of_rfc_9421():
    headers = signed()
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    parameters = (
        '("@method" "@path" "content-digest")'
        f';created={NOW_S};nonce="{NONCE}";keyid="d1";alg="ed25519"'
    )
    base = (
        f'"@method": POST\n"@path": {PATH}\n"content-digest": sha-256=:{digest}:\n'
        f'"@signature-params": {parameters}'
    )
    assert headers["signature-input"] == f"sig={parameters}"
    signature = base64.b64decode(headers["signature"].removeprefix("sig=:").removesuffix(":"))
    KEY.public.verify(None, base.encode(), signature)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"method": "post"},
        {"path": "/api/uploads?x=2"},
        {"path": "/api/uploads"},
        {"path": "/api/uploads/"},
        {"body": b'{"a":2}'},
        {"body": b""},
    ],
)
def test_an_altered_request_is_refused(change):
    with pytest.raises(Damaged):
        verify(signed(), **change)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (NONCE, "nonce-0002"),
        (f"created={NOW_S}", f"created={NOW_S + 1}"),
        ('keyid="d1"', 'keyid="d2"'),
        ('"@method" ', ""),
        ('"@path" ', ""),
        (' "content-digest"', ""),
        ('alg="ed25519"', 'alg="none"'),
        ('alg="ed25519"', 'alg="hmac-sha256"'),
        ("sig=", "other="),
    ],
)
def test_altered_parameters_are_refused(old, new):
    headers = signed()
    changed = headers["signature-input"].replace(old, new)
    assert changed != headers["signature-input"]
    with pytest.raises((Damaged, Refused)):
        verify(headers | {"signature-input": changed})


def test_body_and_digest_cannot_be_changed_together():
    digest = base64.b64encode(hashlib.sha256(b"evil").digest()).decode()
    headers = signed() | {"content-digest": f"sha-256=:{digest}:"}
    with pytest.raises(Damaged):
        verify(headers, body=b"evil")


def test_anothers_signature_under_this_devices_name_is_refused():
    with pytest.raises(Damaged):
        verify(signed(key=OTHER))


def test_an_unknown_device_is_not_found():
    with pytest.raises(NotFound):
        verify(signed(keyid="d9"))


@pytest.mark.parametrize("skew_s", [-300, -1, 0, 299, 300])
def test_a_recent_request_passes(skew_s):
    assert verify(signed(now_s=NOW_S + skew_s))


@pytest.mark.parametrize("skew_s", [-301, 301, -86_400, 10**9])
def test_a_request_signed_too_long_ago_or_ahead_is_refused(skew_s):
    with pytest.raises(Refused, match=f"{abs(skew_s)} s away"):
        verify(signed(now_s=NOW_S + skew_s))


@pytest.mark.parametrize("name", ["signature-input", "signature", "content-digest"])
def test_a_request_that_lacks_a_header_is_refused(name):
    headers = signed()
    del headers[name]
    with pytest.raises((Damaged, Refused)):
        verify(headers)


@pytest.mark.parametrize(
    "value", ["", "sig=::", "sig=:\u00e9\u00e9:", "sig=:????:", "sig=:AAAA:", "\u00e9", "sig=" * 99]
)
@pytest.mark.parametrize("name", ["signature-input", "signature", "content-digest"])
def test_nonsense_in_a_header_is_refused_with_an_error_of_ours(name, value):
    with pytest.raises(Error):
        verify(signed() | {name: value})


def test_two_signatures_over_the_same_request_differ_by_their_nonce():
    assert signed(nonce="nonce-aaaa")["signature"] != signed(nonce="nonce-bbbb")["signature"]
