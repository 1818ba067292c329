"""Where overlapping intervals cut a segment: their union is out, and what is left is whole."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand.consent.capture import withhold
from firsthand.consent.capture.closed import Doors
from firsthand.release.selection import SECOND_NS, _whole_seconds
from firsthand.vault.catalog import Span

START_NS = 1_793_520_000_123_456_789
SEGMENT = Span("s-1", START_NS, START_NS + 60 * SECOND_NS + 17, 1, 1)
# Around the whole seconds of the segment, where its key pictures are, a nanosecond to each side.
edges = st.builds(
    lambda second, off: START_NS + second * SECOND_NS + off,
    st.integers(-1, 61),
    st.integers(-1, 1) | st.integers(0, SECOND_NS),
)
intervals = st.lists(st.tuples(edges, edges).map(sorted).map(tuple), max_size=9)


@pytest.mark.fault("C3")
@settings(max_examples=200, deadline=None)
@given(intervals)
def test_c3_of_overlapping_intervals_the_union_is_out_rounded_to_key_pictures(taken):
    left = withhold.subtract(SEGMENT.start_ns, SEGMENT.stop_ns, taken)
    kept = _whole_seconds(SEGMENT, left)
    for start_ns, stop_ns in kept:
        assert SEGMENT.start_ns <= start_ns < stop_ns <= SEGMENT.stop_ns
        assert (start_ns - SEGMENT.start_ns) % SECOND_NS == 0
        assert stop_ns == SEGMENT.stop_ns or (stop_ns - SEGMENT.start_ns) % SECOND_NS == 0
        assert not any(begin < stop_ns and end > start_ns for begin, end in taken if begin < end)
    for second in range(60):  # a whole second that nothing touches is not lost
        bounds = START_NS + second * SECOND_NS, START_NS + (second + 1) * SECOND_NS
        free = not any(b < bounds[1] and e > bounds[0] for b, e in taken if b < e)
        inside = any(b <= bounds[0] and bounds[1] <= e for b, e in kept)
        assert inside == free


@settings(max_examples=100, deadline=None)
@given(intervals, edges, edges)
def test_c3_sound_is_out_of_a_piece_that_meets_any_silent_stretch(taken, one, other):
    start_ns, stop_ns = sorted((one, other))
    silent, at = [], -(2**62)
    for begin, end in sorted(taken):  # disjoint, as `spans` gives them
        if max(begin, at) < end:
            silent.append((max(begin, at), end))
            at = end
    meets = any(begin < stop_ns and end > start_ns for begin, end in silent)
    if start_ns < stop_ns:
        assert Doors((), tuple(silent)).mutes(start_ns, stop_ns) == meets
