"""GPMF, the telemetry that GoPro cameras keep beside their pictures: motion, and the time by GPS.

Keys, lengths and values, nested, big-endian (github.com/gopro/gpmf-parser). Places are in there
too and are never read. What is damaged is passed over: the pictures are worth more.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from firsthand.errors import Damaged

HEAD = struct.Struct(">4scBH")
NUMBERS = {"b": "b", "B": "B", "s": "h", "S": "H", "l": "i", "L": "I", "f": "f", "d": "d"}
NUMBERS |= {"j": "q", "J": "Q"}
LOCKED = 2  # GPSF: 0 no lock, 2 in the plane, 3 in space
# By which axis each column goes, for cameras that did not say so yet; small letters point back.
ORDERS = {"fusion": "yXZ", "hero6": "YxZ", "hero7": "YxZ"}
OLDEST_ORDER = "ZXY"

Row = tuple[float, float, float]


@dataclass(frozen=True)
class Item:
    """One key with its value; kind is the letter of its type, or empty for a nest."""

    key: str
    kind: str
    size: int
    count: int
    data: bytes

    def numbers(self) -> list[float]:
        """All numbers in it, row after row; Damaged if it holds none."""
        code = NUMBERS.get(self.kind)
        if not code:
            raise Damaged(f"telemetry {self.key} is of type {self.kind!r}, not of numbers")
        each = struct.calcsize(">" + code)
        return list(struct.unpack(f">{len(self.data) // each}{code}", self.data))

    def number(self) -> float:
        """The one number in it; Damaged."""
        found = self.numbers()
        if not found:
            raise Damaged(f"telemetry {self.key} is empty")
        return found[0]


@dataclass(frozen=True)
class Readings:
    """What one sensor gave in one payload: rows in SI units by x, y, z, and their place in all."""

    rows: tuple[Row, ...]
    first: int | None  # number of the first row since the recording began
    stamp_us: int | None  # of the first row, on the camera's own clock


@dataclass(frozen=True)
class Payload:
    """About a second of telemetry; what a camera lacks is None."""

    gyro: Readings | None = None  # rad/s
    accel: Readings | None = None  # m/s2
    frame_stamp_us: int | None = None  # of the first picture, on the clock of the other stamps
    utc_ns: int | None = None  # by GPS, while locked


def items(data: bytes) -> Iterator[Item]:
    """The items of one level; Damaged if one reaches beyond the data."""
    at = 0
    while at + HEAD.size <= len(data):
        key, kind, size, count = HEAD.unpack_from(data, at)
        if key == b"\0\0\0\0":  # filling
            at += 4
            continue
        length = size * count
        at += HEAD.size
        if at + length > len(data):
            raise Damaged(f"telemetry {key!r} is {at + length - len(data)} bytes short")
        name, letter = key.decode("latin-1"), kind.decode("latin-1").strip("\0")
        yield Item(name, letter, size, count, data[at : at + length])
        at += length + -length % 4


def parse(data: bytes) -> Payload:
    """What a payload says of motion and time; what in it is damaged is passed over."""
    found: dict[str, object] = {}
    for device in _whole(data):
        if device.key == "DEVC" and not device.kind:
            inside = _whole(device.data)
            model = next((item.data.decode("latin-1") for item in inside if item.key == "DVNM"), "")
            for stream in inside:
                if stream.key == "STRM" and not stream.kind:
                    found |= _stream(_whole(stream.data), model) | found
    return Payload(**found)  # type: ignore[arg-type]


def fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(start, step) of the straight line through (number, time) by least squares; two at least."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    step = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return mean_y - step * mean_x, step


def _whole(data: bytes) -> list[Item]:
    """The items of a level up to the first that is damaged."""
    found = []
    try:
        for item in items(data):
            found.append(item)
    except Damaged:
        pass
    return found


def _stream(level: list[Item], model: str) -> dict[str, object]:
    """What a stream gives to a Payload: its last item holds the data, those before explain it."""
    named = {item.key: item for item in level}
    last = level[-1].key if level else ""
    try:
        stamp_us = int(named["STMP"].number()) if "STMP" in named else None
        if last in ("ACCL", "GYRO"):
            name = "accel" if last == "ACCL" else "gyro"
            return {name: _readings(named, named[last], model, stamp_us)}
        if last == "SHUT" and stamp_us is not None:
            return {"frame_stamp_us": stamp_us}
        if last == "GPS5" and named["GPSF"].number() >= LOCKED:
            return {"utc_ns": _utc_ns(named["GPSU"].data)}
        if last == "GPS9":
            return {"utc_ns": _gps9_ns(named["GPS9"], named["SCAL"])}
    except (Damaged, KeyError, ValueError, IndexError, ZeroDivisionError, struct.error):
        pass
    return {}


def _readings(
    named: dict[str, Item], item: Item, model: str, stamp_us: int | None
) -> Readings | None:
    values = item.numbers()
    columns = len(values) // item.count if item.count else 0
    if columns != 3:
        raise Damaged(f"telemetry {item.key} has {columns} columns, not 3")
    scale = named["SCAL"].numbers() if "SCAL" in named else [1]
    scales = scale if len(scale) == 3 else [scale[0]] * 3
    order = named["ORIN"].data.decode("latin-1") if "ORIN" in named else _order(model)
    # For x, y and z: its column, and what brings that to SI units in the axis' own direction.
    columns_of = {letter.lower(): number for number, letter in enumerate(order)}
    signed = [1 / scales[n] if order[n].isupper() else -1 / scales[n] for n in range(3)]
    x, y, z = (columns_of[letter] for letter in "xyz")
    rows = tuple(
        (values[at + x] * signed[x], values[at + y] * signed[y], values[at + z] * signed[z])
        for at in range(0, len(values), 3)
    )
    total = int(named["TSMP"].number()) if "TSMP" in named else None
    return Readings(rows, None if total is None else total - len(rows), stamp_us)


def _order(model: str) -> str:
    plain = model.lower().replace(" ", "")
    return next((order for name, order in ORDERS.items() if name in plain), OLDEST_ORDER)


def _utc_ns(data: bytes) -> int:
    text = data.decode("ascii").strip("\0 ")
    moment = datetime.strptime(text, "%y%m%d%H%M%S.%f").replace(tzinfo=UTC)
    return _ns(moment)


def _gps9_ns(item: Item, scale: Item) -> int | None:
    """Of the first row: seven numbers of 32 bits, of which two are the time, then two of 16."""
    row = struct.unpack_from(">7i2H", item.data)
    scales = scale.numbers()
    if row[8] / scales[8] < LOCKED:
        return None
    day = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=row[5] / scales[5])
    return _ns(day) + round(row[6] / scales[6] * 1e9)


def _ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
