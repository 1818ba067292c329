"""Bech32 (BIP 173, without its length limit): how age writes keys so that a typing error shows.

What the bytes mean is the business of `age.py`.
"""

from collections.abc import Iterable

from firsthand.errors import Usage

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def write_bech32(prefix: str, data: bytes) -> str:
    """`data` in letters behind `prefix`, in the prefix's case."""
    words = _regroup(data, 8, 5, pad=True)
    check = _polymod(_expand(prefix) + words + [0] * 6) ^ 1
    words += [check >> 5 * (5 - i) & 31 for i in range(6)]
    text = prefix.lower() + "1" + "".join(_LETTERS[word] for word in words)
    return text.upper() if prefix.isupper() else text


def parse_bech32(prefix: str, text: str, size: int, kind: str) -> bytes:
    """The `size` bytes in `text`; raises Usage, which calls the text an age `kind`."""
    # The text may be a secret, so no message repeats any of it.
    problem = Usage(f"this is not an age {kind}", f"one of this kind starts with {prefix}1")
    text = text.strip()
    found, _, encoded = text.lower().rpartition("1")
    if text not in (text.lower(), text.upper()) or found != prefix.lower():
        raise problem
    words = [_LETTERS.find(letter) for letter in encoded]
    if -1 in words:
        raise problem
    data = bytes(_regroup(words[:-6], 5, 8, pad=False))
    # writing it again tests the checksum and the bits left over
    if len(data) != size or write_bech32(prefix, data).lower() != text.lower():
        raise problem
    return data


def _expand(prefix: str) -> list[int]:
    codes = prefix.lower().encode()
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(words: Iterable[int]) -> int:
    check = 1
    for word in words:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ word
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    return check


def _regroup(data: Iterable[int], old: int, new: int, pad: bool) -> list[int]:
    bits = size = 0
    groups = []
    for value in data:
        bits, size = (bits << old | value) & 0xFFFF, size + old
        while size >= new:
            size -= new
            groups.append(bits >> size & (1 << new) - 1)
    if pad and size:
        groups.append(bits << new - size & (1 << new) - 1)
    return groups
