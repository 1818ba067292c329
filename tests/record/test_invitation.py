"""The enrolment link in a file and in a QR before the camera: enrolment without a keyboard."""

import av
import pytest
import segno
from moment import Moment
from recording import NumberedCamera

from firsthand.errors import Failed, NotFound, Refused
from firsthand.record.cameras.camera import Coded, Picture, open_camera
from firsthand.record.invitation import FILE, accept, in_file, in_picture, links

LINK = "http://vault.local:8707#7K3M-Q9TX-0ABC-DEFG-HJKM"


def shown(text, width=320, height=240, scale=5):
    """A grey wall with a QR on it, as RGB."""
    rows = [bytearray(b"\x70" * 3 * width) for _ in range(height)]
    for y, line in enumerate(segno.make(text, error="m", micro=False).matrix_iter(scale, border=4)):
        for x, dark in enumerate(line):
            rows[y + 20][3 * (x + 30) : 3 * (x + 31)] = bytes(3) if dark else b"\xff" * 3
    return Picture(0, width, height, rgb=b"".join(rows))


@pytest.mark.parametrize(
    "text", [f"{LINK}\n", f"\ufeff{LINK}\r\n", f"put this on the card:\n\n  {LINK}  \n"]
)
def test_the_link_is_found_in_a_file_however_an_editor_saved_it(tmp_path, text):
    places = (tmp_path / "firmware", tmp_path)
    assert in_file(places) == ""
    (tmp_path / FILE).write_bytes(text.encode())
    assert in_file(places) == LINK
    (tmp_path / FILE).write_bytes(b"\xff\xfe nonsense # and more")
    assert in_file(places) == ""


def test_a_camera_reads_the_vaults_code_as_pixels_and_as_the_h264_it_sends(tmp_path):
    assert in_picture(shown(LINK)) == LINK
    assert in_picture(shown("https://example.com/")) == ""  # another's QR
    assert in_picture(next(iter(NumberedCamera(1).samples()))) == ""
    film = str(tmp_path / "screen.mp4")
    with av.open(film, "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        frame = av.VideoFrame(320, 240, "rgb24")
        frame.planes[0].update(shown(LINK).rgb)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    coded = next(iter(open_camera(f"copy:{film}").samples()))
    assert isinstance(coded, Coded)
    assert in_picture(coded) == LINK


def test_file_and_camera_are_looked_at_until_one_has_it(tmp_path):
    clock, tried = Moment(), []

    def opened(url):
        tried.append(url)
        if len(tried) == 1:
            raise NotFound("no camera")
        if len(tried) == 2:
            (tmp_path / FILE).write_text(LINK)
        return NumberedCamera(1)

    assert next(links("picamera2:0", (tmp_path,), clock, opened)) == LINK
    assert len(tried) == 2


def test_a_refused_link_is_not_repeated_and_an_unreached_vault_is_asked_again():
    asked, told = [], []

    def enrol(link):
        asked.append(link)
        if link == "old":
            raise Refused("the code was used or is too old")
        if len(asked) < 5:
            raise Failed("vault.local was not reached")
        return link

    found = iter(["old", "old", "new", "new", "old", "new", "new"])
    assert accept(found, enrol, lambda name, error: told.append(error)) == "new"
    assert asked == ["old", "new", "new", "new", "new"]
    assert told == ["the code was used or is too old", "vault.local was not reached"]
    with pytest.raises(Failed, match="no enrolment link"):
        accept([], enrol)
