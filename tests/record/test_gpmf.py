"""Telemetry: what is written is read back, whatever is damaged is passed over, nothing crashes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand.errors import Damaged
from firsthand.record.cameras import gpmf

NUMBERS = st.lists(st.tuples(*[st.integers(-(2**15), 2**15 - 1)] * 3), min_size=1, max_size=40)


def item(key: str, kind: str, size: int, data: bytes) -> bytes:
    head = struct.pack(">4scBH", key.encode(), kind.encode() or b"\0", size, len(data) // size)
    return head + data + bytes(-len(data) % 4)


def nest(key: str, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">4sBBH", key.encode(), 0, 4, len(data) // 4) + data


def sensor(key: str, rows, scale: int = 100, order: str = "XYZ", total: int = 0, stamp: int = -1):
    data = b"".join(struct.pack(">3h", *row) for row in rows)
    lines = [item("ORIN", "c", 1, order.encode())] if order else []
    if stamp >= 0:
        lines.append(item("STMP", "J", 8, struct.pack(">Q", stamp)))
    if total:
        lines.append(item("TSMP", "L", 4, struct.pack(">L", total)))
    lines.append(item("SCAL", "s", 2, struct.pack(">h", scale)))
    return nest("STRM", *lines, item(key, "s", 6, data))


def gps(fix: int, text: str) -> bytes:
    return nest(
        "STRM",
        item("GPSF", "L", 4, struct.pack(">L", fix)),
        item("GPSU", "U", 16, text.encode()),
        item("SCAL", "l", 4, struct.pack(">5l", *[10**7] * 5)),
        item("GPS5", "l", 20, struct.pack(">5l", *[7] * 5)),
    )


def payload(*streams: bytes, model: str = "Hero9 Black") -> bytes:
    return nest("DEVC", item("DVNM", "c", 1, model.encode()), *streams)


@given(NUMBERS, st.permutations("xyz"), st.tuples(*[st.booleans()] * 3), st.integers(1, 30_000))
def test_readings_come_back_by_axis_in_si_units(rows, axes, forward, scale):
    order = "".join(a.upper() if up else a for a, up in zip(axes, forward, strict=True))
    found = gpmf.parse(payload(sensor("ACCL", rows, scale, order, total=len(rows) + 7, stamp=9)))
    assert found.accel is not None
    assert (found.accel.first, found.accel.stamp_us) == (7, 9)
    for row, read in zip(rows, found.accel.rows, strict=True):
        for letter, value in zip(order, row, strict=True):
            sign = 1 if letter.isupper() else -1
            assert read["xyz".index(letter.lower())] == pytest.approx(sign * value / scale)


@pytest.mark.parametrize(
    ("model", "read"),
    [("Camera", (2, 3, 1)), ("Hero6 Black", (-2, 1, 3)), ("Fusion", (2, -1, 3))],
)
def test_older_cameras_have_the_order_that_their_maker_documents(model, read):
    found = gpmf.parse(payload(sensor("GYRO", [(1, 2, 3)], 1, order=""), model=model))
    assert found.gyro is not None
    assert found.gyro.rows == (read,)


def test_time_is_taken_by_gps_only_while_it_is_locked():
    assert gpmf.parse(payload(gps(3, "191118234516.470"))).utc_ns == 1_574_120_716_470_000_000
    assert gpmf.parse(payload(gps(0, "191118234516.470"))).utc_ns is None
    assert gpmf.parse(payload(gps(3, "no time at all"))).utc_ns is None


@pytest.mark.parametrize(("fix", "told"), [(3, 1_574_120_716_470_000_000), (0, None)])
def test_newer_cameras_write_the_time_with_each_place(fix, told):
    row = struct.pack(">7i2H", 1, 2, 3, 4, 5, 7261, 85_516_470, 150, fix)
    scale = struct.pack(">9i", 10**7, 10**7, 1000, 1000, 100, 1, 1000, 100, 1)
    stream = nest("STRM", item("SCAL", "l", 4, scale), item("GPS9", "?", 32, row))
    assert gpmf.parse(payload(stream)).utc_ns == told


@given(NUMBERS, st.data())
def test_a_damaged_payload_costs_itself_at_most(rows, data):
    whole = payload(gps(3, "191118234516.470"), sensor("ACCL", rows), sensor("GYRO", rows))
    cut = data.draw(st.integers(0, len(whole)))
    gpmf.parse(whole[:cut])
    noise = bytearray(whole)
    for _ in range(8):
        noise[data.draw(st.integers(0, len(noise) - 1))] = data.draw(st.integers(0, 255))
    gpmf.parse(bytes(noise))


@given(st.binary(max_size=300))
def test_noise_is_no_telemetry(noise):
    assert gpmf.parse(noise).gyro is None
    gpmf.parse(payload(noise))


def test_an_item_that_reaches_beyond_its_level_is_told():
    with pytest.raises(Damaged, match="bytes short"):
        list(gpmf.items(item("ACCL", "s", 6, bytes(60))[:-9]))


@given(
    st.integers(-(10**12), 10**12),
    st.integers(1, 10**8),
    st.lists(st.integers(0, 10**6), min_size=2, max_size=50, unique=True),
)
def test_a_line_is_found_through_its_points(start, step, numbers):
    found = gpmf.fit([(number, start + step * number) for number in numbers])
    for number in numbers:
        expected = start + step * number
        assert found[0] + found[1] * number == pytest.approx(expected, rel=1e-6, abs=10)
