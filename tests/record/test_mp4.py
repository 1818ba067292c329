import struct

import pytest
from recording import NumberedCamera, pictures

from firsthand.record.cameras.camera import Picture, Sound
from firsthand.record.sealing import mp4
from firsthand.record.sealing.encode import Footage, stored_size


def boxes(data):
    """Names of the boxes at the top of these bytes, which they must fill to the last one."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        names.append(name.decode())
        at += size
    assert at == len(data)
    return names


def fragments(live, seconds=3):
    camera = NumberedCamera(seconds, senses=False)
    footage = Footage(camera.size, camera.fps, camera.sound_hz, live)
    made = []
    for sample in camera.samples():
        if isinstance(sample, Picture):
            made += footage.add_picture(sample, sample.time_ns)
        elif isinstance(sample, Sound):
            footage.add_sound(sample, sample.time_ns)
    return [*made, *footage.finish(round(seconds * 1e9))]


@pytest.mark.parametrize(("live", "length_ns"), [(True, 250_000_000), (False, 1_000_000_000)])
def test_every_fragment_ends_on_a_box_and_says_how_far_it_reaches(live, length_ns):
    made = fragments(live)
    assert boxes(made[0].data) == ["ftyp", "moov", "moof", "mdat"]
    assert all(boxes(fragment.data) == ["moof", "mdat"] for fragment in made[1:])
    assert [fragment.stop_ns for fragment in made] == [
        length_ns * number for number in range(1, len(made) + 1)
    ]
    assert made[-1].frames == 24


def test_any_number_of_whole_fragments_is_a_whole_file():
    made = fragments(live=True)
    for count in range(1, len(made) + 1):
        data = b"".join(fragment.data for fragment in made[:count])
        assert [row.number for row in pictures(data)] == list(range(made[count - 1].frames))


@pytest.mark.parametrize("size", [8, 9, 4096, 65536 + 7])
def test_filler_of_any_size_is_passed_over(size):
    made = fragments(live=True)
    data = mp4.filler(size).join(fragment.data for fragment in made)
    assert len(mp4.filler(size)) == size
    assert [row.number for row in pictures(data)] == list(range(24))


def test_sizes_are_made_even_and_wide_pictures_small():
    assert stored_size(160, 120) == (160, 120)
    assert stored_size(161, 121) == (160, 120)
    assert stored_size(2560, 1920) == (2304, 1728)
    assert stored_size(1, 1) == (2, 2)
