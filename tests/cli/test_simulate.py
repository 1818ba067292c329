"""`firsthand simulate people`: whole files, the same for the same seed, and clear refusals."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firsthand.cli import main
from firsthand.learn.streams import check, read_streams
from firsthand.simulate.habits import ACTIONS, cells, live
from firsthand.simulate.oracle import oracle_nats
from firsthand.simulate.population import make_people

FILES = ("events.csv", "oracle.csv", "cells.csv")


def arguments(folder: Path, *more: str, seed: int = 5) -> list[str]:
    out, oracle, cell = (str(folder / name) for name in FILES)
    asked = ["simulate", "people", "--people", "3", "--days", "9", "--seed", str(seed)]
    return [*asked, "--out", out, "--oracle", oracle, "--cells", cell, *more]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    assert main(arguments(tmp_path)) == 0
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_events_are_a_stream_that_learn_reads(made: Path) -> None:
    streams = read_streams(made / "events.csv")
    assert [stream.person for stream in streams] == ["p001", "p002", "p003"]
    for stream in streams:
        check(stream)
        assert stream.own == ("action",)
        assert len(stream) == 9 * 48
        assert stream.recordings()[0] == "2024-01-01"
        assert stream.recordings()[-1] == "2024-01-09"
        assert {step.own[0] for step in stream.steps} <= set(ACTIONS)


def test_oracle_and_cells_join_the_events_by_person_recording_and_step(made: Path) -> None:
    events, nats = rows(made / "events.csv"), rows(made / "oracle.csv")
    keys = [(row["person"], row["recording"]) for row in nats]
    assert keys == [(row["person"], row["recording"]) for row in events]
    assert [int(row["step"]) for row in nats] == list(range(48)) * 27
    paid, named = [], []
    for person in make_people(5, 3):
        lived = live(person, 9, 5)
        paid += oracle_nats(person, lived).ravel().tolist()
        named += [
            (person.name, lived[day].recording, str(step), cell)
            for day, step, cell in cells(person, lived)
        ]
    assert [float(row["nats"]) for row in nats] == pytest.approx(paid, abs=1e-9)
    assert [tuple(row.values()) for row in rows(made / "cells.csv")] == named
    assert {cell for *_, cell in named} == {"habit", "rule"}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    again, other = tmp_path_factory.mktemp("again"), tmp_path_factory.mktemp("other")
    assert main(arguments(again)) == 0
    assert main(arguments(other, seed=6)) == 0
    for name in FILES:
        assert (again / name).read_bytes() == (made / name).read_bytes()
        assert (other / name).read_bytes() != (made / name).read_bytes()


def test_json_tells_the_oracles_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    paid = [float(row["nats"]) for row in rows(tmp_path / "oracle.csv")]
    assert told["events"] == len(paid) == 3 * 9 * 48
    assert told["oracle_nats"] == pytest.approx(sum(paid) / len(paid))
    assert (told["seed"], told["people"], told["days"]) == (5, 3, 9)
    assert told["files"]["out"] == str(tmp_path / "events.csv")


def test_text_names_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path)) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'events.csv'}: 1296 events\n" in out
    assert "nats per event" in out


def test_cells_are_written_only_when_asked_for(tmp_path: Path) -> None:
    asked = arguments(tmp_path)
    del asked[asked.index("--cells") :]
    assert main(asked) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"events.csv", "oracle.csv"}


@pytest.mark.parametrize("name", FILES)
def test_file_that_exists_is_replaced_only_by_force(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main(arguments(tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert main(arguments(tmp_path, "--force")) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    assert (tmp_path / name).read_text().startswith("person,recording,")


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (("--people", "0"), 2, "0 people are too few"),
        (("--days", "0"), 2, "0 days cannot be lived"),
        (("--days", "99999999"), 2, "cannot be lived"),
        (("--seed", "-1"), 2, "-1 is no seed"),
        (("--people", "many"), 2, "'--people'"),
        (("--out", "missing/events.csv"), 10, "there is no folder missing"),
        (("--cells", "missing/cells.csv"), 10, "there is no folder missing"),
        (("--oracle", "events.csv", "--out", "events.csv"), 2, "the same name"),
        (("--out", ".", "--force"), 2, ". is no file"),
    ],
)
def test_bad_request_is_told_and_leaves_nothing(
    more: tuple[str, ...],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments(tmp_path, *more)) == code
    error = capsys.readouterr().err
    assert told in error
    assert "firsthand: hint: " in error
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("mine")
    asked = arguments(tmp_path, "--people", "500", "--days", "700", "--force")
    process = subprocess.Popen(
        [sys.executable, "-m", "firsthand", *asked],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    drafts = [tmp_path / f"{name}.partial" for name in FILES]
    deadline = time.monotonic() + 15
    while not all(draft.exists() for draft in drafts):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=15)
    assert process.returncode == 130
    assert b"interrupted" in error
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]
    assert (tmp_path / "events.csv").read_text() == "mine"
