"""The age format: the public vectors, whole files, headers apart from payloads, bech32."""

import base64
import hashlib
import io
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.age import (
    Identity,
    Opener,
    Passphrase,
    Recipient,
    Sealer,
    X25519Identity,
    X25519Recipient,
    decrypt,
    encrypt,
    new_file_key,
    open_header,
    seal,
    seal_header,
    split,
    unseal,
)
from firsthand.crypto import CHUNK, SLOT
from firsthand.errors import Damaged, Usage, WrongKey

IDENTITY = Identity(bytes(range(32)))
KINDS = [Identity, X25519Identity]


# --- the public vectors


@dataclass
class Vector:
    """One file of the C2SP CCTV age vectors (tests/data/age_vectors.json says where from)."""

    expect: str = ""
    payload_sha256: str = ""
    armored: bool = False
    identities: list = field(default_factory=list)
    body: bytes = b""


def read_vector(text: str) -> Vector:
    head, _, body = base64.b64decode(text).partition(b"\n\n")
    vector = Vector(body=body)
    for line in head.decode().splitlines():
        name, value = line.split(": ", 1)
        if name == "expect":
            vector.expect = value
        elif name == "payload":
            vector.payload_sha256 = value
        elif name == "armored":
            vector.armored = True
        elif name == "compressed":
            vector.body = zlib.decompress(body)
        elif name == "passphrase":
            vector.identities.append(Passphrase(value))
        elif name == "identity":
            kind = Identity if value.startswith("AGE-SECRET-KEY-PQ-") else X25519Identity
            vector.identities.append(kind.parse(value))
        else:
            assert name in ("file key", "comment")
    return vector


DATA = json.loads((Path(__file__).parent / "data" / "age_vectors.json").read_text())
VECTORS = {name: read_vector(text) for name, text in DATA["vectors"].items()}
# We neither write nor read ASCII armor: footage is binary, so 33 of the 143 vectors don't apply.
PLAIN = {name: vector for name, vector in VECTORS.items() if not vector.armored}


def test_every_vector_without_armor_is_tried():
    assert (len(VECTORS), len(PLAIN)) == (143, 110)


@pytest.mark.fault("K5")
@pytest.mark.parametrize("name", PLAIN)
def test_k5_public_vector(name):
    vector = PLAIN[name]
    if vector.expect == "success":
        plain = decrypt(vector.body, vector.identities)
        assert hashlib.sha256(plain).hexdigest() == vector.payload_sha256
    elif vector.expect == "no match":
        with pytest.raises(WrongKey):
            open_header(split(vector.body)[0], vector.identities)
    elif vector.expect == "HMAC failure":
        with pytest.raises(Damaged, match="mac does not match"):
            open_header(split(vector.body)[0], vector.identities)
    elif vector.expect == "header failure":
        with pytest.raises(Damaged, match=r"age header|nonce"):
            decrypt(vector.body, vector.identities)
    else:
        assert vector.expect == "payload failure"
        header, payload = split(vector.body)
        file_key = open_header(header, vector.identities)
        with pytest.raises(Damaged):
            unseal(file_key, payload)
        # What an allowed cut gives out is what the vector lets a reader release, or nothing.
        try:
            released = unseal(file_key, payload, allow_cut=True)
        except Damaged:
            return
        assert hashlib.sha256(released).hexdigest() == vector.payload_sha256


@pytest.mark.parametrize("name", [n for n, v in PLAIN.items() if v.expect == "success"])
def test_armored_file_is_refused_and_a_binary_one_survives_split_and_join(name):
    header, payload = split(PLAIN[name].body)
    assert header + payload == PLAIN[name].body
    with pytest.raises(Damaged):
        split(b"-----BEGIN AGE ENCRYPTED FILE-----\n" + base64.b64encode(header))


# --- keys in text


def test_keys_read_and_write_as_the_specification_shows():
    hybrid = "AGE-SECRET-KEY-PQ-1XX76JRALNLXDMEW0CRK45QMCCH4X06SE84UN3VPM33W6HWDX0H3SK3ZQFR"
    public = str(Identity.parse(hybrid).recipient)
    assert str(Identity.parse(hybrid)) == hybrid
    # the last six letters are a checksum of all 1959
    assert public.startswith("age1pq1x34nzsvr0rxjsgdn8zgyhfe8j7ceq5r9rdelkjuh3y235jzxshfg87pzf5")
    assert public.endswith("k2ykx3qheyty7saeq0d3fzv49zc0k")
    assert len(public) == 1959

    classical = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    assert str(X25519Identity.parse(classical)) == classical
    assert str(X25519Identity.parse(classical).recipient) == (
        "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_keys_survive_their_written_forms(kind):
    identity = kind.generate()
    assert kind.parse(f" {identity}\n") == identity
    assert kind.parse(str(identity).lower()) == identity
    assert type(identity.recipient).parse(str(identity.recipient)) == identity.recipient


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from("qpzry9x8b1İ \0"))
def test_mistyped_key_is_refused_without_repeating_it(kind, at, letter):
    text = str(kind(bytes(32)))
    at %= len(text)
    wrong = text[:at] + letter + text[at + 1 :]
    with pytest.raises(Usage) as caught:
        kind.parse(wrong if wrong.strip() != text else text[:-1])
    assert text[20:40] not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("parse", [Recipient.parse, X25519Recipient.parse, Identity.parse])
def test_key_of_another_kind_is_refused(parse):
    texts = [str(IDENTITY), str(IDENTITY.recipient), str(X25519Identity(bytes(32)).recipient)]
    right = {Identity.parse: 0, Recipient.parse: 1, X25519Recipient.parse: 2}[parse]
    for number, text in enumerate([*texts, "", "1", "age1", "age1pq1"]):
        if number != right:
            with pytest.raises(Usage):
                parse(text)


def test_malformed_raw_key_is_refused():
    with pytest.raises(Usage):
        Identity(b"short")
    for public in (
        b"short",
        bytes(1216),
        b"\xff" * 1216,
        IDENTITY.recipient.public[:-32] + bytes(32),
    ):
        with pytest.raises(Usage):
            Recipient(public).wrap(new_file_key())
    for public in (b"short", bytes(32)):
        with pytest.raises(Usage):
            X25519Recipient(public).wrap(new_file_key())


def test_key_id_is_short_and_its_recipients_own():
    ids = {Identity.generate().recipient.key_id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in ids)


@pytest.mark.parametrize("kind", [*KINDS, Passphrase])
def test_secrets_are_not_printed(kind):
    secret = "secret!!" * 4
    key = kind(secret if kind is Passphrase else secret.encode())
    assert "secret!!" not in repr(key)


# --- whole files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_file_opens_for_each_of_its_recipients_and_nobody_else(kind, size):
    plain = bytes(size)
    owners = [kind.generate() for _ in range(3)]
    sealed = encrypt(plain, [owner.recipient for owner in owners])
    for owner in owners:
        assert decrypt(sealed, [kind.generate(), owner]) == plain
    with pytest.raises(WrongKey):
        decrypt(sealed, [Identity.generate(), X25519Identity.generate()])
    with pytest.raises(WrongKey):
        decrypt(sealed, [])


def test_passphrase_file_opens_with_its_passphrase_only():
    sealed = encrypt(b"plain", passphrase="naïve 🐎", scrypt_log2=4)
    assert decrypt(sealed, passphrase="naïve 🐎") == b"plain"
    assert b" 4\n" in split(sealed)[0]
    with pytest.raises(WrongKey):
        decrypt(sealed, passphrase="naive 🐎")
    with pytest.raises(WrongKey):
        decrypt(sealed, [IDENTITY])


def test_passphrase_work_is_bounded_in_both_directions():
    with pytest.raises(Usage):
        encrypt(b"", passphrase="x", scrypt_log2=21)
    header, payload = split(encrypt(b"", passphrase="x", scrypt_log2=4))
    with pytest.raises(Damaged, match="work factor"):
        decrypt(header.replace(b" 4\n", b" 21\n") + payload, passphrase="x")


def test_recipients_are_never_mixed():
    classical = X25519Identity.generate().recipient
    with pytest.raises(Usage, match="mixed"):
        encrypt(b"", [IDENTITY.recipient, classical])
    with pytest.raises(Usage, match="mixed"):
        encrypt(b"", [IDENTITY.recipient], passphrase="x")
    with pytest.raises(Usage):
        seal_header(new_file_key(), [Passphrase("x", 2), Passphrase("y", 2)])
    with pytest.raises(Usage):
        encrypt(b"")


def test_no_two_files_are_the_same():
    key = new_file_key()
    assert seal(key, b"x") != seal(key, b"x")
    assert seal_header(key, [IDENTITY.recipient]) != seal_header(key, [IDENTITY.recipient])


HEADER = seal_header(bytes(16), [IDENTITY.recipient])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 8 * len(HEADER) - 1))
def test_header_with_any_bit_flipped_is_refused(bit):
    changed = bytearray(HEADER)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Damaged, WrongKey)):
        open_header(bytes(changed), [IDENTITY])


def test_header_of_one_file_and_payload_of_another_do_not_join():
    (header, _), (_, payload) = (split(encrypt(b"x", [IDENTITY.recipient])) for _ in range(2))
    with pytest.raises(Damaged):
        decrypt(header + payload, [IDENTITY])


def test_stanza_added_to_a_header_is_refused():
    changed = HEADER.replace(b"--- ", b"-> grease x\n\n--- ")
    with pytest.raises(Damaged, match="mac"):
        open_header(changed, [IDENTITY])


# --- payloads apart from headers


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK + 1, 3 * CHUNK + 9])
def test_live_payload_joined_to_its_header_is_a_standard_file(size):
    file_key, out, plain = new_file_key(), io.BytesIO(), bytes(i % 251 for i in range(size))
    sealer = Sealer(file_key, out)
    assert sealer.written == 16
    sealer.write(plain)
    sealer.close()
    assert sealer.written == len(out.getvalue())
    header = seal_header(file_key, [IDENTITY.recipient])
    assert decrypt(header + out.getvalue(), [IDENTITY]) == plain


PLAIN_TEXT = bytes(i % 253 for i in range(2 * CHUNK + 500))
PAYLOAD = seal(bytes(16), PLAIN_TEXT)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(PAYLOAD)))
def test_payload_cut_anywhere_opens_as_its_whole_chunks_only_if_allowed(size):
    opener = Opener(bytes(16), io.BytesIO(PAYLOAD[:size]), size, allow_cut=True)
    whole = PLAIN_TEXT[: max(0, size - 16) // SLOT * CHUNK]
    assert opener.read_all() == (PLAIN_TEXT if size == len(PAYLOAD) else whole)
    assert opener.cut == (size < len(PAYLOAD))
    if opener.cut:
        with pytest.raises(Damaged):
            unseal(bytes(16), PAYLOAD[:size])


def test_opener_reads_ranges_from_the_middle_of_a_larger_object():
    source = io.BytesIO(b"other part" + PAYLOAD + b"next part")
    source.seek(10)
    opener = Opener(bytes(16), source, len(PAYLOAD))
    assert opener.plain_size == len(PLAIN_TEXT)
    assert opener.read_range(CHUNK - 5, CHUNK + 5) == PLAIN_TEXT[CHUNK - 5 : CHUNK + 5]
    assert opener.read_all() == PLAIN_TEXT


def test_payload_under_another_file_key_is_damage():
    with pytest.raises(Damaged):
        unseal(bytes(15) + b"\1", PAYLOAD)
