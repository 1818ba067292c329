"""The demo as a person runs it: another process, its JSON, its folder, its interruptions."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from firsthand import config
from firsthand.consent import people
from firsthand.consent.capture import withhold
from firsthand.shard import ReleaseReader
from firsthand.vault.vault import Vault

COMMAND = [sys.executable, "-m", "firsthand"]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--data", str(folder), "demo", *words],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"HOME": str(folder.parent)},
    )


def released(folder: Path) -> ReleaseReader:
    (pulled,) = (folder / "pulled").iterdir()
    return ReleaseReader(pulled)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A finished small demo: (its folder, what it printed)."""
    folder = tmp_path_factory.mktemp("demo") / "d"
    done = run(folder, "--small", "--json")
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.slow
def test_the_demo_prints_one_json_object_with_all_its_figures(small):
    _, said = small
    assert (said["people"], said["segments"]) == (3, 18)
    assert said["footage_s"] == 3 * 3 * 120
    assert said["bytes_recorded"] == said["bytes_stored"] > 0
    assert said["lost_s"] == said["records_missing"] == said["left_on_cards"] == 0
    assert said["store_faults"] == said["rejected"] == []
    assert said["link_breaks"] > 0
    assert said["withheld_s"] == 20
    assert said["refused_people"] == ["cleo"]
    model = said["model"]
    assert model["oracle"] < model["nats_per_action"] < model["baselines"]["unigram"]
    assert model["nats_per_action"] < model["baselines"]["uniform"]
    assert model["network_alone"] > 0
    assert model["baselines"]["ngram"] > 0
    assert isinstance(model["history_gain"], float)


@pytest.mark.slow
def test_neither_who_said_no_nor_what_is_withheld_is_in_the_demos_release(small):
    folder, said = small
    reader = released(folder)
    samples = {name: list(reader.samples(name)) for name in reader.people}
    assert len(samples) == said["release"]["people"] == 2
    vault = Vault(config.Settings(data=folder))
    with vault.db.read() as connection:
        ben = people.find(connection, "ben")
        (held,) = withhold.of(connection, ben.id)
    vault.close()
    kept_back = [
        [item for item in each if item.start_ns < held.stop_ns and item.stop_ns > held.start_ns]
        for each in samples.values()
    ]
    # The other released person was recorded at that very time; ben has nothing there.
    assert sorted(map(len, kept_back))[0] == 0
    gaps = [item.meta["gap_before"] for each in samples.values() for item in each]
    assert gaps.count("withheld") == 1


@pytest.mark.slow
def test_a_finished_demo_is_shown_again_at_once(small):
    folder, said = small
    began = time.monotonic()
    again = run(folder, "--small", "--json")
    assert json.loads(again.stdout) == said
    assert time.monotonic() - began < said["wall_s"] / 2


@pytest.mark.slow
def test_the_report_stands_alone_and_names_every_figure(small):
    folder, said = small
    text = (folder / "report.html").read_text()
    for figure in (said["model"]["nats_per_action"], said["model"]["oracle"]):
        assert f"{figure:.2f}" in text
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_the_demo_refuses_a_folder_that_holds_something_else(tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    done = run(tmp_path, "--small")
    assert done.returncode == 13
    assert "error: " in done.stderr
    assert "--data" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_the_demo_refuses_a_folder_of_real_data(tmp_path):
    config.mark(tmp_path / "d", "real")
    done = run(tmp_path / "d", "--small")
    assert done.returncode == 13
    assert "real data" in done.stderr


def test_footage_that_is_not_there_is_named(tmp_path):
    done = run(tmp_path / "d", "--footage", str(tmp_path / "none.mp4"))
    assert done.returncode == 10
    assert "none.mp4" in done.stderr


def test_footage_of_which_nothing_is_usable_says_why(tmp_path):
    (tmp_path / "noise.mp4").write_bytes(bytes(range(72)))
    done = run(tmp_path / "d", "--footage", str(tmp_path / "noise.mp4"))
    assert done.returncode == 1
    assert "noise.mp4" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_interrupted_demo_ends_with_130_and_leaves_no_process(tmp_path):
    folder = tmp_path / "d"
    process = subprocess.Popen(
        [*COMMAND, "--data", str(folder), "demo", "--small"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("devices/*/card/open/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(process.pid)
    assert not (folder / "summary.json").exists()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.data
def test_no_place_serial_or_tag_of_real_clips_is_in_any_released_byte(test_data, tmp_path):
    clips = sorted((test_data / "clips").glob("*.mp4"))
    done = run(tmp_path / "d", "--footage", str(test_data / "clips"), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["people"], said["lost_s"]) == (len(clips), 0)
    assert said["model"]["nats_per_action"] is said["model"]["oracle"] is None
    forbidden = {word for clip in clips for word in _tags(clip)}
    assert any(word.startswith("+") or word.startswith("-") for word in forbidden)  # a place
    reader = released(tmp_path / "d")
    seen = 0
    for name in reader.people:
        for sample in reader.samples(name):
            for data in sample.files.values():
                seen += len(data)
                for word in forbidden:
                    assert word.encode() not in data, word
                assert b"gpmd" not in data
                assert b"GPMF" not in data
            (tmp_path / "clip.mp4").write_bytes(sample.files["clip.mp4"])
            with av.open(str(tmp_path / "clip.mp4")) as clip:
                assert {stream.type for stream in clip.streams} <= {"video", "audio"}
    assert seen > 10_000


def _tags(clip: Path) -> set[str]:
    """What the original says about itself that no mp4 of ours says by itself."""
    common = {"isom", "iso2", "avc1", "mp41", "mp42", "und", "eng", "VideoHandler", "SoundHandler"}
    with av.open(str(clip), metadata_errors="replace") as source:
        listed = [source.metadata, *(stream.metadata for stream in source.streams)]
    words = {value.strip() for each in listed for value in each.values()}
    words |= {value[:9] for value in words if value[:1] in "+-"}
    return {word[:200] for word in words if len(word) > 4 and word not in common} - {
        word for word in words if word.startswith("iso")
    }
