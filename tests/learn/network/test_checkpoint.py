"""Checkpoints that are damaged, killed while written or refused by the disk."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fitting import RECIPE, curve, school

from firsthand.errors import Damaged, Failed, Usage
from firsthand.learn.network import checkpoint, fit
from firsthand.learn.network.distributed import here

FILES = (".metadata", "__0_0.distcp", "notes.json", "manifest.json")
# Calls at which a run is killed: of fsync in the first and second checkpoint (five in each: data,
# its index, notes, manifest, folder), of rmtree in the third (two before writing, one after).
SYNCS, REMOVALS = (1, 6, 7, 8, 9, 10), (5, 7)


def fitted(folder: Path, recipe=RECIPE, progress=None, lineage=None) -> fit.Fitted:
    _, shape, lives = school()
    around = fit.Around("net", lineage or {"release": "r1", "log_index": 7}, folder / "m.jsonl")
    return fit.fit(shape, lives, recipe, folder / "state", (), progress, around)


def weights(result: fit.Fitted) -> dict[str, torch.Tensor]:
    return result.network.state_dict()


def same(a: fit.Fitted, b: fit.Fitted) -> bool:
    return all(torch.equal(weights(a)[k], v) for k, v in weights(b).items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, fit.Fitted]:
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, fitted(folder)


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory) -> Path:
    """A run that was stopped after updates 4 and 8."""
    folder = tmp_path_factory.mktemp("steps")
    for updates in (4, 8):
        fitted(folder, replace(RECIPE, updates=updates))
    assert steps(folder) == ["step-4", "step-8"]
    return folder


@pytest.fixture
def run(two_steps, tmp_path) -> Path:
    """A copy of it to be damaged."""
    shutil.copytree(two_steps, tmp_path / "run")
    return tmp_path / "run"


def steps(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "state").iterdir() if p.name.startswith("step"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", [flip, halve, Path.unlink])
def test_a_damaged_checkpoint_is_named_and_the_last_good_one_used(run, whole, capsys, name, harm):
    harm(run / "state/step-8" / name)
    began = []
    result = fitted(run, progress=began.append)
    named = f"checkpoint_damaged file={json.dumps(str(run / 'state/step-8' / name))}"
    assert named in capsys.readouterr().err
    assert began[0] == pytest.approx(5 / 12)  # on from update 4
    assert same(result, whole[1])
    assert curve(run / "m.jsonl") == curve(whole[0] / "m.jsonl")


def test_a_whole_checkpoint_is_used_without_a_word(run, whole, capsys):
    began = []
    assert same(fitted(run, progress=began.append), whole[1])
    assert began[0] == pytest.approx(9 / 12)
    assert "damaged" not in capsys.readouterr().err


@pytest.mark.parametrize("harm", [flip, halve, Path.unlink])
def test_where_no_checkpoint_is_whole_the_newest_damaged_file_is_named(run, harm):
    for step in ("step-4", "step-8"):
        harm(run / "state" / step / "__0_0.distcp")
    with pytest.raises(Damaged, match=r"step-8/__0_0\.distcp is damaged") as caught:
        fitted(run)
    assert caught.value.exit_code == 14
    assert f"delete {run / 'state'}," in caught.value.hint
    shutil.rmtree(run / "state")
    assert fitted(run).updates == RECIPE.updates


def test_a_file_where_the_checkpoints_should_be_is_named(tmp_path):
    (tmp_path / "state").write_bytes(b"x" * 99)
    with pytest.raises(Damaged, match="state is not a folder of checkpoints"):
        fitted(tmp_path)


def test_killed_at_any_moment_of_writing_it_ends_like_an_unbroken_run(whole, tmp_path):
    """SIGKILL as each file of the first checkpoints is synced, and as old ones are removed."""
    beside = str(Path(__file__).parents[1])  # fitting.py
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": beside}
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    ends = json.loads(done.stdout)
    assert ends == [-signal.SIGKILL] * len(SYNCS + REMOVALS)
    left = set()
    for number in range(len(ends)):
        folder = tmp_path / str(number)
        left |= {p.name for p in (folder / "state").iterdir()}
        assert same(fitted(folder), whole[1])
        assert curve(folder / "m.jsonl") == curve(whole[0] / "m.jsonl")
    assert {"partial", "step-1", "step-2", "step-3"} <= left  # in the middle of it, each time


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_full_disk_is_told_and_the_checkpoint_before_stays(run, whole, monkeypatch, moment):
    synced, fsync = [], os.fsync

    def full(number):
        synced.append(number)
        if len(synced) == moment:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failed, match=r"step-12 could not be written: .*No space left") as caught:
        fitted(run)
    monkeypatch.undo()
    assert "free some disk space" in caught.value.hint
    found = checkpoint.last(run / "state", here())
    assert found is not None
    assert found.update >= 8
    assert not (run / "state/partial").exists()  # it would fill the disk
    assert same(fitted(run), whole[1])


def test_a_file_that_may_not_grow_is_told_and_the_checkpoint_before_stays(run, whole):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = (run / "state/step-8/__0_0.distcp").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, limits[1]))
    try:
        with pytest.raises(Failed, match="step-12 could not be written"):
            fitted(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps(run) == ["step-4", "step-8"]
    assert same(fitted(run), whole[1])


def test_only_the_last_two_checkpoints_are_kept(run):
    fitted(run)
    assert steps(run) == ["step-12", "step-8"]


def test_the_checkpoint_holds_configuration_and_lineage(run):
    notes = json.loads((run / "state/step-8/notes.json").read_text())
    assert notes["config"]["lineage"] == {"release": "r1", "log_index": 7}
    assert notes["config"]["recipe"]["seed"] == RECIPE.seed
    assert notes["config"]["shape"]["width"] == 64
    assert len(notes["config"]["data"]) == 64
    assert notes["update"] == 8
    assert notes["world"] == 1


def test_a_checkpoint_of_another_release_or_recipe_is_refused(run):
    with pytest.raises(Usage, match=r"lineage\.log_index = 7, this run has 8"):
        fitted(run, lineage={"release": "r1", "log_index": 8})
    with pytest.raises(Usage, match=r"recipe\.seed = 3, this run has 4"):
        fitted(run, replace(RECIPE, seed=4))
    _, shape, lives = school()
    around = fit.Around("net", {"release": "r1", "log_index": 7})
    with pytest.raises(Usage, match="made with data = "):
        fit.fit(shape, lives[:1], RECIPE, run / "state", (), None, around)
    assert steps(run) == ["step-4", "step-8"]


def _killed(folder: Path, module, name: str, moment: int) -> None:
    """Fit, saving after each update, and die at that call of the function."""
    call, calls = getattr(module, name), []

    def dying(*given, **more):
        calls.append(given)
        if len(calls) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **more)

    setattr(module, name, dying)
    fit.SAVE_EVERY_S, fit.SAVE_SHARE = -1.0, 1e9
    fitted(folder)


def _kill_them(folder: Path) -> list[int]:
    """One process for each moment; how each ended."""
    moments = [(os, "fsync", n) for n in SYNCS] + [(shutil, "rmtree", n) for n in REMOVALS]
    ends = []
    for number, moment in enumerate(moments):
        (folder / str(number)).mkdir()
        child = os.fork()
        if child == 0:
            _killed(folder / str(number), *moment)
            os._exit(0)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ends


if __name__ == "__main__":
    print(json.dumps(_kill_them(Path(sys.argv[1]))))
