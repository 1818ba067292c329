import io
import json
from pathlib import Path

import av
import pytest
from recording import open_parts, segments

from firsthand.errors import Damaged, Error, Failed, NotFound, Usage
from firsthand.record.cameras.av_camera import AvCamera
from firsthand.record.cameras.camera import Picture, Sound, open_camera, register
from firsthand.record.recorder import record

UNREADABLE = {
    "Eyevinn+mp4ff__avc__testdata__two-frames.264": Damaged,
    "Eyevinn+mp4ff__mp4__testdata__1.m4s": Damaged,
    "Eyevinn+mp4ff__mp4__testdata__cbcs.mp4": Usage,
    "Eyevinn+mp4ff__mp4__testdata__init_prog.mp4": Damaged,
    "Eyevinn+mp4ff__mp4__testdata__init_truncated.mp4": Damaged,
    "Eyevinn+mp4ff__mp4__testdata__opus.mp4": Usage,
    "sbraz+pymediainfo__tests__data__mp3.mp3": Damaged,
    "sbraz+pymediainfo__tests__data__mpeg4.mp4": Damaged,
    "sbraz+pymediainfo__tests__data__sample.mkv": Damaged,
}
# name: (pictures, seconds); what the container claims may be far off
READABLE = {
    "Eyevinn+mp4ff__mp4__testdata__v300_multiple_segments.mp4": (240, 8.0),
    "Eyevinn+mp4ff__mp4__testdata__vvc_400kbps_2s.mp4": (50, 2.0),
    "pytorch+torchcodec__test__resources__av1_video.mkv": (125, 5.0),
    "pytorch+torchcodec__test__resources__h265_10bits.mp4": (30, 1.0),
    "pytorch+torchcodec__test__resources__nasa_13013.mp4": (325, 13.056),
}
CLIPS = {
    "egoblur_gen2_test_face_video.mp4": (14, 1.4),
    "egoblur_gen2_test_lp_video.mp4": (24, 3.179),
    "gopro_max-heromode.mp4": (315, 10.517),
    "udacity_solidWhiteRight.mp4": (221, 8.853),
}


def decoded_count(data: bytes | Path) -> int:
    """Pictures of the first video stream, counted without our code."""
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.data
def test_the_folder_of_odd_files_is_covered(test_data):
    assert {path.name for path in (test_data / "odd_media").iterdir()} == {*UNREADABLE, *READABLE}


@pytest.mark.data
@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_without_pictures_is_a_clear_error_and_leaves_no_trace(name, test_data, card):
    with pytest.raises(Error) as caught:
        open_camera(str(test_data / "odd_media" / name))
    assert type(caught.value) is UNREADABLE[name]
    assert name in caught.value.message
    assert caught.value.hint
    assert not card.used_bytes()


@pytest.mark.data
def test_encrypted_video_is_refused_although_it_decodes(test_data):
    path = test_data / "odd_media" / "Eyevinn+mp4ff__mp4__testdata__cbcs.mp4"
    assert decoded_count(path) == 182
    with pytest.raises(Usage, match="encrypted"):
        AvCamera(str(path))


@pytest.mark.data
@pytest.mark.parametrize("name", READABLE)
def test_an_odd_file_is_recorded_for_what_it_truly_holds(name, test_data, card, device, keys):
    path = test_data / "odd_media" / name
    count, seconds = READABLE[name]
    recorded = record(open_camera(str(path)), card, device)
    assert decoded_count(path) == count == recorded.frames
    assert recorded.footage_ns / 1e9 == pytest.approx(seconds, abs=0.001)
    assert decoded_count(open_parts(segments(card)[0], keys.ingest)["video"]) == count


@pytest.mark.data
@pytest.mark.parametrize("name", CLIPS)
def test_a_real_clip_keeps_its_pictures_its_length_and_its_sound(
    name, test_data, card, device, keys
):
    path = test_data / "clips" / name
    count, seconds = CLIPS[name]
    recorded = record(open_camera(str(path)), card, device)
    assert recorded.frames == count == decoded_count(path)
    assert recorded.footage_ns / 1e9 == pytest.approx(seconds, abs=0.002)
    item = segments(card)[0]
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert item.record.media["audio_samples"] == samples
    assert item.record.media["width"] <= 2304
    assert item.record.wall_quality == "none"


@pytest.mark.data
def test_nothing_of_the_source_but_picture_and_sound_is_stored(test_data, card, device, keys):
    path = test_data / "clips" / "gopro_max-heromode.mp4"
    source = path.read_bytes()
    record(open_camera(str(path)), card, device)
    item = segments(card)[0]
    parts = open_parts(item, keys.ingest)
    with av.open(io.BytesIO(parts["video"])) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    kept = {(key, value) for found in tags for key, value in found.items()}
    assert {key for key, _ in kept} <= {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "language",
        "handler_name",
        "vendor_id",
    }
    for trace in (b"GoPro", b"GPSU", b"DEVC", b"HMMT", b"creation_time", b"\xa9xyz", b"gpmd"):
        assert not any(trace in plain for plain in parts.values())
    assert b"GoPro" in source
    assert b"GPSU" in source
    assert "GoPro" not in json.dumps(item.envelope)
    assert set(parts) == {"video", "still"}


@pytest.mark.data
def test_sound_that_starts_before_the_pictures_keeps_its_lead(test_data):
    camera = AvCamera(str(test_data / "clips" / "egoblur_gen2_test_lp_video.mp4"))
    first: dict[type, int] = {}
    times = []
    for sample in camera.samples():
        first.setdefault(type(sample), sample.time_ns)
        times.append(sample.time_ns)
    assert first[Sound] == 0
    assert first[Picture] == pytest.approx(0.779e9, abs=1e6)
    assert times == sorted(times)


def test_a_missing_file_a_folder_and_nothing_are_told_apart(tmp_path):
    with pytest.raises(NotFound, match="no file"):
        open_camera(str(tmp_path / "missing.mp4"))
    with pytest.raises(Usage, match="folder"):
        open_camera(str(tmp_path))
    with pytest.raises(Usage, match="no camera"):
        open_camera("")


def test_a_webcam_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(NotFound, match="v4l2:/dev/video99") as caught:
        open_camera("v4l2:/dev/video99")
    assert caught.value.hint


def test_a_device_url_reads_an_input_device_of_ffmpeg(card, device, keys):
    camera = open_camera("lavfi:testsrc=size=160x120:rate=8:duration=3")
    recorded = record(camera, card, device)
    assert (recorded.frames, recorded.footage_ns) == (24, 3 * 10**9)
    assert decoded_count(open_parts(segments(card)[0], keys.ingest)["video"]) == 24


def test_another_scheme_is_opened_by_whoever_registered_it(tmp_path, monkeypatch):
    register("moon", lambda url: url)  # type: ignore[arg-type, return-value]
    assert open_camera("moon:1?dark=2") == "moon:1?dark=2"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moon:1").write_bytes(b"a file of that name")
    with pytest.raises(Error):
        open_camera("moon:1")


def test_a_file_cut_in_mid_download_is_recorded_as_far_as_it_goes(tmp_path, card, device):
    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(100):
            frame = av.VideoFrame(160, 120, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number]) * plane.buffer_size)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    recorded = record(open_camera(str(cut)), card, device)
    assert 30 < recorded.frames < 100


def test_a_camera_closes_its_file_when_it_cannot_be_used(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"\0" * 5000)
    with pytest.raises((Damaged, Failed)):
        AvCamera(str(path))
