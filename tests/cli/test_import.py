"""`firsthand record import` as people call it."""

import json
from pathlib import Path

import av
import pytest

from firsthand.cli import main
from firsthand.record.card.card import Card


def film(path: Path, pictures: int = 8, date: str = "") -> Path:
    with av.open(str(path), "w") as out:
        if date:
            out.metadata["creation_time"] = date
        video = out.add_stream("mpeg4", rate=4)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(pictures):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number]) * plane.buffer_size)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


@pytest.fixture
def data(tmp_path, capsys) -> Path:
    assert main(["--data", str(tmp_path / "data"), "person", "add", "ana"]) == 0
    capsys.readouterr()
    return tmp_path / "data"


def card(data: Path) -> Card:
    (folder,) = (data / "devices").glob("*/card")
    return Card(folder)


def test_files_are_sealed_one_after_another_and_a_wrong_one_holds_up_none(data, tmp_path, capsys):
    good = [
        film(tmp_path / "a.mp4", date="2024-05-01T10:00:00.000000Z"),
        film(tmp_path / "b.mp4", 12),
    ]
    (tmp_path / "text.mp4").write_text("no film")
    given = [str(good[0]), str(tmp_path / "none.mp4"), str(tmp_path / "text.mp4"), str(good[1])]
    assert main(["--data", str(data), "record", "import", *given]) == 3
    shown = capsys.readouterr()
    assert "a.mp4: 2 s in 1 segment, 8 pictures, no motion" in shown.out
    assert "a.mp4: taken 2024-05-01 10:00:00 UTC, by its own date, which may be" in shown.out
    assert "there is no file" in shown.out
    assert "text.mp4 cannot be read as video" in shown.out
    assert "b.mp4: it does not say when it was taken; give --taken" in shown.out
    assert "not imported: none.mp4, text.mp4" in shown.err
    assert [item.record.frames for item in card(data).waiting()] == [8, 12]


def test_one_file_may_be_given_its_time_and_comes_once(data, tmp_path, capsys):
    given = ["--data", str(data), "record", "import", str(film(tmp_path / "a.mp4"))]
    assert main([*given, "--taken", "2020-02-03T04:05:06"]) == 0
    assert "taken 2020-02-03 04:05:06 UTC, as you say" in capsys.readouterr().out
    assert main(given) == 1
    assert "a.mp4 was imported before: it is segment 1 of" in capsys.readouterr().err
    assert main([*given, "b.mp4", "--taken", "2020-02-03T04:05:06"]) == 2
    lines = (card(data).path.parent / "imported.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["last"] == 1
    assert "a.mp4" not in "".join(lines)
