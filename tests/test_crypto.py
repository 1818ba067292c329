"""Canonical JSON, signatures, wrapped keys and sealed chunks."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.crypto import (
    CHUNK,
    SLOT,
    ChunkReader,
    ChunkWriter,
    SigningKey,
    VerifyKey,
    canonical,
    stream_open,
    stream_seal,
    unwrap,
    wrap,
)
from firsthand.errors import Damaged, Failed, Usage, WrongKey

KEY = bytes(range(32))
TEXT = bytes(i * 31 % 251 for i in range(1000)) * 700
SIZES = [0, 1, 2, 999, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 5]
LONG = TEXT[: 3 * CHUNK + 1000]
SEALED = stream_seal(KEY, LONG)

quick = settings(max_examples=60, deadline=None)


# --- canonical JSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@quick
@given(json_values)
def test_canonical_json_says_the_same_as_the_value(value):
    assert json.loads(canonical(value)) == value


@quick
@given(st.dictionaries(st.text(), st.integers(0, 9), max_size=8), st.randoms())
def test_canonical_json_does_not_depend_on_insertion_order(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


def test_canonical_json_sorts_keys_by_utf16_units_as_rfc_8785_shows():
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_canonical_json_writes_strings_as_rfc_8785_shows():
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\u007f"
    assert canonical([text]) == '["€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"]'.encode()
    assert canonical({"b": (1, True, None), "a": {}}) == b'{"a":{},"b":[1,true,null]}'


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), {1: 2}, {None: 1}, 2**63, -(2**63) - 1, b"x", {1, 2}, "\ud800"],
)
def test_canonical_json_refuses_what_has_no_single_form(value):
    with pytest.raises(Usage):
        canonical({"v": [value]})


def test_canonical_json_refuses_endless_nesting():
    value: list = []
    value.append(value)
    with pytest.raises(Usage):
        canonical(value)


# --- signatures


def test_signature_equals_the_vector_of_rfc_8032():
    secret = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    key = SigningKey.from_bytes(bytes.fromhex(secret))
    assert key.public.to_bytes().hex() == (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    assert key.sign(None, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@quick
@given(st.binary(max_size=50), st.integers(0, 511))
def test_signature_with_any_bit_flipped_is_refused(data, bit):
    key = SigningKey.generate()
    signature = key.sign("a/v1", data)
    key.public.verify("a/v1", data, signature)
    with pytest.raises(Damaged):
        key.public.verify("a/v1", data, flip(signature, bit))


def test_signature_holds_for_its_bytes_context_and_key_only():
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign("a/v1", b"data")
    for public, context, data in [
        (key.public, "a/v1", b"datb"),
        (key.public, "b/v1", b"data"),
        (key.public, "a/v", b"1\0data"),
        (other.public, "a/v1", b"data"),
    ]:
        with pytest.raises(Damaged):
            public.verify(context, data, signature)


def test_bare_signature_never_stands_in_for_one_in_a_context():
    key = SigningKey.generate()
    with pytest.raises(Usage):
        key.sign(None, b"a/v1\0data")
    with pytest.raises(Usage):
        key.public.verify(None, b"a/v1\0data", key.sign("a/v1", b"data"))
    for context in ("", "a\0b"):
        with pytest.raises(Usage):
            key.sign(context, b"data")


def test_keys_survive_their_written_forms():
    key = SigningKey.generate()
    assert SigningKey.from_bytes(key.to_bytes()) == key
    assert VerifyKey.from_bytes(key.public.to_bytes()) == key.public
    assert VerifyKey.from_text(str(key.public)) == key.public
    assert str(key.public).startswith("ed25519:")


@pytest.mark.parametrize("text", ["", "ed25519:", "rsa:" + "A" * 43 + "=", "ed25519:" + "A" * 44])
def test_malformed_verify_key_is_refused(text):
    with pytest.raises(Usage):
        VerifyKey.from_text(text)


def test_signing_key_does_not_print_its_secret():
    key = SigningKey.from_bytes(b"secret!!" * 4)
    assert "secret!!" not in repr(key)


# --- wrapped keys


def test_wrapped_key_opens_only_with_its_key_its_place_and_every_bit():
    wrapped = wrap(KEY, b"sixteen byte key", b"p1|day 3")
    assert unwrap(KEY, wrapped, b"p1|day 3") == b"sixteen byte key"
    assert len(wrapped) == 16 + 28
    for key, data, aad in [
        (bytes(32), wrapped, b"p1|day 3"),
        (KEY, wrapped, b"p1|day 4"),
        *((KEY, flip(wrapped, bit), b"p1|day 3") for bit in range(8 * len(wrapped))),
    ]:
        with pytest.raises(WrongKey):
            unwrap(key, data, aad)
    with pytest.raises(Damaged):
        unwrap(KEY, wrapped[:27], b"p1|day 3")
    with pytest.raises(Usage):
        wrap(bytes(16), b"", b"")


def test_wrapping_twice_gives_different_bytes():
    assert wrap(KEY, b"x", b"") != wrap(KEY, b"x", b"")


# --- sealed chunks


@pytest.mark.parametrize("size", SIZES)
def test_sealed_text_opens_at_every_chunk_border(size):
    sealed = stream_seal(KEY, TEXT[:size])
    assert stream_open(KEY, sealed) == TEXT[:size]
    assert len(sealed) == size + 16 * max(1, -(-size // CHUNK))


@quick
@given(st.integers(0, 8 * len(SEALED) - 1))
def test_any_flipped_bit_is_refused(bit):
    with pytest.raises(Damaged):
        stream_open(KEY, flip(SEALED, bit))


@pytest.mark.fault("K5")
@quick
@given(st.integers(0, len(SEALED) - 1))
def test_k5_any_truncation_is_refused(size):
    with pytest.raises(Damaged):
        stream_open(KEY, SEALED[:size])


@pytest.mark.parametrize("size", [k * SLOT for k in range(4)])
def test_truncation_between_chunks_is_refused(size):
    with pytest.raises(Damaged):
        stream_open(KEY, SEALED[:size])


ORDERS = [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3], [0, 0, 1, 2, 3], [1, 3], [0, 3, 2, 1]]


def in_order(order):
    return b"".join(SEALED[number * SLOT : (number + 1) * SLOT] for number in order)


@pytest.mark.fault("K5")
@pytest.mark.parametrize("order", ORDERS)
def test_k5_swapped_missing_and_repeated_chunks_are_refused(order):
    with pytest.raises(Damaged):
        read(in_order(order))


@pytest.mark.parametrize("order", ORDERS)
def test_swapped_missing_and_repeated_chunks_give_at_most_a_prefix_if_a_cut_is_allowed(order):
    try:
        reader = reader_of(in_order(order), allow_cut=True)
        text = reader.read_all()
    except Damaged:
        return
    assert reader.cut
    assert text in (LONG[:CHUNK], LONG[: 2 * CHUNK])


@pytest.mark.parametrize("size", [100, CHUNK, 2 * CHUNK, 2 * CHUNK + 100])
@pytest.mark.parametrize("extra", [b"\0", bytes(SLOT), bytes(SLOT + 1), stream_seal(KEY, b"x")])
def test_bytes_after_the_last_chunk_are_refused(size, extra):
    with pytest.raises(Damaged):
        stream_open(KEY, stream_seal(KEY, TEXT[:size]) + extra)


@pytest.mark.parametrize("extra", [b"\0", bytes(SLOT), stream_seal(KEY, b"x")])
def test_bytes_after_the_last_chunk_are_no_cut(extra):
    with pytest.raises(Damaged, match="bytes follow"):
        read(stream_seal(KEY, TEXT[: 2 * CHUNK]) + extra, allow_cut=True)


@quick
@given(st.integers(0, len(SEALED)), st.booleans())
def test_cut_text_opens_as_its_whole_chunks_if_a_cut_is_allowed(size, torn):
    # A file system may leave rubbish where the last writes before a power cut should be.
    rubbish = bytes(byte ^ 0xFF for byte in SEALED[size:]) if torn and size >= SLOT else b""
    reader = reader_of(SEALED[:size] + rubbish, allow_cut=True)
    whole = LONG if size == len(SEALED) else LONG[: size // SLOT * CHUNK]
    assert reader.read_all() == whole
    assert reader.cut == (size < len(SEALED))
    assert reader.plain_size == len(whole)


@quick
@given(st.integers(0, 8 * 2 * SLOT - 1))
def test_flipped_bit_before_a_chunk_that_opens_is_damage_even_if_a_cut_is_allowed(bit):
    with pytest.raises(Damaged):
        read(flip(SEALED[: 3 * SLOT], bit), allow_cut=True)


def test_wrong_key_is_damage_not_an_empty_cut():
    with pytest.raises(Damaged):
        ChunkReader(bytes(32), io.BytesIO(SEALED), len(SEALED), allow_cut=True)


@quick
@given(st.integers(0, len(LONG) + 10), st.integers(0, len(LONG) + 10), st.booleans())
def test_any_range_reads_as_a_slice_of_the_whole(start, size, cut):
    reader = reader_of(SEALED[: 3 * SLOT] if cut else SEALED, allow_cut=cut)
    whole = LONG[: reader.plain_size]
    assert reader.read_range(start, start + size) == whole[start : start + size]


def test_range_touches_only_its_own_chunks_and_the_last():
    damaged = flip(SEALED, 8 * SLOT + 3)  # in chunk 1
    reader = reader_of(damaged)
    assert reader.read_range(2 * CHUNK + 7, 3 * CHUNK) == LONG[2 * CHUNK + 7 : 3 * CHUNK]
    with pytest.raises(Damaged):
        reader.read_range(CHUNK, CHUNK + 1)
    with pytest.raises(Usage):
        reader.read_range(5, 4)


def test_reader_starts_where_its_source_stands():
    source = io.BytesIO(b"front" + SEALED + b"back")
    source.seek(5)
    assert ChunkReader(KEY, source, len(SEALED)).read_all() == LONG


def test_source_shorter_than_stated_is_damage():
    with pytest.raises(Damaged):
        ChunkReader(KEY, io.BytesIO(SEALED), len(SEALED) + 1)
    with pytest.raises(Damaged):
        ChunkReader(KEY, io.BytesIO(SEALED[:-9]), len(SEALED), allow_cut=True)


# --- live writing


@quick
@given(st.lists(st.sampled_from([1, 7, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 150_000]), max_size=4))
def test_text_written_in_any_pieces_is_sealed_the_moment_a_chunk_is_full(sizes):
    out = io.BytesIO()
    writer = ChunkWriter(KEY, out)
    for at, size in enumerate([*sizes, 1]):
        total = sum(sizes[:at]) + size
        assert writer.write(TEXT[total - size : total]) == size
        assert writer.plain_size == total
        assert writer.pending == total % CHUNK
        assert writer.room == CHUNK - writer.pending
        assert writer.written == len(out.getvalue()) == total // CHUNK * SLOT
    if writer.pending:
        writer.close()
        assert stream_open(KEY, out.getvalue()) == TEXT[:total]
        assert out.getvalue() == stream_seal(KEY, TEXT[:total])


def test_last_chunk_must_not_be_empty_unless_nothing_was_written():
    out = io.BytesIO()
    writer = ChunkWriter(KEY, out)
    writer.write(TEXT[:CHUNK])
    with pytest.raises(Usage, match="must not be empty"):
        writer.close()
    writer.write(b"x")
    writer.close()
    assert stream_open(KEY, out.getvalue()) == TEXT[:CHUNK] + b"x"
    empty = io.BytesIO()
    ChunkWriter(KEY, empty).close()
    assert stream_open(KEY, empty.getvalue()) == b""


def test_flush_is_refused_while_bytes_are_not_sealed():
    writer = ChunkWriter(KEY, io.BytesIO())
    writer.write(b"x")
    with pytest.raises(Usage):
        writer.flush_chunk()
    writer.write(bytes(writer.room))
    writer.flush_chunk()


class BreakingFile(io.RawIOBase):
    """Takes at most `bite` bytes a time, and fails once after `limit` bytes."""

    def __init__(self, bite, limit):
        self.bite, self.limit, self.data = bite, limit, b""

    def writable(self):
        return True

    def write(self, data):
        if len(self.data) >= self.limit:
            self.limit = 10**9
            raise OSError("no space left on device")
        self.data += bytes(data[: self.bite])
        return min(self.bite, len(data))


def test_file_that_takes_little_at_a_time_gets_every_byte():
    out = BreakingFile(bite=10_000, limit=10**9)
    writer = ChunkWriter(KEY, out)
    writer.write(LONG)
    writer.close()
    assert stream_open(KEY, out.data) == LONG


def test_chunk_number_is_never_sealed_again_after_a_failed_write():
    out = BreakingFile(bite=10_000, limit=100_000)
    writer = ChunkWriter(KEY, out)
    with pytest.raises(OSError, match="no space"):
        writer.write(LONG)
    before = out.data
    for again in (lambda: writer.write(b"other"), writer.flush_chunk, writer.close):
        with pytest.raises(Failed):
            again()
    assert out.data == before
    assert SEALED.startswith(before)


def test_closed_writer_takes_nothing_more():
    writer = ChunkWriter(KEY, io.BytesIO())
    writer.close()
    with pytest.raises(Failed):
        writer.write(b"x")
    with pytest.raises(Failed):
        writer.close()


def reader_of(sealed, allow_cut=False):
    return ChunkReader(KEY, io.BytesIO(sealed), len(sealed), allow_cut)


def read(sealed, allow_cut=False):
    return reader_of(sealed, allow_cut).read_all()


def flip(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
