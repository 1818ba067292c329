"""A real H.264 film in fragmented MP4 and a real JPEG, made by PyAV: a disc that rolls along."""

import io
from functools import cache

import av
import numpy as np

WIDTH, HEIGHT, FPS = 160, 120, 8


def picture(number: int, tint: int) -> av.VideoFrame:
    """Picture number so and so, of one colour or another."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = (40 + tint * 7 % 120, 90 + tint * 31 % 120, 120 + tint * 13 % 100)
    image[90:] //= 2
    disc = (x - 8 - number * 5 % WIDTH) ** 2 + (y - 78) ** 2 < 260
    image[disc] = (240, 226, 190)
    return av.VideoFrame.from_ndarray(image, format="rgb24")


@cache
def video(seconds: int = 60, tint: int = 0) -> bytes:
    """Fragmented MP4, key frame each second."""
    out = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer"}
    with av.open(out, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size = FPS
        stream.options = {"preset": "ultrafast"}
        for number in range(seconds * FPS):
            container.mux(stream.encode(picture(number, tint)))
        container.mux(stream.encode(None))
    return out.getvalue()


@cache
def still(tint: int = 0) -> bytes:
    """One small JPEG."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
    encoder.framerate = FPS
    frame = picture(9, tint).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
