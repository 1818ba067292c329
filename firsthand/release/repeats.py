"""Telling footage that was recorded before: one key a second, which shows nothing of the picture.

The key is a keyed hash of a picture's coarsest brightness steps, so the catalogue's thief learns no
picture from it; whoever erases footage erases its keys too.
"""

import hmac
from itertools import pairwise

import numpy as np
from av.video.reformatter import VideoReformatter

from firsthand.release.clip import pictures_of

SIDE = 8
PLAIN_SPREAD = 6.0  # of 255: a lens cap, a sleeve, darkness; as the recorder's own judgement
# So many different pictures in a row, at one distance in time, are no chance.
RUN = 5
# A picture seen as often as this is a wall or a desk, and tells nothing.
OFTEN = 50
HOLE = 5


def keys(video: bytes, secret: bytes) -> list[int | None]:
    """One key for each second of a video part, None where it shows nothing; Damaged.

    Difference hash (Krawetz 2013) of 9 x 8 brightnesses, under HMAC-SHA-256 cut to 63 bits.
    """
    reduce = VideoReformatter().reformat
    found: list[int | None] = []
    for second, frame in pictures_of(video):
        small = reduce(frame, SIDE + 1, SIDE, "gray", interpolation="AREA", threads=1)
        grey = small.to_ndarray().astype(np.int16)
        found.extend([None] * (second - len(found)))
        if grey.std() < PLAIN_SPREAD:
            found.append(None)
            continue
        bits = np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()
        found.append(int.from_bytes(hmac.digest(secret, bits, "sha256")[:8], "big") >> 1)
    return found


def repeated(
    here: list[tuple[int, int]], before: dict[int, list[int]], often: int = OFTEN
) -> set[int]:
    """Which of these (second, key) were seen already, as seconds; `before` has each key's seconds.

    A run counts if at least RUN different pictures lie at one distance, give or take a second, from
    pictures of before: someone who sits still all day repeats nothing but one picture. Within
    `here` the earlier of two is the first.
    """
    runs: dict[int, list[tuple[int, int]]] = {}
    own: dict[int, list[int]] = {}
    for second, key in sorted(here):
        known = [then for then in before.get(key, ()) if then != second] + own.get(key, [])
        own.setdefault(key, []).append(second)
        if len(known) < often:
            for distance in {second - then for then in known}:
                runs.setdefault(distance, []).append((second, key))
    again: set[int] = set()
    for distance in runs:
        near = [one for step in (-1, 0, 1) for one in runs.get(distance + step, ())]
        if len({key for _, key in near}) >= RUN:
            again.update(_filled(sorted(second for second, _ in near)))
    return again


def _filled(seconds: list[int]) -> set[int]:
    """These seconds and the few between them: coded anew, a picture in ten has another key."""
    found = set(seconds)
    for one, after in pairwise(seconds):
        if after - one <= HOLE:
            found.update(range(one, after))
    return found
